"""Ends of likelihood intervals of many likelihoods at once.

-log L rises almost as a square from its minimum, so an end is found by scaling the distance from
the best value with the root of what is wanted over what was found; the search stays between the
points where -log L was too low and too high. Nuisances are minimised over at every point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.inference.descent import Minima, descend, lowest
from calibrate.inference.likelihood import Likelihood
from calibrate.sample import BoolArray, FloatArray

TRIALS = 40
CLOSE = 1e-4
"""Relative difference of the rise at an end from what is wanted."""


@dataclass(frozen=True)
class Ends:
    """Ends (p,) on one side, and whether they are crossings (p,), not the parameter's bound."""

    values: FloatArray
    closed: BoolArray


def ends(
    likelihood: Likelihood,
    best: Minima,
    starts: Sequence[FloatArray],
    bounds: FloatArray,
    free: Sequence[int],
    parameter: int,
    side: int,
    rise: float,
) -> Ends:
    """Where the profile of a parameter has risen by `rise` above `best`, on one side (-1 or 1).

    At every value the other `free` parameters are minimised over from where they were best before
    and from the `starts` (p, 1+d).
    """
    others = [k for k in free if k != parameter]
    centre, bound = best.parameters[:, parameter], bounds[parameter, (1 + side) // 2]
    inner, outer = centre.copy(), np.full(len(centre), side * np.inf)
    x = _clipped(centre + side * _first(likelihood, best, parameter, rise), bound, side)
    warm, closed = best.parameters, np.zeros(len(centre), dtype=bool)
    for _ in range(TRIALS):
        held = _conditional(likelihood, [warm, *starts], bounds, others, parameter, x)
        warm, excess = held.parameters, held.nll - best.nll
        closed = np.abs(excess - rise) <= CLOSE * rise
        stopped = closed | ((x == bound) & (excess < rise))
        if stopped.all():
            break
        low = excess < rise
        inner, outer = np.where(low, x, inner), np.where(low, outer, x)
        factor = np.sqrt(rise / np.maximum(excess, 1e-12))
        tried = centre + (x - centre) * np.clip(factor, 0.2, 3.0)
        within = (side * tried > side * inner) & (side * tried < side * outer)
        tried = np.where(within, tried, 0.5 * (inner + np.where(np.isfinite(outer), outer, inner)))
        x = np.where(stopped, x, _clipped(tried, bound, side))
    return Ends(x, closed)


def _first(likelihood: Likelihood, best: Minima, parameter: int, rise: float) -> FloatArray:
    """The distance of the end if the other parameters did not move."""
    found = likelihood.derivatives(best.parameters[:, 0], best.parameters[:, 1:])
    return np.sqrt(2 * rise / np.maximum(found.information[:, parameter, parameter], 1e-300))


def _clipped(x: FloatArray, bound: float, side: int) -> FloatArray:
    return np.asarray(side * np.minimum(side * x, side * bound))


def _conditional(
    likelihood: Likelihood,
    starts: Sequence[FloatArray],
    bounds: FloatArray,
    others: Sequence[int],
    parameter: int,
    x: FloatArray,
) -> Minima:
    """The lowest minimum over the other parameters at x (p,)."""
    searches = []
    for start in starts:
        theta = start.copy()
        theta[:, parameter] = x
        searches.append(descend(likelihood, theta, bounds, others))
    return lowest(searches)
