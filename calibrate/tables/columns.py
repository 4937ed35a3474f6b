"""What a chunk of a table holds: columns with one value per entry, or several (jagged)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import DataError
from calibrate.sample import IntArray

Values = NDArray[Any]
Advance = Callable[[int], None]
Words = Mapping[str, float]
"""Words, and the numbers that they stand for."""
NUMBERS = "fiub"
"""The kinds of NumPy's types that are numbers."""


@dataclass(frozen=True)
class Jagged:
    """Several values per entry: `content` (m,) in the order of the entries, `counts` (n,)."""

    content: Values
    counts: IntArray


@dataclass(frozen=True)
class Chunk:
    """Some columns of consecutive entries; `first` is the number of the first of them."""

    first: int
    entries: int
    columns: Mapping[str, Values | Jagged]


@dataclass(frozen=True)
class Frame:
    """A chunk with one row per object: (m,) arrays, the entry (m,) each row came from, and the
    number of objects in each entry (n,), None where no column is jagged."""

    columns: Mapping[str, Values]
    entry: IntArray
    counts: IntArray | None

    @classmethod
    def of(cls, chunk: Chunk) -> Frame:
        """Flatten: values of an entry are repeated for each of its objects.

        Raises DataError if two jagged columns have different numbers of objects.
        """
        jagged = {k: v for k, v in chunk.columns.items() if isinstance(v, Jagged)}
        number = np.arange(chunk.first, chunk.first + chunk.entries)
        if not jagged:
            flat = {k: v for k, v in chunk.columns.items() if not isinstance(v, Jagged)}
            return cls(flat, number, None)
        name, reference = next(iter(jagged.items()))
        for other, values in jagged.items():
            if not np.array_equal(values.counts, reference.counts):
                raise DataError(
                    f"'{name}' and '{other}' have different numbers of objects in an entry: use "
                    "columns of one collection"
                )
        return cls(
            {
                k: v.content if isinstance(v, Jagged) else np.repeat(v, reference.counts)
                for k, v in chunk.columns.items()
            },
            np.repeat(number, reference.counts),
            reference.counts,
        )


@dataclass(frozen=True)
class NewColumns:
    """Columns to add to a copy: their types, and `read(start, stop)`, which gives rows of all.

    Rows are entries, or the objects of the jagged column `like`.
    """

    types: Mapping[str, np.dtype[Any]]
    read: Callable[[int, int], Mapping[str, Values]]
    like: str | None


class Table(Protocol):
    """A file with named columns. `skipped` counts lines that could not be used, once read."""

    path: Path
    kind: str
    skipped: int

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        ...

    @property
    def entries(self) -> int | None:
        """The number of entries, where it is known before reading."""
        ...

    @property
    def expected_entries(self) -> int:
        """The number of entries, about, where it is not known before reading."""
        ...

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """The given columns in chunks of at most `rows` entries.

        Raises DataError where the file is damaged or a column holds no numbers.
        """
        ...

    def copy(self, target: Path, new: NewColumns, rows: int, advance: Advance) -> None:
        """Write the file again to `target` with new columns; the others stay as they are.

        Raises DataError where the format, or a column, cannot be written.
        """
        ...


def counts_of(chunk: Chunk, like: str | None) -> IntArray | None:
    """The objects per entry of the jagged column `like` (n,); None without one."""
    if like is None:
        return None
    values = chunk.columns[like]
    return values.counts if isinstance(values, Jagged) else None


def refuse_lengths(path: Path, lengths: Mapping[str, int]) -> None:
    """Raise DataError if columns have different lengths."""
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(
            f"{path.name}: columns have different lengths ({listed}): use columns of one length"
        )


def no_numbers(path: Path, name: str, kind: object) -> DataError:
    """The error of a column that holds no numbers, but `kind`."""
    return DataError(f"{path.name}: column '{name}' holds {kind}, not numbers: leave it out")


def refuse_names(path: Path, names: Sequence[str], new: Sequence[str]) -> None:
    """Raise DataError if a column to add exists already."""
    taken = [name for name in new if name in names]
    if taken:
        raise DataError(
            f"{path.name} has a column '{taken[0]}' already: choose another name with --name"
        )
