"""Minima of many likelihoods at once: damped Gauss-Newton steps, bounded, from several starts.

A pseudo-experiment is a likelihood of its own with few parameters; a thousand of them are one
array, and one step of all costs a hundred microseconds. Levenberg and Marquardt's damping takes
the step that lowers -log L; a parameter at its bound, whose gradient points outwards, stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from calibrate.inference.likelihood import Likelihood
from calibrate.sample import BoolArray, FloatArray

STEPS = 200
"""The slowest of 250 experiments mostly takes 10 to 60; one of 2400 took 150."""
PRECISE = 1e-13
"""Expected gain of -log L below which a minimum is found."""
ROUNDING = 1e-12
"""Rise of -log L that is no rise."""
LEAST_DAMPING, MOST_DAMPING = 1e-9, 1e12


@dataclass(frozen=True)
class Minima:
    """Parameters (p, 1+d), -log L (p,) there, and which searches ended at a minimum (p,)."""

    parameters: FloatArray
    nll: FloatArray
    found: BoolArray

    def better(self, other: Minima) -> Minima:
        """Of two searches of the same likelihoods the lower one, for each."""
        lower = other.nll < self.nll
        return Minima(
            np.where(lower[:, None], other.parameters, self.parameters),
            np.where(lower, other.nll, self.nll),
            np.where(lower, other.found, self.found),
        )


def lowest(searches: Sequence[Minima]) -> Minima:
    """The lowest of several searches of the same likelihoods, for each of them."""
    return reduce(Minima.better, searches)


def descend(
    likelihood: Likelihood, start: FloatArray, bounds: FloatArray, free: Sequence[int]
) -> Minima:
    """Minimise from `start` (p, 1+d) over the `free` parameters within `bounds` (1+d, 2)."""
    theta = np.clip(start, bounds[:, 0], bounds[:, 1])
    now = likelihood.derivatives(theta[:, 0], theta[:, 1:])
    damping, found = np.full(len(theta), 1e-3), np.zeros(len(theta), dtype=bool)
    for _ in range(STEPS):
        step, gain = _step(theta, now.gradient, now.information, damping, bounds, free)
        found = gain < PRECISE
        if found.all():
            break
        tried = np.clip(theta + step, bounds[:, 0], bounds[:, 1])
        new = likelihood.derivatives(tried[:, 0], tried[:, 1:])
        lower = (new.nll <= now.nll + ROUNDING) & ~found
        theta = np.where(lower[:, None], tried, theta)
        for name in ("nll", "gradient", "information"):
            kept, taken = getattr(now, name), getattr(new, name)
            kept[lower] = taken[lower]
        damping = np.clip(damping * np.where(lower, 0.1, 10.0), LEAST_DAMPING, MOST_DAMPING)
    return Minima(theta, now.nll, found)


def _step(
    theta: FloatArray,
    gradient: FloatArray,
    information: FloatArray,
    damping: FloatArray,
    bounds: FloatArray,
    free: Sequence[int],
) -> tuple[FloatArray, FloatArray]:
    """The damped step of the parameters that may move, and what an undamped one would gain."""
    stuck = ((theta <= bounds[:, 0]) & (gradient > 0)) | ((theta >= bounds[:, 1]) & (gradient < 0))
    stuck[:, [k for k in range(theta.shape[1]) if k not in free]] = True
    pushed = np.where(stuck, 0.0, gradient)
    matrix = np.where(stuck[:, :, None] | stuck[:, None, :], 0.0, information)
    index = np.arange(theta.shape[1])
    diagonal = matrix[:, index, index]
    floor = 1e-12 * np.max(diagonal, axis=1, keepdims=True) + 1e-300
    kept = np.where(stuck, 1.0, np.maximum(diagonal, floor))
    matrix[:, index, index] = kept
    full = -np.linalg.solve(matrix, pushed[:, :, None])[:, :, 0]
    matrix[:, index, index] = kept * (1 + damping[:, None])
    step = -np.linalg.solve(matrix, pushed[:, :, None])[:, :, 0]
    with np.errstate(over="ignore"):  # where less than nothing is expected, no step helps
        return step, -0.5 * np.sum(full * pushed, axis=1)


def starts_along(
    likelihood: Likelihood, mu: FloatArray, places: FloatArray, number: int = 2
) -> list[FloatArray]:
    """The `number` lowest local minima of -log L along `places` (k, d), at fixed μ (p,), as starts
    (p, 1+d) for each of the p experiments."""
    p, k = len(mu), len(places)
    values = np.stack(
        [likelihood(mu, np.broadcast_to(place, (p, len(place)))) for place in places], axis=1
    )
    padded = np.pad(values, ((0, 0), (1, 1)), constant_values=np.inf)
    lowest = (values <= padded[:, :-2]) & (values <= padded[:, 2:])
    order = np.argsort(np.where(lowest, values, np.inf), axis=1)[:, : min(number, k)]
    return [np.column_stack([mu, places[order[:, rank]]]) for rank in range(order.shape[1])]
