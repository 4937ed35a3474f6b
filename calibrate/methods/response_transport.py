"""Response transport: carry the response of the simulation to that of data, not its spectrum.

In simulation z is known. With the residual r = x - z (x/z - 1 where z is positive by nature),
    x' = z + o + φ(r)        (z·(1 + o + φ(r))),
with a constant offset o and one rising φ, φ(0) = 0, that holds at all z: a scale s (φ = s·r), or
several straight pieces. φ and o belong to the two detectors and not to p(z), so one map serves
any spectrum. p_data(x|z) is not observed: an anchor must say what fixes it. `spectrum`: p(z) of the
simulation describes data in the training sample.

The quantiles Q'_k of transported simulation are fitted to data's Q_k at levels u_k. With f_k data's
density at Q_k, e_k = f_k(Q'_k - Q_k) fluctuates as a Brownian bridge, whose increments are
independent: χ² = n Σ (e_k - e_{k-1})²/(u_k - u_{k-1}) with 1/n = 1/n_simulation + 1/n_data.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import scipy.optimize

from calibrate.checks import choice, positive_integer
from calibrate.context import Context
from calibrate.errors import ConfigurationError, FitError, MisfitError
from calibrate.estimate import Domain, State
from calibrate.methods.monotone import Distribution
from calibrate.records import FitSummary
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import weighted_quantile
from calibrate.task import Pair, TransportTask

ANCHORS = ("spectrum",)
LEVELS = 40
STEP = 0.05
EVALUATIONS = 50
FLAT = 0.5
"""A direction whose error exceeds this (in widths of the response, or in the logarithm of its
scale) is not determined by the data."""
ONE_SIGMA = (0.15865525393145707, 0.5, 0.8413447460685429)


@dataclass(frozen=True)
class ResponseTransport:
    """Offset and shape of the response, anchored at the spectrum of the training sample.

    `anchor` has to be named; `pieces` is the number of straight pieces of φ, 1 for a scale.
    Raises ConfigurationError for values out of range.
    """

    anchor: str | None = None
    pieces: int = 1
    tasks: ClassVar[tuple[str, ...]] = ("transport",)

    def __post_init__(self) -> None:
        positive_integer("method.pieces", self.pieces)
        if self.anchor is not None:
            choice("method.anchor", self.anchor, ANCHORS)

    def fit(self, task: TransportTask, context: Context) -> ResponseMap:
        """The map of the training pair.

        Raises ConfigurationError without an anchor, MisfitError for several features or truths,
        FitError for a direction that the data do not determine.
        """
        if self.anchor is None:
            raise ConfigurationError(
                "method=response_transport needs an anchor, since the response of data is not "
                "observed: method.anchor=spectrum, if p(z) of the simulation describes data in the "
                "training sample"
            )
        start, pair = time.perf_counter(), task.train
        _require_one_of_each(pair)
        problem = _Problem.of(pair, self.pieces)
        solved = _solved(problem, _first(pair, self.pieces))
        condition, error = _curvature(problem.jacobian(solved.x), problem.names())
        fitted = problem.map_of(solved.x)
        summary = FitSummary(
            seconds=time.perf_counter() - start,
            steps=int(solved.nfev),
            loss=2 * float(solved.cost),
            notes=(
                f"offset {fitted.offset:.4g}, slopes of the response "
                f"{', '.join(f'{s:.4g}' for s in fitted.slopes)}; condition number of the Hessian "
                f"{condition:.3g}, largest error {error:.2g} (widths of the response)",
                "universal under the anchor 'spectrum': p(z) of the simulation describes data in "
                "the training sample, and the responses differ by one map of the residual for all "
                "z; a modelling error of p(z) goes into the map. Without an anchor the marginals "
                "alone do not determine the response",
            ),
        )
        return fitted.with_summary(summary)


@dataclass(frozen=True)
class ResponseMap:
    """x' = z + o + φ(r), or z·(1 + o + φ(r)) if `relative`; φ has `slopes` (k,) between the
    rising `breaks` (k - 1,) of r, and φ(0) = 0."""

    domain: Domain
    offset: float
    slopes: FloatArray
    breaks: FloatArray
    relative: bool
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "response_map"
    uses_truth: ClassVar[bool] = True

    def transport(self, x: FloatArray, z: FloatArray) -> FloatArray:
        """x' (n, 1) of x (n, 1) and z (n, 1)."""
        x, z = self.domain.checked(x), np.asarray(z, np.float64).reshape(len(x), -1)
        if self.relative:
            return np.asarray(z * (1 + self.offset + self.shape(x / z - 1)))
        return np.asarray(z + self.offset + self.shape(x - z))

    def shape(self, r: FloatArray) -> FloatArray:
        """φ(r), of any shape."""
        jumps = (self.slopes[:-1] - self.slopes[1:]) * self.breaks
        intercepts = np.append(0.0, np.cumsum(jumps))
        at_zero = intercepts[np.searchsorted(self.breaks, 0.0)]
        piece = np.searchsorted(self.breaks, r)
        return np.asarray(self.slopes[piece] * r + intercepts[piece] - at_zero)

    def with_summary(self, summary: FitSummary) -> ResponseMap:
        """The same map with the story of its fit."""
        return ResponseMap(
            self.domain, self.offset, self.slopes, self.breaks, self.relative, summary
        )

    def state(self) -> State:
        """Domain, offset, slopes, breaks and whether r is relative."""
        return {
            "domain": self.domain.state(),
            "offset": self.offset,
            "slopes": self.slopes,
            "breaks": self.breaks,
            "relative": self.relative,
        }

    @classmethod
    def from_state(cls, state: State) -> ResponseMap:
        """Rebuild from `state`."""
        slopes, breaks = (np.asarray(state[name], np.float64) for name in ("slopes", "breaks"))
        domain = Domain.from_state(state["domain"])
        return cls(domain, float(state["offset"]), slopes, breaks, bool(state["relative"]))


@dataclass(frozen=True)
class _Problem:
    """The fit: parameters θ = (o in widths of the response, log slopes)."""

    simulation: Sample
    domain: Domain
    breaks: FloatArray
    width: float
    relative: bool
    level: FloatArray
    wanted: FloatArray
    density: FloatArray
    events: float

    @classmethod
    def of(cls, pair: Pair, pieces: int) -> _Problem:
        s, d = pair.simulation, pair.data
        relative = s.x_columns[0].positive and s.z_columns[0].positive
        x, z = s.x[:, 0], s.z[:, 0]
        r = x / z - 1 if relative else x - z
        low, _, high = weighted_quantile(r, s.w, ONE_SIGMA)
        inner = np.linspace(0, 1, pieces + 1)[1:-1]
        breaks = weighted_quantile(r, s.w, inner) if inner.size else np.empty(0)
        edges = np.linspace(0, 1, LEVELS + 1)
        wanted = _quantiles(d.x[:, 0], d.w, edges[1:-1])
        beyond = _quantiles(d.x[:, 0], d.w, np.array([0.5, LEVELS - 0.5]) / LEVELS)
        spread = np.concatenate([[beyond[0]], wanted, [beyond[1]]])
        share = np.full(LEVELS - 1, 2.0 / LEVELS)
        share[[0, -1]] = 1.5 / LEVELS
        density = share / (spread[2:] - spread[:-2])
        events = 1 / (1 / s.effective_size + 1 / d.effective_size)
        domain, half = Domain.of(s), float(high - low) / 2
        return cls(s, domain, breaks, half, relative, edges[1:-1], wanted, density, events)

    def names(self) -> list[str]:
        """What the parameters are called in messages."""
        return ["the offset", *(f"slope {i + 1}" for i in range(self.breaks.size + 1))]

    def map_of(self, theta: FloatArray) -> ResponseMap:
        """The map of parameters θ."""
        offset, slopes = float(theta[0]) * self.width, np.exp(theta[1:])
        return ResponseMap(self.domain, offset, slopes, self.breaks, self.relative)

    def residuals(self, theta: FloatArray) -> FloatArray:
        """The increments of the bridge, each of variance 1 if the map is right."""
        moved = self.map_of(theta).transport(self.simulation.x, self.simulation.z)[:, 0]
        found = _quantiles(moved, self.simulation.w, self.level)
        bridge = np.concatenate([[0.0], self.density * (found - self.wanted), [0.0]])
        return np.asarray(np.sqrt(self.events * LEVELS) * np.diff(bridge))

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """Central differences (levels, parameters), wide enough to average over events."""
        return _central(self.residuals, theta)


def _first(pair: Pair, pieces: int) -> FloatArray:
    """Where a fit starts: at the untouched response, or at the best scale for several pieces."""
    if pieces == 1:
        return np.zeros(2)
    offset, scale = _solved(_Problem.of(pair, 1), np.zeros(2)).x
    return np.append(offset, np.full(pieces, scale))


def _solved(problem: _Problem, first: FloatArray) -> Any:  # noqa: ANN401 - SciPy's result
    """The least-squares solution from a start; FitError if it does not converge."""
    solved = scipy.optimize.least_squares(
        problem.residuals, first, jac=problem.jacobian, x_scale=1.0, max_nfev=EVALUATIONS
    )
    if not solved.success:
        raise FitError(f"the fit of the response did not converge: {solved.message}")
    return solved


def _central(function: Callable[[FloatArray], FloatArray], theta: FloatArray) -> FloatArray:
    steps = STEP * np.eye(theta.size)
    columns = [(function(theta + h) - function(theta - h)) / (2 * STEP) for h in steps]
    return np.column_stack(columns)


def _quantiles(values: FloatArray, w: FloatArray, level: FloatArray) -> FloatArray:
    """Quantiles with a straight line between points, so that they move smoothly with a map."""
    found = Distribution.of(values, w)
    return np.interp(level, found.level, found.values)


def _curvature(jacobian: FloatArray, names: list[str]) -> tuple[float, float]:
    """Condition number of JᵀJ, and the error along its flattest direction.

    Raises FitError if that direction is not determined.
    """
    eigenvalues, vectors = np.linalg.eigh(jacobian.T @ jacobian)
    error = float(1 / np.sqrt(max(eigenvalues[0], 1e-300)))
    condition = float(eigenvalues[-1] / max(eigenvalues[0], 1e-300))
    if error > FLAT:
        share = zip(vectors[:, 0], names, strict=True)
        mixture = ", ".join(f"{weight:+.2f}·{name}" for weight, name in share)
        raise FitError(
            f"the data do not determine the response: the direction {mixture} has an error of "
            f"{error:.2g} (at most {FLAT}; condition number {condition:.3g}): use fewer "
            "method.pieces, more events, or a training spectrum with more structure"
        )
    return condition, error


def _require_one_of_each(pair: Pair) -> None:
    x, z = pair.simulation.x_columns, pair.simulation.z_columns
    if len(x) != 1 or len(z) != 1:
        raise MisfitError(
            "method=response_transport needs one feature and the one truth that it measures, got "
            f"{[c.name for c in x]} and {[c.name for c in z]}"
        )
