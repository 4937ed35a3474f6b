"""Which format a file has: by its first bytes, not by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from calibrate.catalogue.cache import fetch_hint
from calibrate.errors import DataError
from calibrate.tables.columns import Table, Words

HEAD = 8


def open_table(
    path: Path,
    tree: str | None = None,
    names: Sequence[str] | None = None,
    words: Mapping[str, Words] | None = None,
) -> Table:
    """Open a ROOT, HDF5, Parquet, NPZ or text file.

    `tree` names the ROOT tree, the RNTuple or the HDF5 group; `names` the columns of a text without
    a header; `words` the numbers that the words of a column stand for, in text and Parquet files.
    Raises DataError for a missing, empty, damaged or unknown file.
    """
    head = _head(path)
    if head.startswith(b"root"):
        from calibrate.tables.root import open_root

        return open_root(path, tree)
    if head.startswith(b"\x89HDF"):
        from calibrate.tables.hdf5 import Hdf5Table

        return Hdf5Table(path, tree)
    if head.startswith(b"PAR1"):
        from calibrate.tables.parquet import ParquetTable

        return ParquetTable(path, words)
    if head.startswith(b"PK\x03\x04"):
        from calibrate.tables.npz import NpzTable

        return NpzTable(path)
    from calibrate.tables.text import TextTable

    return TextTable(path, names, words)


def _head(path: Path) -> bytes:
    if not path.exists():
        raise DataError(f"no file {path}{fetch_hint(path.name)}")
    if path.is_dir():
        raise DataError(f"{path} is a folder: name its files, for example {path}/*.root")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not head:
        raise DataError(f"{path} is empty")
    return head
