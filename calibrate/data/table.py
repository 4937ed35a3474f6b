"""The user's own events: any columns of ROOT, HDF5, Parquet, CSV, text or NPZ files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calibrate.checks import choice, fraction, positive_integer, texts
from calibrate.context import Context
from calibrate.data.sources import Source, input_files
from calibrate.data.table_files import Roles, TableFiles
from calibrate.data.table_options import NamedFiles, Names, factors, named_files, one_text, pairs
from calibrate.data.table_tasks import TableTasks
from calibrate.errors import ConfigurationError, nearest
from calibrate.task import RegressionTask, TransportTask, Whole

MISSING = ("refuse", "drop")
TARGETS = ("w", "select", "scale", "tree", "names", "tests")
"""What the files of data may have of their own: the options `target_w` … of `target_path`."""


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
    test sample `nominal`; `tests` names further ones by their files.

    Transport carries x to data, the files `target_path`: the same features and groups, without
    truth or spectators. Data has weight 1 or `target_w`; `target_select`, `target_tree` and
    `target_names` are by default those of the simulation; `target_scale` as `scale`. Further tests
    are pairs of one name in `tests` and `target_tests`. z is needed by maps that use it.
    Raises ConfigurationError for wrong options, DataError for unusable files.
    """

    path: Names
    x: Names
    z: Names = ()
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
    tests: NamedFiles | None = None
    target_path: Names | None = None
    target_w: str | None = None
    target_select: str | None = None
    target_scale: Sequence[float] | None = None
    target_tree: str | None = None
    target_names: Names | None = None
    target_tests: NamedFiles | None = None

    def __post_init__(self) -> None:
        for name in ("path", "x"):
            if not texts(f"data.{name}", getattr(self, name)):
                raise ConfigurationError(f"data.{name} is empty: write data.{name}=…")
        doubled = [name for name in self._named() if self._named().count(name) > 1]
        if doubled:
            raise ConfigurationError(
                f"'{doubled[0]}' stands twice in data.x, .z and .spectators: name it once"
            )
        for name in ("w", "select", "tree", "target_w", "target_select", "target_tree"):
            one_text(f"data.{name}", getattr(self, name))
        for name in ("group", "names", "positive", "target_path", "target_names"):
            if getattr(self, name) is not None:
                texts(f"data.{name}", getattr(self, name))
        choice("data.missing", self.missing, MISSING)
        fraction("data.train_fraction", self.train_fraction)
        if self.max_events is not None:
            positive_integer("data.max_events", self.max_events)
        factors("data.scale", self.scale, "data.path", self.path)
        named_files("data.tests", self.tests)
        named_files("data.target_tests", self.target_tests)
        self._check_columns()
        self._check_target()

    def _check_columns(self) -> None:
        """Units, what is positive, and what measures the truth."""
        pairs("data.units", self.units, "{jet_pt: GeV}")
        for name in (*(self.units or {}), *texts("data.positive", self.positive or ())):
            if name not in self._named():
                raise ConfigurationError(
                    f"data.units and data.positive name columns of data.x, .z and .spectators; "
                    f"no '{name}': {nearest(name, self._named())}"
                )
        self._uncalibrated()

    def _check_target(self) -> None:
        given = [name for name in TARGETS if getattr(self, f"target_{name}") is not None]
        if self.target_path:
            factors("data.target_scale", self.target_scale, "data.target_path", self.target_path)
        elif given:
            raise ConfigurationError(
                f"data.target_{given[0]} is about the files of data: name them with "
                "data.target_path=…, or leave it out"
            )

    def check(self, kind: str) -> None:
        """Raise ConfigurationError if an option that this kind of task needs is not given."""
        if kind == "regression" and not self._roles().z:
            raise ConfigurationError("data.z is empty: write data.z=…, the truth to be estimated")
        if kind == "transport" and not self.target_path:
            raise ConfigurationError(
                "transport carries the simulation data.path to data: name the files of data with "
                "data.target_path=…"
            )
        tests, partners = set(self.tests or {}), set(self.target_tests or {})
        if kind == "transport" and tests != partners:
            name = sorted(tests ^ partners)[0]
            missing = "data.target_tests" if name in tests else "data.tests"
            raise ConfigurationError(
                f"a transport is tested on pairs, but '{name}' has no files in {missing}: write "
                f"'{missing}={{{name}: …}}', or leave it out"
            )

    def regression(self, context: Context) -> RegressionTask:
        """z from x, with `nominal` and the samples of `tests`."""
        self.check("regression")
        others = {
            name: self._simulation(f"data.tests.{name}", path)
            for name, path in (self.tests or {}).items()
        }
        train = self._simulation("data.path", self.path, self.scale)
        return self._tasks().regression(train, others, context)

    def transport(self, context: Context) -> TransportTask:
        """x of the simulation to that of data, with `nominal` and the pairs of both `tests`."""
        self.check("transport")
        others = {
            name: (
                self._simulation(f"data.tests.{name}", path),
                self._data(f"data.target_tests.{name}", (self.target_tests or {})[name]),
            )
            for name, path in (self.tests or {}).items()
        }
        simulation = self._simulation("data.path", self.path, self.scale)
        data = self._data("data.target_path", self.target_path or (), self.target_scale)
        return self._tasks().transport((simulation, data), others, context)

    def whole(self, context: Context) -> Whole:
        """All events, as training sample and as `nominal`, for what is not fitted to them.

        Raises ConfigurationError for options that concern more than these events.
        """
        self.check("regression")
        for name in ("tests", "max_events"):
            if getattr(self, name) is not None:
                raise ConfigurationError(
                    f"data.{name} is about all files together: leave it out where they are taken "
                    "one by one"
                )
        return self._tasks().whole(self._simulation("data.path", self.path, self.scale), context)

    def files(self) -> list[tuple[Path, float]]:
        """The files of `path`, each with the factor for its weights; DataError for a pattern
        without any."""
        found = self._simulation("data.path", self.path, self.scale)
        return list(zip(found.files, found.scales.tolist(), strict=True))

    def inputs(self) -> list[Path]:
        """The files that the numbers come from; DataError if one is missing."""
        sides = (("", self.path, self.tests), ("target_", self.target_path, self.target_tests))
        options: dict[str, Names | None] = {}
        for side, path, tests in sides:
            options[f"data.{side}path"] = path
            options |= {f"data.{side}tests.{name}": given for name, given in (tests or {}).items()}
        return input_files(options)

    def with_columns(self, names: Sequence[str]) -> Table:
        """The same with further spectators, for methods that need them."""
        missing = [name for name in dict.fromkeys(names) if name not in self._named()]
        return replace(self, spectators=[*texts("data.spectators", self.spectators), *missing])

    def _tasks(self) -> TableTasks:
        positive = None if self.positive is None else texts("data.positive", self.positive)
        return TableTasks(self._uncalibrated(), self.units or {}, positive, self.train_fraction)

    def _simulation(
        self, option: str, path: Names, scale: Sequence[float] | None = None
    ) -> TableFiles:
        """Files with truth."""
        roles, names = self._roles(), self._text_columns(self.names)
        source = Source(roles.expressions, self.select, self.tree, names, self.max_events)
        return TableFiles.found(option, path, scale, roles, source, self.missing == "drop")

    def _data(self, option: str, path: Names, scale: Sequence[float] | None = None) -> TableFiles:
        """Files without truth; what is not said of them is as in the simulation, but for the
        weight."""
        roles = replace(self._roles(), z=(), spectators=(), w=self.target_w)
        own = self.target_select is not None
        source = Source(
            roles.expressions,
            self.target_select if own else self.select,
            self.tree if self.target_tree is None else self.target_tree,
            self._text_columns(self.names if self.target_names is None else self.target_names),
            self.max_events,
            "data.target_select" if own else "data.target_select (by default data.select)",
        )
        return TableFiles.found(option, path, scale, roles, source, self.missing == "drop")

    def _text_columns(self, names: Names | None) -> list[str] | None:
        return None if names is None else texts("data.names", names)

    def _roles(self) -> Roles:
        x, z, spectators = (
            texts(f"data.{role}", getattr(self, role)) for role in ("x", "z", "spectators")
        )
        group = [] if self.group is None else texts("data.group", self.group)
        return Roles(x, z, spectators, self.w, group)

    def _named(self) -> list[str]:
        """The columns that have a name in the sample."""
        roles = self._roles()
        return [*roles.x, *roles.z, *roles.spectators]

    def _uncalibrated(self) -> tuple[str, ...]:
        x, z = self._roles().x, self._roles().z
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
