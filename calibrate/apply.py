"""A stored calibration applied to the user's file: new columns in a copy of it.

The file is read twice. First only the features, chunk by chunk; estimates are made in blocks of
rows that do not depend on how the file was cut, and wait in a temporary file. Then the file is
copied with them. Memory stays bounded, and the numbers are the same for every chunk size.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from calibrate.checks import choice, positive_integer
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError, StorageError
from calibrate.estimate import Calibration, Domain, Estimate
from calibrate.expressions import Expression
from calibrate.sample import BoolArray, FloatArray
from calibrate.storage import atomic
from calibrate.tables import Frame, Jagged, NewColumns, Table, open_table
from calibrate.tables.root import RootTable

OUTSIDE = ("flag", "clamp", "refuse")
BLOCK = 1 << 16
"""Rows estimated at a time."""


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


@dataclass(frozen=True)
class Applied:
    """What was done: rows in all, rows outside the range, rows that are not finite (or not
    positive where they must be), lines skipped, and the new columns."""

    rows: int
    outside: int
    unusable: int
    skipped: int
    columns: tuple[str, ...]


def apply(
    calibration: Calibration, source: Path, target: Path, options: Options, context: Context
) -> Applied:
    """Write `target`, a copy of `source` with estimates, uncertainties and a validity flag.

    Raises DataError if the source cannot be used or holds events outside the range that are to
    be refused, StorageError if the target exists or cannot be written; then nothing is left.
    """
    if target.exists():
        raise StorageError(f"{target} exists: it is kept; choose another output")
    if not target.parent.is_dir():
        raise StorageError(f"no folder {target.parent} to write {target.name} to")
    table = open_table(source, options.tree)
    if options.friend and not isinstance(table, RootTable):
        raise ConfigurationError(f"--friend adds a tree to ROOT files: {source.name} is none")
    features = _features(calibration.domain, table, options)
    with _spill(target) as file:
        first = _First.of(table, features)
        layout = _Layout.of(calibration, options.names, first.single)
        pass_one = _Estimates(calibration, layout, options, file)
        with context.progress.track("estimating", table.entries or 0) as advance:
            for frame, entries in _frames(table, features, options.rows):
                pass_one.add(_matrix(features, frame))
                advance(entries)
        done = pass_one.finished(table.skipped)
        if options.outside == "refuse" and done.outside:
            raise DataError(
                f"{done.outside} of {done.rows} rows lie outside the range of the training "
                "sample: use --outside flag or clamp, or select them away"
            )
        new = NewColumns(dict(layout.fields), layout.reader(file), first.jagged)
        track = context.progress.track("writing", table.entries or done.rows)
        with track as advance, atomic(target) as temporary:
            write = table.friend if isinstance(table, RootTable) and options.friend else table.copy
            with _named(target):
                write(temporary, new, options.rows, advance)
    return done


@dataclass(frozen=True)
class _First:
    """What the first rows tell: the jagged column that new ones are like, and whether all
    features are single precision."""

    jagged: str | None
    single: bool

    @classmethod
    def of(cls, table: Table, features: Sequence[Expression]) -> _First:
        names = list(dict.fromkeys(name for each in features for name in each.columns))
        chunk = next(table.chunks(names, 1000), None)
        if chunk is None:
            return cls(None, single=False)
        arrays = {k: v.content if isinstance(v, Jagged) else v for k, v in chunk.columns.items()}
        jagged = [name for name in names if isinstance(chunk.columns[name], Jagged)]
        single = all(arrays[name].dtype == np.float32 for name in names)
        return cls(jagged[0] if jagged else None, single)


@dataclass(frozen=True)
class _Layout:
    """The new columns with their types, in the order in which they are written."""

    fields: tuple[tuple[str, np.dtype[Any]], ...]

    @classmethod
    def of(cls, calibration: Calibration, names: Sequence[str], single: bool) -> _Layout:
        domain = calibration.domain
        truths = [column.name for column in domain.z_columns]
        stems = list(names) or [re.sub(r"\W+", "_", name).strip("_") for name in truths]
        if len(stems) != len(truths):
            raise ConfigurationError(
                f"--name is needed once for each of {', '.join(truths)}: got {list(names)}"
            )
        middle = 0.5 * domain.x_range.sum(axis=0, keepdims=True)
        example = calibration.estimate(np.where(np.isfinite(middle), middle, 1.0))
        real = np.dtype(np.float32 if single else np.float64)
        fields = [(name, real) for name in _names(stems, example)]
        doubled = [name for name, _ in fields if [n for n, _ in fields].count(name) > 1]
        if doubled:
            raise ConfigurationError(f"two new columns '{doubled[0]}': choose others with --name")
        return cls((*fields, (f"{stems[0]}_valid", np.dtype(bool))))

    @property
    def type(self) -> np.dtype[Any]:
        """One row of all columns."""
        return np.dtype(list(self.fields))

    def rows(self, estimate: Estimate) -> NDArray[Any]:
        """An estimate as rows."""
        values = np.empty(len(estimate.z), self.type)
        columns = [*_values(estimate), estimate.inside]
        for (name, _), column in zip(self.fields, columns, strict=True):
            values[name] = column
        return values

    def reader(self, file: IO[bytes]) -> Any:  # noqa: ANN401 - a function of two rows
        """`read(start, stop)` from the temporary file."""

        def read(start: int, stop: int) -> dict[str, NDArray[Any]]:
            file.seek(start * self.type.itemsize)
            rows = np.frombuffer(file.read((stop - start) * self.type.itemsize), self.type)
            return {name: np.ascontiguousarray(rows[name]) for name, _ in self.fields}

        return read


class _Estimates:
    """Collects features, and writes estimates in blocks that begin at multiples of BLOCK."""

    def __init__(
        self, calibration: Calibration, layout: _Layout, options: Options, file: IO[bytes]
    ) -> None:
        self.calibration, self.layout, self.file = calibration, layout, file
        self.clamp = options.outside == "clamp"
        self.pending: list[FloatArray] = []
        self.waiting = self.rows = self.outside = self.unusable = 0

    def add(self, x: FloatArray) -> None:
        """Rows x (m, d_x) in the order of the file."""
        self.pending.append(x)
        self.waiting += len(x)
        if self.waiting >= BLOCK:
            together = np.concatenate(self.pending)
            whole = len(together) // BLOCK * BLOCK
            for start in range(0, whole, BLOCK):
                self._write(together[start : start + BLOCK])
            self.pending, self.waiting = [together[whole:]], len(together) - whole

    def finished(self, skipped: int) -> Applied:
        """After the last row."""
        if self.waiting:
            self._write(np.concatenate(self.pending))
        self.file.flush()
        names = tuple(name for name, _ in self.layout.fields)
        return Applied(self.rows, self.outside, self.unusable, skipped, names)

    def _write(self, x: FloatArray) -> None:
        domain = self.calibration.domain
        usable = _usable(domain, x)
        estimate = self._estimated(x, usable)
        self.rows += len(x)
        self.unusable += int(np.count_nonzero(~usable))
        self.outside += int(np.count_nonzero(usable & ~estimate.inside))
        self.file.write(self.layout.rows(estimate).tobytes())

    def _estimated(self, x: FloatArray, usable: BoolArray) -> Estimate:
        """NaN on rows that cannot be used."""
        low, high = self.calibration.domain.x_range
        middle = np.where(np.isfinite(low + high), 0.5 * (low + high), 1.0)
        filled = np.where(usable[:, None], x, middle)
        used = np.clip(filled, low, high) if self.clamp else filled
        found = self.calibration.estimate(used)
        inside = self.calibration.domain.inside(filled) if self.clamp else found.inside
        bad = ~usable
        for array in (found.z, found.covariance, found.statistical):
            if array is not None and bad.any():
                array[bad] = np.nan
        return replace(found, inside=inside & usable)


def _names(stems: Sequence[str], example: Estimate) -> list[str]:
    """`_calibrated`, `_sigma`, the covariances, and the variations `_up` and `_down`."""
    names = [f"{stem}_calibrated" for stem in stems]
    if example.covariance is not None:
        names += [f"{stem}_sigma" for stem in stems]
        names += [f"{a}_{b}_covariance" for i, a in enumerate(stems) for b in stems[i + 1 :]]
    if example.statistical is not None:
        names += [f"{stem}_{side}" for side in ("up", "down") for stem in stems]
    return names


def _values(estimate: Estimate) -> list[FloatArray]:
    """The values of `_names`, in the same order."""
    values = list(estimate.z.T)
    if estimate.covariance is not None and estimate.sigma is not None:
        d_z = estimate.z.shape[1]
        values += list(estimate.sigma.T)
        values += [estimate.covariance[:, i, j] for i in range(d_z) for j in range(i + 1, d_z)]
    if estimate.statistical is not None:
        values += [*(estimate.z + estimate.statistical).T]
        values += [*(estimate.z - estimate.statistical).T]
    return values


def _features(domain: Domain, table: Table, options: Options) -> list[Expression]:
    known = [column.name for column in domain.x_columns]
    for name in options.columns:
        if name not in known:
            raise ConfigurationError(
                f"--column {name}=…: the calibration has the features {', '.join(known)}"
            )
    try:
        return [Expression.parse(options.columns.get(name, name), table.names) for name in known]
    except DataError as error:
        raise DataError(
            f"{table.path.name}: {error}; the calibration takes {', '.join(known)}: say with "
            "--column FEATURE=EXPRESSION where they are"
        ) from error


def _frames(table: Table, features: Sequence[Expression], rows: int) -> Iterator[tuple[Frame, int]]:
    names = list(dict.fromkeys(name for each in features for name in each.columns))
    for chunk in table.chunks(names, rows):
        yield Frame.of(chunk), chunk.entries


def _matrix(features: Sequence[Expression], frame: Frame) -> FloatArray:
    columns = [np.asarray(each(frame.columns), dtype=np.float64) for each in features]
    return np.column_stack(columns)


def _usable(domain: Domain, x: FloatArray) -> BoolArray:
    """Rows that are finite, and positive where the feature is positive by nature."""
    positive = np.array([column.positive for column in domain.x_columns])
    return np.asarray(np.all(np.isfinite(x) & ((x > 0) | ~positive), axis=1))


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
