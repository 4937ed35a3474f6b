"""Tables of results, of our own making: one row per run, as Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

Cell = str | float | int | bool | None


def write_parquet(path: Path, columns: Mapping[str, Sequence[Cell]]) -> None:
    """Write named columns of equal length: of numbers, or of text where one entry is text."""
    pq.write_table(pa.table({name: _array(values) for name, values in columns.items()}), path)


def _array(values: Sequence[Cell]) -> pa.Array:
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known) and known:
        return pa.array(values, pa.bool_())
    if any(isinstance(value, str) for value in known):
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    if all(isinstance(value, int) for value in known) and known:
        return pa.array(values, pa.int64())
    return pa.array([None if v is None else float(v) for v in values], pa.float64())
