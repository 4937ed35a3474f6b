"""NumPy archives: one member per column."""

from __future__ import annotations

import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from calibrate.tables.columns import (
    NUMBERS,
    Advance,
    Chunk,
    NewColumns,
    no_numbers,
    refuse_lengths,
    refuse_names,
)
from calibrate.tables.failures import reading, writing

KIND = "NPZ"


class NpzTable:
    """An NPZ archive of 1-D arrays; others may lie beside them. Objects are not unpickled."""

    kind = KIND
    skipped = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path, KIND), self._opened() as archive:
            self._names = tuple(archive.files)
        with reading(path, KIND), zipfile.ZipFile(path) as archive:
            shapes = [_shape(archive, member) for member in archive.namelist()]
            self._compression = max((each.compress_type for each in archive.infolist()), default=0)
        self._lengths = Counter(shape[0] for shape in shapes if len(shape) == 1)

    @property
    def names(self) -> tuple[str, ...]:
        """The members."""
        return self._names

    @property
    def entries(self) -> int:
        """The length of most 1-D members."""
        return self._lengths.most_common(1)[0][0] if self._lengths else 0

    @property
    def expected_entries(self) -> int:
        """The number of entries."""
        return self.entries

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
        """The archive byte by byte, with a new member for each column behind it."""
        refuse_names(self.path, self.names, tuple(new.types))
        with writing(target):
            shutil.copyfile(self.path, target)
            with zipfile.ZipFile(target, "a", self._compression) as archive:
                for number, name in enumerate(new.types):
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        self._write(member, name, new, rows, None if number else advance)

    def _write(
        self, member: IO[bytes], name: str, new: NewColumns, rows: int, advance: Advance | None
    ) -> None:
        """A column in NumPy's format, chunk by chunk: `np.save` wants it whole."""
        kind = np.lib.format.dtype_to_descr(new.types[name])
        header = {"descr": kind, "fortran_order": False, "shape": (self.entries,)}
        np.lib.format.write_array_header_1_0(member, header)
        for first in range(0, self.entries, rows):
            stop = min(first + rows, self.entries)
            member.write(new.read(first, stop)[name].tobytes())
            if advance:
                advance(stop - first)


def _shape(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    """The shape of a member, by its first bytes; () for what is no array."""
    with archive.open(name) as member:
        try:
            version = np.lib.format.read_magic(member)
        except ValueError:
            return ()
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        shape: tuple[int, ...] = read(member)[0] if read else ()
        return shape
