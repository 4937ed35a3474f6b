"""The user's files of one option, what is read from them, and the sample that it makes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from calibrate.checks import texts
from calibrate.context import Context
from calibrate.data.sources import Loaded, Rows, Source, finite_rows, found_files, load
from calibrate.errors import DataError
from calibrate.provenance import sha256
from calibrate.sample import MINIMUM_EVENTS, Column, FloatArray, IntArray, KeyArray, Sample
from calibrate.statistics.hashes import row_keys


@dataclass(frozen=True)
class Roles:
    """Which columns or expressions are features, truth, spectators, weight and event."""

    x: Sequence[str]
    z: Sequence[str]
    spectators: Sequence[str]
    w: str | None
    group: Sequence[str]

    @property
    def expressions(self) -> tuple[str, ...]:
        """All that is to be read, each once."""
        weight = [] if self.w is None else [self.w]
        named = (*self.x, *self.z, *self.spectators, *self.group, *weight)
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True)
class TableFiles:
    """The files that `option` names, with a factor for the weights of each (`scales`, one per
    file); the columns of `roles` and the rows that `source` keeps are read; `opened` gives another
    view of a file than its table."""

    option: str
    files: Sequence[Path]
    scales: FloatArray
    roles: Roles
    source: Source
    drop: bool
    opened: Callable[[Path], Rows] | None = None

    @classmethod
    def found(
        cls,
        option: str,
        path: Sequence[str] | str,
        scale: Sequence[float] | None,
        roles: Roles,
        source: Source,
        drop: bool,
    ) -> TableFiles:
        """The files of each of `path`; DataError for a glob without any."""
        patterns = texts(option, path)
        matched = found_files(option, patterns)
        factors = np.ones(len(patterns)) if scale is None else np.asarray(scale, float)
        files = [file for each in matched for file in each]
        scales = np.repeat(factors, [len(each) for each in matched])
        return cls(option, files, scales, roles, source, drop)

    def load(self, context: Context) -> TableRows:
        """The rows that are finite, and notes on those that are not.

        Raises DataError for files that cannot be read and for rows that are not finite, unless
        they are to be dropped.
        """
        loaded = load(self.files, self.source, context, self.opened)
        notes = []
        if loaded.skipped:
            notes.append(f"{loaded.skipped} lines with missing or surplus fields left out")
        finite = finite_rows(loaded.columns)
        broken = int(np.count_nonzero(~finite))
        if broken:
            per_column = {
                key: int(np.count_nonzero(~np.isfinite(values)))
                for key, values in loaded.columns.items()
            }
            listed = ", ".join(f"{key}: {count}" for key, count in per_column.items() if count)
            text = f"{broken} of {finite.size} rows are not finite ({listed})"
            if not self.drop:
                raise DataError(
                    f"{self.option}: {text}: repair them, or leave them out with data.missing=drop"
                )
            if broken == finite.size:
                raise DataError(f"{self.option}: {text}: nothing is left")
            loaded, notes = loaded.take(finite), [*notes, f"{text}: left out"]
        return TableRows(self, loaded, tuple(notes))


@dataclass(frozen=True)
class TableRows:
    """What was read from some files, every column under its own text."""

    files: TableFiles
    loaded: Loaded
    notes: tuple[str, ...]

    def refuse_few(self) -> TableRows:
        """The same; DataError if there are too few rows to train and to test with."""
        rows = self.loaded.file.size
        if rows < 2 * MINIMUM_EVENTS:
            raise DataError(
                f"{self.files.option}: {rows} usable rows of {self.loaded.entries} entries read: "
                f"at least {MINIMUM_EVENTS} are needed to train with, and as many to test"
            )
        return self

    def all_positive(self, names: Iterable[str]) -> bool:
        """Whether those of the columns that were read are above zero in every row."""
        columns = self.loaded.columns
        return all(float(np.min(columns[name])) > 0 for name in names if name in columns)

    def sample(self, units: Mapping[str, str], positive: Collection[str]) -> Sample:
        """The rows as events; DataError as of Sample, with the option that names the files."""
        roles, loaded = self.files.roles, self.loaded
        x, z = (
            tuple(Column(name, str(units.get(name, "")), name in positive) for name in names)
            for names in (roles.x, roles.z)
        )
        w = np.ones(loaded.file.size) if roles.w is None else self._values([roles.w])[:, 0]
        try:
            return Sample(
                x=self._values(roles.x),
                z=self._values(roles.z),
                w=w * self.files.scales[loaded.file],
                x_columns=x,
                z_columns=z,
                group=self._groups(),
                spectators={name: self._values([name])[:, 0] for name in roles.spectators},
            )
        except DataError as error:
            raise DataError(f"{self.files.option}: {error}") from error

    @cached_property
    def digests(self) -> dict[str, str]:
        """The sha256 of every file."""
        return {str(path): sha256(path) for path in self.files.files}

    def group_keys(self) -> KeyArray | None:
        """A number for each of the groups that the user names, the same wherever it occurs (a hash
        of 64 bits), in ascending order; None where no group is named."""
        named = [self.loaded.columns[text] for text in self.files.roles.group]
        if not named:
            return None
        return np.unique(row_keys(named))

    def _values(self, names: Sequence[str]) -> FloatArray:
        """Columns (m, len(names))."""
        values = np.empty((self.loaded.file.size, len(names)))
        for i, name in enumerate(names):
            values[:, i] = self.loaded.columns[name]
        return values

    def _groups(self) -> IntArray:
        """Rows of one event: equal values of the group columns, or objects of one entry."""
        loaded = self.loaded
        named = [loaded.columns[text] for text in self.files.roles.group]
        if not named and not loaded.jagged:
            return np.arange(loaded.file.size)
        numbers = np.zeros(loaded.file.size, dtype=np.int64)
        for key in named or [loaded.file, loaded.entry]:
            _, number = np.unique(key, return_inverse=True)
            pairs = numbers * (int(np.max(number, initial=0)) + 1) + number
            numbers = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
        return numbers
