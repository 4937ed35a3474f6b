"""Small binned models with known answers, the likelihood's slow twin, scores of the toy that are
known: for tests and benchmarks of likelihoods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from calibrate.data.angle import AngleScore
from calibrate.inference.contents import Axes, Constant, Contents
from calibrate.inference.likelihood import Expectation, Likelihood, Observation
from calibrate.inference.profile import Profile
from calibrate.sample import FloatArray
from calibrate.task import Auxiliary, Nuisance

EXACT = AngleScore(0.7)
"""The best score of the toy."""
SCALE = Nuisance("scale", 1.0, 0.1, low=0.5, high=1.5)
AXES = Axes({"scale": 1.0}, {"scale": np.linspace(0.5, 1.5, 11)})
SIGNAL = np.array([5.0, 20.0, 60.0])
BACKGROUND = np.array([900.0, 300.0, 80.0])
SLOPES = np.array([0.6, -0.3, 0.5])


def shifted(contents: FloatArray, slopes: FloatArray = SLOPES) -> FloatArray:
    """Contents (k, n_b) at the knots, T(Z) = T exp(slope (Z-1)): exactly what is interpolated."""
    away = AXES.knots["scale"][:, None] - 1.0
    return contents * np.exp(slopes * away)


def expectation(
    variance: float = 0.0, nuisance: Nuisance = SCALE, auxiliary: Auxiliary | None = None
) -> Expectation:
    """Three bins under one nuisance."""
    signal, background = (AXES.product(shifted(each)) for each in (SIGNAL, BACKGROUND))
    relative = np.full((2, SIGNAL.size), variance)
    return Expectation(signal, background, relative, (nuisance,), AXES.bounds, auxiliary)


def observation(counts: Contents | FloatArray, expected: Expectation) -> Observation:
    """Counts, and an auxiliary measurement as it is expected at the nominal value."""
    contents = Constant(counts) if isinstance(counts, np.ndarray) else counts
    return Observation.of(contents, expected, expected.auxiliary_counts(np.ones((1, 1)))[0][0])


def profile(
    counts: FloatArray, expected: Expectation, low: float = -1.0, high: float = 20.0
) -> Profile:
    """The profile of counts."""
    likelihood = Likelihood(expected, observation(counts, expected))
    return Profile(likelihood, np.vstack([[low, high], expected.bounds]), np.array([1.0, 1.0]))


def loop(likelihood: Likelihood, mu: FloatArray, z: FloatArray) -> FloatArray:
    """The likelihood at every μ (m,) with every z (k, d) as it is written, term by term."""
    expected, observed = likelihood.expected, likelihood.observed
    found = np.zeros((len(mu), len(z)))
    for i, strength in enumerate(mu):
        for j, values in enumerate(z):
            signal, background = (
                contents(values[None])[0][0] for contents in (expected.signal, expected.background)
            )
            counts, total = observed.counts(values[None])[0][0], 0.0
            for b, n in enumerate(counts):
                templates = background[b], strength * signal[b]
                gammas = best_gammas(templates, n, expected.variance[:, b])
                nu = sum(p * gamma for p, gamma in zip(templates, gammas, strict=True))
                total += nu - n * math.log(nu) + math.lgamma(n + 1)
                for gamma, delta2 in zip(gammas, expected.variance[:, b], strict=True):
                    total += (gamma - 1 - math.log(gamma)) / delta2 if delta2 else 0.0
            for k, nuisance in enumerate(expected.nuisances):
                pull = (values[k] - observed.centres[k]) / (nuisance.width or math.inf)
                total += 0.5 * pull**2
            for m, k in zip(
                expected.auxiliary_counts(values[None])[0][0], observed.auxiliary, strict=True
            ):
                total += m - k * math.log(m) + math.lgamma(k + 1)
            found[i, j] = total
    return found


def best_gammas(templates: Sequence[float], n: float, variance: FloatArray) -> list[float]:
    """1/(1 + a_jt) for the root t of (1-t)Σ p_j/(1+a_jt) = n with positive γ and t ≤ 1."""
    (p, q), (a, b) = templates, [x * v for x, v in zip(templates, variance, strict=True)]
    c2, c1, c0 = -(p * b + q * a + n * a * b), p * (b - 1) + q * (a - 1) - n * (a + b), p + q - n
    half = -0.5 * (c1 + math.copysign(math.sqrt(c1**2 - 4 * c2 * c0), c1))
    roots = [c0 / half, *([half / c2] if c2 else [])]
    (t,) = (t for t in roots if 1 + a * t > 0 and 1 + b * t > 0 and t <= 1)
    return [1 / (1 + a * t), 1 / (1 + b * t)]


@dataclass(frozen=True)
class Known:
    """The exact score of the toy at the tested angle (None) or frozen at one angle; the `oracle`'s
    is frozen where data lies."""

    angle: float | None = None
    oracle: bool = False
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    kind = "known"

    @property
    def uses_nuisances(self) -> bool:
        return self.angle is None

    def score(self, x: FloatArray, values: Mapping[str, Any]) -> FloatArray:
        return EXACT(x, values if self.angle is None else {"angle": self.angle})

    def knows(self, values: Mapping[str, float]) -> bool:
        return True

    def knowing(self, values: Mapping[str, float]) -> Known:
        return Known(values["angle"]) if self.oracle else self
