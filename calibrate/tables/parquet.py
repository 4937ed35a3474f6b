"""Parquet files, lists as jagged columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from calibrate.errors import DataError
from calibrate.tables.columns import (
    Advance,
    Chunk,
    Jagged,
    NewColumns,
    Values,
    counts_of,
    refuse_names,
)

COMPLETE_LISTS = (b"awkward_array_metadata",)
"""Metadata that must describe every column: left out of a copy that has more of them."""


class ParquetTable:
    """A Parquet file."""

    skipped = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        with _readable(path):
            self._file = pq.ParquetFile(path)

    @property
    def names(self) -> tuple[str, ...]:
        """The top-level columns."""
        return tuple(self._file.schema_arrow.names)

    @property
    def entries(self) -> int:
        """The number of rows."""
        return int(self._file.metadata.num_rows)

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """The columns, in order; DataError where one holds no numbers."""
        first = 0
        with _readable(self.path):
            for batch in self._file.iter_batches(rows, columns=list(columns)):
                yield self._chunk(batch, first)
                first += batch.num_rows

    def copy(self, target: Path, new: NewColumns, rows: int, advance: Advance) -> None:
        """All columns bit by bit, new ones after them; the schema's metadata is kept."""
        refuse_names(self.path, self.names, tuple(new.types))
        schema = self._file.schema_arrow
        kept = {k: v for k, v in (schema.metadata or {}).items() if k not in COMPLETE_LISTS}
        schema = schema.with_metadata(kept)
        for name, kind in new.types.items():
            value = pa.from_numpy_dtype(kind)
            schema = schema.append(pa.field(name, value if new.like is None else pa.list_(value)))
        first, row = 0, 0
        with pq.ParquetWriter(target, schema, compression=self._compression()) as writer:
            for batch in self._batches(rows):
                chunk = self._chunk(batch.select([new.like] if new.like else []), first)
                counts = counts_of(chunk, new.like)
                stop = row + (batch.num_rows if counts is None else int(counts.sum()))
                added = [_arrow(v, counts) for v in new.read(row, stop).values()]
                arrays = [*batch.columns, *added]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
                first, row = first + batch.num_rows, stop
                advance(batch.num_rows)

    def _batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        with _readable(self.path):
            yield from self._file.iter_batches(rows)

    def _compression(self) -> str:
        if not self._file.metadata.num_row_groups or not self._file.metadata.num_columns:
            return "snappy"
        return str(self._file.metadata.row_group(0).column(0).compression).replace(
            "UNCOMPRESSED", "NONE"
        )

    def _chunk(self, batch: pa.RecordBatch, first: int) -> Chunk:
        columns = {
            name: self._values(name, array)
            for name, array in zip(batch.schema.names, batch.columns, strict=True)
        }
        return Chunk(first, batch.num_rows, columns)

    def _values(self, name: str, array: Any) -> Values | Jagged:  # noqa: ANN401 - any arrow array
        kind = array.type
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            counts = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            return Jagged(self._flat(name, array.flatten()), counts.astype(np.int64))
        return self._flat(name, array)

    def _flat(self, name: str, array: Any) -> Values:  # noqa: ANN401 - any arrow array
        kind = array.type
        if not (
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        ):
            raise DataError(f"{self.path.name}: column '{name}' holds {kind}, not numbers")
        return np.asarray(array.to_numpy(zero_copy_only=False))


def _arrow(values: Values, counts: Values | None) -> pa.Array:
    if counts is None:
        return pa.array(values)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
