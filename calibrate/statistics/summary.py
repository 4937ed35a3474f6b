"""Location and spread of u in bins, unbinned inside each bin, with errors.

The rows are sorted once by (bin, u). Errors are in closed form (`influence`), or from a bootstrap,
whose replicas then need only running sums of their weights, from which mean, standard deviation,
quantiles and modes follow, in all bins and replicas together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibrate.sample import FloatArray, Groups, IntArray
from calibrate.statistics.bootstrap import Fluctuations, Poisson
from calibrate.statistics.influence import SortedRows
from calibrate.statistics.mode import truncated_gaussian_modes
from calibrate.statistics.prefix import SortedPowers, Sums
from calibrate.statistics.quantiles import ROUNDING

LEVELS = np.array([0.5, 0.15865525393145707, 0.8413447460685429])
"""The median, and the quantiles at ±1 σ of a Gaussian."""


@dataclass(frozen=True)
class Summary:
    """Values and errors (n_b,) of mean, std, median, half 16-84 % interval; of mode and width of
    the Gaussian core where asked for, else NaN. Quantiles and mode are NaN where weights are
    negative, the mode also where its fit does not converge."""

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
    u: FloatArray,
    w: FloatArray,
    index: IntArray,
    bins: int,
    fluctuations: Fluctuations,
    *,
    mode: bool = False,
    ascending: IntArray | None = None,
) -> Summary:
    """Statistics of u (n,) under weights (n,) in the bins that `index` (n,) names.

    Rows with an index outside 0 … bins-1 are left out. An empty bin gives NaN. `ascending` (n,)
    are the rows in the order of u, where the caller knows them.
    """
    table = SortedTable.of(u, w, index, bins, ascending)
    sums = table.powers.once()
    nominal = table.statistics(sums)
    if mode:
        nominal[4:] = table.cores(sums, nominal[2], nominal[3])
    value = nominal[..., 0]
    if isinstance(fluctuations, Groups):
        error = table.errors(value, fluctuations)
    else:
        error = spread(table.replicas(nominal, fluctuations, mode), value)
    value[[0, 2, 4]] += table.centre
    return Summary(*value, *error)


def spread(replicas: FloatArray, value: FloatArray) -> FloatArray:
    """Standard deviation over the usable replicas (6, n_b, r) of each value (6, n_b); NaN where
    fewer than half of them are usable."""
    usable = np.isfinite(replicas)
    centred = np.where(usable, replicas - value[..., None], 0.0)
    n = np.maximum(usable.sum(axis=-1), 1)
    variance = (centred**2).sum(axis=-1) / n - (centred.sum(axis=-1) / n) ** 2
    few = usable.sum(axis=-1) < replicas.shape[-1] / 2
    return np.where(np.isfinite(value) & ~few, np.sqrt(np.maximum(variance, 0.0)), np.nan)


@dataclass(frozen=True)
class SortedTable:
    """The rows of all bins, sorted by bin and u; u is counted from `centre`."""

    order: IntArray
    powers: SortedPowers
    offsets: IntArray
    centre: float
    negative: bool

    @classmethod
    def of(
        cls, u: FloatArray, w: FloatArray, index: IntArray, bins: int, ascending: IntArray | None
    ) -> SortedTable:
        order = np.argsort(u) if ascending is None else ascending
        if bins < np.iinfo(np.int16).max:  # few numbers: sorted in linear time
            index = np.clip(index, -1, bins).astype(np.int16)
        index = index[order]
        if np.any(index[1:] < index[:-1]):
            place = np.argsort(index, kind="stable")
            index, order = index[place], order[place]
        offsets = np.searchsorted(index, np.arange(bins + 1))
        order = order[offsets[0] : offsets[-1]]
        negative = bool(np.any(w < 0))
        inside, w = u[order], w[order] / np.max(np.abs(w))
        size = np.abs(w) if negative else w
        centre = float(size @ inside / np.sum(size)) if size.any() else 0.0
        powers = SortedPowers.of(inside - centre, w)
        return cls(order, powers, offsets - offsets[0], centre, negative)

    def statistics(self, sums: Sums) -> FloatArray:
        """mean, std, median, iqr as (6, n_b, r), with room for mode and width of the core."""
        ends = sums.before(self.offsets)
        total, linear, square = ends[:, 1:] - ends[:, :-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(total != 0, linear / total, np.nan)
            std = np.sqrt(np.maximum(square / total - mean**2, 0.0))
        median, low, high = self._quantiles(sums, ends[0, :-1], total)
        unknown = np.full_like(mean, np.nan)
        return np.stack([mean, std, median, (high - low) / 2, unknown, unknown])

    def cores(self, sums: Sums, mode: FloatArray, width: FloatArray) -> FloatArray:
        """Mode and width of the core as (2, n_b, r), from first guesses (n_b, 1)."""
        if self.negative:
            return np.full((2, self.offsets.size - 1, sums.replicas), np.nan)
        fits = truncated_gaussian_modes(sums, self.offsets, mode, width)
        return np.stack([fits.mode, fits.width])

    def replicas(self, nominal: FloatArray, poisson: Poisson, mode: bool) -> FloatArray:
        """The same (6, n_b, r) in every replica; modes, if asked for, from the nominal ones."""
        parts = []
        for counts in poisson.counts(self.order):
            sums = self.powers.sums(counts)
            parts.append(self.statistics(sums))
            if mode:
                parts[-1][4:] = self.cores(sums, nominal[4], nominal[5])
        return np.concatenate(parts, axis=-1)

    def errors(self, value: FloatArray, groups: Groups) -> FloatArray:
        """Errors in closed form (6, n_b) of the values (6, n_b)."""
        sorted_ = self.powers.values, self.powers.powers[0]
        rows = SortedRows.of(*sorted_, self.offsets, self.order, groups)
        moments = rows.moment_errors(value[0], value[1])
        if self.negative:
            return np.concatenate([moments, np.full((4, self.offsets.size - 1), np.nan)])
        median, *_ = rows.quantile_errors(LEVELS[:1])
        interval = rows.interval_error(float(LEVELS[1]), float(LEVELS[2]))
        cores = rows.core_errors(value[4], value[5])
        return np.stack([*moments, median, interval, *cores])

    def _quantiles(self, sums: Sums, before: FloatArray, total: FloatArray) -> FloatArray:
        """The quantiles at `LEVELS` as (3, n_b, r)."""
        values, shape = sums.values, (len(LEVELS), *total.shape)
        if self.negative or not values.size:
            return np.full(shape, np.nan)
        target = before + LEVELS[:, None, None] * total * (1 - ROUNDING)
        row = sums.row_reaching(target.reshape(-1, sums.replicas)).reshape(shape)
        start = self.offsets[:-1, None]
        last = np.maximum(self.offsets[1:, None] - 1, start)
        row = np.clip(row, start, last).clip(max=values.size - 1)
        return np.where(total > 0, values[row], np.nan)
