"""The Gaussian example of arXiv:2205.05084, Sec. III D: everything is known in closed form.

z ~ N(μ, σ²), x given z ~ N(z, ε²). The posterior mean is f(x) = (ε²μ + σ²x)/(ε²+σ²) with
Σ(x) = εσ/√(ε²+σ²), bias ε²/(σ²+ε²)·(μ-z) and resolution σ²ε/(ε²+σ²) (Eq. 30, 32, 39, 40);
maximum likelihood gives f(x) = x, Σ = ε, no bias (Eq. 31, 33, 41, 13).

Simulation → data: the same prior, and a simulated detector of another width, x ~ N(z, ε_sim²).
The monotone map that is right for a prior N(μ, σ²) is αx + μ(1-α) with α = √(σ²+ε²)/√(σ²+ε_sim²)
(Eq. 43, 44): one that was derived at another μ is off by (α-1) times the difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.checks import finite_number, positive_integer, positive_number
from calibrate.context import Context
from calibrate.errors import ConfigurationError
from calibrate.sample import Column, FloatArray, Sample, without_truth
from calibrate.task import ClosedForm, Pair, RegressionTask, TransportFunction, TransportTask

TEST_FACTOR = 10
X = (Column("x"),)
Z = (Column("z"),)


@dataclass(frozen=True)
class Gaussian:
    """Toy events: prior N(mu, sigma²), Gaussian response of width epsilon.

    `n` events to train with; each test sample is independent and ten times as large:
    `nominal`, `shifted` (prior mean `mu_test`) and `wide` (prior width 2σ). `epsilon` is the
    detector's width in data, `epsilon_sim` that of the simulation in transport tasks, where all
    samples hold `n` events and the tests are `nominal` and `shifted` (`mu_test`, `sigma_test`);
    `controls` lists mean and width [mu, sigma] of the priors of further training pairs.
    Raises ConfigurationError for widths that are not positive or n that is no positive integer.
    """

    mu: float = 0.0
    sigma: float = 1.0
    epsilon: float = 2.0
    n: int = 20000
    mu_test: float = 2.0
    epsilon_sim: float = 1.0
    sigma_test: float | None = None
    controls: Sequence[Sequence[float]] = ()

    def __post_init__(self) -> None:
        finite_number("data.mu", self.mu)
        finite_number("data.mu_test", self.mu_test)
        positive_number("data.sigma", self.sigma)
        positive_number("data.epsilon", self.epsilon)
        positive_number("data.epsilon_sim", self.epsilon_sim)
        if self.sigma_test is not None:
            positive_number("data.sigma_test", self.sigma_test)
        positive_integer("data.n", self.n)
        for control in self._controls():
            finite_number("the mean in data.controls", control[0])
            positive_number("the width in data.controls", control[1])

    def regression(self, context: Context) -> RegressionTask:
        """z from x, with the closed forms for `posterior_mean` and `maximum_likelihood`."""
        context = context.child("data")
        train = self._draw(context.stream("train"), self.n, self.mu, self.sigma, self.epsilon)
        spectra = {
            "nominal": (self.mu, self.sigma),
            "shifted": (self.mu_test, self.sigma),
            "wide": (self.mu, 2 * self.sigma),
        }
        tests = {
            name: self._draw(context.stream(name), TEST_FACTOR * self.n, *spectrum, self.epsilon)
            for name, spectrum in spectra.items()
        }
        return RegressionTask(train, tests, ("x",), self._closed_forms())

    def transport(self, context: Context) -> TransportTask:
        """Simulation with response N(z, epsilon_sim²) to data with N(z, epsilon²), and the exact
        maps of both test spectra."""
        context = context.child("data", "transport")
        width = self.sigma if self.sigma_test is None else self.sigma_test
        spectra = {"nominal": (self.mu, self.sigma), "shifted": (self.mu_test, width)}
        return TransportTask(
            self._pair(context.child("train"), *spectra["nominal"]),
            {name: self._pair(context.child(name), *each) for name, each in spectra.items()},
            {name: self._map(*each) for name, each in spectra.items()},
            controls={
                f"control{i}": self._pair(context.child(f"control{i}"), *each)
                for i, each in enumerate(self._controls(), 1)
            },
        )

    def _controls(self) -> list[tuple[float, float]]:
        """Mean and width of each control region; ConfigurationError if it is anything else."""
        try:
            return [(mu, sigma) for mu, sigma in self.controls]
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"data.controls takes a list of [mu, sigma], got {self.controls!r}"
            ) from error

    def _pair(self, context: Context, mu: float, sigma: float) -> Pair:
        simulation = self._draw(context.stream("simulation"), self.n, mu, sigma, self.epsilon_sim)
        data = self._draw(context.stream("data"), self.n, mu, sigma, self.epsilon)
        return Pair(simulation, without_truth(data))

    def _map(self, mu: float, sigma: float) -> TransportFunction:
        alpha = math.hypot(sigma, self.epsilon) / math.hypot(sigma, self.epsilon_sim)
        return lambda x: np.asarray(alpha * x + mu * (1 - alpha))

    def _draw(
        self, rng: np.random.Generator, n: int, mu: float, sigma: float, epsilon: float
    ) -> Sample:
        z = rng.normal(mu, sigma, n)
        x = z + rng.normal(0.0, epsilon, n)
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
