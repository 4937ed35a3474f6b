"""Dijets as columns of an HDF5 file.

The layout is 1-D columns of one length at the root: `weight` in any unit and, for both jets
i = 1, 2, `gen{i}_*` and `reco{i}_*` with pt, y, phi, m [GeV, rad]. Other columns are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from calibrate.data.dijet_events import DijetEvents
from calibrate.data.hdf5_columns import read_hdf5_columns
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

    Raises DataError as `read_hdf5_columns`.
    """
    names = ["weight"]
    names += [f"{level}{i}_{part}" for level in ("gen", "reco") for i in (1, 2) for part in PARTS]
    momenta = [name for name in names if name.endswith("_pt")]
    return read_hdf5_columns(path, names, "dijets", momenta)


def _jets(columns: Columns, level: str) -> Jets:
    """Both jets of one level, components (n, 2)."""
    return Jets(
        *(np.column_stack([columns[f"{level}{i}_{part}"] for i in (1, 2)]) for part in PARTS)
    )
