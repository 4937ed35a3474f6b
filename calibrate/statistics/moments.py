"""Weighted moments; negative weights are exact here."""

from __future__ import annotations

import numpy as np

from calibrate.sample import BoolArray, FloatArray, Groups, IntArray


def weighted_mean(values: FloatArray, w: FloatArray) -> FloatArray:
    """Σwv/Σw over the first axis of values (n, …) with weights (n,)."""
    return np.asarray(np.tensordot(w, values, axes=(0, 0)) / np.sum(w))


def weighted_std(values: FloatArray, w: FloatArray) -> FloatArray:
    """√(Σw(v-v̄)²/Σw) over the first axis of values (n, …); no small-sample factor."""
    variance = weighted_mean((values - weighted_mean(values, w)) ** 2, w)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def weighted_covariance(a: FloatArray, b: FloatArray, w: FloatArray) -> FloatArray:
    """Σw(a-ā)(b-b̄)ᵀ/Σw of a (n, p) and b (n, q) as (p, q)."""
    centred = a - weighted_mean(a, w)
    return np.asarray((centred * w[:, None]).T @ (b - weighted_mean(b, w)) / np.sum(w))


def mean_error(values: FloatArray | BoolArray, mean: float, w: FloatArray, groups: Groups) -> float:
    """√ΣD²/Σw of the weighted mean of values (n,), D = Σw(v - mean) over one group."""
    deviations = w * (values - mean)
    if not groups.single:
        deviations = binned_sum(deviations, groups.row, groups.number)
    return float(np.sqrt(np.sum(deviations**2)) / np.sum(w))


def grouped_squares(values: FloatArray, index: IntArray, bins: int, groups: Groups) -> FloatArray:
    """ΣV² in the bins that `index` (n,) names, V the sum of the values (…, n) of one group in a
    bin, (…, n_b).

    Rows with an index outside 0 … bins-1 are left out.
    """
    if groups.single:
        return _along_rows(values**2, index, bins)
    inside = (index >= 0) & (index < bins)
    cells, row = np.unique(groups.row[inside] * bins + index[inside], return_inverse=True)
    summed = _along_rows(values[..., inside], row, cells.size)
    return _along_rows(summed**2, cells % bins, bins)


def binned_sum(values: FloatArray, index: IntArray, bins: int) -> FloatArray:
    """Σ values (n,) in the bins that `index` (n,) names, (n_b,); other rows are left out."""
    shifted = np.clip(index, -1, bins) + 1  # the first and the last place are for other rows
    sums = np.bincount(shifted, weights=values, minlength=bins + 2)
    return np.asarray(sums[1:-1], dtype=np.float64)


def _along_rows(values: FloatArray, index: IntArray, bins: int) -> FloatArray:
    """`binned_sum` of each of the columns (…, n), as (…, n_b)."""
    if values.ndim == 1:
        return binned_sum(values, index, bins)
    return np.stack([_along_rows(each, index, bins) for each in values])
