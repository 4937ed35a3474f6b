"""Weighted means in bins and shares of the weight below levels, with errors by group.

Errors are in closed form (`influence`), or from the replicas of a bootstrap. A mean m = Σwc/W has
the influences w(c - m)/W; a share of the weight is the mean of c = 1[v ≤ level]. Smooth functions
of means have their errors by the chain rule: √m has e/(2√m).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibrate.sample import FloatArray, IntArray
from calibrate.statistics.bootstrap import Fluctuations, Poisson, bootstrap_binned
from calibrate.statistics.influence import SortedRows
from calibrate.statistics.moments import binned_sum, grouped_squares


def binned_means(
    columns: Sequence[FloatArray],
    w: FloatArray,
    index: IntArray,
    bins: int,
    fluctuations: Fluctuations,
) -> tuple[FloatArray, FloatArray]:
    """Means of columns (n,) in the bins that `index` (n,) names, and their errors, (k, n_b) each.

    Rows with an index outside 0 … bins-1 are left out. A bin without weight gives NaN.
    """
    held = binned_sum(w, index, bins)
    inside = np.clip(index, 0, bins - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.stack([binned_sum(w * each, index, bins) for each in columns]) / held
        if isinstance(fluctuations, Poisson):
            return mean, _spread(columns, w, index, bins, fluctuations)
        moved = np.stack([w * (c - m[inside]) for c, m in zip(columns, mean, strict=True)])
        return mean, np.sqrt(grouped_squares(moved, index, bins, fluctuations)) / np.abs(held)


def mean_values(
    columns: Sequence[FloatArray], w: FloatArray, fluctuations: Fluctuations
) -> tuple[FloatArray, FloatArray]:
    """Means of columns (n,) over all rows, and their errors, (k,) each."""
    mean, error = binned_means(columns, w, np.zeros(w.size, np.int64), 1, fluctuations)
    return mean[:, 0], error[:, 0]


def shares_below(
    values: FloatArray, w: FloatArray, levels: FloatArray, fluctuations: Fluctuations
) -> tuple[FloatArray, FloatArray]:
    """Shares of the weight of values (n,) at or below rising levels (m,), and their errors."""
    if isinstance(fluctuations, Poisson):
        index = np.searchsorted(levels, values)
        ones = np.ones((values.size, 1))
        found = bootstrap_binned(ones, w, index, levels.size + 1, fluctuations)
        below, replicas = (np.cumsum(sums[..., 0], axis=-1) for sums in found)
        spread = np.std(replicas[:, :-1] / replicas[:, -1:], axis=0)
        return below[:-1] / below[-1], spread
    order = np.argsort(values)
    offsets = np.array([0, values.size])
    rows = SortedRows.of(values[order], w[order], offsets, order, fluctuations)
    return rows.shares(levels)


def root(square: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The square roots of means and their errors; where negative weights leave less than nothing,
    0 without an error."""
    value = np.sqrt(np.maximum(square, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return value, np.where(value > 0, error / (2 * value), np.nan)


def _spread(
    columns: Sequence[FloatArray], w: FloatArray, index: IntArray, bins: int, poisson: Poisson
) -> FloatArray:
    """The standard deviation of the means over the replicas (k, n_b)."""
    table = np.column_stack([*columns, np.ones(w.size)])
    _, replicas = bootstrap_binned(table, w, index, bins, poisson)
    return np.asarray(np.std(replicas[..., :-1] / replicas[..., -1:], axis=0).T)
