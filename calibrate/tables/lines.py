"""Lines of text tables as bytes: header, delimiter, comments, blanks."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.errors import DataError

DELIMITERS = (",", ";", "\t")
BLANK = " "
COMMENT = re.compile(rb"^[ \t]*#.*(?:\n|\Z)", re.MULTILINE)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Layout:
    """Where the header or, without one, the first row begins; the number of `fields` of a row and
    what parts them; the header's words, empty without one, and what parts those."""

    start: int
    fields: int
    delimiter: str
    header: tuple[str, ...]
    header_mark: str

    @classmethod
    def of(cls, head: bytes) -> Layout:
        """From the first lines of a file. A first row without any number is a header, and so is
        a comment before it with as many words. Raises DataError where there is no row."""
        position = len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0
        comment = None
        for line in head[position:].splitlines(keepends=True):
            if line.lstrip().startswith(b"#"):
                comment = (position, line)
            elif line.strip():
                return cls._from(position, _text(line), comment)
            position += len(line)
        raise DataError("it holds no rows")

    @classmethod
    def _from(cls, position: int, row: str, comment: tuple[int, bytes] | None) -> Layout:
        delimiter = delimiter_of(row)
        found = fields_of(row, delimiter)
        if not any(is_number(field) for field in found):
            return cls(position, len(found), delimiter, tuple(found), delimiter)
        for mark in dict.fromkeys((delimiter, BLANK)):
            words = [] if comment is None else _words(comment[1], mark)
            if comment is not None and len(words) == len(found):
                return cls(comment[0], len(found), delimiter, tuple(words), mark)
        return cls(position, len(found), delimiter, (), delimiter)


def delimiter_of(row: str) -> str:
    """What parts the fields of a row; tabs that only align numbers are blanks."""
    found = next((mark for mark in DELIMITERS if mark in row.strip()), BLANK)
    if found == "\t" and all(is_number(word) for word in row.split()):
        return found if all(is_number(field) for field in row.strip().split("\t")) else BLANK
    return found


def fields_of(line: str, delimiter: str) -> list[str]:
    """The fields of a line, without quotes and surrounding blanks."""
    plain = BLANK.join(line.split()) if delimiter == BLANK else line.strip("\r\n")
    try:
        (fields,) = csv.reader([plain], delimiter=delimiter, skipinitialspace=True)
    except (csv.Error, ValueError) as error:
        raise DataError(f"its first line cannot be parted into fields ({error})") from error
    return [field.strip() for field in fields]


def usual_width(head: bytes, delimiter: str) -> int:
    """The number of fields of most of the first lines: the very first may be incomplete."""
    whole = head[: head.rfind(b"\n") + 1] or head
    lines = [line for line in whole.splitlines() if holds_row(line, delimiter)]
    widths = Counter(len(fields_of(_text(line), delimiter)) for line in lines)
    return widths.most_common(1)[0][0]


def _words(comment: bytes, mark: str) -> list[str]:
    try:
        text = comment.decode("utf-8")
    except UnicodeDecodeError:
        return []
    return [word.rstrip(",") for word in fields_of(text.strip().lstrip("#"), mark)]


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            "it is neither of a known format (ROOT, HDF5, Parquet, NPZ) nor text in UTF-8: "
            "convert text with iconv -f LATIN1 -t UTF-8"
        ) from error


def normalised(block: bytes, delimiter: str) -> bytes:
    """In UTF-8, without comments; with one blank between fields where blanks part them."""
    if not block.isascii():
        block = block.decode("utf-8", "replace").encode("utf-8")
    if b"#" in block:
        block = COMMENT.sub(b"", block)
    return single_blanks(block) if delimiter == BLANK else block


def single_blanks(block: bytes) -> bytes:
    """One blank between words, none at the ends of lines."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\t" in block:
        block = block.replace(b"\t", b" ")
    if not _has_runs(block):
        return block
    while b"  " in block:
        block = block.replace(b"  ", b" ")
    return block.replace(b"\n ", b"\n").replace(b" \n", b"\n").strip(b" ")


def _has_runs(block: bytes) -> bool:
    """Whether a blank is beside another blank, beside the end of a line, or at either end."""
    codes = np.frombuffer(block, np.uint8)
    white = codes <= ord(BLANK)
    beside = white[1:] & white[:-1]
    return bool(codes.size and (white[0] or codes[-1] == ord(BLANK) or beside.any()))


def holds_row(line: bytes, delimiter: str) -> bool:
    """Whether a line is neither empty nor a comment."""
    text = line.strip(b" \t") if delimiter == BLANK else line
    return bool(text) and not line.lstrip(b" \t").startswith(b"#")


def is_number(field: object) -> bool:
    """Whether a field reads as a number."""
    try:
        float(field)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def doubled(names: Sequence[str]) -> str | None:
    """A name that stands twice."""
    return next((name for name in names if list(names).count(name) > 1), None)
