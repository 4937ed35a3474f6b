"""No calibration: the estimate is the feature that measures z, and simulation stays as it is. The
baseline of every report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, overload

import numpy as np

from calibrate.context import Context
from calibrate.estimate import UNTOUCHED, Domain, Estimate, State
from calibrate.records import FitSummary
from calibrate.sample import FloatArray
from calibrate.task import RegressionTask, TransportTask


@dataclass(frozen=True)
class Uncalibrated:
    """ẑ = the features named by the task as uncalibrated measurements, or x' = x where simulation
    is carried to data; nothing to fit."""

    tasks: ClassVar[tuple[str, ...]] = ("regression", "transport")

    @overload
    def fit(self, task: RegressionTask, context: Context) -> UncalibratedFeatures: ...

    @overload
    def fit(self, task: TransportTask, context: Context) -> UntouchedSimulation: ...

    def fit(
        self, task: RegressionTask | TransportTask, context: Context
    ) -> UncalibratedFeatures | UntouchedSimulation:
        """Pick the features; ConfigurationError if the task names one that is not there."""
        if isinstance(task, TransportTask):
            return UntouchedSimulation(Domain.of(task.train.simulation))
        return UncalibratedFeatures(Domain.of(task.train), task.measuring_features())


@dataclass(frozen=True)
class UntouchedSimulation:
    """x' = x: what data is compared with before any transport."""

    domain: Domain
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = UNTOUCHED
    uses_truth: ClassVar[bool] = False

    def transport(self, x: FloatArray, z: FloatArray) -> FloatArray:
        """x (n, d_x) as it is."""
        return self.domain.checked(x)

    def state(self) -> State:
        """The domain."""
        return {"domain": self.domain.state()}

    @classmethod
    def from_state(cls, state: State) -> UntouchedSimulation:
        """Rebuild from `state`."""
        return cls(Domain.from_state(state["domain"]))


@dataclass(frozen=True)
class UncalibratedFeatures:
    """ẑ = x[:, columns], without a quoted uncertainty."""

    domain: Domain
    columns: tuple[int, ...]
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "none"
    closed_form: ClassVar[str] = "none"

    def estimate(self, x: FloatArray) -> Estimate:
        """The chosen features of x (n, d_x); nothing was derived, so nothing lies outside."""
        x = self.domain.checked(x)
        return Estimate(x[:, list(self.columns)], None, np.ones(len(x), dtype=bool))

    def state(self) -> State:
        """Domain and column numbers."""
        return {"domain": self.domain.state(), "columns": list(self.columns)}

    @classmethod
    def from_state(cls, state: State) -> UncalibratedFeatures:
        """Rebuild from `state`."""
        return cls(Domain.from_state(state["domain"]), tuple(state["columns"]))
