"""NumPy archives: one member per column."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from calibrate.errors import DataError
from calibrate.tables.columns import Advance, Chunk, NewColumns


class NpzTable:
    """An NPZ archive of 1-D arrays. Objects are not unpickled."""

    skipped = 0
    entries = None

    def __init__(self, path: Path) -> None:
        self.path = path
        with _readable(path):
            self._file = np.load(path, allow_pickle=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The members."""
        return tuple(self._file.files)

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """The columns; DataError where one is not 1-D, holds no numbers, or lengths differ."""
        with _readable(self.path):
            arrays = {name: self._file[name] for name in columns}
        for name, array in arrays.items():
            if array.ndim != 1 or array.dtype.kind not in "fiub":
                shape = f"{array.dtype} of shape {array.shape}"
                raise DataError(f"{self.path.name}: '{name}' is {shape}: 1-D numbers are needed")
        lengths = {name: array.size for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{self.path.name}: columns have different lengths: {lengths}")
        total = max(lengths.values(), default=0)
        for first in range(0, total, rows):
            part = {name: array[first : first + rows] for name, array in arrays.items()}
            yield Chunk(first, min(rows, total - first), part)

    def copy(self, target: Path, new: NewColumns, rows: int, advance: Advance) -> None:
        """NPZ cannot be written in chunks: always DataError."""
        raise DataError(
            f"{self.path.name}: an NPZ archive cannot be written in chunks; convert it to HDF5 or "
            "Parquet"
        )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read as NPZ: {error}") from error
