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

from calibrate.sample import BoolArray, FloatArray, Groups, IntArray
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
    windows, w = CoreWindows(mode, width), w / np.max(np.abs(w))
    held = windows.held(u, w, index, groups)
    number = windows.numbers(held)
    return windows.judged(held, number, windows.histogram(u, w, index, groups, number))


@dataclass(frozen=True)
class CoreWindows:
    """The windows of cores `mode`, `width` (n_b,). Their sums over events add up: what many parts
    of a sample hold can be judged together."""

    mode: FloatArray
    width: FloatArray

    @property
    def low(self) -> FloatArray:
        """Lower ends (n_b,)."""
        return self.mode - WINDOW * self.width

    @property
    def high(self) -> FloatArray:
        """Upper ends (n_b,)."""
        return self.mode + WINDOW * self.width

    def held(self, u: FloatArray, w: FloatArray, index: IntArray, groups: Groups) -> FloatArray:
        """ΣW and ΣW² inside the windows, and ΣW of the bins, as (3, n_b)."""
        _, inside = self._depth(u, index)
        within, bins = np.where(inside, index, -1), self.mode.size
        squares = grouped_squares(w, within, bins, groups)
        return np.stack([binned_sum(w, within, bins), squares, binned_sum(w, index, bins)])

    def numbers(self, held: FloatArray) -> IntArray:
        """The number of histogram bins (n_b,) for the events inside each window."""
        effective = held[0] ** 2 / np.where(held[1] > 0, held[1], 1.0)
        return np.asarray(np.clip(effective // PER_BIN, FEWEST, MOST), dtype=np.int64)

    def histogram(
        self, u: FloatArray, w: FloatArray, index: IntArray, groups: Groups, number: IntArray
    ) -> FloatArray:
        """ΣW and ΣW² of all histogram bins, one window after the other, as (2, Σ number)."""
        depth, inside = self._depth(u, index)
        place = np.where(inside, index, 0)
        first, cells = np.cumsum(number) - number, int(number.sum())
        step = np.floor(np.where(inside, depth, 0.0) * number[place]).astype(np.int64)
        cell = np.where(inside, first[place] + step, -1)
        return np.stack([binned_sum(w, cell, cells), grouped_squares(w, cell, cells, groups)])

    def judged(self, held: FloatArray, number: IntArray, histogram: FloatArray) -> Goodness:
        """From the sums over all events."""
        first = np.cumsum(number) - number
        total = np.add.reduceat(histogram[0], first)
        weight, square = histogram
        chi2 = np.add.reduceat(_pulls(weight, square, number, first), first)
        fitted, ndf = np.isfinite(self.mode), number - 3.0
        share = total / np.where(held[2] > 0, held[2], 1.0)
        found = (share, chi2, ndf, gammaincc(ndf / 2, chi2 / 2))
        return Goodness(self.low, self.high, *(np.where(fitted, each, np.nan) for each in found))

    def _depth(self, u: FloatArray, index: IntArray) -> tuple[FloatArray, BoolArray]:
        """How deep u (n,) lies in the window of its bin, 0 to 1, and whether it lies inside."""
        known = (index >= 0) & (index < self.mode.size)
        place = np.where(known, index, 0)
        depth = (u - self.low[place]) / (self.high - self.low)[place]
        return depth, known & (depth >= 0) & (depth < 1)


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
