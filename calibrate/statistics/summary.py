"""Location and spread of u in bins, unbinned inside each bin, with bootstrap errors.

The rows are sorted once by (bin, u); every replica then needs only running sums of its weights,
from which mean, standard deviation and quantiles of all bins follow together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibrate.sample import FloatArray, IntArray
from calibrate.statistics.bootstrap import Poisson
from calibrate.statistics.mode import truncated_gaussian_mode
from calibrate.statistics.prefix import RunningSums, SortedPowers
from calibrate.statistics.quantiles import ROUNDING

LEVELS = np.array([0.5, 0.15865525393145707, 0.8413447460685429])
"""The median, and the quantiles at ±1 σ of a Gaussian."""


@dataclass(frozen=True)
class Summary:
    """Values and bootstrap errors (n_b,) of mean, std, median, half 16-84 % interval; of mode
    and width of the Gaussian core where asked for, else NaN. Quantiles and mode are NaN where
    weights are negative."""

    mean: FloatArray
    std: FloatArray
    median: FloatArray
    iqr: FloatArray
    mode: FloatArray
    fit: FloatArray
    mean_error: FloatArray
    std_error: FloatArray
    median_error: FloatArray
    iqr_error: FloatArray
    mode_error: FloatArray
    fit_error: FloatArray


def summarise(
    u: FloatArray, w: FloatArray, index: IntArray, bins: int, poisson: Poisson, mode: bool = False
) -> Summary:
    """Statistics of u (n,) under weights (n,) in the bins that `index` (n,) names.

    Rows with an index outside 0 … bins-1 are left out. An empty bin gives NaN.
    """
    table = _SortedTable.of(u, w, index, bins, mode)
    value = table.statistics(table.powers.sums())
    counts = poisson.counts(table.order)
    replicas = np.stack([table.statistics(table.powers.sums(k[table.kept])) for k in counts])
    usable = np.isfinite(replicas)
    centred = np.where(usable, replicas - value, 0.0)
    n = np.maximum(usable.sum(axis=0), 1)
    mean = centred.sum(axis=0) / n
    error = np.sqrt(np.maximum((centred**2).sum(axis=0) / n - mean**2, 0.0))
    error[~np.isfinite(value) | (usable.sum(axis=0) < len(replicas) / 2)] = np.nan
    value[[0, 2, 4]] += table.centre
    return Summary(*value, *error)


@dataclass(frozen=True)
class _SortedTable:
    order: IntArray
    kept: slice
    powers: SortedPowers
    offsets: IntArray
    centre: float
    mode: bool
    negative: bool

    @classmethod
    def of(
        cls, u: FloatArray, w: FloatArray, index: IntArray, bins: int, mode: bool
    ) -> _SortedTable:
        order = np.lexsort((u, index))
        offsets = np.searchsorted(index[order], np.arange(bins + 1))
        kept = slice(int(offsets[0]), int(offsets[-1]))
        inside = u[order][kept]
        negative = bool(np.any(w < 0))
        w = w[order][kept] / np.max(np.abs(w))
        centre = float(np.average(inside, weights=np.abs(w) + 1e-300)) if inside.size else 0.0
        powers = SortedPowers.of(inside - centre, w)
        return cls(order, kept, powers, offsets - offsets[0], centre, mode, negative)

    def statistics(self, sums: RunningSums) -> FloatArray:
        """mean, std, median, iqr, mode, fit as (6, n_b) for one set of counts."""
        ends = sums.before(self.offsets)
        total, linear, square = ends[:, 1:] - ends[:, :-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(total != 0, linear / total, np.nan)
            std = np.sqrt(np.maximum(square / total - mean**2, 0.0))
        median, low, high = self._quantiles(sums, ends[0, :-1], total)
        iqr = (high - low) / 2
        core = np.full((2, total.size), np.nan)
        if self.mode and not self.negative and total.size == 1:
            fit = truncated_gaussian_mode(sums, float(median[0]), float(iqr[0]))
            core[:, 0] = (fit.mode, fit.width) if fit.converged else np.nan
        return np.vstack([mean, std, median, iqr, core])

    def _quantiles(self, sums: RunningSums, before: FloatArray, total: FloatArray) -> FloatArray:
        values = self.powers.values
        if self.negative or not values.size:
            return np.full((len(LEVELS), total.size), np.nan)
        target = before + LEVELS[:, None] * total * (1 - ROUNDING)
        row = sums.row_reaching(target.ravel()).reshape(target.shape)
        start, last = self.offsets[:-1], np.maximum(self.offsets[1:] - 1, self.offsets[:-1])
        row = np.clip(row, start, last).clip(max=values.size - 1)
        return np.where(total > 0, values[row], np.nan)
