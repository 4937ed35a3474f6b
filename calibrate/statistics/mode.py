"""The mode of a response by a truncated Gaussian fit, iterated in a window of ±1.5 σ.

In a window [a, b] the maximum-likelihood Gaussian is the one whose truncated mean and variance
equal those of the events inside; with α = (a-μ)/σ, β = (b-μ)/σ, Z = Φ(β)-Φ(α),
    mean = μ + σ (φ(α)-φ(β))/Z
    var  = σ² [1 + (αφ(α)-βφ(β))/Z - ((φ(α)-φ(β))/Z)²].
The window follows the fit until both stand still. Unbinned: no histogram is involved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from calibrate.sample import FloatArray
from calibrate.statistics.prefix import RunningSums

WINDOW = 1.5
ITERATIONS = 60
TOLERANCE = 1e-4
WANDERING = 0.05
"""In a small sample single events hop over the window's ends for ever: a fit that still moves by
less than this share of its width after all iterations has found its core."""
MINIMUM_INSIDE = 10


@dataclass(frozen=True)
class ModeFit:
    """Mode and width of the Gaussian core; `converged` is False where there is no such core."""

    mode: float
    width: float
    converged: bool


def truncated_gaussian_mode(sums: RunningSums, mode: float, width: float) -> ModeFit:
    """Iterate the fit from a first guess; the values are sorted, and centred near zero."""
    core, moved = _truncated_moments(-WINDOW, WINDOW)[1], math.inf
    for _ in range(ITERATIONS):
        low, high = mode - WINDOW * width, mode + WINDOW * width
        mean, variance = _window_moments(sums.window(low, high))
        if not (math.isfinite(variance) and variance > 0):
            return ModeFit(math.nan, math.nan, converged=False)
        shift = (mean - mode) / core
        scale = math.sqrt(variance / core) / width
        mode, width = mode + shift, width * min(max(scale**2, 0.5), 2.0)
        moved = max(abs(shift) / width, abs(scale - 1))
        if moved < TOLERANCE:
            break
    return ModeFit(mode, width, converged=moved < WANDERING)


def _window_moments(window: FloatArray) -> tuple[float, float]:
    """Mean and variance from number, weight and weighted powers; NaN for too few events."""
    number, weight, linear, square = window
    if number < MINIMUM_INSIDE or weight <= 0:
        return math.nan, math.nan
    mean = linear / weight
    return mean, square / weight - mean**2


def _truncated_moments(alpha: float, beta: float) -> tuple[float, float]:
    """Mean and variance of a unit Gaussian truncated to [α, β]."""
    density = [math.exp(-0.5 * t * t) / math.sqrt(2 * math.pi) for t in (alpha, beta)]
    inside = 0.5 * (math.erf(beta / math.sqrt(2)) - math.erf(alpha / math.sqrt(2)))
    mean = (density[0] - density[1]) / inside
    return mean, 1 + (alpha * density[0] - beta * density[1]) / inside - mean**2
