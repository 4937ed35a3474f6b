"""NumPy archives: one member per column."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from calibrate.errors import DataError
from calibrate.tables.columns import (
    NUMBERS,
    Advance,
    Chunk,
    NewColumns,
    no_numbers,
    refuse_lengths,
)
from calibrate.tables.failures import reading

KIND = "NPZ"


class NpzTable:
    """An NPZ archive of 1-D arrays. Objects are not unpickled."""

    kind = KIND
    skipped = 0
    entries = None

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path, KIND), self._opened() as archive:
            self._names = tuple(archive.files)

    @property
    def names(self) -> tuple[str, ...]:
        """The members."""
        return self._names

    @property
    def expected_entries(self) -> int:
        """The number of values of eight bytes in the longest member."""
        with reading(self.path, KIND), zipfile.ZipFile(self.path) as archive:
            return max((member.file_size // 8 for member in archive.infolist()), default=0)

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """The columns; DataError where one is not 1-D, holds no numbers, or lengths differ."""
        with reading(self.path, KIND), self._opened() as archive:
            arrays = {name: archive[name] for name in columns}
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise no_numbers(self.path, name, "something other than an array")
            if array.ndim != 1 or array.dtype.kind not in NUMBERS:
                raise no_numbers(self.path, name, f"{array.dtype} of shape {array.shape}")
        lengths = {name: array.size for name, array in arrays.items()}
        refuse_lengths(self.path, lengths)
        total = max(lengths.values(), default=0)
        for first in range(0, total, rows):
            part = {name: array[first : first + rows] for name, array in arrays.items()}
            yield Chunk(first, min(rows, total - first), part)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """NumPy leaves a damaged file open if it is given a path."""
        with self.path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            yield archive

    def copy(self, target: Path, new: NewColumns, rows: int, advance: Advance) -> None:
        """NPZ cannot be written in chunks: always DataError."""
        raise DataError(
            f"{self.path.name}: an NPZ archive cannot be written in chunks; convert it to HDF5 or "
            "Parquet"
        )
