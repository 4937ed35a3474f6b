"""Columns of one length at the root of an HDF5 file, as the bundled samples have them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from calibrate.data.values import check_values
from calibrate.errors import DataError, nearest
from calibrate.sample import FloatArray


def read_hdf5_columns(
    path: Path, names: Sequence[str], content: str, momenta: Sequence[str]
) -> dict[str, FloatArray]:
    """The columns `names`, float64 (n,); `content` says what they are, for messages.

    Raises DataError if the file is not HDF5, is damaged, lacks a column, or holds columns of
    different lengths, no rows, values that are not finite, or `momenta` of zero and below.
    """
    try:
        with h5py.File(path) as file:
            missing = [name for name in names if not isinstance(file.get(name), h5py.Dataset)]
            if missing:
                hint = nearest(missing[0], file)
                raise DataError(f"{path.name} has no column '{missing[0]}': {hint}")
            columns = {name: np.asarray(file[name][()], dtype=np.float64) for name in names}
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{path} cannot be read as HDF5 {content}: {error}") from error
    lengths = {name: column.shape for name, column in columns.items()}
    first = columns[names[0]]
    if len(set(lengths.values())) != 1 or first.ndim != 1:
        raise DataError(f"{path.name} must hold columns of one length, got {lengths}")
    if not first.size:
        raise DataError(f"{path.name} holds no events")
    for name, values in columns.items():
        check_values(path.name, name, values, momentum=name in momenta)
    return columns
