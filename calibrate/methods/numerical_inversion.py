"""Numerical inversion: the central value of x given z, inverted.

g(z) = central value of x given z, ẑ = g⁻¹(x) (arXiv:1609.05195; arXiv:2205.05084, Eq. 10, 11).
p(x|z) does not know the spectrum, nor does ẑ. With further features θ (η, mass …) a network learns
g(z, θ), inverted at each event's θ (`generalised_inversion`). Not exactly unbiased where g is
curved: b(z) ≈ -½ g''(z)/g'(z)³ · Var(x given z).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from calibrate.checks import choice, layer_sizes, positive_integer
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError
from calibrate.estimate import Domain, Estimate, State
from calibrate.methods.generalised_inversion import GeneralisedInversion, fit_generalised
from calibrate.methods.response_curve import (
    Points,
    ResponseCurve,
    polynomial,
    smoothing_spline,
)
from calibrate.methods.response_network import ResponseSettings
from calibrate.nn.networks import ACTIVATIONS
from calibrate.records import FitSummary
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import bin_index, binned_sum, equal_statistics_edges, summarise
from calibrate.task import RegressionTask

CENTRES = ("mean", "median", "mode")
SPLINE, POLYNOMIAL, NETWORK = SHAPES = ("spline", "polynomial", "network")
BEYOND = ("linear", "clamp", "raise")
FEWEST_BINS, EVENTS_PER_BIN = 5, 50.0
SHARE = 0.3
"""Of the mean effective size of a bin, that the smallest may have: weights vary with z."""


@dataclass(frozen=True)
class NumericalInversion:
    """Hyperparameters of numerical inversion, for one truth column.

    `centre` of x given z: `mean`, `median`, or `mode` (truncated Gaussian fit, ±1.5σ). `shape`: a
    smoothing `spline`, or a `polynomial` of `degree` in log z, through `bins` of equal effective
    statistics, which use the feature that measures z and no other; or a `network` of z and all
    other features with `hidden` layers and at most `steps` of its minimiser. None: a spline for
    one feature, a network for several. `outside` the fitted range ẑ goes on `linear`, is
    `clamp`ed, or the estimate `raise`s. Raises ConfigurationError for values out of range.
    """

    centre: str = "mean"
    shape: str | None = None
    bins: int = 20
    degree: int = 3
    hidden: Sequence[int] = (16, 16)
    activation: str = "silu"
    steps: int = 150
    outside: str = "linear"

    def __post_init__(self) -> None:
        choice("method.centre", self.centre, CENTRES)
        if self.shape is not None:
            choice("method.shape", self.shape, SHAPES)
        choice("method.outside", self.outside, BEYOND)
        choice("method.activation", self.activation, tuple(ACTIVATIONS))
        layer_sizes("method.hidden", self.hidden)
        for option in ("bins", "degree", "steps"):
            positive_integer(f"method.{option}", getattr(self, option))
        if self.bins < FEWEST_BINS:
            raise ConfigurationError(f"method.bins must be at least {FEWEST_BINS}: {self.bins}")

    def fit(
        self, task: RegressionTask, context: Context
    ) -> InvertedResponse | GeneralisedInversion:
        """Fit the training sample.

        Raises ConfigurationError for several truths, DataError for negative weights with median or
        mode, FitError if the response cannot be inverted.
        """
        sample = task.train.take(task.train.w != 0)
        if sample.z.shape[1] != 1:
            raise ConfigurationError(
                f"numerical inversion needs one truth column, got "
                f"{', '.join(column.name for column in sample.z_columns)}: choose one of them"
            )
        (feature,) = task.measuring_features()
        edges, several = self._edges(sample), sample.x.shape[1] > 1
        if self.shape == NETWORK or (self.shape is None and several):
            hidden = layer_sizes("method.hidden", self.hidden)
            settings = ResponseSettings(self.centre, hidden, self.activation, self.steps)
            return fit_generalised(sample, feature, edges, settings, self.outside, context)
        return self._fit_curve(sample, feature, edges, context)

    def _fit_curve(
        self, sample: Sample, feature: int, edges: FloatArray, context: Context
    ) -> InvertedResponse:
        """The spline or polynomial of the feature of that number."""
        start = time.perf_counter()
        points = self._points(sample, sample.x[:, feature], edges, context)
        low, high = float(edges[0]), float(edges[-1])
        if self.shape == POLYNOMIAL:
            curve, note = polynomial(points, self.degree, low, high), ""
        else:
            curve, note = smoothing_spline(points, low, high)
        notes = [f"{self.centre} of x in {points.t.size} bins of z from {low:.4g} to {high:.4g}"]
        notes += [note] if note else []
        unused = [c.name for i, c in enumerate(sample.x_columns) if i != feature]
        if unused:
            name = sample.x_columns[feature].name
            notes.append(f"a {self.shape} of {name} alone: {', '.join(unused)} not used")
        summary = FitSummary(seconds=time.perf_counter() - start, steps=1, notes=tuple(notes))
        return InvertedResponse(Domain.of(sample), feature, curve, self.outside, summary)

    def _edges(self, sample: Sample) -> FloatArray:
        """Bins of z of equal effective statistics; DataError if the events are too few."""
        size = sample.effective_size
        bins = int(np.clip(size // EVENTS_PER_BIN, FEWEST_BINS + 2, self.bins))
        z, least = sample.z[:, 0], SHARE * size / bins
        edges = equal_statistics_edges(z, sample.w, sample.group, bins, least)
        if edges.size - 1 < FEWEST_BINS:
            raise DataError(
                f"{size:.0f} effective events fill {edges.size - 1} bins of z: numerical inversion "
                f"needs {FEWEST_BINS}"
            )
        return edges

    def _points(self, sample: Sample, x: FloatArray, edges: FloatArray, context: Context) -> Points:
        """The central response in bins of z."""
        z, w = sample.z[:, 0], sample.w
        relative = sample.z_columns[0].positive
        index, number = bin_index(z, edges), edges.size - 1
        u = x / z if relative else x - z
        found = summarise(u, w, index, number, sample.groups, mode=self.centre == "mode")
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
        return Points(centre[usable], response[usable], error[usable], width[usable], relative)


@dataclass(frozen=True)
class InvertedResponse:
    """ẑ = g⁻¹(x), and Σ(x) = spread of x at ẑ over g'(ẑ); x is the feature of number `feature`.

    Noise takes x beyond the ends of g within the training sample, too: there ẑ follows the
    straight continuation, and lies inside the range as long as x does.
    """

    domain: Domain
    feature: int
    curve: ResponseCurve
    outside: str
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "numerical_inversion"
    closed_form: ClassVar[str] = "maximum_likelihood"

    def estimate(self, x: FloatArray) -> Estimate:
        """ẑ and its variance for x (n, d_x).

        Raises DataError beyond the range of g if `outside` is `raise`.
        """
        x = self.domain.checked(x)
        value = x[:, self.feature]
        covered = self.curve.covers(value)
        beyond = int(np.count_nonzero(~covered))
        if beyond and self.outside == "raise":
            low, high = self.curve.g[0], self.curve.g[-1]
            raise DataError(
                f"{beyond} of {len(x)} values of {self.domain.x_columns[self.feature].name} lie "
                f"outside {low:.4g} to {high:.4g}, where the response was fitted: use "
                "method.outside=linear or clamp"
            )
        z, inside = self.curve.inverse(value), self.domain.inside(x)
        if self.outside == "clamp":
            z, inside = np.clip(z, self.curve.z[0], self.curve.z[-1]), inside & covered
        sigma = np.interp(z, self.curve.z, self.curve.resolution)
        return Estimate(z[:, None], sigma[:, None, None] ** 2, inside)

    def state(self) -> State:
        """Everything but the summary of the fit."""
        return {
            "domain": self.domain.state(),
            "feature": self.feature,
            "curve": self.curve.state(),
            "outside": self.outside,
        }

    @classmethod
    def from_state(cls, state: State) -> InvertedResponse:
        """Rebuild from `state`."""
        curve = ResponseCurve(**state["curve"])
        domain, feature = Domain.from_state(state["domain"]), int(state["feature"])
        return cls(domain, feature, curve, str(state["outside"]))
