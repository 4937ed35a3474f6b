"""The statistical error of a calibration, from refits to bootstrap samples.

A calibration is a function of its training sample. Each replica is fitted to the same events
with Poisson(1) counts per group (Efron's bootstrap); at fixed x the replicas scatter by the
error that ẑ(x) has because the training sample is finite. All events of one x share it, so that
it does not average out: it is the up and down variation of the calibration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from calibrate.context import Context
from calibrate.errors import CalibrateError, FitError
from calibrate.estimate import Calibration, Domain, Estimate, State
from calibrate.methods.scatter import Scatter, deviation
from calibrate.methods.together import Fit, Request, fit_together, in_words
from calibrate.protocols import Regressor
from calibrate.records import FitSummary
from calibrate.sample import FloatArray
from calibrate.statistics import Poisson
from calibrate.task import RegressionTask

FEWEST = 2


@dataclass(frozen=True)
class Ensemble:
    """A calibration, and its replicas: ẑ and Σ are the nominal ones', `statistical` is the
    standard deviation over the replicas."""

    nominal: Calibration
    replicas: tuple[Calibration, ...]
    notes: tuple[str, ...] = ()
    kind: ClassVar[str] = "ensemble"

    @property
    def closed_form(self) -> str:
        """That of the nominal calibration."""
        return self.nominal.closed_form

    @property
    def domain(self) -> Domain:
        """That of the nominal calibration."""
        return self.nominal.domain

    @property
    def summary(self) -> FitSummary:
        """That of the nominal fit, with a note on the replicas."""
        summary = self.nominal.summary
        return replace(summary, notes=(*summary.notes, *self.notes))

    def estimate(self, x: FloatArray) -> Estimate:
        """The nominal estimate for x (n, d_x), with its statistical error."""
        found = self.nominal.estimate(x)
        scatter = Scatter(found.z)
        for z in self.estimates(x):
            scatter.add(z)
        return replace(found, statistical=deviation(scatter.covariance))

    def estimates(self, x: FloatArray) -> Iterator[FloatArray]:
        """ẑ (n, d_z) of one replica after the other, for x (n, d_x)."""
        return (replica.estimate(x).z for replica in self.replicas)

    def state(self) -> State:
        """Kind and state of the nominal calibration and of each replica."""
        members = (self.nominal, *self.replicas)
        return {"members": [{"fitted": each.kind, "state": each.state()} for each in members]}


def bootstrap_ensemble(
    nominal: Calibration,
    method: Regressor,
    task: RegressionTask,
    replicas: int,
    context: Context,
) -> Ensemble:
    """Fit `replicas` bootstrap samples of the training sample; networks side by side.

    Raises FitError if fewer than two of the fits succeed; those that fail are noted.
    """
    tasks = bootstrap_tasks(task, replicas, context.sequence("replicas"))
    found = fit_together([Request(method, each, context) for each in tasks])
    members, failed = successful(found, "bootstrap refits")
    note = f"statistical error of the calibration from {len(members)} bootstrap refits"
    note += f" ({failed} more failed)" if failed else ""
    return Ensemble(nominal, members, (f"{note}; {in_words(method, replicas)}",))


def bootstrap_tasks(
    task: RegressionTask, replicas: int, seed: np.random.SeedSequence
) -> list[RegressionTask]:
    """The task with Poisson(1) counts per group as factors of the training weights."""
    train = task.train
    counts = Poisson(train.groups, replicas, seed).each()
    return [replace(task, train=train.with_weights(train.w * each)) for each in counts]


def successful(found: Sequence[Fit], what: str) -> tuple[tuple[Calibration, ...], int]:
    """The fits that succeeded, and the number of others; FitError if fewer than two did."""
    members = tuple(each for each in found if isinstance(each, Calibration))
    errors = [each for each in found if isinstance(each, CalibrateError)]
    if len(members) < FEWEST:
        raise FitError(
            f"{len(errors)} of {len(found)} {what} failed: no statistical error; {errors[0]}"
        )
    return members, len(errors)
