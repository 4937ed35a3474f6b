"""Least squares of a response map: whitened differences of shares, and what they determine.

Parameters: offsets o_0 … o_d (in widths of the response; none without an anchor for them),
logarithms of the scale s_0 … s_d, and of the slopes of φ over its middle one. The last have a prior
of width 1, neighbouring pieces of one response being alike; nothing else has one.

The inverse Hessian is the covariance of the parameters. JᵀJ of one simulated sample is biased: a
derivative of noise is noise, and its square looks like information, however flat the truth. So the
Hessian is J_aᵀJ_b with the derivatives of two independent halves of the simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.optimize

from calibrate.errors import FitError
from calibrate.estimate import Domain
from calibrate.methods.anchors import Comparison, half_width, relative, residual
from calibrate.methods.response_map import Dependence, ResponseMap
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import weighted_quantile

STEP = 0.1
EVALUATIONS, TOLERANCE = 100, 1e-5
ROUNDS = 2
"""Fits, each with the covariance of the shares at the end of the one before."""
CORE = 2.5
"""The pieces of φ meet within so many widths of the response."""
FLAT = 0.5
"""A direction whose error exceeds this (in widths of the response, or in the logarithm of its
scale) is not determined by the data."""
SURE = 2.0
"""Errors of the information along the flattest direction by which it has to be above that."""


@dataclass(frozen=True)
class Model:
    """From parameters θ to a map; `degree` of the dependence on z, `free` if offsets are fitted."""

    identity: ResponseMap
    width: float
    degree: int
    free: bool

    @classmethod
    def of(cls, simulation: Sample, spectra: Sample, pieces: int, degree: int, free: bool) -> Model:
        """Starting from the untouched simulation; `spectra` holds the z of all training pairs."""
        width = half_width(simulation)
        middle = float(weighted_quantile(residual(simulation), simulation.w, [0.5])[0])
        places = np.linspace(-1, 1, pieces - 1) if pieces > 2 else np.zeros(pieces - 1)
        breaks = middle + CORE * width * places
        dependence = Dependence.over(spectra, degree) if degree else None
        identity = ResponseMap(
            Domain.of(simulation), 0.0, np.ones(pieces), breaks, relative(simulation), dependence
        )
        return cls(identity, width, degree, free)

    @property
    def core(self) -> int:
        """The number of parameters without a prior: offsets and scales."""
        return (self.degree + 1) * (2 if self.free else 1)

    @property
    def size(self) -> int:
        """The number of parameters."""
        return self.core + self.identity.slopes.size - 1

    def names(self) -> list[str]:
        """What the parameters without a prior are called in messages."""
        terms = ["", *(f"·t^{k}" if k > 1 else "·t" for k in range(1, self.degree + 1))]
        kinds = ["the offset", "log scale"] if self.free else ["log scale"]
        return [f"{kind}{term}" for kind in kinds for term in terms]

    def map_of(self, theta: FloatArray) -> ResponseMap:
        """The map of parameters θ."""
        terms = self.degree + 1
        offsets = theta[:terms] * self.width if self.free else np.zeros(terms)
        scales, others = theta[self.core - terms : self.core], theta[self.core :]
        middle = others.size // 2
        logarithms = scales[0] + np.insert(others, middle, 0.0)
        dependence = self.identity.dependence
        if dependence is not None:
            dependence = replace(dependence, offsets=offsets[1:], scales=scales[1:])
        return replace(
            self.identity,
            offset=float(offsets[0]),
            slopes=np.exp(logarithms),
            dependence=dependence,
        )


@dataclass(frozen=True)
class Solution:
    """The fitted map, its parameters and the whitening of each comparison; χ² and degrees of
    freedom; the errors (p,) of the parameters without a prior, the condition number of their
    Hessian; the number of evaluations, and the width of the simulated response."""

    found: ResponseMap
    theta: FloatArray
    whitenings: list[FloatArray]
    chi2: float
    ndf: int
    errors: FloatArray
    condition: float
    evaluations: int
    width: float


def solve(model: Model, comparisons: Sequence[Comparison]) -> Solution:
    """Fit the model to all comparisons.

    Raises FitError without convergence and for a direction that the data do not determine.
    """
    theta, evaluations = np.zeros(model.size), 0
    for _ in range(ROUNDS):
        whitenings = [each.whitening(model.map_of(theta)) for each in comparisons]
        fitted = _minimum(model, comparisons, whitenings, theta)
        theta, evaluations = fitted.x, evaluations + int(fitted.nfev)
    halves = _halves(model, comparisons, whitenings, theta)
    errors, condition = _determined(halves, model)
    ndf = sum(len(w) for w in whitenings) - model.core
    found = model.map_of(theta)
    chi2 = 2 * float(fitted.cost)
    return Solution(
        found, theta, whitenings, chi2, ndf, errors, condition, evaluations, model.width
    )


def solve_again(model: Model, comparisons: Sequence[Comparison], near: Solution) -> ResponseMap:
    """The map of slightly other samples, from the solution nearby and with its covariances."""
    return model.map_of(_minimum(model, comparisons, near.whitenings, near.theta).x)


def _minimum(
    model: Model,
    comparisons: Sequence[Comparison],
    whitenings: Sequence[FloatArray],
    start: FloatArray,
) -> scipy.optimize.OptimizeResult:
    def residuals(theta: FloatArray) -> FloatArray:
        found = model.map_of(theta)
        parts = [w @ c.difference(found) for w, c in zip(whitenings, comparisons, strict=True)]
        return np.concatenate([*parts, theta[model.core :]])

    fitted = scipy.optimize.least_squares(
        residuals,
        start,
        jac=lambda theta: _central(residuals, theta),
        x_scale=1.0,
        max_nfev=EVALUATIONS,
        xtol=TOLERANCE,
        ftol=TOLERANCE,
    )
    if not fitted.success:
        raise FitError(f"the fit of the response did not converge: {fitted.message}")
    return fitted


Function = Callable[[FloatArray], FloatArray]


def _central(function: Function, theta: FloatArray) -> FloatArray:
    """Central differences (residuals, parameters), wide enough to average over events."""
    steps = STEP * np.eye(theta.size)
    columns = [(function(theta + h) - function(theta - h)) / (2 * STEP) for h in steps]
    return np.column_stack(columns)


def _halves(
    model: Model,
    comparisons: Sequence[Comparison],
    whitenings: Sequence[FloatArray],
    theta: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Derivatives of the whitened shares (m, p), from two halves of the simulation."""

    def both(theta: FloatArray) -> FloatArray:
        found = model.map_of(theta)
        parts = [c.halves(found) @ w.T for w, c in zip(whitenings, comparisons, strict=True)]
        return np.concatenate(parts, axis=1).reshape(-1)

    first, second = np.split(_central(both, theta), 2)
    return first, second


def _determined(halves: tuple[FloatArray, FloatArray], model: Model) -> tuple[FloatArray, float]:
    """Errors of the parameters without a prior, and the condition number of their Hessian at fixed
    shape.

    Raises FitError if a direction is not determined, at fixed shape or with a free one.
    """
    first, second = (each[:, : model.core] for each in halves)
    hessian = (first.T @ second + second.T @ first) / 2
    values, axes = np.linalg.eigh(hessian)
    flattest = axes[:, 0]
    least = values[0] - SURE * _noise(first @ flattest, second @ flattest)
    if least < FLAT**-2:
        raise FitError(_flat(flattest, least, model))
    errors = np.sqrt(np.diag(np.linalg.inv(hessian))) * _inflation(halves, model)
    worst = int(np.argmax(errors))
    if errors[worst] > FLAT:
        raise FitError(_flat(np.eye(model.core)[worst], float(errors[worst]) ** -2, model))
    return np.asarray(errors), float(values[-1] / values[0])


def _inflation(halves: tuple[FloatArray, FloatArray], model: Model) -> FloatArray:
    """By which factor (p,) a free shape enlarges the errors. From JᵀJ, which is positive definite;
    the noise in it hardly changes a ratio."""
    jacobian = (halves[0] + halves[1]) / 2
    with_prior = np.diag((np.arange(model.size) >= model.core).astype(np.float64))
    whole = np.linalg.inv(jacobian.T @ jacobian + with_prior)
    core = jacobian[:, : model.core]
    fixed = np.linalg.inv(core.T @ core)
    return np.asarray(np.sqrt(np.diag(whole)[: model.core] / np.diag(fixed)))


def _noise(one: FloatArray, other: FloatArray) -> float:
    """The error of Σ one·other (m,), two noisy copies of the same derivatives."""
    variance = float(np.sum((one - other) ** 2)) / (2 * one.size)
    signal = max(float(one @ other), 0.0)
    return float(np.sqrt(2 * variance * signal + one.size * variance**2))


def _flat(axis: FloatArray, information: float, model: Model) -> str:
    error = f"may have an error of {information**-0.5:.2g}" if information > 0 else "has no bound"
    mixture = ", ".join(
        f"{weight:+.2f}·{name}" for weight, name in zip(axis, model.names(), strict=True)
    )
    return (
        f"the data do not determine the response: the direction {mixture} {error} (at most {FLAT} "
        "widths of the response, or of the logarithm of its scale): use fewer method.pieces, no "
        "method.z_dependence, more events, a training spectrum with more structure, or "
        "method.anchor=[spectrum,balance]"
    )
