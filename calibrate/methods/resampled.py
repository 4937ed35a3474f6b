"""An ensemble: K fits of any regressor, each to a resample of the training sample.

Seed: the frequentist check of arXiv:2003.11099 (Sec. 4, Fig. 7). The estimate is the mean of the
members, ẑ = Σẑ_k/K, at each x. With s² = Σ(ẑ_k - ẑ)²/(K - 1):

* `bootstrap`: every member has the whole sample under Poisson(1) counts per group. A member then
  scatters about the fit to the sample as that does about the truth, so that s is σ_pred of a fit
  to the whole sample. Averaging does not reduce it: all members share the sample. s also holds
  the scatter τ of the training itself (initialisation, shuffles), of which the mean keeps τ²/K
  only: s is an upper limit of the mean's error, by τ²(1 - 1/K) in quadrature.
* `parts`: the sample is cut into K disjoint parts, whose members are independent. The variance of
  their mean is that of one over K, whatever the method: its error is s/√K. s itself is σ_pred of
  *one* fit to N/K events (the seed's set of networks on independent samples). What is averaged out
  is scatter, not bias: a member knows N/K events only.

Σ(x) is the mean of the members' σ_stoch² (Σ² where a method does not tell it apart) plus the
square of the statistical error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from calibrate.checks import choice, positive_integer
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError
from calibrate.estimate import Calibration, Domain, Estimate, State
from calibrate.methods.ensemble import FEWEST, bootstrap_tasks, successful
from calibrate.methods.mse import MSE
from calibrate.methods.scatter import Scatter, deviation
from calibrate.methods.together import Request, fit_together, in_words
from calibrate.protocols import Regressor
from calibrate.records import FitSummary
from calibrate.sample import MINIMUM_EVENTS, FloatArray, Sample
from calibrate.task import RegressionTask

BOOTSTRAP, PARTS = SAMPLES = ("bootstrap", "parts")


@dataclass(frozen=True)
class ResampledEnsemble:
    """`members` fits of the method `base` (None: a mean-squared-error network with its defaults) to
    `bootstrap` replicas of the training sample or to disjoint `parts` of it.

    Raises ConfigurationError for fewer than two members, and for a base that is no method.
    """

    base: Regressor | None = None
    members: int = 40
    samples: str = BOOTSTRAP
    evaluators: ClassVar[tuple[str, ...]] = ("uncertainty",)

    def __post_init__(self) -> None:
        if self.base is not None and not hasattr(self.base, "fit"):
            raise ConfigurationError(f"method.base names a method to be fitted, got {self.base!r}")
        positive_integer("method.members", self.members)
        if self.members < FEWEST:
            raise ConfigurationError("method.members must be at least 2 for a spread, got 1")
        choice("method.samples", self.samples, SAMPLES)

    def fit(self, task: RegressionTask, context: Context) -> AveragedEnsemble:
        """Fit all members; networks side by side.

        Raises DataError for parts that are too small, FitError if fewer than two fits succeed.
        """
        base = self.base or MSE()
        requests = [
            Request(base, each, context.child(f"member{k}"))
            for k, each in enumerate(self._tasks(task, context))
        ]
        fits, failed = successful(fit_together(requests), f"members ({self.samples})")
        resampled = "bootstrap replicas" if self.samples == BOOTSTRAP else "disjoint parts"
        notes = [f"mean of {len(fits)} members, fitted to {resampled} of {len(task.train)} events",
                 in_words(base, self.members)]  # fmt: skip
        notes += [f"{failed} more members failed"] if failed else []
        fitted = AveragedEnsemble(Domain.of(task.train), fits, self.samples == PARTS)
        return replace(fitted, summary=_summary(fits, notes))

    def _tasks(self, task: RegressionTask, context: Context) -> list[RegressionTask]:
        if self.samples == BOOTSTRAP:
            return bootstrap_tasks(task, self.members, context.sequence("samples"))
        return [replace(task, train=part) for part in self._parts(task.train, context)]

    def _parts(self, train: Sample, context: Context) -> list[Sample]:
        """Disjoint parts of the groups of events, at random, as equal as can be."""
        groups = train.groups
        if groups.number < MINIMUM_EVENTS * self.members:
            raise DataError(
                f"method.samples=parts cuts {groups.number} events into {self.members} parts: at "
                f"least {MINIMUM_EVENTS} are needed in each; use fewer members, or bootstrap"
            )
        order = context.stream("samples").permutation(groups.number)
        part = np.empty(groups.number, dtype=np.int64)
        part[order] = np.arange(groups.number) % self.members
        return [train.take(part[groups.row] == k) for k in range(self.members)]


@dataclass(frozen=True)
class AveragedEnsemble:
    """The mean of calibrations, fitted to disjoint parts or to overlapping samples."""

    domain: Domain
    members: tuple[Calibration, ...]
    disjoint: bool
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "averaged_ensemble"

    @property
    def closed_form(self) -> str:
        """That of the members."""
        return self.members[0].closed_form

    def estimate(self, x: FloatArray) -> Estimate:
        """Mean, Σ, statistical error and, where the members have a Σ, σ_stoch, for x (n, d_x)."""
        x = self.domain.checked(x)
        first = self.members[0].estimate(x)
        scatter, inherent = Scatter(first.z), _stochastic(first)
        scatter.add(first.z)
        for member in self.members[1:]:
            found = member.estimate(x)
            scatter.add(found.z)
            inherent = inherent + _stochastic(found)
        error, inherent = scatter.covariance * self._averaged, inherent / len(self.members)
        known = scatter.mean, self.domain.inside(x), deviation(error)
        if first.covariance is None:
            return Estimate(known[0], None, *known[1:])
        return Estimate(known[0], inherent + error, *known[1:], deviation(inherent))

    def estimates(self, x: FloatArray) -> Iterator[FloatArray]:
        """ẑ (n, d_z) of one member after the other, for x (n, d_x); those of parts drawn towards
        the first, so that they scatter as their mean does."""
        first = self.members[0].estimate(x).z
        yield first
        for member in self.members[1:]:
            yield first + math.sqrt(self._averaged) * (member.estimate(x).z - first)

    @property
    def _averaged(self) -> float:
        """The variance of the mean over that of one member."""
        return 1 / len(self.members) if self.disjoint else 1.0

    def state(self) -> State:
        """The domain, and kind and state of every member."""
        members = [{"fitted": each.kind, "state": each.state()} for each in self.members]
        return {"domain": self.domain.state(), "disjoint": self.disjoint, "members": members}


def _stochastic(found: Estimate) -> FloatArray:
    """σ_stoch² (n, d_z, d_z) of one member: its covariance without its own σ_pred²; else 0."""
    if found.stochastic is not None:
        return np.asarray(found.stochastic[:, :, None] ** 2 * np.eye(found.z.shape[1]))
    return np.zeros(1) if found.covariance is None else found.covariance


def _summary(fits: Sequence[Calibration], notes: Sequence[str]) -> FitSummary:
    """Seconds and restarts of all members, loss and steps of their mean, the first one's curve."""
    summaries = [fit.summary for fit in fits]
    losses = [each.loss for each in summaries if each.loss is not None]
    warned = [each.warnings[0] for each in summaries if each.warnings]
    return FitSummary(
        seconds=sum(each.seconds for each in summaries),
        steps=round(np.mean([each.steps for each in summaries])),
        loss=float(np.mean(losses)) if losses else None,
        restarts=sum(each.restarts for each in summaries),
        curve=summaries[0].curve,
        notes=(*notes, *(f"a member: {note}" for note in summaries[0].notes)),
        warnings=(f"{len(warned)} of {len(fits)} members: {warned[0]}",) if warned else (),
    )
