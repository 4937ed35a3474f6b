"""Columns of the user's files as flat arrays: globs, expressions, selections, chunk by chunk."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from calibrate.catalogue.cache import fetch_command, fetch_hint, fetched, set_folder
from calibrate.catalogue.entries import PublicSet, public_sets
from calibrate.checks import texts
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError
from calibrate.expressions import Expression, columns_of
from calibrate.memory import require_memory
from calibrate.sample import BoolArray, FloatArray, IntArray
from calibrate.tables import Chunk, Frame, Words, open_table

CHUNK = 200_000
"""Entries read at a time."""

BYTES = 36
"""Memory per value while a task is made of the columns, measured: they are there as they are read,
as one array, as a sample, and as its two parts."""

Columns = dict[str, NDArray[Any]]


class Rows(Protocol):
    """What is read of a table, or of a view of one."""

    path: Path
    skipped: int

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        ...

    @property
    def expected_entries(self) -> int:
        """The number of entries, about."""
        ...

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """The given columns in chunks of at most `rows` entries."""
        ...


@dataclass(frozen=True)
class Source:
    """What to read from files: columns or expressions, and which rows to keep.

    `tree`, `names` and `words` as for `open_table`; `select` keeps rows where it is true
    (`select_option` is its name in messages); `limit` is the largest number of entries read in
    all.
    """

    expressions: Sequence[str]
    select: str | None = None
    tree: str | None = None
    names: Sequence[str] | None = None
    limit: int | None = None
    select_option: str = "data.select"
    words: Mapping[str, Words] | None = None


@dataclass(frozen=True)
class Loaded:
    """The values (m,) by expression, file and entry (m,) of each row, and what was left out."""

    columns: Columns
    file: IntArray
    entry: IntArray
    entries: int
    skipped: int
    jagged: bool

    def take(self, rows: BoolArray) -> Loaded:
        """The selected rows."""
        columns = {key: values[rows] for key, values in self.columns.items()}
        return Loaded(
            columns, self.file[rows], self.entry[rows], self.entries, self.skipped, self.jagged
        )


@dataclass
class _Pile:
    """Rows collected so far."""

    columns: dict[str, list[NDArray[Any]]]
    file: list[IntArray] = field(default_factory=list)
    entry: list[IntArray] = field(default_factory=list)
    entries: int = 0
    skipped: int = 0
    jagged: bool = False

    @property
    def values(self) -> int:
        """Values collected so far, with the numbers of file and entry of each row."""
        return (len(self.columns) + 2) * sum(part.size for part in self.entry)

    def loaded(self) -> Loaded:
        joined = {key: np.concatenate(parts) for key, parts in self.columns.items() if parts}
        file, entry = (
            np.concatenate([np.empty(0, np.int64), *parts]) for parts in (self.file, self.entry)
        )
        return Loaded(joined, file, entry, self.entries, self.skipped, self.jagged)


def input_files(options: Mapping[str, Sequence[str] | str | None]) -> list[Path]:
    """The files that options name, one option after the other; DataError if one is missing."""
    return [
        path
        for option, given in options.items()
        for matched in found_files(option, texts(option, given or ()))
        for path in matched
    ]


def found_files(option: str, patterns: Sequence[str]) -> list[list[Path]]:
    """The files of each pattern, in alphabetical order; the name of a public set stands for its
    fetched files. DataError if one matches nothing."""
    found = []
    for pattern in patterns:
        public = public_sets().get(pattern)
        if public is not None and not Path(pattern).exists():
            found.append(_public_files(option, public))
            continue
        matches = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []
        if not matches and glob.has_magic(pattern) and not Path(pattern).exists():
            raise DataError(
                f"{option}={pattern} matches no file in {Path.cwd()}"
                f"{fetch_hint(pattern) or ': correct the pattern'}"
            )
        found.append([Path(match) for match in matches] or [Path(pattern)])
    return found


def _public_files(option: str, public: PublicSet) -> list[Path]:
    files = fetched(public)
    if not files:
        raise DataError(
            f"{option}={public.name} is not fetched: {fetch_command(public)} puts it into "
            f"{set_folder(public)}"
        )
    return files


def load(
    files: Sequence[Path],
    source: Source,
    context: Context,
    opened: Callable[[Path], Rows] | None = None,
) -> Loaded:
    """Read the expressions from all files, in order; `opened` gives another view of a file than
    its table.

    Raises DataError for files that cannot be read, columns that are missing in one of them, a
    selection that leaves nothing, and, once the first chunk says how much it will be, for more
    rows than the memory holds.
    """
    pile = _Pile({key: [] for key in source.expressions})
    with context.progress.track("reading", len(files)) as advance:
        for number, path in enumerate(files):
            if source.limit is None or pile.entries < source.limit:
                table = opened(path) if opened else _table(path, source)
                for _ in _read_file(number, table, source, pile):
                    if len(pile.file) == 1:
                        _require_memory(table, files, source, pile, context)
            advance(1)
    loaded = pile.loaded()
    if not loaded.file.size:
        listed = ", ".join(path.name for path in files[:3]) + (" …" if len(files) > 3 else "")
        lines = (
            f" ({loaded.skipped} lines have missing or surplus fields)" if loaded.skipped else ""
        )
        if source.select and loaded.entries:
            raise DataError(
                f"{source.select_option}='{source.select}' keeps no row of {loaded.entries} "
                f"entries of {listed}: loosen it"
            )
        raise DataError(
            f"no row in {loaded.entries} entries of {listed}{lines}: choose another file"
        )
    return loaded


def _table(path: Path, source: Source) -> Rows:
    return open_table(path, source.tree, source.names, source.words)


def _require_memory(
    table: Rows, files: Sequence[Path], source: Source, pile: _Pile, context: Context
) -> None:
    """Extrapolate from the first chunk to the first file, and by their sizes to all files."""
    density = table.expected_entries / table.path.stat().st_size
    entries = max(density * sum(path.stat().st_size for path in files if path.is_file()), 1)
    if source.limit is not None:
        entries = min(entries, source.limit)
    needed = BYTES * pile.values * entries / max(pile.entries, 1)
    advice = "read fewer files or columns, select more tightly, or set data.max_events"
    require_memory(context, needed, f"loading about {entries:.3g} entries", advice)


def _read_file(number: int, table: Rows, source: Source, pile: _Pile) -> Iterator[None]:
    """Add the rows of a file, pausing after each chunk."""
    parsed = {text: _parsed(text, table) for text in source.expressions}
    where = f", {source.select_option}"
    select = None if source.select is None else _parsed(source.select, table, where)
    needed = [*parsed.values(), *([] if select is None else [select])]
    columns = columns_of(needed)
    for frame in _frames(table, columns, source.limit, pile):
        keep = slice(None) if select is None else _true(select, frame, source.select_option)
        for key, expression in parsed.items():
            pile.columns[key].append(expression(frame.columns)[keep])
        pile.file.append(np.full(frame.entry.size, number)[keep])
        pile.entry.append(frame.entry[keep])
        pile.jagged = pile.jagged or frame.counts is not None
        yield
    pile.skipped += table.skipped


def _frames(table: Rows, columns: Sequence[str], limit: int | None, pile: _Pile) -> Iterator[Frame]:
    rows = CHUNK if limit is None else min(CHUNK, limit)
    for chunk in table.chunks(columns, rows):
        left = chunk.entries if limit is None else min(limit - pile.entries, chunk.entries)
        frame = _frame(chunk, table)
        pile.entries += left
        yield frame if left == chunk.entries else _first(frame, chunk.first, left)
        if limit is not None and pile.entries >= limit:
            return


def _frame(chunk: Chunk, table: Rows) -> Frame:
    try:
        return Frame.of(chunk)
    except DataError as error:
        raise DataError(f"{table.path.name}: {error}") from error


def _first(frame: Frame, first: int, entries: int) -> Frame:
    """The rows of the first entries of a frame that begins at entry `first`."""
    kept = frame.entry < first + entries
    counts = None if frame.counts is None else frame.counts[:entries]
    return Frame({k: v[kept] for k, v in frame.columns.items()}, frame.entry[kept], counts)


def _parsed(text: str, table: Rows, where: str = "") -> Expression:
    try:
        return Expression.parse(text, table.names)
    except DataError as error:
        raise DataError(f"{table.path.name}{where}: {error}") from error


def _true(select: Expression, frame: Frame, option: str) -> BoolArray:
    found = select(frame.columns)
    if found.dtype != bool:
        raise DataError(
            f"{option}='{select.text}' gives numbers, not true or false: compare them, such as "
            f"'{select.text} > 0'"
        )
    return found


def finite_rows(columns: Mapping[str, FloatArray]) -> BoolArray:
    """Which rows are finite in every column."""
    return np.asarray(np.all([np.isfinite(values) for values in columns.values()], axis=0))


def refuse_repeated(option: str, files: Sequence[Path]) -> None:
    """Raise ConfigurationError if a file is named twice."""
    resolved = [path.resolve() for path in files]
    for i, path in enumerate(resolved):
        if path in resolved[:i]:
            raise ConfigurationError(
                f"{option} names {files[i]} twice: its events would train and test"
            )
