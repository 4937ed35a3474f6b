"""One score at one observed point: what is expected, what is observed, and the profile of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from calibrate.estimate import Score
from calibrate.inference.bins import ScoreBins
from calibrate.inference.descent import descend, lowest
from calibrate.inference.intervals import ends
from calibrate.inference.likelihood import Expectation, Likelihood, Observation, asimov
from calibrate.inference.observed import Paths
from calibrate.inference.profile import LEVELS, Profile, half_delta
from calibrate.inference.templates import BLOCKS, Templates, axes_of, jackknife_error
from calibrate.sample import FloatArray
from calibrate.task import InferenceTask, Nuisance, Point

LEAST_LEFT = 0.9
"""Of the background in any bin, what a negative signal may take away."""


@dataclass(frozen=True)
class Binning:
    """Equal bins of the score, values of each nuisance that templates are filled at, pieces of the
    splines between them."""

    bins: int
    values: int
    pieces: int | None


@dataclass(frozen=True)
class Seen:
    """The events of one point through one score, and the templates of that score."""

    score: Score
    nuisances: tuple[Nuisance, ...]
    point: Point
    templates: Templates
    paths: Paths

    @property
    def expected(self) -> Expectation:
        """Templates with the relative errors they have where data lies."""
        return self.templates.expectation(self.nuisances, self.point.values)


@dataclass(frozen=True)
class PointModel:
    """The likelihood of one score at one point, with everything that is asked of it."""

    label: str
    seen: Seen
    expected: Expectation
    observed: Observation
    bounds: FloatArray

    @property
    def point(self) -> Point:
        """Where data lies."""
        return self.seen.point

    @property
    def truth(self) -> FloatArray:
        """True μ and nuisances (1+d,)."""
        values = [self.point.values[n.name] for n in self.expected.nuisances]
        return np.array([self.point.strength, *values])

    @cached_property
    def profile(self) -> Profile:
        """All of it fitted."""
        return Profile(Likelihood(self.expected, self.observed), self.bounds, self.truth)

    @cached_property
    def statistical(self) -> Profile:
        """Only μ fitted: nuisances at their best, templates exact."""
        exact = Likelihood(self.expected.without_simulation_error(), self.observed)
        best = self.profile.best.parameters
        held = Profile(exact, self.bounds, best)
        return held.holding({k: best[k] for k in range(1, len(best))})

    @cached_property
    def without_simulation_error(self) -> Profile:
        """Templates exact, all else fitted."""
        exact = Likelihood(self.expected.without_simulation_error(), self.observed)
        return Profile(exact, self.bounds, self.profile.best.parameters)

    @cached_property
    def jackknifed_widths(self) -> FloatArray:
        """Half widths (j,) of the 68 % interval of μ, each block of the simulated events left out
        once, from templates and expected counts alike."""
        templates, truth = self.seen.templates, self.truth
        signal, background = templates.jackknifed
        expected = replace(self.expected, signal=signal, background=background)
        counts = self.seen.paths.jackknifed(self.point.strength)
        observed = asimov(counts, expected, self.point.values)
        likelihood, free = Likelihood(expected, observed), range(len(truth))
        starts = [np.tile(start, (BLOCKS, 1))
                  for start in (truth, *(m.parameters for m in self.profile.minima))]  # fmt: skip
        best = lowest([descend(likelihood, start, self.bounds, free) for start in starts])
        low, high = (
            ends(likelihood, best, starts, self.bounds, free, 0, side, half_delta(LEVELS["68"]))
            for side in (-1, 1)
        )
        return 0.5 * (high.values - low.values)

    @cached_property
    def width_error(self) -> float:
        """Of the half width, from the finite simulation."""
        return jackknife_error(self.jackknifed_widths)


@dataclass(frozen=True)
class Fillings:
    """Fills templates and sees points; `strengths` are bounds of μ, if they are given."""

    task: InferenceTask
    binning: Binning
    simulation_error: bool
    strengths: tuple[float, float] | None

    def seen(self, score: Score, points: Sequence[Point]) -> list[Seen]:
        """One score at several points."""
        nuisances = limited(self.task.nuisances, score)
        axes = axes_of(nuisances, points, self.binning.values, self.binning.pieces)
        bins = ScoreBins.equal(self.binning.bins)
        templates = Templates.fill(score, self.task.test, axes, bins).merged()
        paths: dict[tuple[float, ...], Paths] = {}
        found = []
        for point in points:
            key = tuple(point.values.values())
            if key not in paths:
                sample = self.task.test.at(point.values)
                found_paths = Paths.of(score, sample, point.values, axes, templates.bins)
                paths[key] = found_paths.matched(*templates.contents)
            found.append(Seen(score, nuisances, point, templates, paths[key]))
        return found

    def model(self, label: str, seen: Seen, rng: np.random.Generator | None = None) -> PointModel:
        """The likelihood of a point, of expected counts or, with `rng`, of drawn ones."""
        expected = replace(seen.expected, auxiliary=self.task.auxiliary)
        if not self.simulation_error:
            expected = expected.without_simulation_error()
        strength, values = seen.point.strength, seen.point.values
        if rng is None:
            observed = asimov(seen.paths.asimov(strength), expected, values)
        else:
            counts = seen.paths.drawn(strength, 1, rng, single=True)
            observed = asimov(counts, expected, values)
            drawn = rng.poisson(observed.auxiliary).astype(np.float64)
            observed = replace(observed, auxiliary=drawn)
        low, high = self.strengths or (lowest_strength(seen.templates), np.inf)
        bounds = np.vstack([[low, high], expected.bounds])
        return PointModel(label, seen, expected, observed, bounds)


def limited(nuisances: Sequence[Nuisance], score: Score) -> tuple[Nuisance, ...]:
    """Nuisances whose ranges end where a score that depends on them was trained."""
    if not score.uses_nuisances:
        return tuple(nuisances)
    ranges = {n.name: score.ranges.get(n.name, (-np.inf, np.inf)) for n in nuisances}
    return tuple(
        replace(n, low=max(n.low, ranges[n.name][0]), high=min(n.high, ranges[n.name][1]))
        for n in nuisances
    )


def lowest_strength(templates: Templates) -> float:
    """The most negative μ that leaves a tenth of the background in every bin."""
    background, signal = templates.sums[:, 0], templates.sums[:, 1]
    return -LEAST_LEFT * float(np.min(background / signal))


def inside(score: Score, values: Mapping[str, float]) -> bool:
    """Whether values lie in the ranges that a score was trained in."""
    return all(
        low <= values[name] <= high for name, (low, high) in score.ranges.items() if name in values
    )
