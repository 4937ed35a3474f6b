"""Pseudo-experiments: does the interval of μ cover, is its best value biased?

Everything that a repetition of the experiment would change fluctuates: the events (Poisson, seen by
the score at all tested nuisances together), the measurements of the nuisances (the centre of a
constraint is drawn around the true value; auxiliary counts are Poisson), and the simulation: each
experiment has templates from a replica of its own, unless templates are taken as exact. What is
true is what the templates of all events expect. An interval covers if -log L at the true μ,
minimised over the nuisances, is within ½ of the minimum; no interval needs to be found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibrate.inference.contents import Contents
from calibrate.inference.descent import descend, lowest, starts_along
from calibrate.inference.likelihood import Expectation, Likelihood, Observation
from calibrate.inference.observed import Paths
from calibrate.inference.profile import LEVELS, half_delta
from calibrate.inference.templates import Templates
from calibrate.sample import BoolArray, FloatArray
from calibrate.task import Point

PLACES = 21
TOGETHER = 250
"""Pseudo-experiments that are fitted as one array: larger ones leave the cache."""


@dataclass(frozen=True)
class PseudoExperiments:
    """Best parameters (p, 1+d) of pseudo-experiments at one point, the rise (p,) of -log L from the
    minimum to the true μ, and which of the fits converged (p,)."""

    point: Point
    parameters: FloatArray
    rise: FloatArray
    found: BoolArray

    def coverage(self, level: float = LEVELS["68"]) -> tuple[float, float]:
        """Share of the experiments whose interval of μ holds the true one, with its binomial
        error, that of the level where all or none do."""
        inside = self.rise[self.found] <= half_delta(level)
        if not inside.size:
            return float("nan"), float("nan")
        share = float(inside.mean())
        spread = share if 0 < share < 1 else level
        return share, float(np.sqrt(spread * (1 - spread) / inside.size))

    @property
    def bias(self) -> tuple[float, float]:
        """Mean of μ̂ minus the true μ, and its error."""
        mu = self.parameters[self.found, 0]
        return float(mu.mean() - self.point.strength), float(mu.std(ddof=1) / np.sqrt(mu.size))

    @property
    def spread(self) -> tuple[float, float]:
        """Standard deviation of μ̂, and its error for Gaussian μ̂."""
        mu = self.parameters[self.found, 0]
        width = float(mu.std(ddof=1))
        return width, width / np.sqrt(2 * (mu.size - 1))


def experiments(
    expected: Expectation,
    templates: Templates,
    paths: Paths,
    point: Point,
    bounds: FloatArray,
    number: int,
    rng: np.random.Generator,
) -> PseudoExperiments:
    """Draw and fit `number` pseudo-experiments at a point."""
    parts = []
    for first in range(0, number, TOGETHER):
        drawn = min(TOGETHER, number - first)
        known = (
            templates.drawn_again(expected, point.values, drawn, rng)
            if expected.variance.any()
            else expected
        )
        counts = paths.drawn(point.strength, drawn, rng)
        parts.append(fitted(repeated(counts, known, point, drawn, rng), point, bounds))
    parameters, rise, found = (np.concatenate(part) for part in zip(*parts, strict=True))
    return PseudoExperiments(point, parameters, rise, found)


def repeated(
    counts: Contents,
    expected: Expectation,
    point: Point,
    number: int,
    rng: np.random.Generator,
) -> Likelihood:
    """The likelihoods of drawn counts with everything else drawn too."""
    truth = true_values(expected, point.values)
    fluctuation = rng.standard_normal((number, len(truth)))
    widths = np.where(np.isfinite(expected.widths), expected.widths, 0.0)
    auxiliary = rng.poisson(np.repeat(expected.auxiliary_counts(truth[None])[0], number, axis=0))
    observed = Observation(counts, truth + widths * fluctuation, auxiliary.astype(np.float64))
    return Likelihood(expected, observed)


def fitted(
    likelihood: Likelihood, point: Point, bounds: FloatArray
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Best parameters, rise to the true μ, and convergence of both fits, for each experiment."""
    truth = true_values(likelihood.expected, point.values)
    number = len(likelihood.observed.centres)
    mu = np.full(number, point.strength)
    starts = [np.column_stack([mu, np.tile(truth, (number, 1))])]
    for k, (low, high) in enumerate(bounds[1:]):
        places = np.tile(truth, (PLACES, 1))
        places[:, k] = np.linspace(low, high, PLACES)
        starts += starts_along(likelihood, mu, places)
    free = range(len(bounds))
    best, held = (
        lowest([descend(likelihood, start, bounds, chosen) for start in starts])
        for chosen in (list(free), list(free)[1:])
    )
    best = best.better(descend(likelihood, held.parameters, bounds, list(free)))
    return best.parameters, held.nll - best.nll, best.found & held.found


def true_values(expected: Expectation, values: Mapping[str, float]) -> FloatArray:
    """The true values (d,) in the order of the nuisances."""
    return np.array([values[nuisance.name] for nuisance in expected.nuisances])
