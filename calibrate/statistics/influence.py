"""Errors in closed form: what a Poisson bootstrap with infinitely many replicas would give.

A replica multiplies the weights of each group g by an independent count of mean and variance 1.
To first order it moves a statistic T by Σ_g (c_g - 1) Σ_{i in g} ψ_i with the influence
ψ_i = w_i ∂T/∂w_i of each row, so that
    error² = Σ_g (Σ_{i in g} ψ_i)²
(the infinitesimal jackknife: Jaeckel 1972; Efron 1982). For means this is √ΣD²/Σw; for n events
the next order is 1/n of it, where R replicas leave a noise of 1/√(2R), 7 % for a hundred.

A quantile is not a smooth function of the weights. But a replica's quantile at level q lies at or
below row k if S_k = Σ_g c_g Σ_{i in g} w_i (1[i ≤ k] - q) ≥ 0, a sum of many independent terms:
    P(Q ≤ u_k) = Φ(E[S_k]/√Var[S_k]),
from which the variance of Q follows without a density (as Maritz & Jarrett 1978 do for the median).

The mode μ and width σ of a core solve Σ_window w(u-μ) = 0 and Σ_window w((u-μ)² - κσ²) = 0, whose
derivatives contain the densities at the ends of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from calibrate.sample import BoolArray, FloatArray, Groups, IntArray
from calibrate.statistics.mode import CORE, WINDOW

REACH = 5.0
"""Rows whose probability to be the quantile is looked at, in standard deviations."""
TINY = 1e-200
"""Keeps a quotient finite where nothing fluctuates: a bin that holds one group."""
EDGE = 0.5
"""Half the stretch over which the density at the end of a window is taken, in widths."""
PRIOR_EVENTS = 100.0
"""Effective events for which the density at the end of a window is that of the fitted core."""


@dataclass(frozen=True)
class SortedRows:
    """Values and weights (n,), sorted by bin and value; bin b holds the rows offsets[b] …
    offsets[b+1]-1. `cell` (n,) counts the groups of each bin, bin after bin, and `cells` (n_b+1,)
    are their offsets; without them every row is a group of its own."""

    values: FloatArray
    w: FloatArray
    offsets: IntArray
    cell: IntArray | None
    cells: IntArray

    @classmethod
    def of(
        cls, values: FloatArray, w: FloatArray, offsets: IntArray, rows: IntArray, groups: Groups
    ) -> SortedRows:
        """`rows` (n,) are the places of the sorted rows in `groups`."""
        if groups.single:
            return cls(values, w, offsets, None, offsets)
        bins = offsets.size - 1
        bin_ = np.repeat(np.arange(bins), np.diff(offsets))
        found, cell = np.unique(bin_ * groups.number + groups.row[rows], return_inverse=True)
        cells = np.searchsorted(found, np.arange(bins + 1) * groups.number)
        return cls(values, w, offsets, cell, cells)

    def moment_errors(self, mean: FloatArray, std: FloatArray) -> FloatArray:
        """Of means and standard deviations (n_b,), as (2, n_b)."""
        total = _binned(self.w, self.offsets)
        centred = self.values - self._spread(mean)
        with np.errstate(divide="ignore", invalid="ignore"):
            of_mean = np.sqrt(self._squares(self.w * centred)) / np.abs(total)
            scatter = self.w * (centred**2 - self._spread(std) ** 2)
            of_std = np.sqrt(self._squares(scatter)) / np.abs(2 * std * total)
        return np.stack([of_mean, np.where(std == 0, 0.0, of_std)])

    def quantile_errors(self, levels: FloatArray) -> FloatArray:
        """Of the quantiles at the levels (k,), as (k, n_b); weights are not negative."""
        bins = range(self.offsets.size - 1)
        return np.array([[self._quantile_error(b, q) for b in bins] for q in levels])

    def interval_error(self, low: float, high: float) -> FloatArray:
        """Of half the interval between two quantiles (n_b,); weights are not negative."""
        first, second = self.quantile_errors(np.array([low, high]))
        together = self._correlation(low, high) * first * second
        return np.asarray(0.5 * np.sqrt(np.maximum(first**2 + second**2 - 2 * together, 0.0)))

    def shares(self, levels: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Shares of the weight of the only bin at or below the levels (m,), and their errors."""
        sums = self._sums[:, np.searchsorted(self.values, levels, side="right")]
        total, _, squares = self._sums[:, -1]
        share = sums[0] / total
        return share, np.sqrt(_variance(sums, squares, share)) / np.abs(total)

    def core_errors(self, mode: FloatArray, width: FloatArray) -> FloatArray:
        """Of modes and widths (n_b,) of Gaussian cores, as (2, n_b); NaN where there is none."""
        known = np.isfinite(mode) & (width > 0)
        mode, width = np.where(known, mode, np.inf), np.where(known, width, 1.0)
        depth = (self.values - self._spread(mode)) / self._spread(width)
        depth, w = _inside(depth, self.w)
        one, other = self._grouped(w * depth), self._grouped(w * (depth**2 - CORE))
        pairs = ((one, one), (one, other), (other, other))
        moments = [_binned(a * b, self.cells) for a, b in pairs]
        held, squares = _binned(w, self.offsets), self._squares(w)
        slopes = _core_slopes(held, _end_density(held, squares, self._around(mode, width)))
        return np.where(known, width * _propagated(slopes, moments), np.nan)

    def _around(self, mode: FloatArray, width: FloatArray) -> FloatArray:
        """The weight within `EDGE` widths of both ends of the windows (2, n_b)."""
        found = np.zeros((2, mode.size))
        limits = np.array([-WINDOW - EDGE, -WINDOW + EDGE, WINDOW - EDGE, WINDOW + EDGE])
        for b, (start, stop) in enumerate(zip(self.offsets[:-1], self.offsets[1:], strict=True)):
            rows = np.searchsorted(self.values[start:stop], mode[b] + width[b] * limits)
            low, high = self._sums[0, start + rows].reshape(2, 2).T
            found[:, b] = high - low
        return found

    def _quantile_error(self, b: int, level: float) -> float:
        """From the probability of each row near the quantile to be that of a replica."""
        start, stop = self.offsets[b : b + 2]
        first, last = self._sums[:, start], self._sums[:, stop]
        if not last[0] > first[0]:
            return np.nan
        target = first[0] + level * (last[0] - first[0])
        ends = self._sums[0, start + 1 : stop + 1]
        row = start + np.searchsorted(ends, target)
        squares = last[2] - first[2]
        spread = np.sqrt(_variance(self._sums[:, row + 1] - first, squares, level))
        low, high = np.searchsorted(ends, target + REACH * spread * np.array([-1.0, 1.0]))
        rows = np.arange(start + low, min(start + high, stop - 1) + 1)
        deviation = np.sqrt(_variance(self._sums[:, rows + 1] - first[:, None], squares, level))
        reached = ndtr((self._sums[0, rows + 1] - target) / (deviation + TINY))
        reached[-1] = 1.0
        share, values = np.diff(reached, prepend=0.0), self.values[rows]
        return float(np.sqrt(np.maximum(share @ (values - share @ values) ** 2, 0.0)))

    def _correlation(self, low: float, high: float) -> FloatArray:
        """Of the weight below two quantiles (n_b,), and so of the quantiles themselves."""
        one, other = (self._grouped(self.w * (self._below(level) - level)) for level in (low, high))
        pairs = ((one, other), (one, one), (other, other))
        product, *squares = (_binned(a * b, self.cells) for a, b in pairs)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(product / np.sqrt(squares[0] * squares[1]))

    def _below(self, level: float) -> BoolArray:
        """Which rows (n,) have at most the value of the quantile of their bin."""
        found = np.zeros(self.w.size, bool)
        for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            sums, values = self._sums[0, start : stop + 1], self.values[start:stop]
            row = np.searchsorted(sums[1:], sums[0] + level * (sums[-1] - sums[0]))
            if row < values.size:
                found[start : start + np.searchsorted(values, values[row], side="right")] = True
        return found

    @cached_property
    def _sums(self) -> FloatArray:
        """Σw, Σ_g A_g² and Σ_g A_g T_g over the rows before each, (3, n+1): A_g is what a group
        has in these rows and T_g what it has in the bin."""
        before, held = np.zeros(self.w.size), self.w
        if self.cell is not None:
            order = np.argsort(self.cell, kind="stable")
            running = np.cumsum(self.w[order]) - self.w[order]
            first = np.searchsorted(self.cell[order], np.arange(self.cells[-1]))
            before[order] = running - running[first][self.cell[order]]
            held = self._grouped(self.w)[self.cell]
        terms = np.stack([self.w, self.w * (2 * before + self.w), self.w * held])
        return np.pad(np.cumsum(terms, axis=1), ((0, 0), (1, 0)))

    def _squares(self, influence: FloatArray) -> FloatArray:
        """Σ_g (Σ_{i in g} ψ_i)² in each bin."""
        return _binned(self._grouped(influence) ** 2, self.cells)

    def _grouped(self, values: FloatArray) -> FloatArray:
        """Sums over the groups of each bin."""
        if self.cell is None:
            return values
        sums = np.bincount(self.cell, values, minlength=int(self.cells[-1]))
        return np.asarray(sums, dtype=np.float64)

    def _spread(self, of_bins: FloatArray) -> FloatArray:
        """A number of each bin (n_b,) at its rows (n,)."""
        return np.repeat(of_bins, np.diff(self.offsets))


def _binned(values: FloatArray, offsets: IntArray) -> FloatArray:
    """Sums of the values between offsets, which begin at the first value and end after the last."""
    sums, filled = np.zeros(offsets.size - 1), np.flatnonzero(np.diff(offsets))
    if filled.size:
        sums[filled] = np.add.reduceat(values, offsets[filled])
    return sums


def _variance(held: FloatArray, squares: FloatArray, level: float | FloatArray) -> FloatArray:
    """Σ_g (A_g - qT_g)² from the sums (3, …) up to a row and ΣT_g² of the bin."""
    return np.asarray(np.maximum(held[1] - 2 * level * held[2] + level**2 * squares, 0.0))


def _inside(depth: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Places in the window and weights; both zero outside."""
    inside = np.abs(depth) <= WINDOW
    return np.where(inside, depth, 0.0), np.where(inside, w, 0.0)


def _end_density(held: FloatArray, squares: FloatArray, around: FloatArray) -> FloatArray:
    """The weight per width at both ends of the windows (2, n_b): what a Gaussian core has there,
    times the ratio of the weight found and expected around, both increased by that of
    `PRIOR_EVENTS`. `held` and `squares` (n_b,) are Σw and ΣW² of groups inside."""
    core = held / (ndtr(WINDOW) - ndtr(-WINDOW))
    expected = core * (ndtr(WINDOW + EDGE) - ndtr(WINDOW - EDGE))
    height = core * np.exp(-(WINDOW**2) / 2) / np.sqrt(2 * np.pi)
    with np.errstate(divide="ignore", invalid="ignore"):
        prior = PRIOR_EVENTS * squares / held
        return np.asarray(height * (around + prior) / (expected + prior))


def _core_slopes(held: FloatArray, ends: FloatArray) -> FloatArray:
    """How the two sums that vanish at a core change with its mode and its logarithmic width, in
    units of the width, as (2, 2, n_b): `held` is the weight in the window, `ends` (2, n_b) the
    weight per width at its ends."""
    total, difference, outer = ends.sum(axis=0), ends[1] - ends[0], WINDOW**2 - CORE
    return np.array([
        [WINDOW * total - held, WINDOW**2 * difference],
        [outer * difference, outer * WINDOW * total - 2 * CORE * held],
    ])  # fmt: skip


def _propagated(jacobian: FloatArray, moments: list[FloatArray]) -> FloatArray:
    """√diag(J⁻¹ C J⁻ᵀ) as (2, n_b), from J (2, 2, n_b) and the entries of C; NaN where J is not
    that of a fit that stands still."""
    (a, b), (c, d) = jacobian
    first, mixed, second = moments
    with np.errstate(divide="ignore", invalid="ignore"):
        determinant = a * d - b * c
        mode = d**2 * first - 2 * d * b * mixed + b**2 * second
        width = c**2 * first - 2 * a * c * mixed + a**2 * second
        found = np.sqrt(np.stack([mode, width])) / determinant
    return np.where(determinant > 0, found, np.nan)
