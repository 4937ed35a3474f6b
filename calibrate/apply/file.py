"""A stored calibration applied to the user's file: new columns in a copy of it.

The file is read twice. First only the features, chunk by chunk; estimates are made in blocks of
rows that do not depend on how the file was cut, and wait in a temporary file. Then the file is
copied with them. Memory stays bounded, and the numbers are the same for every chunk size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from calibrate.apply.estimates import Applied, Estimates
from calibrate.apply.layout import Layout, stems_of
from calibrate.checks import choice, positive_integer
from calibrate.context import Advance, Context
from calibrate.errors import ConfigurationError, DataError, StorageError
from calibrate.estimate import Calibration, Domain
from calibrate.expressions import Expression, columns_of
from calibrate.sample import FloatArray
from calibrate.storage import atomic
from calibrate.tables import Frame, Jagged, NewColumns, Table, open_table
from calibrate.tables.ntuple import NtupleTable
from calibrate.tables.root import RootTable

FRIENDLY = (RootTable, NtupleTable)
"""Tables that can have another one beside them in their file."""
OUTSIDE = ("flag", "clamp", "refuse")
SUFFIXES = {
    "ROOT": (".root",),
    "RNTuple": (".root",),
    "HDF5": (".h5", ".hdf5", ".hdf"),
    "Parquet": (".parquet", ".pq"),
    "NPZ": (".npz",),
    "text": (".csv", ".txt", ".dat", ".tsv", ".gz"),
}
"""What the names of files end in, by their format."""


@dataclass(frozen=True)
class Options:
    """How to apply. `columns` gives a feature another column or expression than its own name;
    `names` the stems of the new columns, one for each truth; `outside` what happens beyond the
    range of the training sample: `flag`, `clamp` x to it, or `refuse`; `rows` are read at a
    time. `friend` adds a tree beside a ROOT tree instead of branches to it.

    Raises ConfigurationError for values out of range.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    names: Sequence[str] = ()
    outside: str = "flag"
    rows: int = 100_000
    tree: str | None = None
    friend: bool = False

    def __post_init__(self) -> None:
        choice("--outside", self.outside, OUTSIDE)
        positive_integer("--chunk", self.rows)


def apply(
    calibration: Calibration, source: Path, target: Path, options: Options, context: Context
) -> Applied:
    """Write `target`, a copy of `source` with estimates, uncertainties and a validity flag.

    Raises DataError if the source cannot be used or holds events outside the range that are to
    be refused, StorageError if the target exists or cannot be written; then nothing is left.
    """
    _refuse_target(target)
    check(calibration.domain, options)
    table = open_table(source, options.tree)
    _refuse_suffix(source, target, table)
    if options.friend and not isinstance(table, FRIENDLY):
        raise ConfigurationError(f"--friend adds a tree to ROOT files: {source.name} is none")
    features = _features(calibration.domain, table, options)
    with _spill(target) as file:
        first = _First.of(table, features)
        layout = Layout.of(calibration, options.names, first.single)
        estimates = Estimates(calibration, layout, options.outside == "clamp", file)
        with context.progress.track("estimating", table.entries or 0) as advance:
            for frame, entries in _frames(table, features, options.rows):
                estimates.add(_matrix(features, frame))
                advance(entries)
        done = estimates.finished(table.skipped)
        if options.outside == "refuse" and done.outside:
            raise DataError(
                f"{done.outside} of {done.rows} rows lie outside the range of the training "
                "sample: use --outside flag or clamp, or select them away"
            )
        _refuse_length(table, first, done)
        new = NewColumns(dict(layout.fields), layout.reader(file), first.jagged)
        with context.progress.track("writing", table.entries or done.rows) as advance:
            _write(table, target, new, options, advance)
    return done


def _refuse_target(target: Path) -> None:
    if target.exists():
        raise StorageError(f"{target} exists: it is kept; choose another output")
    if not target.parent.is_dir():
        raise StorageError(f"no folder {target.parent} to write {target.name} to")


def _refuse_suffix(source: Path, target: Path, table: Table) -> None:
    """A copy has the format of its source; its name must not say another."""
    other = [k for k, endings in SUFFIXES.items() if target.suffix.lower() in endings]
    if other and target.suffix.lower() not in SUFFIXES[table.kind]:
        raise ConfigurationError(
            f"{source.name} is {table.kind}, and so is its copy: {target.name} would be taken for "
            f"{other[0]}; choose another name"
        )


def _refuse_length(table: Table, first: _First, done: Applied) -> None:
    """New columns are as long as most columns, and the features must be."""
    if first.jagged is None and table.entries not in (None, done.rows):
        raise DataError(
            f"{table.path.name}: the features have {done.rows} rows, most columns {table.entries}: "
            "write those of one length to a file, or to a group, of their own"
        )


def _write(table: Table, target: Path, new: NewColumns, options: Options, advance: Advance) -> None:
    write = table.friend if isinstance(table, FRIENDLY) and options.friend else table.copy
    with atomic(target) as temporary, _named(target):
        write(temporary, new, options.rows, advance)


@dataclass(frozen=True)
class _First:
    """What the first rows tell: the jagged column that new ones are like, and whether all
    features are single precision."""

    jagged: str | None
    single: bool

    @classmethod
    def of(cls, table: Table, features: Sequence[Expression]) -> _First:
        names = columns_of(features)
        chunk = next(table.chunks(names, 1000), None)
        if chunk is None:
            return cls(None, single=False)
        arrays = {k: v.content if isinstance(v, Jagged) else v for k, v in chunk.columns.items()}
        jagged = [name for name in names if isinstance(chunk.columns[name], Jagged)]
        single = all(arrays[name].dtype == np.float32 for name in names)
        return cls(jagged[0] if jagged else None, single)


def check(domain: Domain, options: Options) -> None:
    """Raise ConfigurationError for options that do not go with a calibration, before any file is
    opened."""
    known = [column.name for column in domain.x_columns]
    for name in options.columns:
        if name not in known:
            raise ConfigurationError(
                f"--column {name}=…: the calibration has the features {', '.join(known)}"
            )
    stems_of(domain, options.names)


def _features(domain: Domain, table: Table, options: Options) -> list[Expression]:
    known = [column.name for column in domain.x_columns]
    try:
        return [Expression.parse(options.columns.get(name, name), table.names) for name in known]
    except DataError as error:
        raise DataError(
            f"{table.path.name}: {error}; the calibration takes {', '.join(known)}: say with "
            "--column FEATURE=EXPRESSION where they are"
        ) from error


def _frames(table: Table, features: Sequence[Expression], rows: int) -> Iterator[tuple[Frame, int]]:
    names = columns_of(features)
    for chunk in table.chunks(names, rows):
        yield Frame.of(chunk), chunk.entries


def _matrix(features: Sequence[Expression], frame: Frame) -> FloatArray:
    columns = [np.asarray(each(frame.columns), dtype=np.float64) for each in features]
    return np.column_stack(columns)


@contextmanager
def _named(target: Path) -> Iterator[None]:
    """A failure to write the temporary file is told of the file that was asked for."""
    try:
        yield
    except StorageError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        raise


@contextmanager
def _spill(target: Path) -> Iterator[IO[bytes]]:
    """A nameless temporary file beside the target."""
    try:
        with tempfile.TemporaryFile(dir=target.parent) as file:
            yield file
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
