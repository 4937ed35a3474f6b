"""CSV and whitespace-separated text, plain or gzipped, with or without a header.

Lines with another number of fields than the first are left out and counted.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from calibrate.errors import ConfigurationError, DataError
from calibrate.sample import BoolArray
from calibrate.tables.arrow import coded, is_number, is_text, numbers
from calibrate.tables.columns import Advance, Chunk, NewColumns, Values, Words, refuse_names
from calibrate.tables.failures import reading, writing
from calibrate.tables.lines import Layout, doubled, holds_row, normalised, usual_width
from calibrate.tables.lines import is_number as reads_as_number

GZIP = b"\x1f\x8b"
BLOCK = 1 << 24
"""Bytes of text parsed at a time."""
HEAD = 1 << 20
"""Bytes in which the first row must end."""
KIND = "text"


class TextTable:
    """A text file with one line per entry. Without a header the columns are c0, c1 …, or
    `names`; a header may begin with `#`."""

    kind = KIND
    entries = None

    def __init__(
        self,
        path: Path,
        names: Sequence[str] | None = None,
        words: Mapping[str, Words] | None = None,
    ) -> None:
        self.path, self.skipped, self._words = path, 0, words or {}
        with reading(path, KIND), self._opened() as file:
            head = file.read(HEAD)
        if b"\0" in head:
            known = "ROOT, HDF5, Parquet, NPZ or text in UTF-8"
            raise DataError(f"{path} is of no known format: {known} is needed")
        try:
            self._layout = Layout.of(head)
        except DataError as error:
            raise DataError(f"{path} cannot be read as text: {error}") from error
        self.names = self._columns(names, head)

    @property
    def expected_entries(self) -> int:
        """As many lines per byte as at the beginning, a gzipped file being as dense throughout."""
        with reading(self.path, KIND), self.path.open("rb") as file:
            stream = gzip.GzipFile(fileobj=file) if self._is_gzip() else file
            lines, size = stream.read(HEAD).count(b"\n"), self.path.stat().st_size
            return lines * size // max(file.tell(), 1)

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """The columns; DataError where one holds no numbers. `skipped` counts unusable lines."""
        self.skipped, first = 0, 0
        for block in self._blocks():
            table, unusable = self._parsed(block, columns)
            self.skipped += len(unusable)
            for start in range(0, table.num_rows, rows):
                part = table.slice(start, rows)
                found = {name: self._numbers(name, part[name]) for name in columns}
                yield Chunk(first, part.num_rows, found)
                first += part.num_rows

    def copy(self, target: Path, new: NewColumns, rows: int, advance: Advance) -> None:
        """Every line as it is with new fields at its end (`nan` on lines that were skipped)."""
        refuse_names(self.path, self.names, tuple(new.types))
        mark, end = self._layout.delimiter, self._line_end()
        row, packed = 0, target.suffix == ".gz" or self._is_gzip()
        with writing(target), gzip.open(target, "wb", 6) if packed else target.open("wb") as file:
            file.write(self._extended_head(list(new.types), end))
            for block in self._blocks():
                lines = block.splitlines()
                good = self._usable(block, lines)
                stop = row + int(np.count_nonzero(good))
                file.write(end.join([*self._extended(lines, good, new.read(row, stop), mark), b""]))
                row = stop
                advance(len(lines))

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes] | gzip.GzipFile]:
        with self.path.open("rb") as file:
            packed = file.read(len(GZIP)) == GZIP
            file.seek(0)
            if not packed:
                yield file
                return
            with gzip.open(file) as unpacked:
                yield unpacked

    def _is_gzip(self) -> bool:
        with self.path.open("rb") as file:
            return file.read(len(GZIP)) == GZIP

    def _columns(self, names: Sequence[str] | None, head: bytes) -> tuple[str, ...]:
        fields = self._layout.fields
        found = self._layout.header or tuple(f"c{i}" for i in range(fields))
        if names is not None:
            found = tuple(str(name) for name in names)
            fields = usual_width(head, self._layout.delimiter)
        if len(found) != fields:
            raise ConfigurationError(
                f"{self.path.name} has {fields} columns, but data.names has {len(found)}: "
                "name each column once"
            )
        twice = doubled(found)
        if twice is not None:
            raise DataError(
                f"{self.path.name} has two columns '{twice}': tell them apart with data.names"
            )
        return found

    def _blocks(self) -> Iterator[bytes]:
        """Whole lines after the header, about 16 MB at a time."""
        rest = b""
        with reading(self.path, KIND), self._opened() as file:
            file.seek(self._layout.start)
            if self._layout.header:
                file.readline()
            while block := file.read(BLOCK):
                cut = block.rfind(b"\n") + 1
                whole, rest = (rest + block[:cut], block[cut:]) if cut else (b"", rest + block)
                if whole:
                    yield whole
        if rest:
            yield rest

    def _parsed(
        self, block: bytes, columns: Sequence[str], in_order: bool = False
    ) -> tuple[pa.Table, list[int]]:
        """The columns of a block, and which of its rows (from 1) have too few or too many fields;
        their numbers are known only if the block is parsed in order."""
        delimiter, unusable = self._layout.delimiter, []

        def skip(row: Any) -> str:  # noqa: ANN401 - pyarrow's InvalidRow
            unusable.append(row.number)
            return "skip"

        text = normalised(block, delimiter)
        if not text.strip():
            return pa.table({name: np.empty(0) for name in columns}), []
        with reading(self.path, KIND):
            table = csv.read_csv(
                pa.BufferReader(text),
                csv.ReadOptions(column_names=list(self.names), use_threads=not in_order),
                csv.ParseOptions(delimiter=delimiter, invalid_row_handler=skip),
                csv.ConvertOptions(include_columns=list(columns)),
            )
        return table, unusable

    def _numbers(self, name: str, array: pa.ChunkedArray) -> Values:
        kind = array.type
        if pa.types.is_null(kind):
            return np.full(len(array), np.nan)
        if is_number(kind):
            return numbers(array)
        if name in self._words and is_text(kind):
            return coded(self.path, name, array, self._words[name])
        try:  # spellings that only Python knows: +1.5
            return np.asarray([np.nan if v is None else float(v) for v in array.to_pylist()])
        except (TypeError, ValueError) as error:
            examples = (str(v) for v in array.to_pylist() if not reads_as_number(v) and v)
            raise DataError(
                f"{self.path.name}: column '{name}' holds text such as "
                f"'{next(examples, kind)}', not numbers: leave it out, or repair the lines"
            ) from error

    def _extended_head(self, new: Sequence[str], end: bytes) -> bytes:
        """What stands before the first row, with the new names in the header."""
        with reading(self.path, KIND), self._opened() as file:
            head = file.read(self._layout.start)
            if not self._layout.header:
                return head
            line, mark = file.readline().rstrip(b"\r\n"), self._layout.header_mark
            return head + line + "".join(f"{mark}{name}" for name in new).encode() + end

    def _line_end(self) -> bytes:
        with self._opened() as file:
            return b"\r\n" if b"\r\n" in file.read(HEAD) else b"\n"

    def _usable(self, block: bytes, lines: Sequence[bytes]) -> BoolArray:
        """Which lines (n,) are rows when the block is read."""
        delimiter = self._layout.delimiter
        table, unusable = self._parsed(block, self.names[:1], in_order=True)
        good = np.array([holds_row(line, delimiter) for line in lines], dtype=bool)
        rows = np.flatnonzero(good)
        if rows.size != table.num_rows + len(unusable):
            raise DataError(
                f"{self.path.name}: a quoted field goes over several lines, which cannot be "
                "copied: close the quotes, or write the table as Parquet"
            )
        good[rows[np.asarray(unusable, dtype=np.int64) - 1]] = False
        return good

    def _extended(
        self, lines: Sequence[bytes], good: BoolArray, added: Mapping[str, Values], mark: str
    ) -> list[bytes]:
        """Lines with the new fields at their ends."""
        fields = []
        for values in added.values():
            plain = values.astype(np.int64) if values.dtype == bool else values
            spread = np.full(len(lines), "nan", dtype=object)
            spread[good] = pc.cast(pa.array(plain), pa.string()).to_pylist()
            fields.append(pa.array(spread, pa.string()))
        tail = pc.cast(pc.binary_join_element_wise(*fields, mark), pa.binary()).to_pylist()
        joint = mark.encode()
        return [
            line + joint + each if holds_row(line, mark) else line
            for line, each in zip(lines, tail, strict=True)
        ]
