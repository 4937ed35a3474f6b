"""The user's own events: any columns of ROOT, HDF5, Parquet, CSV, text or NPZ files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from calibrate.checks import choice, finite_number, fraction, positive_integer, texts
from calibrate.context import Context
from calibrate.data.sources import Loaded, Source, finite_rows, found_files, load
from calibrate.errors import ConfigurationError, DataError, nearest
from calibrate.provenance import sha256
from calibrate.sample import MINIMUM_EVENTS, Column, FloatArray, IntArray, Sample
from calibrate.task import NOMINAL, RegressionTask

MISSING = ("refuse", "drop")
Names = Sequence[str] | str


@dataclass(frozen=True)
class Table:
    """Features `x`, truth `z`, weight `w`, `group` and `spectators`, each a column or an
    arithmetic expression of columns (`jet_pt/gen_pt`, `log(pt)`), of the rows that `select` keeps.

    `path` is a file, a glob or a list of them, `scale` a factor for the weights of each. Jagged
    columns give one row per object, with its entry as group. `tree` names the ROOT tree or HDF5
    group, `names` the columns of a text without header. `units` by column; `positive` lists what
    is positive by nature: by default each truth column, and its uncalibrated measurement, whose
    values all are. `uncalibrated` names the features that measure z; the first ones by default.
    Rows that are not finite are refused, or left out with `missing=drop`. `max_events` is the
    largest number of entries read. A `train_fraction` of the groups trains, the complement is the
    test sample `nominal`; `tests` names further ones by their files. Raises ConfigurationError
    for wrong options, DataError for unusable files.
    """

    path: Names
    x: Names
    z: Names
    w: str | None = None
    group: Names | None = None
    spectators: Names = ()
    select: str | None = None
    scale: Sequence[float] | None = None
    tree: str | None = None
    names: Names | None = None
    units: Mapping[str, str] | None = None
    positive: Names | None = None
    uncalibrated: Names | None = None
    missing: str = "refuse"
    max_events: int | None = None
    train_fraction: float = 0.5
    tests: Mapping[str, Names] | None = None

    def __post_init__(self) -> None:
        for name in ("path", "x", "z"):
            if not texts(f"data.{name}", getattr(self, name)):
                raise ConfigurationError(f"data.{name} is empty: write data.{name}=…")
        doubled = [name for name in self._roles() if self._roles().count(name) > 1]
        if doubled:
            raise ConfigurationError(
                f"'{doubled[0]}' stands twice in data.x, .z and .spectators: name it once"
            )
        for name in ("w", "select", "tree"):
            if not isinstance(getattr(self, name), str | None):
                given = f"{getattr(self, name)!r}"
                raise ConfigurationError(f"data.{name} takes one text, got {given}")
        for name in ("group", "names", "positive"):
            if getattr(self, name) is not None:
                texts(f"data.{name}", getattr(self, name))
        choice("data.missing", self.missing, MISSING)
        fraction("data.train_fraction", self.train_fraction)
        if self.max_events is not None:
            positive_integer("data.max_events", self.max_events)
        self._check_scale()
        self._check_mappings()
        self._uncalibrated()

    def _check_scale(self) -> None:
        if self.scale is None:
            return
        needed = len(texts("data.path", self.path))
        if not isinstance(self.scale, Sequence) or len(self.scale) != needed:
            raise ConfigurationError(
                f"data.scale takes a list of one factor for each of data.path, which are {needed}: "
                f"got {self.scale!r}"
            )
        for factor in self.scale:
            finite_number("each of data.scale", factor)

    def _check_mappings(self) -> None:
        example = {"units": "{jet_pt: GeV}", "tests": "{pileup: b.root}"}
        for option, text in example.items():
            given = getattr(self, option)
            if given is not None and not (
                isinstance(given, Mapping) and all(isinstance(key, str) for key in given)
            ):
                raise ConfigurationError(
                    f"data.{option} takes pairs, such as 'data.{option}={text}', got {given!r}"
                )
        for name, given in (self.tests or {}).items():
            if name == NOMINAL:
                raise ConfigurationError(
                    f"data.tests: '{NOMINAL}' is what the training leaves: choose another name"
                )
            if not texts(f"data.tests.{name}", given):
                raise ConfigurationError(f"data.tests.{name} names no file")
        for name in (*(self.units or {}), *texts("data.positive", self.positive or ())):
            if name not in self._roles():
                raise ConfigurationError(
                    f"data.units and data.positive name columns of data.x, .z and .spectators; "
                    f"no '{name}': {nearest(name, self._roles())}"
                )

    def regression(self, context: Context) -> RegressionTask:
        """z from x, with `nominal` and the samples of `tests`."""
        patterns = texts("data.path", self.path)
        matched = found_files("data.path", patterns)
        other_files = {
            name: _flat(found_files(f"data.tests.{name}", texts(f"data.tests.{name}", given)))
            for name, given in (self.tests or {}).items()
        }
        files = _flat(matched)
        loaded, notes = self._loaded(files, context)
        others = {name: self._loaded(paths, context) for name, paths in other_files.items()}
        positive, positive_notes = self._positive([loaded, *(each for each, _ in others.values())])
        _refuse_few(loaded)
        scales = np.ones(len(patterns)) if self.scale is None else np.asarray(self.scale, float)
        per_file = np.repeat(scales, [len(each) for each in matched])
        random = context.child("data").stream("split")
        everything = self._sample(loaded, per_file, positive)
        train, nominal = everything.split(self.train_fraction, random)
        tests = {NOMINAL: nominal}
        for name, (events, more) in others.items():
            tests[name] = self._sample(events, np.ones(len(other_files[name])), positive)
            notes += [f"{name}: {note}" for note in more]
        hashes = {path: sha256(path) for path in [*files, *_flat(other_files.values())]}
        again = [
            f"data.tests: '{name}' reads {path.name}, which holds the training events"
            for name, paths in other_files.items()
            for path in paths
            if hashes[path] in {hashes[each] for each in files}
        ]
        return RegressionTask(
            train,
            tests,
            self._uncalibrated(),
            files={str(path): digest for path, digest in hashes.items()},
            notes=(*notes, *positive_notes),
            warnings=tuple(again),
        )

    def inputs(self) -> list[Path]:
        """The files that the numbers come from; DataError if one is missing."""
        found = found_files("data.path", texts("data.path", self.path))
        for name, given in (self.tests or {}).items():
            found += found_files(f"data.tests.{name}", texts(f"data.tests.{name}", given))
        return _flat(found)

    def with_columns(self, names: Sequence[str]) -> Table:
        """The same with further spectators, for methods that need them."""
        missing = [name for name in dict.fromkeys(names) if name not in self._roles()]
        return replace(self, spectators=[*texts("data.spectators", self.spectators), *missing])

    def _roles(self) -> list[str]:
        parts = (("x", self.x), ("z", self.z), ("spectators", self.spectators))
        return [name for role, given in parts for name in texts(f"data.{role}", given)]

    def _grouping(self) -> list[str]:
        return [] if self.group is None else texts("data.group", self.group)

    def _uncalibrated(self) -> tuple[str, ...]:
        x, z = texts("data.x", self.x), texts("data.z", self.z)
        chosen = x[: len(z)]
        if self.uncalibrated is not None:
            chosen = texts("data.uncalibrated", self.uncalibrated)
        for name in chosen:
            if name not in x:
                raise ConfigurationError(f"data.uncalibrated: no '{name}' in data.x: {x}")
        if len(chosen) != len(z):
            raise ConfigurationError(
                f"each of data.z={z} needs one of data.x that measures it, got {chosen}: name "
                "them with data.uncalibrated"
            )
        return tuple(chosen)

    def _loaded(self, files: Sequence[Path], context: Context) -> tuple[Loaded, list[str]]:
        """The rows of the files that are finite, and notes on those that are not. Every column
        stands under its own text."""
        weight = [] if self.w is None else [self.w]
        wanted = dict.fromkeys([*self._roles(), *self._grouping(), *weight])
        names = None if self.names is None else texts("data.names", self.names)
        source = Source(tuple(wanted), self.select, self.tree, names, self.max_events)
        loaded = load(files, source, context)
        notes = []
        if loaded.skipped:
            notes.append(f"{loaded.skipped} lines with missing or surplus fields left out")
        finite = finite_rows(loaded.columns)
        broken = int(np.count_nonzero(~finite))
        if not broken:
            return loaded, notes
        per_column = {
            key: int(np.count_nonzero(~np.isfinite(values)))
            for key, values in loaded.columns.items()
        }
        listed = ", ".join(f"{key}: {count}" for key, count in per_column.items() if count)
        text = f"{broken} of {finite.size} rows are not finite ({listed})"
        if self.missing == "refuse":
            raise DataError(f"{text}: repair them, or leave them out with data.missing=drop")
        if broken == finite.size:
            raise DataError(f"{text}: nothing is left")
        return loaded.take(finite), [*notes, f"{text}: left out"]

    def _positive(self, all_loaded: Sequence[Loaded]) -> tuple[set[str], list[str]]:
        """The columns that are positive by nature."""
        if self.positive is not None:
            return set(texts("data.positive", self.positive)), []
        found: set[str] = set()
        for pair in zip(texts("data.z", self.z), self._uncalibrated(), strict=True):
            values = [loaded.columns[name] for loaded in all_loaded for name in pair]
            if all(float(np.min(each)) > 0 for each in values):
                found |= set(pair)
        if not found:
            return found, []
        listed = " and ".join(sorted(found))
        return found, [
            f"{listed} are positive in every row: judged by the response ẑ/z "
            "(data.positive=[] for differences)"
        ]

    def _sample(self, loaded: Loaded, scales: FloatArray, positive: set[str]) -> Sample:
        def columns(role: str, given: Names) -> tuple[Column, ...]:
            return tuple(
                Column(name, str((self.units or {}).get(name, "")), name in positive)
                for name in texts(f"data.{role}", given)
            )

        def stacked(chosen: Sequence[Column]) -> FloatArray:
            return np.column_stack(
                [np.asarray(loaded.columns[c.name], dtype=np.float64) for c in chosen]
            )

        x, z = columns("x", self.x), columns("z", self.z)
        spectators = columns("spectators", self.spectators)
        w = np.ones(loaded.file.size) if self.w is None else loaded.columns[self.w]
        return Sample(
            x=stacked(x),
            z=stacked(z),
            w=np.asarray(w, dtype=np.float64) * scales[loaded.file],
            x_columns=x,
            z_columns=z,
            group=self._groups(loaded),
            spectators={c.name: stacked([c])[:, 0] for c in spectators},
        )

    def _groups(self, loaded: Loaded) -> IntArray:
        """Rows of one event: equal values of the group columns, or objects of one entry."""
        named = [loaded.columns[text] for text in self._grouping()]
        if not named and not loaded.jagged:
            return np.arange(loaded.file.size)
        numbers = np.zeros(loaded.file.size, dtype=np.int64)
        for key in named or [loaded.file, loaded.entry]:
            _, number = np.unique(key, return_inverse=True)
            pairs = numbers * (int(np.max(number, initial=0)) + 1) + number
            numbers = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
        return numbers


def _flat(lists: Any) -> list[Path]:  # noqa: ANN401 - lists of files
    return list(chain.from_iterable(lists))


def _refuse_few(loaded: Loaded) -> None:
    rows = loaded.file.size
    if rows < 2 * MINIMUM_EVENTS:
        raise DataError(
            f"{rows} usable rows of {loaded.entries} entries read: at least {MINIMUM_EVENTS} are "
            "needed to train with, and as many to test"
        )
