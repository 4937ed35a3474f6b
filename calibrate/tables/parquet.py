"""Parquet files, lists as jagged columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from calibrate.errors import DataError
from calibrate.tables.arrow import coded, is_number, is_text, numbers
from calibrate.tables.columns import (
    Advance,
    Chunk,
    Jagged,
    NewColumns,
    Values,
    Words,
    counts_of,
    no_numbers,
    refuse_names,
)
from calibrate.tables.failures import reading, writing
from calibrate.tables.lines import doubled

KIND = "Parquet"

COMPLETE_LISTS = (b"awkward_array_metadata",)
"""Metadata that must describe every column: left out of a copy that has more of them."""


class ParquetTable:
    """A Parquet file."""

    kind = KIND
    skipped = 0

    def __init__(self, path: Path, words: Mapping[str, Words] | None = None) -> None:
        self.path, self._words = path, words or {}
        with reading(path, KIND):
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
        twice = doubled(self.names)
        if twice is not None:
            raise DataError(f"{path.name} has two columns '{twice}': rename one of them")

    @property
    def names(self) -> tuple[str, ...]:
        """The top-level columns."""
        return tuple(self._file.schema_arrow.names)

    @property
    def entries(self) -> int:
        """The number of rows."""
        return int(self._file.metadata.num_rows)

    @property
    def expected_entries(self) -> int:
        """The number of entries."""
        return self.entries

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """The columns, in order; DataError where one holds no numbers."""
        first = 0
        with reading(self.path, KIND):
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
        compression = self._compression()
        with writing(target), pq.ParquetWriter(target, schema, compression=compression) as writer:
            for batch in self._batches(rows):
                chunk = self._chunk(batch.select([new.like] if new.like else []), first)
                counts = counts_of(chunk, new.like)
                stop = row + (batch.num_rows if counts is None else int(counts.sum()))
                added = new.read(row, stop)
                arrays = [*batch.columns, *(_arrow(added[name], counts) for name in new.types)]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
                first, row = first + batch.num_rows, stop
                advance(batch.num_rows)

    def _batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        with reading(self.path, KIND):
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
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if name in self._words and is_text(array.type):
            return coded(self.path, name, array, self._words[name])
        if not is_number(array.type):
            raise no_numbers(self.path, name, array.type)
        return numbers(array)


def _arrow(values: Values, counts: Values | None) -> pa.Array:
    if counts is None:
        return pa.array(values)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
