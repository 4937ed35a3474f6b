"""HDF5: 1-D datasets of one group, or the fields of one compound dataset."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from calibrate.errors import DataError, nearest
from calibrate.tables.columns import (
    NUMBERS,
    Advance,
    Chunk,
    NewColumns,
    no_numbers,
    refuse_lengths,
    refuse_names,
)
from calibrate.tables.failures import reading, reserve, writing

KIND = "HDF5"
SPARE = 1 << 20
"""Bytes that HDF5 needs beside the columns."""


class Hdf5Table:
    """The group or the compound dataset `tree` of an HDF5 file (its root by default; there the
    only compound dataset where nothing else is 1-D)."""

    kind = KIND
    skipped = 0

    def __init__(self, path: Path, tree: str | None = None) -> None:
        self.path = path
        with reading(path, KIND), h5py.File(path) as file:
            self._place = tree or _default_place(file)
            if self._place not in file:
                hint = nearest(self._place, file)
                raise DataError(f"{path.name} has no '{tree}' that data.tree names: {hint}")
            node = file[self._place]
            self.compound = isinstance(node, h5py.Dataset)
            self._lengths = _lengths(node)
            if not self._lengths:
                raise DataError(
                    f"{path.name}: '{self._place}' holds no columns; name a group or a compound "
                    f"dataset with data.tree: {', '.join(file)}"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The 1-D datasets, or the fields."""
        return tuple(self._lengths)

    @property
    def entries(self) -> int:
        """The length of most columns: others, such as the edges of bins, may lie beside them."""
        return Counter(self._lengths.values()).most_common(1)[0][0]

    @property
    def expected_entries(self) -> int:
        """The number of entries."""
        return self.entries

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """The columns; DataError where one holds no numbers or lengths differ."""
        lengths = {name: self._lengths[name] for name in columns}
        refuse_lengths(self.path, lengths)
        total = max(lengths.values(), default=self.entries)
        with reading(self.path, KIND), h5py.File(self.path) as file:
            node = file[self._place]
            for name in columns:
                kind = node.dtype[name] if self.compound else node[name].dtype
                if kind.kind not in NUMBERS or kind.shape:
                    raise no_numbers(self.path, name, kind)
            for first in range(0, total, rows):
                stop = min(first + rows, total)
                yield Chunk(first, stop - first, _read(node, columns, slice(first, stop)))

    def copy(self, target: Path, new: NewColumns, rows: int, advance: Advance) -> None:
        """The file byte by byte, with new datasets, or new fields of the compound dataset."""
        refuse_names(self.path, self.names, tuple(new.types))
        with writing(target):
            shutil.copyfile(self.path, target)
        reserve(target, self._largest_copy(new))
        with writing(target), h5py.File(target, "r+") as file:
            if self.compound:
                self._add_fields(file, new, rows, advance)
            else:
                self._add_datasets(file[self._place], new, rows, advance)

    def _largest_copy(self, new: NewColumns) -> int:
        """Bytes of the copy with new columns that do not shrink, and room to spare."""
        with reading(self.path, KIND), h5py.File(self.path) as file:
            row = file[self._place].dtype.itemsize if self.compound else 0
        row += sum(kind.itemsize for kind in new.types.values())
        old = self.path.stat().st_size
        return SPARE + old + int(1.1 * self.entries * row) + (old if self.compound else 0)

    def _add_datasets(
        self, group: h5py.Group, new: NewColumns, rows: int, advance: Advance
    ) -> None:
        total = self.entries
        added = {
            name: group.create_dataset(name, (total,), kind, compression="gzip", shuffle=True)
            for name, kind in new.types.items()
        }
        for first in range(0, total, rows):
            stop = min(first + rows, total)
            for name, values in new.read(first, stop).items():
                added[name][first:stop] = values
            advance(stop - first)

    def _add_fields(self, file: h5py.File, new: NewColumns, rows: int, advance: Advance) -> None:
        old = file[self._place]
        fields = [(name, old.dtype[name]) for name in old.dtype.names]
        kind = np.dtype([*fields, *new.types.items()])
        temporary = f"{self._place}.calibrated"
        grown = file.create_dataset(
            temporary, old.shape, kind, compression=old.compression, chunks=True
        )
        for first in range(0, len(old), rows):
            stop = min(first + rows, len(old))
            block, part = np.empty(stop - first, kind), old[first:stop]
            for name in old.dtype.names:
                block[name] = part[name]
            for name, values in new.read(first, stop).items():
                block[name] = values
            grown[first:stop] = block
            advance(stop - first)
        for name, value in old.attrs.items():
            grown.attrs[name] = value
        del file[self._place]
        file.move(temporary, self._place)


def _default_place(file: h5py.File) -> str:
    if any(isinstance(node, h5py.Dataset) and _is_column(node) for node in file.values()):
        return "/"
    compound = [name for name, node in file.items() if isinstance(node, h5py.Dataset)]
    compound = [name for name in compound if file[name].dtype.names]
    return compound[0] if len(compound) == 1 else "/"


def _is_column(node: h5py.Dataset) -> bool:
    return node.ndim == 1 and not node.dtype.names


def _lengths(node: h5py.Group | h5py.Dataset) -> dict[str, int]:
    if isinstance(node, h5py.Dataset):
        return dict.fromkeys(node.dtype.names or (), len(node)) if node.ndim == 1 else {}
    return {
        name: len(each)
        for name, each in node.items()
        if isinstance(each, h5py.Dataset) and _is_column(each)
    }


def _read(node: Any, columns: Sequence[str], rows: slice) -> dict[str, Any]:  # noqa: ANN401 - h5py
    if isinstance(node, h5py.Dataset):
        part = node.fields(list(columns))[rows] if columns else None
        return {name: part[name] for name in columns} if part is not None else {}
    return {name: node[name][rows] for name in columns}
