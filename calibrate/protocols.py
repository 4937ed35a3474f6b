"""The protocols that methods, datasets and evaluators fulfil, by kind of task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from calibrate.context import Context
from calibrate.estimate import Calibration, Score, TransportMap
from calibrate.records import Findings
from calibrate.task import InferenceTask, RegressionTask, TransportTask, Whole


class Regressor(Protocol):
    """A method for regression tasks: hyperparameters only, unchanged by a fit."""

    def fit(self, task: RegressionTask, context: Context) -> Calibration:
        """A fitted calibration, derived from the task's training sample."""
        ...


class RegressionDataset(Protocol):
    """A source of events that can pose a regression task."""

    def regression(self, context: Context) -> RegressionTask:
        """The events of this source as a regression task."""
        ...


class Transporter(Protocol):
    """A method for transport tasks: hyperparameters only, unchanged by a fit. It says so by its
    class attribute `tasks`, which holds `transport`."""

    tasks: ClassVar[tuple[str, ...]]

    def fit(self, task: TransportTask, context: Context) -> TransportMap:
        """A fitted map, derived from the task's training pair."""
        ...


class TransportDataset(Protocol):
    """A source of events that can pose a transport task: simulation and data."""

    def transport(self, context: Context) -> TransportTask:
        """The events of this source as a transport task."""
        ...


class Classifier(Protocol):
    """A method for inference tasks; its class attribute `tasks` holds `inference`, and `sees`, if
    it has one, what it sees of `points` and `exact` score, which no analysis knows."""

    tasks: ClassVar[tuple[str, ...]]

    def fit(self, task: InferenceTask, context: Context) -> Score:
        """A fitted score, derived from the task's training events."""
        ...


class InferenceDataset(Protocol):
    """A source of events that can pose an inference task: signal, background, nuisances."""

    def inference(self, context: Context) -> InferenceTask:
        """The events of this source as an inference task."""
        ...


@runtime_checkable
class FromFiles(Protocol):
    """A dataset whose numbers come from files: a sweep that goes on asks whether they changed."""

    def inputs(self) -> Sequence[Path]:
        """The files that are read; DataError if one is missing."""
        ...


class Refit(Protocol):
    """Fit the method of that label, or the studied one, again on another task."""

    def __call__(self, task: RegressionTask, /, label: str = ...) -> Calibration: ...


TransportRefit = Callable[[TransportTask, str], TransportMap]
"""Fit the method of that label again on another task."""


class Evaluator(Protocol):
    """Looks at fitted calibrations: the studied one first, then those it is compared with.

    `refit(task)` fits the studied method again on another task, `refit(task, label=…)` another.
    """

    def __call__(
        self, fits: Mapping[str, Calibration], task: RegressionTask, refit: Refit, context: Context
    ) -> Findings: ...


class TransportEvaluator(Protocol):
    """Looks at fitted maps; its class attribute `tasks` holds `transport`.

    `refit(task, label)` fits the method of that label again on another task.
    """

    tasks: ClassVar[tuple[str, ...]]

    def __call__(
        self,
        fits: Mapping[str, TransportMap],
        task: TransportTask,
        refit: TransportRefit,
        context: Context,
    ) -> Findings: ...


InferenceRefit = Callable[[InferenceTask, str], Score]
"""Fit the method of that label again on another task."""


class InferenceEvaluator(Protocol):
    """Looks at fitted scores; its class attribute `tasks` holds `inference`."""

    tasks: ClassVar[tuple[str, ...]]

    def __call__(
        self,
        fits: Mapping[str, Score],
        task: InferenceTask,
        refit: InferenceRefit,
        context: Context,
    ) -> Findings: ...


@runtime_checkable
class CheckingEvaluator(Protocol):
    """An evaluator that can say before any fit that a task does not have what it needs."""

    def check(self, task: Any) -> None:  # noqa: ANN401 - a task of its kind
        """Raise ConfigurationError or DataError if the task cannot be evaluated."""
        ...


@runtime_checkable
class CheckingDataset(Protocol):
    """A dataset whose options may do for one kind of task and not for another."""

    def check(self, kind: str) -> None:
        """Raise ConfigurationError if an option that this kind of task needs is not given."""
        ...


@runtime_checkable
class FileDataset(Protocol):
    """A dataset whose files can be taken one by one."""

    def files(self) -> list[tuple[Path, float]]:
        """The files, each with the factor for its weights."""
        ...

    def whole(self, context: Context) -> Whole:
        """All events, for what is not fitted to them."""
        ...
