"""Dijets as columns of an HDF5 file.

The layout is 1-D columns of one length at the root: `weight` in any unit and, for both jets
i = 1, 2, `gen{i}_*` and `reco{i}_*` with pt, y, phi, m [GeV, rad]. Other columns are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from calibrate.data.dijet_events import DijetEvents, check_values
from calibrate.errors import DataError, nearest
from calibrate.kinematics import Jets
from calibrate.sample import FloatArray

PARTS = ("pt", "y", "phi", "m")
Columns = Mapping[str, FloatArray]


def read_events(path: Path, limit: int | None = None) -> DijetEvents:
    """The events of a file, at most `limit` of them: every k-th row, since the rows may be ordered
    in p̂_T and their weights are known up to a common factor only.

    Raises DataError as `read_columns`.
    """
    columns = read_columns(path)
    if limit is not None:
        step = -(-columns["weight"].size // limit)
        columns = {name: values[::step] for name, values in columns.items()}
    return DijetEvents(_jets(columns, "gen"), _jets(columns, "reco"), columns["weight"])


def read_columns(path: Path) -> dict[str, FloatArray]:
    """The weight and the four-vector columns of a dijet file, float64 (n,).

    Raises DataError if the file is not HDF5, is damaged, or lacks a column.
    """
    names = ["weight"]
    names += [f"{level}{i}_{part}" for level in ("gen", "reco") for i in (1, 2) for part in PARTS]
    try:
        with h5py.File(path) as file:
            missing = [name for name in names if not isinstance(file.get(name), h5py.Dataset)]
            if missing:
                hint = nearest(missing[0], file)
                raise DataError(f"{path.name} has no column '{missing[0]}': {hint}")
            columns = {name: np.asarray(file[name][()], dtype=np.float64) for name in names}
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{path} cannot be read as HDF5 dijets: {error}") from error
    lengths = {name: column.shape for name, column in columns.items()}
    if len(set(lengths.values())) != 1 or columns["weight"].ndim != 1:
        raise DataError(f"{path.name} must hold columns of one length, got {lengths}")
    if not columns["weight"].size:
        raise DataError(f"{path.name} holds no events")
    for name, values in columns.items():
        check_values(path.name, name, values, momentum=name.endswith("_pt"))
    return columns


def _jets(columns: Columns, level: str) -> Jets:
    """Both jets of one level, components (n, 2)."""
    return Jets(
        *(np.column_stack([columns[f"{level}{i}_{part}"] for i in (1, 2)]) for part in PARTS)
    )
