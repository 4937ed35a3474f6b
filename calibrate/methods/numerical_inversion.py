"""Numerical inversion: the central value of x given z, inverted.

g(z) = central value of x given z, ẑ = g⁻¹(x) (arXiv:1609.05195; arXiv:2205.05084, Eq. 10, 11).
p(x|z) does not know the spectrum, nor does ẑ. With further features θ (η, mass …) a network
learns g(z, θ), inverted at each event's θ (ATL-PHYS-PUB-2018-013). Not exactly unbiased where g
is curved: b(z) ≈ -½ g''(z)/g'(z)³ · Var(x given z).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from calibrate.checks import choice, positive_integer
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError
from calibrate.estimate import Domain, Estimate, State
from calibrate.methods.response_curve import (
    Points,
    ResponseCurve,
    polynomial,
    smoothing_spline,
)
from calibrate.records import FitSummary
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import Poisson, bin_index, binned_sum, equal_statistics_edges, summarise
from calibrate.task import RegressionTask

CENTRES = ("mean", "median", "mode")
SHAPES = ("spline", "polynomial")
BEYOND = ("linear", "clamp", "raise")
REPLICAS = 50
FEWEST_BINS, EVENTS_PER_BIN = 5, 50.0


@dataclass(frozen=True)
class NumericalInversion:
    """Hyperparameters of numerical inversion, for one feature and one truth column.

    `centre` of x given z: `mean`, `median`, or `mode` (truncated Gaussian fit, ±1.5σ). `shape`:
    a smoothing `spline`, or a `polynomial` of `degree` in log z, through `bins` of equal
    effective statistics. `outside` the fitted range ẑ goes on `linear`, is `clamp`ed, or the
    estimate `raise`s. Raises ConfigurationError for values out of range.
    """

    centre: str = "mean"
    shape: str = "spline"
    bins: int = 20
    degree: int = 3
    outside: str = "linear"

    def __post_init__(self) -> None:
        choice("method.centre", self.centre, CENTRES)
        choice("method.shape", self.shape, SHAPES)
        choice("method.outside", self.outside, BEYOND)
        positive_integer("method.bins", self.bins)
        positive_integer("method.degree", self.degree)
        if self.bins < FEWEST_BINS:
            raise ConfigurationError(f"method.bins must be at least {FEWEST_BINS}: {self.bins}")

    def fit(self, task: RegressionTask, context: Context) -> InvertedResponse:
        """Fit the training sample.

        Raises ConfigurationError for several features or truths, DataError for negative weights
        with median or mode, FitError if the response cannot be inverted.
        """
        start = time.perf_counter()
        sample = task.train.take(task.train.w != 0)
        if sample.x.shape[1] != 1 or sample.z.shape[1] != 1:
            raise ConfigurationError(
                f"numerical inversion needs one feature and one truth column, got "
                f"{[c.name for c in sample.x_columns]} and {[c.name for c in sample.z_columns]}"
            )
        points, low, high = self._points(sample, context)
        if self.shape == "spline":
            curve, note = smoothing_spline(points, low, high)
        else:
            curve, note = polynomial(points, self.degree, low, high), ""
        notes = (f"{self.centre} of x in {points.t.size} bins of z from {low:.4g} to {high:.4g}",)
        summary = FitSummary(
            seconds=time.perf_counter() - start, steps=1, notes=notes + ((note,) if note else ())
        )
        return InvertedResponse(Domain.of(task.train), curve, self.outside, summary)

    def _points(self, sample: Sample, context: Context) -> tuple[Points, float, float]:
        """The central response in bins of z, and the range of z that the bins cover."""
        x, z, w = sample.x[:, 0], sample.z[:, 0], sample.w
        relative = sample.z_columns[0].positive
        size = sample.effective_size
        bins = int(np.clip(size // EVENTS_PER_BIN, FEWEST_BINS, self.bins))
        edges = equal_statistics_edges(z, w, sample.group, bins, 0.9 * size / bins)
        if edges.size - 1 < FEWEST_BINS:
            raise DataError(
                f"{size:.0f} effective events fill {edges.size - 1} bins of z: numerical inversion "
                f"needs {FEWEST_BINS}"
            )
        index, number = bin_index(z, edges), edges.size - 1
        u = x / z if relative else x - z
        poisson = Poisson(sample.groups, REPLICAS, context.sequence("bootstrap"))
        found = summarise(u, w, index, number, poisson, mode=self.centre == "mode")
        response, error = getattr(found, self.centre), getattr(found, f"{self.centre}_error")
        usable = np.isfinite(response) & (error > 0)
        if usable.sum() < FEWEST_BINS:
            raise DataError(
                f"the {self.centre} of x is known in {usable.sum()} of {number} bins of z: "
                f"{FEWEST_BINS} are needed (negative weights have no median and no mode)"
            )
        t = np.log(z) if relative else z
        centre = binned_sum(w * t, index, number) / binned_sum(w, index, number)
        width = np.where(np.isfinite(found.iqr), found.iqr, found.std)
        points = Points(centre[usable], response[usable], error[usable], width[usable], relative)
        return points, float(edges[0]), float(edges[-1])


@dataclass(frozen=True)
class InvertedResponse:
    """ẑ = g⁻¹(x), and Σ(x) = spread of x at ẑ over g'(ẑ).

    Noise takes x beyond the ends of g within the training sample, too: there ẑ follows the
    straight continuation, and lies inside the range as long as x does.
    """

    domain: Domain
    curve: ResponseCurve
    outside: str
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "numerical_inversion"
    closed_form: ClassVar[str] = "maximum_likelihood"

    def estimate(self, x: FloatArray) -> Estimate:
        """ẑ and its variance for x (n, 1).

        Raises DataError beyond the range of g if `outside` is `raise`.
        """
        x = self.domain.checked(x)
        covered = self.curve.covers(x[:, 0])
        beyond = int(np.count_nonzero(~covered))
        if beyond and self.outside == "raise":
            low, high = self.curve.g[0], self.curve.g[-1]
            raise DataError(
                f"{beyond} of {len(x)} values of {self.domain.x_columns[0].name} lie outside "
                f"{low:.4g} to {high:.4g}, where the response was fitted: use "
                "method.outside=linear or clamp"
            )
        z, inside = self.curve.inverse(x[:, 0]), self.domain.inside(x)
        if self.outside == "clamp":
            z, inside = np.clip(z, self.curve.z[0], self.curve.z[-1]), inside & covered
        sigma = np.interp(z, self.curve.z, self.curve.resolution)
        return Estimate(z[:, None], sigma[:, None, None] ** 2, inside)

    def state(self) -> State:
        """Everything but the summary of the fit."""
        return {
            "domain": self.domain.state(),
            "curve": self.curve.state(),
            "outside": self.outside,
        }

    @classmethod
    def from_state(cls, state: State) -> InvertedResponse:
        """Rebuild from `state`."""
        curve = ResponseCurve(**state["curve"])
        return cls(Domain.from_state(state["domain"]), curve, str(state["outside"]))
