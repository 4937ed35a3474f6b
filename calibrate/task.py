"""What is to be solved, and all that a dataset hands over."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np

from calibrate.errors import ConfigurationError, DataError, nearest
from calibrate.sample import (
    MINIMUM_EVENTS,
    BoolArray,
    Column,
    FloatArray,
    KeyArray,
    Sample,
    without_truth,
)

NOMINAL = "nominal"
ALL = slice(None)
SIGNAL = Column("signal")
"""The truth column of labelled events: 1 for signal, 0 for background."""


@dataclass(frozen=True)
class ClosedForm:
    """The exact answer for one kind of estimator, where a dataset knows it (1-D x and z).

    `estimate(x)` and `point_resolution(x)` at detector level; `bias(z)` and `resolution(z)`
    at truth level: arXiv:2205.05084, Eq. 30-33 and 39-41 for the Gaussian example.
    """

    estimate: Callable[[FloatArray], FloatArray]
    point_resolution: Callable[[FloatArray], FloatArray]
    bias: Callable[[FloatArray], FloatArray]
    resolution: Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class RegressionTask:
    """Learn ẑ(x) from `train`, test it on independent samples; one of them is `nominal`.

    `uncalibrated` names, for each column of z, the feature that measures it before any
    calibration. `closed_forms` holds exact answers by the name of the estimator
    (`posterior_mean`, `maximum_likelihood`). `files` maps the sources to their sha256.
    `unsmeared` is the training sample with its true labels, where `train` has smeared ones: for
    evaluators, never for methods (`hidden`).
    """

    train: Sample
    tests: Mapping[str, Sample]
    uncalibrated: tuple[str, ...]
    closed_forms: Mapping[str, ClosedForm] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unsmeared: Sample | None = None

    def __post_init__(self) -> None:
        _require_nominal(self.tests)
        if len(self.uncalibrated) != len(self.train.z_columns):
            raise ConfigurationError(
                f"{len(self.train.z_columns)} truth columns need as many uncalibrated features, "
                f"got {list(self.uncalibrated)}"
            )
        for name, sample in {"training": self.train, **self.tests}.items():
            _require_events(f"the {name} sample", sample)
        for column, values in zip(self.train.z_columns, self.train.z.T, strict=True):
            if np.ptp(values) == 0:
                raise DataError(
                    f"the truth '{column.name}' is {values[0]:g} in every training event: there is "
                    "nothing to calibrate"
                )

    def hidden(self) -> RegressionTask:
        """The task as a method sees it: without true labels beside smeared ones."""
        return replace(self, unsmeared=None)

    def measuring_features(self) -> tuple[int, ...]:
        """The number, among the features, of each that `uncalibrated` names.

        Raises ConfigurationError if there is no such feature.
        """
        names = [column.name for column in self.train.x_columns]
        for name in self.uncalibrated:
            if name not in names:
                raise ConfigurationError(f"no feature '{name}': {nearest(name, names)}")
        return tuple(names.index(name) for name in self.uncalibrated)


class Whole(NamedTuple):
    """All events of some files as a task, training sample and `nominal` in one, and a number for
    each of their groups that is the same in every file, where the user names the groups."""

    task: RegressionTask
    group_keys: KeyArray | None


@dataclass(frozen=True)
class Pair:
    """Simulation with x and z, and data with x alone, in the same columns.

    `truth` is data with its z, known only where data is itself simulated: evaluators may use it to
    put data on another spectrum, methods never see it (`TransportTask.hidden`).
    Raises DataError if their features differ, if data has truth columns, or if `truth` holds
    other events or other truth columns.
    """

    simulation: Sample
    data: Sample
    truth: Sample | None = None

    def __post_init__(self) -> None:
        if self.simulation.x_columns != self.data.x_columns:
            simulated, measured = (
                ", ".join(column.label for column in sample.x_columns)
                for sample in (self.simulation, self.data)
            )
            raise DataError(
                f"simulation and data need the same features, got {simulated} and {measured}"
            )
        if self.data.z_columns:
            names = ", ".join(column.name for column in self.data.z_columns)
            raise DataError(f"data has no truth, got {names}: leave these columns out")
        if self.truth is not None:
            self._check(self.truth)

    @classmethod
    def of(cls, simulation: Sample, measured: Sample) -> Pair:
        """From simulation and a second simulation that stands for data, whose truth is kept."""
        return cls(simulation, without_truth(measured), measured)

    def hidden(self) -> Pair:
        """The same without the truth of data."""
        return Pair(self.simulation, self.data)

    def with_weights(self, simulation: FloatArray, data: FloatArray) -> Pair:
        """The same events under other weights, of both sides."""
        truth = None if self.truth is None else self.truth.with_weights(data)
        return Pair(self.simulation.with_weights(simulation), self.data.with_weights(data), truth)

    def _check(self, truth: Sample) -> None:
        if truth.z_columns != self.simulation.z_columns:
            known, given = (", ".join(column.label for column in sample.z_columns) or "nothing"
                            for sample in (self.simulation, truth))  # fmt: skip
            raise DataError(f"the truth of data must be {known}, as in simulation, got {given}")
        same = len(truth) == len(self.data) and np.array_equal(truth.w, self.data.w)
        if not (same and np.array_equal(truth.x, self.data.x)):
            raise DataError("the truth of data must be that of the same events in the same order")


TransportFunction = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class TransportTask:
    """Learn from `train` a map of simulated events that makes them look like data, test it on
    independent pairs; one of them is `nominal`.

    `controls` are further training pairs: control regions of the same feature with other spectra,
    or the objects (jets) that its events are made of. `closed_forms` holds, by the name of a test,
    the monotone map x (n,) → x' (n,) that is right for its spectrum, where it is known. `files`
    maps the sources to their sha256.
    Raises ConfigurationError without `nominal`, DataError for less than 100 usable events.
    """

    train: Pair
    tests: Mapping[str, Pair]
    closed_forms: Mapping[str, TransportFunction] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    controls: Mapping[str, Pair] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_nominal(self.tests)
        for name, pair in {"training": self.train, **self.controls, **self.tests}.items():
            _require_events(f"the simulation of the {name} sample", pair.simulation)
            _require_events(f"the data of the {name} sample", pair.data)

    def hidden(self) -> TransportTask:
        """The task as a method sees it: without the truth of data."""
        tests, controls = (
            {name: pair.hidden() for name, pair in pairs.items()}
            for pairs in (self.tests, self.controls)
        )
        return replace(self, train=self.train.hidden(), tests=tests, controls=controls)


@dataclass(frozen=True)
class Nuisance:
    """A nuisance parameter: its nominal value, the width of its Gaussian constraint (None: no
    constraint), and the range that simulation covers: scores are trained and templates filled
    between `low` and `high`."""

    name: str
    nominal: float
    width: float | None
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Point:
    """Where data lies: the strength μ, and the true values of the nuisances."""

    strength: float
    values: Mapping[str, float]

    @property
    def name(self) -> str:
        """`mu1_nuisance1.571`; of several nuisances each with its own name."""
        single = len(self.values) == 1
        parts = [f"{'nuisance' if single else k}{v:.4g}" for k, v in self.values.items()]
        return "_".join([f"mu{self.strength:.4g}", *parts])


ScoreFunction = Callable[[FloatArray, Mapping[str, "float | FloatArray"]], FloatArray]
"""x (n, d_x) and values of the nuisances, numbers or one per event, to scores (n,)."""


@dataclass(frozen=True)
class Auxiliary:
    """A Poisson measurement of the nuisances beside the events: `expected` maps values of the
    nuisances, each (k,), to expected counts (k, n_bins), smoothly."""

    expected: Callable[[Mapping[str, FloatArray]], FloatArray]
    description: str


class LabelledEvents(Protocol):
    """Simulated signal and background as a function of the nuisances."""

    def __len__(self) -> int:
        """The number of events before any cut."""
        ...

    def at(self, values: Mapping[str, float | FloatArray]) -> Sample:
        """The events at these values of nuisances, numbers or one per event (n,).

        The truth is `signal`: 1, or 0 for background; the weights of a class sum to its expected
        number at μ = 1, less what is cut; the values are spectators of the events that are left.
        """
        ...


@dataclass(frozen=True)
class InferenceTask:
    """Infer the strength μ of a signal over background under `nuisances`: learn a score from
    `train`, fill templates from the independent `test`, infer at each of `points`.

    `auxiliary` measures the nuisances too; `exact` is the best possible score where it is known,
    as the probability of signal with classes of equal weight. No analysis knows it, nor the true
    nuisances of `points` (`hidden`). `files` maps the sources to their sha256. Raises
    ConfigurationError without nuisances, DataError for a class of less than 100 nominal events.
    """

    train: LabelledEvents
    test: LabelledEvents
    nuisances: tuple[Nuisance, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()
    auxiliary: Auxiliary | None = None
    exact: ScoreFunction | None = None

    def __post_init__(self) -> None:
        if not self.nuisances:
            raise ConfigurationError("an inference task needs a nuisance: name one")
        nominal = {each.name: each.nominal for each in self.nuisances}
        for name, events in {"training": self.train, "test": self.test}.items():
            sample = events.at(nominal)
            for label, kind in enumerate(("background", "signal")):
                _require_events(f"the {kind} of the {name} sample", sample, sample.z[:, 0] == label)

    def hidden(self, seen: Collection[str] = ()) -> InferenceTask:
        """The task as a method sees it: without `points` and `exact`, but for those `seen`."""
        points = self.points if "points" in seen else ()
        return replace(self, points=points, exact=self.exact if "exact" in seen else None)


def _require_nominal(tests: Mapping[str, object]) -> None:
    if NOMINAL not in tests:
        raise ConfigurationError(f"a task needs a test sample '{NOMINAL}': {list(tests)}")


def _require_events(what: str, sample: Sample, rows: BoolArray | slice = ALL) -> None:
    w = sample.w[rows]
    usable = int(np.count_nonzero(w))
    if usable < MINIMUM_EVENTS:
        raise DataError(
            f"{what} holds {usable} usable events (nonzero weight) of {w.size}: at least "
            f"{MINIMUM_EVENTS} are needed"
        )
