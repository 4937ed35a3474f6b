"""Arrow's arrays as NumPy's: numbers, with NaN where a value is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from calibrate.errors import DataError
from calibrate.tables.columns import Values, Words


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


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are words."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def coded(path: Path, name: str, array: Any, words: Words) -> Values:  # noqa: ANN401 - as above
    """The numbers (n,) that the words of an array stand for, NaN where one is missing.

    Raises DataError for another word.
    """
    trimmed = pc.utf8_trim_whitespace(array)
    place = pc.index_in(trimmed, value_set=pa.array(list(words), trimmed.type))
    unknown = pc.filter(trimmed, pc.and_(pc.is_null(place), pc.is_valid(trimmed)))
    if len(unknown):
        raise DataError(
            f"{path.name}: column '{name}' holds '{unknown[0]}' ({len(unknown)} such values): "
            f"only {', '.join(words)} are understood"
        )
    values = np.array([*words.values(), np.nan])
    return values[numbers(pc.fill_null(place, len(words)))]
