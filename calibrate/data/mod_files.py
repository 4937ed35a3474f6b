"""Jets of CMS open data in the HDF5 layout of EnergyFlow (MIT Open Data, "MOD").

`jets_i` (integers) and `jets_f` (floats) have one row per jet; the attribute `cols` of each names
its columns. Columns are compressed in chunks of a few of them, so that only those chunks are read
that hold a needed one, once, many rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from calibrate.catalogue.cache import fetch_hint
from calibrate.errors import DataError, nearest
from calibrate.tables.failures import reading

KIND = "HDF5"
DATASETS = ("jets_i", "jets_f")
NAMES = "cols"
ROWS = 1 << 14
"""Jets read at a time, about; whole chunks of the file."""


@dataclass(frozen=True)
class ModFile:
    """A file: the number of its jets, and dataset and place of each column."""

    path: Path
    jets: int
    places: Mapping[str, tuple[str, int]]

    @classmethod
    def of(cls, path: Path) -> ModFile:
        """Raises DataError for a file that is missing, damaged or of another layout."""
        if path.is_dir():
            raise DataError(f"{path} is a folder: name its files, for example {path}/SIM*.h5")
        if not path.exists():
            raise DataError(f"no file {path}{fetch_hint(path.name)}")
        with reading(path, KIND), h5py.File(path) as file:
            places: dict[str, tuple[str, int]] = {}
            for name in DATASETS:
                for column, label in enumerate(_labels(path, file, name)):
                    places[label] = (name, column)
            lengths = {name: len(file[name]) for name in DATASETS}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{path.name}: {lengths} rows in datasets of the same jets")
        return cls(path, lengths[DATASETS[0]], places)

    def require(self, columns: Sequence[str]) -> None:
        """Raise DataError for columns that the file does not have."""
        missing = [name for name in columns if name not in self.places]
        if not missing:
            return
        only = "" if any(name.startswith("gen_jet") for name in self.places) else (
            "; jets at detector level with their gen jets are in the files SIM…"
        )  # fmt: skip
        raise DataError(
            f"{self.path.name} has no column '{missing[0]}': {nearest(missing[0], self.places)}"
            f"{only}"
        )

    def blocks(self, columns: Sequence[str]) -> Iterator[dict[str, NDArray[Any]]]:
        """The columns (n,) of about `ROWS` jets at a time; DataError where the file is damaged."""
        self.require(columns)
        with reading(self.path, KIND), h5py.File(self.path) as file:
            step = _step(file)
            for first in range(0, self.jets, step):
                yield self._block(file, columns, slice(first, min(first + step, self.jets)))

    def _block(
        self, file: h5py.File, columns: Sequence[str], rows: slice
    ) -> dict[str, NDArray[Any]]:
        wanted: dict[tuple[str, int], list[str]] = {}
        for label in columns:
            name, column = self.places[label]
            wanted.setdefault((name, column // _width(file[name])), []).append(label)
        found: dict[str, NDArray[Any]] = {}
        for (name, number), labels in wanted.items():
            start = number * _width(file[name])
            part = file[name][rows, start : start + _width(file[name])]
            found |= {label: part[:, self.places[label][1] - start].copy() for label in labels}
        return found


def is_mod(path: Path) -> bool:
    """Whether a file is HDF5 and has one of the tables of jets."""
    if not h5py.is_hdf5(path):
        return False
    with reading(path, KIND), h5py.File(path) as file:
        return any(name in file for name in DATASETS)


def _labels(path: Path, file: h5py.File, name: str) -> list[str]:
    """The names of the columns of a dataset."""
    node = file.get(name)
    if not isinstance(node, h5py.Dataset) or node.ndim != 2:
        raise DataError(
            f"{path.name} has no table '{name}': {nearest(name, file)} This is no MOD file of CMS "
            "jets; data=table reads other HDF5"
        )
    if NAMES not in node.attrs:
        raise DataError(
            f"{path.name}: the table '{name}' has no attribute '{NAMES}' with the names of its "
            f"{node.shape[1]} columns, and their places are not known: fetch the file again"
        )
    labels = [
        each.decode() if isinstance(each, bytes) else str(each)
        for each in np.asarray(node.attrs[NAMES]).reshape(-1)
    ]
    if len(labels) != node.shape[1]:
        raise DataError(
            f"{path.name}: the table '{name}' has {node.shape[1]} columns, but '{NAMES}' names "
            f"{len(labels)}: fetch the file again"
        )
    return labels


def _width(node: h5py.Dataset) -> int:
    """The number of columns in one chunk."""
    return int(node.chunks[1] if node.chunks else node.shape[1])


def _step(file: h5py.File) -> int:
    """About `ROWS` rows that are whole chunks of the larger table."""
    chunks = file[DATASETS[-1]].chunks
    rows = int(chunks[0]) if chunks else 1
    return max(ROWS // rows, 1) * rows
