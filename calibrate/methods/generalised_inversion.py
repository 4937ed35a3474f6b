"""Generalised numerical inversion: g(z, θ) inverted at the θ of each event.

x is the feature that measures z, θ are the others (η, mass …): g(z, θ) = central value of x given
z and θ is a network (`response_network`), and ẑ solves g(ẑ, θ) = x (ATL-PHYS-PUB-2018-013). There
a second network learns the inverse; here the equation itself is solved by bracketing, for all
events at once: exact, and some ten evaluations of g cost less than a second fit.

p(x|z, θ) = p(x, θ|z)/p(θ|z) does not know the spectrum, nor does ẑ; it closes at every θ, hence
over any mixture of them. θ should say how the detector responds, not how large z is: where θ
measures z too, x rises slowly with z at fixed θ, and the resolution S/(∂g/∂z) is worse than that
of x alone.

g is not made monotone by construction: such a network turns a response that folds into a plateau
with an inverse that means nothing. It is checked at the training events, and a fold is an error.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from scipy.optimize import elementwise

from calibrate.context import Context
from calibrate.errors import DataError, FitError
from calibrate.estimate import Domain, Estimate, State
from calibrate.methods.response_network import (
    ResponseNetwork,
    ResponseSettings,
    fit_response_network,
)
from calibrate.records import FitSummary, TrainingCurve
from calibrate.sample import BoolArray, FloatArray, IntArray, Sample
from calibrate.statistics import bin_index, binned_sum

CHUNK = 100_000
LOST = 1e-3
"""The share of the training events that may lie where g falls: as many as the range of z leaves
out at either end."""
TOLERANCE = 1e-10
"""Of the root, in z or log z."""
FLATTEST = 1e-3
"""The smallest slope of g that is inverted, in units of the mean slope."""


def fit_generalised(
    sample: Sample,
    feature: int,
    edges: FloatArray,
    settings: ResponseSettings,
    outside: str,
    context: Context,
) -> GeneralisedInversion:
    """Fit g(z, θ), x being the feature of that number, to events of nonzero weight.

    `edges` (n_b + 1,) are bins of z of equal effective statistics, which have the same say.
    Raises DataError if the weights of a bin sum to nothing, FitError if g folds or diverges.
    """
    start = time.perf_counter()
    network, done = fit_response_network(
        sample, feature, _balanced(sample, edges), settings, context
    )
    fitted = GeneralisedInversion(Domain.of(sample), feature, network, edges[[0, -1]], outside)
    warnings = _require_rising(fitted, sample)
    theta = ", ".join(fitted.theta_names) or "no further feature"
    note = (
        f"{settings.centre} of {sample.x_columns[feature].name} as a network of "
        f"{sample.z_columns[0].name} from {edges[0]:.4g} to {edges[-1]:.4g} and {theta}"
    )
    summary = FitSummary(
        seconds=time.perf_counter() - start,
        steps=len(done.loss),
        loss=float(done.loss[-1]),
        curve=TrainingCurve("", done.loss, settings.loss_name),
        notes=(note,),
        warnings=warnings,
    )
    return replace(fitted, summary=summary)


@dataclass(frozen=True)
class GeneralisedInversion:
    """ẑ with g(ẑ, θ) = x, and Σ(x, θ) = S(ẑ, θ) over ∂g/∂z.

    `z_range` (2,) is where g was fitted. Beyond it ẑ goes on straight at fixed θ, is clamped, or
    the estimate raises, as `outside` says. x is the feature of number `feature`.
    """

    domain: Domain
    feature: int
    network: ResponseNetwork
    z_range: FloatArray
    outside: str
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "generalised_inversion"
    closed_form: ClassVar[str] = "maximum_likelihood"

    @property
    def theta_names(self) -> tuple[str, ...]:
        """The features at whose values g is inverted."""
        return tuple(c.name for i, c in enumerate(self.domain.x_columns) if i != self.feature)

    def estimate(self, x: FloatArray) -> Estimate:
        """ẑ and its variance for x (n, d_x).

        θ beyond its range in training is taken at the end of it. Such events, and those at whose ẑ
        g does not rise, are marked as outside. Raises DataError beyond the range of g if `outside`
        is `raise`.
        """
        x = self.domain.checked(x)
        parts = [self._estimate(x[i : i + CHUNK]) for i in range(0, max(len(x), 1), CHUNK)]
        z, sigma, covered, rising = (np.concatenate(each) for each in zip(*parts, strict=True))
        self._refuse(covered)
        inside = self.domain.inside(x) & rising
        if self.outside == "clamp":
            z, inside = np.clip(z, *self.z_range), inside & covered
        return Estimate(z[:, None], sigma[:, None, None] ** 2, inside)

    def _estimate(self, x: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray, BoolArray]:
        """ẑ, Σ, and whether x lies between the ends of g, and g rises there."""
        value, theta = x[:, self.feature], np.delete(x, self.feature, axis=1)
        theta = np.clip(theta, *np.delete(self.domain.x_range, self.feature, axis=1))
        z, flattest = np.empty(len(x)), FLATTEST * self.network.typical_slope
        low, high = (self.network.g(np.full(len(x), end), theta) for end in self.z_range)
        below, above = value < low, value > high
        covered = ~below & ~above
        z[covered] = self._root(value[covered], theta[covered])
        for end, g, beyond in ((self.z_range[0], low, below), (self.z_range[1], high, above)):
            slope = self.network.slope(np.full(beyond.sum(), end), theta[beyond])
            z[beyond] = end + (value - g)[beyond] / np.maximum(slope, flattest)
        at = np.clip(z, *self.z_range)
        slope = self.network.slope(at, theta)
        sigma = self.network.width(at, theta) / np.maximum(slope, flattest)
        return z, sigma, covered, slope > flattest

    def _root(self, value: FloatArray, theta: FloatArray) -> FloatArray:
        """The z (n,) between the ends of the range at which g(z, θ) = value (n,)."""
        if not len(value):
            return np.empty(0)
        to_z = np.exp if self.network.relative else np.asarray
        ends = np.log(self.z_range) if self.network.relative else self.z_range

        def excess(t: FloatArray, row: FloatArray) -> FloatArray:
            rows: IntArray = row.astype(np.int64)
            return self.network.g(to_z(t), theta[rows]) - value[rows]

        bracket = tuple(np.full(len(value), end) for end in ends)
        rows = np.arange(len(value), dtype=np.float64)
        found = elementwise.find_root(
            excess, bracket, args=(rows,), tolerances={"xatol": TOLERANCE, "xrtol": 0.0}
        )
        return np.asarray(to_z(found.x))

    def _refuse(self, covered: BoolArray) -> None:
        beyond = int(np.count_nonzero(~covered))
        if beyond and self.outside == "raise":
            low, high = self.z_range
            raise DataError(
                f"{beyond} of {covered.size} values of {self.domain.x_columns[self.feature].name} "
                f"lie outside the response to {self.domain.z_columns[0].name} = {low:.4g} to "
                f"{high:.4g}, where it was fitted: use method.outside=linear or clamp"
            )

    def state(self) -> State:
        """Everything but the summary of the fit."""
        return {
            "domain": self.domain.state(),
            "feature": self.feature,
            "network": self.network.state(),
            "z_range": self.z_range,
            "outside": self.outside,
        }

    @classmethod
    def from_state(cls, state: State) -> GeneralisedInversion:
        """Rebuild from `state`."""
        return cls(
            Domain.from_state(state["domain"]),
            int(state["feature"]),
            ResponseNetwork.from_state(state["network"]),
            np.asarray(state["z_range"]),
            str(state["outside"]),
        )


def _balanced(sample: Sample, edges: FloatArray) -> FloatArray:
    """The weights (n,) such that all bins of z sum to the same; what lies beyond the outermost
    edges belongs to the bins there."""
    bins = edges.size - 1
    index = np.clip(bin_index(sample.z[:, 0], edges), 0, bins - 1)
    total = binned_sum(sample.w, index, bins)
    empty = np.flatnonzero(total <= 0)
    if empty.size:
        low, high = edges[empty[0]], edges[empty[0] + 1]
        raise DataError(
            f"the weights between {sample.z_columns[0].name} = {low:.4g} and {high:.4g} sum to "
            f"{total[empty[0]]:.3g}: a positive sum is needed; use fewer method.bins, or leave "
            "these events out"
        )
    return np.asarray(sample.w / total[index])


def _require_rising(fitted: GeneralisedInversion, sample: Sample) -> tuple[str, ...]:
    """Raise FitError if g falls with z at more than 0.1 % of the events; a warning if at fewer."""
    z, theta = sample.z[:, 0], np.delete(sample.x, fitted.feature, axis=1)
    inside = (z >= fitted.z_range[0]) & (z <= fitted.z_range[1])
    falls = inside & (fitted.network.slope(z, theta) <= 0)
    share = float(np.sum(np.abs(sample.w[falls])) / np.sum(np.abs(sample.w)))
    if not falls.any():
        return ()
    names = (sample.z_columns[0].name, *fitted.theta_names)
    where = _ranges(names, np.column_stack([z, theta])[falls])
    x = sample.x_columns[fitted.feature].name
    if share > LOST:
        raise FitError(
            f"the central value of {x} does not rise with z at {100 * share:.2g} % of the training "
            f"events, at {where}: it cannot be inverted there; select a range in which it rises, "
            "or leave out a feature that measures z itself"
        )
    return (
        f"the central value of {x} does not rise with z at {int(falls.sum())} of {len(sample)} "
        f"training events, at {where}: the estimate is not unique there",
    )


def _ranges(names: Sequence[str], values: FloatArray) -> str:
    """The ranges of columns (n, d) in words."""
    low, high = values.min(axis=0), values.max(axis=0)
    return ", ".join(f"{n} = {a:.4g} to {b:.4g}" for n, a, b in zip(names, low, high, strict=True))
