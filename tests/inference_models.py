"""Small binned models with known answers, for tests of likelihoods."""

from __future__ import annotations

import numpy as np

from calibrate.inference.contents import Axes, Constant, Contents
from calibrate.inference.likelihood import Expectation, Likelihood, Observation
from calibrate.inference.profile import Profile
from calibrate.sample import FloatArray
from calibrate.task import Auxiliary, Nuisance

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
