"""Arrow's arrays as NumPy's: numbers, with NaN where a value is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from calibrate.tables.columns import Values


def is_number(kind: pa.DataType) -> bool:
    """Whether values of a type are numbers, or true and false."""
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def numbers(array: Any) -> Values:  # noqa: ANN401 - any arrow array
    """The values (n,) of an array whose type `is_number`; with missing ones float64 and NaN."""
    if array.null_count and pa.types.is_boolean(array.type):
        array = pc.cast(array, pa.uint8())
    if isinstance(array, pa.ChunkedArray):
        return np.asarray(array.to_numpy())
    return np.asarray(array.to_numpy(zero_copy_only=False))
