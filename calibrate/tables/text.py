"""CSV and whitespace-separated text, plain or gzipped, with or without a header.

Lines with another number of fields than the first (with given names: than most) are left out and
counted.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from calibrate.errors import ConfigurationError, DataError
from calibrate.tables.columns import Advance, Chunk, NewColumns, Values, refuse_names

GZIP = b"\x1f\x8b"
BLOCK = 1 << 24
"""Bytes of text parsed at a time."""
DELIMITERS = (b",", b";", b"\t")
COMMENT = re.compile(rb"^#.*(?:\n|\Z)", re.MULTILINE)
HEADER_SAMPLE = 1 << 16


class TextTable:
    """A text file with one line per entry. Without a header the columns are c0, c1 …, or
    `names`; a header may begin with `#`."""

    entries = None

    def __init__(self, path: Path, names: Sequence[str] | None = None) -> None:
        self.path, self.skipped = path, 0
        with _readable(path), self._opened() as file:
            head = file.read(HEADER_SAMPLE)
        self._start, lines = _first_lines(path, head)
        self._delimiter = next((d for d in DELIMITERS if d in lines[0]), b" ")
        self.names, self._header = self._columns(lines, names, head)

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """The columns; DataError where one holds no numbers. `skipped` counts unusable lines."""
        self.skipped, first = 0, 0
        for block in self._blocks():
            table = self._parsed(block, columns)
            for start in range(0, table.num_rows, rows):
                part = table.slice(start, rows)
                found = {name: self._numbers(name, part[name]) for name in columns}
                yield Chunk(first, part.num_rows, found)
                first += part.num_rows

    def copy(self, target: Path, new: NewColumns, rows: int, advance: Advance) -> None:
        """Every line as it is with new fields at its end (`nan` on lines that were skipped)."""
        refuse_names(self.path, self.names, tuple(new.types))
        mark, end = self._delimiter.decode(), self._line_end()
        row, packed = 0, target.suffix == ".gz" or self._is_gzip()
        with gzip.open(target, "wb", 6) if packed else target.open("wb") as file:
            for text in self._raw_header(new, mark):
                file.write(text)
            for block in self._blocks(normalised=False):
                lines = pa.array(block.splitlines(), pa.binary())
                good = self._usable(lines)
                stop = row + int(np.count_nonzero(good))
                extended = _extended(lines, good, new.read(row, stop), mark)
                file.write(end.join([*extended.to_pylist(), b""]))
                row = stop
                advance(len(lines))

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        opened: Any = gzip.open(self.path) if self._is_gzip() else self.path.open("rb")
        with opened as file:
            yield file

    def _is_gzip(self) -> bool:
        with self.path.open("rb") as file:
            return file.read(2) == GZIP

    def _columns(
        self, lines: Sequence[bytes], names: Sequence[str] | None, head: bytes
    ) -> tuple[tuple[str, ...], bool]:
        """The columns' names, and whether the first line is a header."""
        fields = self._fields(lines[0].lstrip(b"#"))
        header = lines[0].startswith(b"#") or not any(_is_number(field) for field in fields)
        if names is None:
            found = fields if header else [f"c{i}" for i in range(len(fields))]
        else:
            found = [str(name) for name in names]
            width = self._usual_width(head)
            if len(found) != width:
                raise ConfigurationError(
                    f"{self.path.name} has {width} columns, but data.names has {len(found)}"
                )
        doubled = [name for name in found if found.count(name) > 1]
        if doubled:
            raise DataError(f"{self.path.name} has two columns '{doubled[0]}'")
        return tuple(found), header

    def _usual_width(self, head: bytes) -> int:
        """The number of fields of most of the first lines: the very first may be incomplete."""
        whole = head[: head.rfind(b"\n") + 1] or head
        lines = [line for line in whole.splitlines() if line.strip() and not line.startswith(b"#")]
        return Counter(len(self._fields(line)) for line in lines).most_common(1)[0][0]

    def _fields(self, line: bytes) -> list[str]:
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path.name} is no text, and of no known format") from error
        if self._delimiter == b" ":
            return [field.strip('"') for field in text.split()]
        return [field.strip().strip('"') for field in text.split(self._delimiter.decode())]

    def _blocks(self, normalised: bool = True) -> Iterator[bytes]:
        """Whole lines after the header, about 16 MB at a time."""
        rest = b""
        with _readable(self.path), self._opened() as file:
            file.seek(self._start)
            if self._header:
                file.readline()
            while block := file.read(BLOCK):
                cut = block.rfind(b"\n") + 1
                whole, rest = (rest + block[:cut], block[cut:]) if cut else (b"", rest + block)
                if whole:
                    yield self._normalised(whole) if normalised else whole
        if rest:
            yield self._normalised(rest) if normalised else rest

    def _normalised(self, block: bytes) -> bytes:
        """Without comments; with one blank between fields of whitespace-separated text."""
        if b"#" in block:
            block = COMMENT.sub(b"", block)
        return _single_blanks(block) if self._delimiter == b" " else block

    def _parsed(self, block: bytes, columns: Sequence[str]) -> pa.Table:
        if not block.strip():
            return pa.table({name: np.empty(0) for name in columns})
        try:
            return csv.read_csv(
                pa.BufferReader(block),
                csv.ReadOptions(column_names=list(self.names)),
                csv.ParseOptions(
                    delimiter=self._delimiter.decode(), invalid_row_handler=self._skip
                ),
                csv.ConvertOptions(include_columns=list(columns)),
            )
        except pa.ArrowException as error:
            raise DataError(f"{self.path} cannot be read as text: {error}") from error

    def _skip(self, row: Any) -> str:  # noqa: ANN401 - pyarrow's InvalidRow
        self.skipped += 1
        return "skip"

    def _numbers(self, name: str, array: pa.ChunkedArray) -> Values:
        kind = array.type
        if pa.types.is_null(kind):
            return np.full(len(array), np.nan)
        if not (
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        ):
            example = next((str(v) for v in array.to_pylist() if not _is_number(v)), "")
            raise DataError(
                f"{self.path.name}: column '{name}' holds text such as '{example}', not numbers"
            )
        return np.asarray(array.to_numpy())

    def _raw_header(self, new: NewColumns, mark: str) -> Iterator[bytes]:
        with self._opened() as file:
            yield file.read(self._start)
            if self._header:
                line = file.readline().rstrip(b"\r\n")
                yield line + (mark + mark.join(new.types)).encode() + self._line_end()

    def _line_end(self) -> bytes:
        with self._opened() as file:
            return b"\r\n" if b"\r\n" in file.read(HEADER_SAMPLE) else b"\n"

    def _usable(self, lines: pa.Array) -> Values:
        """Which lines have as many fields as there are columns."""
        text = lines
        if self._delimiter == b" ":
            text = pa.array(_single_blanks(b"\n".join(lines.to_pylist()) + b"\n").split(b"\n")[:-1])
        marks = pc.count_substring(text, self._delimiter)
        comment = pc.starts_with(text, b"#")
        fits = pc.and_(pc.equal(marks, len(self.names) - 1), pc.invert(comment))
        filled = pc.greater(pc.binary_length(text), 0)
        return np.asarray(pc.and_(fits, filled).to_numpy(zero_copy_only=False), dtype=bool)


def _extended(lines: pa.Array, good: Values, added: Mapping[str, Values], mark: str) -> pa.Array:
    """Lines with the new fields at their ends."""
    fields = []
    for values in added.values():
        plain = values.astype(np.int64) if values.dtype == bool else values
        spread = np.full(len(lines), None, dtype=object)
        spread[good] = pc.cast(pa.array(plain), pa.string()).to_pylist()
        fields.append(pc.fill_null(pa.array(spread, pa.string()), "nan"))
    tail = pc.cast(pc.binary_join_element_wise(*fields, mark), pa.binary())
    blank = pc.equal(pc.binary_length(lines), 0)
    comment = pc.starts_with(lines, b"#")
    joined = pc.binary_join_element_wise(lines, tail, mark.encode())
    return pc.if_else(pc.or_(blank, comment), lines, joined)


def _single_blanks(block: bytes) -> bytes:
    block = block.replace(b"\t", b" ").replace(b"\r", b"")
    while b"  " in block:
        block = block.replace(b"  ", b" ")
    if b"\n " in block or block.startswith(b" "):
        block = block.replace(b"\n ", b"\n").removeprefix(b" ")
    return block.replace(b" \n", b"\n") if b" \n" in block else block


def _first_lines(path: Path, head: bytes) -> tuple[int, list[bytes]]:
    """Where the header or the first row begins, and the lines from there: the last comment
    before the first row is the header if it has as many words."""
    if b"\0" in head:
        raise DataError(
            f"{path.name} is no text, and of no known format (ROOT, HDF5, Parquet, NPZ)"
        )
    position, comment = 0, None
    for line in head.splitlines(keepends=True):
        if line.startswith(b"#"):
            comment = (position, line)
        elif line.strip():
            if comment is not None and len(comment[1].lstrip(b"#").split()) == len(line.split()):
                return comment[0], [comment[1].strip(), line.strip()]
            return position, [line.strip()]
        position += len(line)
    raise DataError(f"{path.name} holds no rows")


def _is_number(field: object) -> bool:
    try:
        float(field)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
