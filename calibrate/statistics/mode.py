"""The mode of a response by a truncated Gaussian fit, iterated in a window of ±1.5 σ.

In a window [a, b] the maximum-likelihood Gaussian is the one whose truncated mean and variance
equal those of the events inside; with α = (a-μ)/σ, β = (b-μ)/σ, Z = Φ(β)-Φ(α),
    mean = μ + σ (φ(α)-φ(β))/Z
    var  = σ² [1 + (αφ(α)-βφ(β))/Z - ((φ(α)-φ(β))/Z)²].
The window follows the fit until both stand still. Unbinned: no histogram is involved. All bins
and all bootstrap replicas are iterated together; those that stand still drop out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from calibrate.sample import BoolArray, FloatArray, IntArray
from calibrate.statistics.prefix import Sums

WINDOW = 1.5
ITERATIONS = 60
TOLERANCE = 1e-4
WANDERING = 0.05
"""In a small sample single events hop over the window's ends for ever: a fit that still moves by
less than this share of its width after all iterations has found its core."""
MINIMUM_INSIDE = 10


@dataclass(frozen=True)
class ModeFits:
    """Mode and width of the Gaussian core in each bin and replica (n_b, r); NaN where
    `converged` is False: there is no such core."""

    mode: FloatArray
    width: FloatArray
    converged: BoolArray


def truncated_gaussian_modes(
    sums: Sums, offsets: IntArray, mode: FloatArray, width: FloatArray
) -> ModeFits:
    """Iterate the fits from first guesses (n_b, 1) or (n_b, r); a guess of NaN is not fitted.

    Bin b holds the rows offsets[b] … offsets[b+1]-1, sorted by value; values are centred near 0.
    """
    shape = (offsets.size - 1, sums.replicas)
    mode, width = (np.array(np.broadcast_to(a, shape), dtype=float).ravel() for a in (mode, width))
    moved = np.where(np.isfinite(mode) & (width > 0), math.inf, math.nan)
    for _ in range(ITERATIONS):
        item = np.flatnonzero(moved >= TOLERANCE)
        if not item.size:
            break
        step = _step(sums, offsets, item, mode[item], width[item])
        mode[item], width[item], moved[item] = step
    converged = moved < WANDERING
    mode, width = (np.where(converged, a, math.nan).reshape(shape) for a in (mode, width))
    return ModeFits(mode, width, converged.reshape(shape))


def truncated_moments(alpha: float, beta: float) -> tuple[float, float]:
    """Mean and variance of a unit Gaussian truncated to [α, β]."""
    density = [math.exp(-0.5 * t * t) / math.sqrt(2 * math.pi) for t in (alpha, beta)]
    inside = 0.5 * (math.erf(beta / math.sqrt(2)) - math.erf(alpha / math.sqrt(2)))
    mean = (density[0] - density[1]) / inside
    return mean, 1 + (alpha * density[0] - beta * density[1]) / inside - mean**2


CORE = truncated_moments(-WINDOW, WINDOW)[1]


def _step(
    sums: Sums, offsets: IntArray, item: IntArray, mode: FloatArray, width: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """New mode and width of some items (m,), and how far they moved in units of the width."""
    mean, variance = _window_moments(sums, offsets, item, mode, width)
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = (mean - mode) / CORE
        scale = np.sqrt(variance / CORE) / width
        width = width * np.clip(scale**2, 0.5, 2.0)
        moved = np.maximum(np.abs(shift) / width, np.abs(scale - 1))
    return mode + shift, width, moved


def _window_moments(
    sums: Sums, offsets: IntArray, item: IntArray, mode: FloatArray, width: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of the values in each item's window; NaN for too few events."""
    bin_, replica = np.divmod(item, sums.replicas)
    low = _rows_below(sums.values, offsets, bin_, mode - WINDOW * width)
    high = _rows_below(sums.values, offsets, bin_, mode + WINDOW * width)
    weight, linear, square = sums.at(high, replica) - sums.at(low, replica)
    with np.errstate(invalid="ignore", divide="ignore"):
        usable = (high - low >= MINIMUM_INSIDE) & (weight > 0)
        mean = np.where(usable, linear / weight, np.nan)
        variance = square / weight - mean**2
    return mean, np.where(variance > 0, variance, np.nan)


def _rows_below(
    values: FloatArray, offsets: IntArray, bin_: IntArray, limit: FloatArray
) -> IntArray:
    """The first row of each named bin, in ascending order, with a value of `limit` or more."""
    ends = np.searchsorted(bin_, np.arange(offsets.size))
    rows = np.empty(bin_.size, np.int64)
    for b in np.unique(bin_):
        part, start = slice(ends[b], ends[b + 1]), offsets[b]
        rows[part] = start + np.searchsorted(values[start : offsets[b + 1]], limit[part])
    return rows
