"""Monotone maps along directions in which two distributions differ.

Along a unit vector θ both are projected, and t' = t + (m(θ·t) - θ·t) θ with m the monotone map of
the projections. The directions of one rotation are orthogonal, so that their order is of no
importance; the first and the last rotation are the features themselves. A direction is left as it
is where the projections agree (Kolmogorov-Smirnov): each move costs a statistical error, and many
needless ones would be a random walk. Iterated over random rotations this converges to data's
distribution (Pitié, Kokaram & Dahyot 2007; Dai & Seljak, arXiv:2007.00674); it is not exactly the
optimal map, but near where little is left to move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import kolmogorov

from calibrate.methods.moments import Cloud
from calibrate.methods.monotone import Distribution
from calibrate.sample import FloatArray

KNOTS = 128
AGREE = 0.1
"""Probability of a larger Kolmogorov-Smirnov distance above which projections agree."""
PER_TAIL = 10
"""Effective events beyond the outermost knots."""
SEARCHED = 200_000
"""Events of each side that are searched for differences; their error is 0.2 % of a width."""
QUIET = 6
"""Random rotations without any difference after which the search ends."""


@dataclass(frozen=True)
class Slices:
    """Unit vectors (s, d) and the knots of their monotone maps, before and after (s, k)."""

    directions: FloatArray
    before: FloatArray
    after: FloatArray

    def __call__(self, t: FloatArray) -> FloatArray:
        """t' (n, d) of t (n, d); beyond the knots the displacement of the outermost."""
        for direction, before, after in zip(self.directions, self.before, self.after, strict=True):
            along = t @ direction
            t = t + np.outer(np.interp(along, before, after - before), direction)
        return t

    @classmethod
    def of(
        cls, simulation: Cloud, data: Cloud, rotations: int, events: float, rng: np.random.Generator
    ) -> Slices:
        """What moves simulation to data, from at most so many random rotations and the features
        before and after them; `events` is 1/(1/n + 1/m) of the effective numbers. Of more than
        200 000 events on a side, as many are used, at random."""
        share = min(1.0, SEARCHED / max(len(simulation.w), len(data.w)))
        simulation, data = (_thinned(cloud, rng) for cloud in (simulation, data))
        d, events = simulation.t.shape[1], share * events
        level = _levels(events)
        found, quiet = cls.none(d), 0
        for number in range(rotations + 2):
            last = number == rotations + 1 or quiet == QUIET
            rotation = np.eye(d) if number == 0 or last else _rotation(rng, d)
            more = cls._of_rotation(simulation, data, rotation, level, events)
            simulation = simulation.moved(more(simulation.t))
            found = found.then(more)
            quiet = 0 if more.directions.size else quiet + 1
            if last:
                break
        return found

    @classmethod
    def none(cls, d: int) -> Slices:
        """No direction of d features."""
        return cls(np.empty((0, d)), np.empty((0, KNOTS)), np.empty((0, KNOTS)))

    def then(self, other: Slices) -> Slices:
        """These and then the other ones."""
        pairs = ((self.directions, other.directions), (self.before, other.before),
                 (self.after, other.after))  # fmt: skip
        return Slices(*(np.concatenate(pair) for pair in pairs))

    @classmethod
    def _of_rotation(
        cls, simulation: Cloud, data: Cloud, rotation: FloatArray, level: FloatArray, events: float
    ) -> Slices:
        """The columns of a rotation along which the projections differ."""
        kept, before, after = [], [], []
        for direction in rotation.T:
            simulated, measured = (
                Distribution.of(c.t @ direction, c.w) for c in (simulation, data)
            )
            x, y = (np.interp(level, d.level, d.values) for d in (simulated, measured))
            distance = np.max(np.abs(np.interp(y, simulated.values, simulated.level) - level))
            if kolmogorov(distance * np.sqrt(events)) < AGREE:
                kept.append(direction)
                before.append(x)
                after.append(y)
        if not kept:
            return cls.none(len(rotation))
        return cls(*(np.array(each) for each in (kept, before, after)))


def _thinned(cloud: Cloud, rng: np.random.Generator) -> Cloud:
    """At most `SEARCHED` points, at random."""
    if len(cloud.w) <= SEARCHED:
        return cloud
    rows = rng.choice(len(cloud.w), SEARCHED, replace=False)
    return Cloud.of(cloud.t[rows], cloud.w[rows])


def _levels(events: float) -> FloatArray:
    """Levels (k,) of the knots, evenly spaced in log(u/(1-u)): dense in the tails."""
    edge = np.log(max(events / PER_TAIL, 2.0))
    return np.asarray(1 / (1 + np.exp(-np.linspace(-edge, edge, KNOTS))))


def _rotation(rng: np.random.Generator, d: int) -> FloatArray:
    """A random orthogonal matrix (d, d), without preferred direction."""
    q, r = np.linalg.qr(rng.normal(size=(d, d)))
    return np.asarray(q * np.sign(np.diag(r)))
