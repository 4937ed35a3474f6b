"""The Gaussian example of arXiv:2205.05084, Sec. III D: everything is known in closed form.

z ~ N(μ, σ²), x given z ~ N(z, ε²). The posterior mean is f(x) = (ε²μ + σ²x)/(ε²+σ²) with
Σ(x) = εσ/√(ε²+σ²), bias ε²/(σ²+ε²)·(μ-z) and resolution σ²ε/(ε²+σ²) (Eq. 30, 32, 39, 40);
maximum likelihood gives f(x) = x, Σ = ε, no bias (Eq. 31, 33, 41, 13).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from calibrate.checks import finite_number, positive_integer, positive_number
from calibrate.context import Context
from calibrate.sample import Column, FloatArray, Sample
from calibrate.task import ClosedForm, RegressionTask

TEST_FACTOR = 10
X = (Column("x"),)
Z = (Column("z"),)


@dataclass(frozen=True)
class Gaussian:
    """Toy events: prior N(mu, sigma²), Gaussian response of width epsilon.

    `n` events to train with; each test sample is independent and ten times as large:
    `nominal`, `shifted` (prior mean `mu_test`) and `wide` (prior width 2σ).
    Raises ConfigurationError for widths that are not positive or n that is no positive integer.
    """

    mu: float = 0.0
    sigma: float = 1.0
    epsilon: float = 2.0
    n: int = 20000
    mu_test: float = 2.0

    def __post_init__(self) -> None:
        finite_number("data.mu", self.mu)
        finite_number("data.mu_test", self.mu_test)
        positive_number("data.sigma", self.sigma)
        positive_number("data.epsilon", self.epsilon)
        positive_integer("data.n", self.n)

    def regression(self, context: Context) -> RegressionTask:
        """z from x, with the closed forms for `posterior_mean` and `maximum_likelihood`."""
        context = context.child("data")
        train = self._draw(context.stream("train"), self.n, self.mu, self.sigma)
        spectra = {
            "nominal": (self.mu, self.sigma),
            "shifted": (self.mu_test, self.sigma),
            "wide": (self.mu, 2 * self.sigma),
        }
        tests = {
            name: self._draw(context.stream(name), TEST_FACTOR * self.n, *spectrum)
            for name, spectrum in spectra.items()
        }
        return RegressionTask(train, tests, ("x",), self._closed_forms())

    def _draw(self, rng: np.random.Generator, n: int, mu: float, sigma: float) -> Sample:
        z = rng.normal(mu, sigma, n)
        x = z + rng.normal(0.0, self.epsilon, n)
        return Sample(x[:, None], z[:, None], np.ones(n), X, Z)

    def _closed_forms(self) -> dict[str, ClosedForm]:
        mu, variance, noise = self.mu, self.sigma**2, self.epsilon**2
        total = variance + noise
        posterior = ClosedForm(
            estimate=lambda x: (noise * mu + variance * x) / total,
            point_resolution=lambda x: np.full_like(x, math.sqrt(noise * variance / total)),
            bias=lambda z: noise / total * (mu - z),
            resolution=lambda z: np.full_like(z, variance * self.epsilon / total),
        )
        likelihood = ClosedForm(
            estimate=lambda x: x,
            point_resolution=lambda x: np.full_like(x, self.epsilon),
            bias=_zero,
            resolution=lambda z: np.full_like(z, self.epsilon),
        )
        return {"posterior_mean": posterior, "maximum_likelihood": likelihood, "none": likelihood}


def _zero(z: FloatArray) -> FloatArray:
    return np.zeros_like(z)
