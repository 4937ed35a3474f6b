"""How well a Gaussian core describes the events in its window: χ² of a histogram.

The fit of the mode is unbinned; the histogram only judges it. In n_h equal bins of the window
μ ± 1.5σ, with W_i the sum of weights, V_i = ΣW² over groups and the Gaussian scaled to the
window's ΣW,
    χ² = Σ_i (W_i - ΣW · ΔΦ_i/Z)²/V_i,     ndf = n_h - 3 (scale, mode, width).
The fit does not minimise this χ², so it lies between the χ² distributions of n_h - 3 and n_h - 1
degrees of freedom (Chernoff & Lehmann 1954), which is the same where n_h is large.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincc, ndtr

from calibrate.sample import FloatArray, Groups, IntArray
from calibrate.statistics.mode import WINDOW
from calibrate.statistics.moments import binned_sum, grouped_squares

PER_BIN = 40
FEWEST, MOST = 5, 40
"""Effective events per histogram bin, and the least and the largest number of these bins."""


@dataclass(frozen=True)
class Goodness:
    """Per fitted core (n_b,): its window, the share of the bin's weight inside, χ², number of
    degrees of freedom and the probability of a larger χ²; NaN where there is no fit."""

    low: FloatArray
    high: FloatArray
    inside: FloatArray
    chi2: FloatArray
    ndf: FloatArray
    probability: FloatArray


def core_goodness(
    u: FloatArray,
    w: FloatArray,
    index: IntArray,
    mode: FloatArray,
    width: FloatArray,
    groups: Groups,
) -> Goodness:
    """Judge the cores `mode`, `width` (n_b,) of u (n,) in the bins that `index` (n,) names.

    Weights are not negative. Rows with an index outside 0 … n_b-1 are left out.
    """
    bins, w = mode.size, w / np.max(np.abs(w))
    low, high = mode - WINDOW * width, mode + WINDOW * width
    known = (index >= 0) & (index < bins)
    place = np.where(known, index, 0)
    depth = (u - low[place]) / (high - low)[place]
    inside = known & (depth >= 0) & (depth < 1)
    number = _numbers(w, np.where(inside, index, -1), bins, groups)
    first = np.cumsum(number) - number
    step = np.floor(np.where(inside, depth, 0.0) * number[place]).astype(np.int64)
    cell = np.where(inside, first[place] + step, -1)
    weight = binned_sum(w, cell, int(number.sum()))
    square = grouped_squares(w, cell, int(number.sum()), groups)
    total = np.add.reduceat(weight, first)
    chi2 = np.add.reduceat(_pulls(weight, square, number, first), first)
    fitted, ndf = np.isfinite(mode), number - 3.0
    held = binned_sum(w, index, bins)
    share = total / np.where(held > 0, held, 1.0)
    found = (share, chi2, ndf, gammaincc(ndf / 2, chi2 / 2))
    return Goodness(low, high, *(np.where(fitted, each, np.nan) for each in found))


def _numbers(w: FloatArray, index: IntArray, bins: int, groups: Groups) -> IntArray:
    """The number of histogram bins (n_b,) for the events inside each window."""
    square = grouped_squares(w, index, bins, groups)
    effective = binned_sum(w, index, bins) ** 2 / np.where(square > 0, square, 1.0)
    return np.clip(effective // PER_BIN, FEWEST, MOST).astype(np.int64)


def _pulls(weight: FloatArray, square: FloatArray, number: IntArray, first: IntArray) -> FloatArray:
    """((W - expected)/√V)² of every histogram bin of all windows, one after the other.

    A bin without events has the average V per weight of its window, times what it should hold.
    """
    window = np.repeat(np.arange(number.size), number)
    step = np.arange(window.size) - first[window]
    ends = np.stack([step, step + 1]) / number[window] * 2 - 1
    share = np.diff(ndtr(WINDOW * ends), axis=0)[0] / (ndtr(WINDOW) - ndtr(-WINDOW))
    total, squares = (np.add.reduceat(a, first)[window] for a in (weight, square))
    expected = total * share
    variance = np.where(square > 0, square, squares * share)
    return np.asarray((weight - expected) ** 2 / np.where(variance > 0, variance, 1.0))
