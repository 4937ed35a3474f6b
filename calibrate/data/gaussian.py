"""The Gaussian example of arXiv:2205.05084, Sec. III D: everything is known in closed form.

z ~ N(μ, σ²), x given z ~ N(z, ε²). The posterior mean is f(x) = (ε²μ + σ²x)/(ε²+σ²) with
Σ(x) = εσ/√(ε²+σ²), bias ε²/(σ²+ε²)·(μ-z) and resolution σ²ε/(ε²+σ²) (Eq. 30, 32, 39, 40);
maximum likelihood gives f(x) = x, Σ = ε, no bias (Eq. 31, 33, 41, 13).

Simulation → data: the same prior, and a simulated detector of another width, x ~ N(z, ε_sim²).
The monotone map that is right for a prior N(μ, σ²) is αx + μ(1-α) with α = √(σ²+ε²)/√(σ²+ε_sim²)
(Eq. 43, 44): one that was derived at another μ is off by (α-1) times the difference.

A curved response, x given z ~ N(g(z), ε²) with g = z + c z²: maximum likelihood is ẑ = g⁻¹(x)
= 2x/(1 + √(1+4cx)) with Σ(x) = ε/g'(ẑ), no longer unbiased. With g' = 1 + 2cz, to order ε²:
b(z) = -½ g''/g'³ ε² = -c ε²/g'³ (next order: -15 c³ε⁴/g'⁷, smaller by 15 (cε/g'²)²) and
Σ(z) = ε/g'. The posterior mean has no closed form then. g folds at z = -1/(2c), and x beyond
g(-1/(2c)) = -1/(4c) is the central value of no z.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.checks import finite_number, positive_integer, positive_number
from calibrate.context import Context
from calibrate.errors import ConfigurationError
from calibrate.sample import BoolArray, Column, FloatArray, Sample
from calibrate.task import ClosedForm, Pair, RegressionTask, TransportFunction, TransportTask

TEST_FACTOR = 10
CLEAR_OF_FOLD = 5.0
"""Widths that the fold of a curved response is at least away from the mean of any spectrum."""
NOTEWORTHY = 1e-3
"""The share of events without a closed form above which there is a warning."""
Spectra = Mapping[str, tuple[float, float]]
Remarks = tuple[tuple[str, ...], tuple[str, ...]]
X = (Column("x"),)
Z = (Column("z"),)


@dataclass(frozen=True)
class Response:
    """The central value g(z) = z + c z² of x, and its inverse."""

    c: float

    def g(self, z: FloatArray) -> FloatArray:
        """The central value of x."""
        return z + self.c * z**2 if self.c else z

    def slope(self, z: FloatArray) -> FloatArray:
        """g'(z)."""
        return 1 + 2 * self.c * z

    def inverse(self, x: FloatArray) -> FloatArray:
        """g⁻¹(x), where g rises; NaN where g does not reach x."""
        root = np.sqrt(np.where(self.reaches(x), 1 + 4 * self.c * x, np.nan))
        return np.asarray(2 * x / (1 + root))

    def reaches(self, x: FloatArray) -> BoolArray:
        """Which x are a value of g."""
        return np.asarray(1 + 4 * self.c * x >= 0)

    def require_rising(self, spectra: Spectra) -> None:
        """Raise ConfigurationError if g folds within five widths of the mean of a spectrum."""
        if not self.c:
            return
        side, fold = math.copysign(1.0, self.c), -0.5 / self.c
        for name, (mu, sigma) in spectra.items():
            away = side * (mu - fold) / sigma
            if away < CLEAR_OF_FOLD:
                beyond, most = ("above", "at least") if side > 0 else ("below", "at most")
                raise ConfigurationError(
                    f"data.curvature={self.c:g}: x = z {self.c:+g} z² rises with z {beyond} "
                    f"{fold:g} only, {away:.2g} widths from the mean {mu:g} of the spectrum "
                    f"'{name}', and {CLEAR_OF_FOLD:g} are needed: take a mean of {most} "
                    f"{fold + side * CLEAR_OF_FOLD * sigma:g}, or less curvature"
                )

    def remarks(self, epsilon: float, mu: float, samples: Mapping[str, Sample]) -> Remarks:
        """How good the closed forms of a curved response are, as notes and warnings."""
        if not self.c:
            return (), ()
        order = 15 * (self.c * epsilon / float(self.slope(np.float64(mu))) ** 2) ** 2
        note = (
            f"curved response x = z {self.c:+g} z²: the closed forms of bias and resolution hold "
            f"to order epsilon²; the next one is {100 * order:.2g} % of the bias at z = {mu:g}"
        )
        lost = {name: float(np.mean(~self.reaches(s.x[:, 0]))) for name, s in samples.items()}
        warnings = tuple(
            f"{100 * share:.2g} % of the events of '{name}' have an x that g(z) = z {self.c:+g} z² "
            "does not reach for any z: the closed forms do not hold there; use a smaller "
            "data.epsilon, or a mean further from the fold"
            for name, share in lost.items()
            if share > NOTEWORTHY
        )
        return (note,), warnings


@dataclass(frozen=True)
class Gaussian:
    """Toy events: prior N(mu, sigma²), Gaussian response of width epsilon.

    `n` events to train with; each test sample is independent and ten times as large:
    `nominal`, `shifted` (prior mean `mu_test`) and `wide` (prior width 2σ). `epsilon` is the
    detector's width in data, `epsilon_sim` that of the simulation in transport tasks, where all
    samples hold `n` events and the tests are `nominal` and `shifted` (`mu_test`, `sigma_test`);
    `controls` lists mean and width [mu, sigma] of the priors of further training pairs.
    With `curvature` c the central value of x is z + c z².
    Raises ConfigurationError for widths that are not positive or n that is no positive integer.
    """

    mu: float = 0.0
    sigma: float = 1.0
    epsilon: float = 2.0
    n: int = 20000
    mu_test: float = 2.0
    epsilon_sim: float = 1.0
    sigma_test: float | None = None
    curvature: float = 0.0
    controls: Sequence[Sequence[float]] = ()

    def __post_init__(self) -> None:
        finite_number("data.mu", self.mu)
        finite_number("data.mu_test", self.mu_test)
        finite_number("data.curvature", self.curvature)
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
        """z from x, with the closed forms for `posterior_mean` and `maximum_likelihood`.

        Raises ConfigurationError if a curved response folds where there are events.
        """
        context = context.child("data")
        spectra = {
            "nominal": (self.mu, self.sigma),
            "shifted": (self.mu_test, self.sigma),
            "wide": (self.mu, 2 * self.sigma),
        }
        self._response.require_rising(spectra)
        train = self._draw(context.stream("train"), self.n, self.mu, self.sigma, self.epsilon)
        tests = {
            name: self._draw(context.stream(name), TEST_FACTOR * self.n, *spectrum, self.epsilon)
            for name, spectrum in spectra.items()
        }
        remarks = self._response.remarks(self.epsilon, self.mu, tests)
        return RegressionTask(train, tests, ("x",), self._closed_forms(), {}, *remarks)

    def transport(self, context: Context) -> TransportTask:
        """Simulation with response N(z, epsilon_sim²) to data with N(z, epsilon²), and the exact
        maps of both test spectra (not known for a curved response).

        Raises ConfigurationError if a curved response folds where there are events.
        """
        context = context.child("data", "transport")
        width = self.sigma if self.sigma_test is None else self.sigma_test
        spectra = {"nominal": (self.mu, self.sigma), "shifted": (self.mu_test, width)}
        self._response.require_rising(spectra)
        known = {} if self.curvature else spectra
        return TransportTask(
            self._pair(context.child("train"), *spectra["nominal"]),
            {name: self._pair(context.child(name), *each) for name, each in spectra.items()},
            {name: self._map(*each) for name, each in known.items()},
            controls={
                f"control{i}": self._pair(context.child(f"control{i}"), *each)
                for i, each in enumerate(self._controls(), 1)
            },
        )

    @property
    def _response(self) -> Response:
        return Response(self.curvature)

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
        return Pair.of(simulation, data)

    def _map(self, mu: float, sigma: float) -> TransportFunction:
        alpha = math.hypot(sigma, self.epsilon) / math.hypot(sigma, self.epsilon_sim)
        return lambda x: np.asarray(alpha * x + mu * (1 - alpha))

    def _draw(
        self, rng: np.random.Generator, n: int, mu: float, sigma: float, epsilon: float
    ) -> Sample:
        z = rng.normal(mu, sigma, n)
        x = self._response.g(z) + rng.normal(0.0, epsilon, n)
        return Sample(x[:, None], z[:, None], np.ones(n), X, Z)

    def _closed_forms(self) -> dict[str, ClosedForm]:
        response, noise = self._response, self.epsilon**2
        uncalibrated = ClosedForm(
            estimate=lambda x: x,
            point_resolution=lambda x: np.full_like(x, self.epsilon),
            bias=lambda z: response.g(z) - z,
            resolution=lambda z: np.full_like(z, self.epsilon),
        )
        likelihood = ClosedForm(
            estimate=response.inverse,
            point_resolution=lambda x: self.epsilon / response.slope(response.inverse(x)),
            bias=lambda z: 0.0 - response.c * noise / response.slope(z) ** 3,
            resolution=lambda z: self.epsilon / response.slope(z),
        )
        known = {"maximum_likelihood": likelihood, "none": uncalibrated}
        return known if self.curvature else {"posterior_mean": self._posterior_mean(), **known}

    def _posterior_mean(self) -> ClosedForm:
        mu, variance, noise = self.mu, self.sigma**2, self.epsilon**2
        total = variance + noise
        return ClosedForm(
            estimate=lambda x: (noise * mu + variance * x) / total,
            point_resolution=lambda x: np.full_like(x, math.sqrt(noise * variance / total)),
            bias=lambda z: noise / total * (mu - z),
            resolution=lambda z: np.full_like(z, variance * self.epsilon / total),
        )
