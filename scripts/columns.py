"""Columns of a generated sample: without the digits that no detector resolves, and in HDF5."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]

MANTISSA_BITS = 12  # kept of pT and mass: a relative error of at most 2^-13
ANGLE_BITS = 12  # angles are rounded to multiples of 2^-12
ANGLES = ("y", "phi", "eta", "girth")  # last words of the names of columns that are angles


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to, moved to the target once all is written: the target is never partial."""
    unfinished = target.with_name(f".{target.name}")
    yield unfinished
    unfinished.replace(target)


def round_mantissa(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """Round to nearest, keeping so many stored bits: a relative error of at most 2^-(bits+1)."""
    mantissa, exponent = np.frexp(values)
    steps = 2.0 ** (bits + 1)
    return np.asarray(np.ldexp(np.round(mantissa * steps) / steps, exponent))


def round_angle(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """Round to the nearest multiple of 2^-bits."""
    return np.round(values * 2.0**bits) / 2.0**bits


def storable(name: str, values: NDArray[Any]) -> NDArray[np.float32]:
    """A column of momenta, masses or angles without the digits that no detector resolves."""
    angle = name.split("_")[-1] in ANGLES
    rounded = round_angle(values, ANGLE_BITS) if angle else round_mantissa(values, MANTISSA_BITS)
    return rounded.astype(np.float32)


def write(
    target: Path, columns: Columns, units: Mapping[str, str], attributes: Mapping[str, Any]
) -> None:
    """Write the HDF5 file; `units` by the last word of a column's name."""
    with replacing(target) as path, h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        for name, values in columns.items():
            column = file.create_dataset(
                name, data=values, chunks=values.shape, shuffle=True, compression=9
            )
            column.attrs["unit"] = units[name.split("_")[-1]]
