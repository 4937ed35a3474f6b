"""The user's own events: any columns of ROOT, HDF5, Parquet, CSV, text or NPZ files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from calibrate.checks import choice, finite_number, positive_integer, positive_number
from calibrate.context import Context
from calibrate.data.sources import Loaded, Source, finite_rows, found_files, load
from calibrate.errors import ConfigurationError, DataError, nearest
from calibrate.provenance import sha256
from calibrate.sample import Column, FloatArray, IntArray, Sample
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
    Rows that are not finite are refused, or left out with `missing=drop`. A `train_fraction` of
    the groups trains, the complement is the test sample `nominal`; `tests` names further ones by
    their files. Raises ConfigurationError for wrong options, DataError for unusable files.
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
    names: Sequence[str] | None = None
    units: Mapping[str, str] | None = None
    positive: Sequence[str] | None = None
    uncalibrated: Names | None = None
    missing: str = "refuse"
    max_events: int | None = None
    train_fraction: float = 0.5
    tests: Mapping[str, Names] | None = None

    def __post_init__(self) -> None:
        for name in ("path", "x", "z"):
            if not _listed(f"data.{name}", getattr(self, name)):
                raise ConfigurationError(f"data.{name} is needed: data.{name}=…")
        doubled = [name for name in self._roles() if self._roles().count(name) > 1]
        if doubled:
            raise ConfigurationError(f"'{doubled[0]}' stands twice in data.x, .z and .spectators")
        choice("data.missing", self.missing, MISSING)
        positive_number("data.train_fraction", self.train_fraction)
        if not self.train_fraction < 1:
            raise ConfigurationError(f"data.train_fraction must be < 1, got {self.train_fraction}")
        if self.max_events is not None:
            positive_integer("data.max_events", self.max_events)
        if self.scale is not None:
            for factor in self.scale:
                finite_number("each of data.scale", factor)
            if len(self.scale) != len(_listed("data.path", self.path)):
                raise ConfigurationError(
                    f"data.scale needs one factor for each of data.path, got {list(self.scale)}"
                )
        if NOMINAL in (self.tests or {}):
            raise ConfigurationError(f"data.tests: '{NOMINAL}' is the complement of the training")
        for name in (*(self.units or {}), *(self.positive or ())):
            if name not in self._roles():
                raise ConfigurationError(
                    f"data.units and data.positive name columns of data.x, .z and .spectators; "
                    f"no '{name}': {nearest(name, self._roles())}"
                )

    def regression(self, context: Context) -> RegressionTask:
        """z from x, with `nominal` and the samples of `tests`."""
        patterns = _listed("data.path", self.path)
        files = found_files(patterns)
        scales = np.ones(len(patterns)) if self.scale is None else np.asarray(self.scale, float)
        loaded, notes = self._loaded(sum(files, []), context)
        per_file = np.repeat(scales, [len(each) for each in files])
        others = {
            name: (paths, self._loaded(paths, context))
            for name, given in (self.tests or {}).items()
            for paths in [sum(found_files(_listed(f"data.tests.{name}", given)), [])]
        }
        positive, positive_notes = self._positive(loaded)
        everything = self._sample(loaded, per_file, positive)
        random = context.child("data").stream("split")
        train, nominal = everything.split(self.train_fraction, random)
        tests = {NOMINAL: nominal}
        for name, (paths, (events, more)) in others.items():
            tests[name] = self._sample(events, np.ones(len(paths)), positive)
            notes += [f"{name}: {note}" for note in more]
        used = [*sum(files, []), *(path for paths, _ in others.values() for path in paths)]
        return RegressionTask(
            train,
            tests,
            self._uncalibrated(),
            files={str(path): sha256(path) for path in used},
            notes=(*notes, *positive_notes),
        )

    def with_columns(self, names: Sequence[str]) -> Table:
        """The same with further spectators, for methods that need them."""
        missing = [name for name in dict.fromkeys(names) if name not in self._roles()]
        return replace(self, spectators=[*_listed("data.spectators", self.spectators), *missing])

    def _roles(self) -> list[str]:
        parts = (("x", self.x), ("z", self.z), ("spectators", self.spectators))
        return [name for role, given in parts for name in _listed(f"data.{role}", given)]

    def _uncalibrated(self) -> tuple[str, ...]:
        x, z = _listed("data.x", self.x), _listed("data.z", self.z)
        if self.uncalibrated is None:
            if len(x) < len(z):
                raise ConfigurationError(f"{len(z)} columns of data.z need as many of data.x")
            return tuple(x[: len(z)])
        chosen = _listed("data.uncalibrated", self.uncalibrated)
        for name in chosen:
            if name not in x:
                raise ConfigurationError(f"data.uncalibrated: no '{name}' in data.x: {x}")
        return tuple(chosen)

    def _loaded(self, files: Sequence[Path], context: Context) -> tuple[Loaded, list[str]]:
        """The rows of the files that are finite, and notes on those that are not."""
        group = [] if self.group is None else _listed("data.group", self.group)
        wanted = {name: name for name in self._roles()}
        wanted |= {f"group {i}": text for i, text in enumerate(group)}
        wanted |= {} if self.w is None else {"weight": self.w}
        source = Source(wanted, self.select, self.tree, self.names, self.max_events)
        loaded = load(files, source, context)
        notes = [f"{loaded.skipped} lines with missing fields left out"] if loaded.skipped else []
        numbers = {
            key: values for key, values in loaded.columns.items() if not key.startswith("group ")
        }
        finite = finite_rows(numbers)
        broken = int(np.count_nonzero(~finite))
        if not broken:
            return loaded, notes
        per_column = {k: int(np.count_nonzero(~np.isfinite(v))) for k, v in numbers.items()}
        listed = ", ".join(f"{k}: {count}" for k, count in per_column.items() if count)
        text = f"{broken} of {finite.size} rows are not finite ({listed})"
        if self.missing == "refuse":
            raise DataError(f"{text}: repair them, or leave them out with data.missing=drop")
        if broken == finite.size:
            raise DataError(f"{text}: nothing is left")
        return loaded.take(finite), [*notes, f"{text}: left out"]

    def _positive(self, loaded: Loaded) -> tuple[set[str], list[str]]:
        """The columns that are positive by nature."""
        if self.positive is not None:
            return set(self.positive), []
        found: set[str] = set()
        pairs = zip(_listed("data.z", self.z), self._uncalibrated(), strict=True)
        for truth, measured in pairs:
            if all(float(np.min(loaded.columns[name])) > 0 for name in (truth, measured)):
                found |= {truth, measured}
        if not found:
            return found, []
        listed = " and ".join(sorted(found))
        return found, [
            f"{listed} are positive in every row: judged by the response ẑ/z "
            "(data.positive=[] for differences)"
        ]

    def _sample(self, loaded: Loaded, scales: FloatArray, positive: set[str]) -> Sample:
        def columns(role: str, given: Any) -> tuple[Column, ...]:  # noqa: ANN401 - text or list
            return tuple(
                Column(name, (self.units or {}).get(name, ""), name in positive)
                for name in _listed(f"data.{role}", given)
            )

        def stacked(chosen: Sequence[Column]) -> FloatArray:
            return np.column_stack(
                [np.asarray(loaded.columns[c.name], dtype=np.float64) for c in chosen]
            )

        x, z = columns("x", self.x), columns("z", self.z)
        spectators = columns("spectators", self.spectators)
        w = loaded.columns.get("weight", np.ones(loaded.file.size))
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
        named = [v for k, v in loaded.columns.items() if k.startswith("group ")]
        if not named and not loaded.jagged:
            return np.arange(loaded.file.size)
        keys = named or [loaded.file, loaded.entry]
        if len(keys) == 1:
            return np.asarray(np.unique(keys[0], return_inverse=True)[1], dtype=np.int64)
        stacked = np.rec.fromarrays(keys)
        return np.asarray(np.unique(stacked, return_inverse=True)[1], dtype=np.int64)


def _listed(name: str, given: Any) -> list[str]:  # noqa: ANN401 - whatever the user wrote
    """A text or a list of texts as a list; ConfigurationError for anything else."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise ConfigurationError(f"{name} takes a column, an expression, or a list: {given!r}")
    return list(texts)
