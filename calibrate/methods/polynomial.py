"""A polynomial in several features, fitted by weighted least squares."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from calibrate.coordinates import Coordinates
from calibrate.estimate import Domain, Estimate, State
from calibrate.methods.residuals import ResidualCovariance
from calibrate.records import FitSummary
from calibrate.sample import FloatArray, IntArray, Sample


@dataclass(frozen=True)
class Polynomial:
    """A fitted polynomial with coefficients (monomials, d_z) in standardised features."""

    domain: Domain
    coordinates: Coordinates
    powers: IntArray
    coefficients: FloatArray
    residuals: ResidualCovariance
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "mse_polynomial"
    closed_form: ClassVar[str] = "posterior_mean"

    def estimate(self, x: FloatArray) -> Estimate:
        """f(x) and the spread of z about it, for x (n, d_x)."""
        x = self.domain.checked(x)
        z = _design(self.coordinates.forward(x), self.powers) @ self.coefficients
        return Estimate(z, self.residuals.at(z), self.domain.inside(x))

    def state(self) -> State:
        """Everything but the summary of the fit."""
        return {
            "domain": self.domain.state(),
            "coordinates": self.coordinates.state(),
            "powers": self.powers,
            "coefficients": self.coefficients,
            "residuals": self.residuals.state(),
        }

    @classmethod
    def from_state(cls, state: State) -> Polynomial:
        """Rebuild from `state`."""
        return cls(
            Domain.from_state(state["domain"]),
            Coordinates.from_state(state["coordinates"]),
            state["powers"],
            state["coefficients"],
            ResidualCovariance(**state["residuals"]),
        )


def fit_polynomial(sample: Sample, degree: int) -> Polynomial:
    """f(x) = Σ c_α x^α over all monomials up to `degree` with the least Σw|z - f(x)|².

    Solved in closed form from the normal equations in standardised features, in which negative
    weights are exact.
    """
    start = time.perf_counter()
    coordinates = Coordinates.of(sample.x, sample.w, sample.x_columns, logarithms=False)
    powers = monomials(sample.x.shape[1], degree)
    design = _design(coordinates.forward(sample.x), powers)
    weighted = (design * (sample.w / np.mean(sample.w))[:, None]).T
    coefficients = np.linalg.lstsq(weighted @ design, weighted @ sample.z)[0]
    residuals = ResidualCovariance.of(sample, design @ coefficients)
    summary = FitSummary(seconds=time.perf_counter() - start, steps=1)
    domain = Domain.of(sample)
    return Polynomial(domain, coordinates, powers, coefficients, residuals, summary)


def monomials(features: int, degree: int) -> IntArray:
    """Exponents (monomials, features) of all monomials of total degree 0 … degree."""
    rows = [
        [combination.count(feature) for feature in range(features)]
        for total in range(degree + 1)
        for combination in itertools.combinations_with_replacement(range(features), total)
    ]
    return np.array(rows, dtype=np.int64)


def _design(t: FloatArray, powers: IntArray) -> FloatArray:
    """The monomials (n, monomials) of t (n, features)."""
    return np.asarray(np.prod(t[:, None, :] ** powers[None, :, :], axis=2))
