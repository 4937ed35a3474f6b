"""The expected normalised calibration error (Levi et al., arXiv:1905.11659, Eq. 8), and its error.

ENCE is the mean of |d_b| over bins, d_b = 1 - √(m_b/t_b) with the mean squares m_b and t_b of
actual and quoted errors. d_b is Gaussian with the error s_b of the mean of its influences
½√(m_b/t_b)·(t_i/t_b - m_i/m_b), and so
    Var|d_b| = d_b² + s_b² - (E|d_b|)²,
    cov(|d_a|, |d_b|) = E[sgn d_a]·E[sgn d_b]·cov(d_a, d_b)
(Price's theorem, to first order in the covariance, which is that of groups with rows in both bins).
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from calibrate.mixture import mean_absolute
from calibrate.sample import FloatArray, IntArray
from calibrate.statistics.bootstrap import Fluctuations
from calibrate.statistics.means import binned_means, mean_values
from calibrate.statistics.moments import binned_sum


def normalised_error(
    actual: FloatArray,
    quoted: FloatArray,
    w: FloatArray,
    index: IntArray,
    bins: int,
    fluctuations: Fluctuations,
) -> tuple[float, float]:
    """ENCE and its error, from squares (n,) of actual and quoted errors in the bins that `index`
    (n,) names; bins whose mean squares are not positive and finite are left out, and both are NaN
    where none is left."""
    (real, told), _ = binned_means((actual, quoted), w, index, bins, fluctuations)
    known, place = (real > 0) & (real < np.inf) & (told > 0), np.clip(index, 0, bins - 1)
    if not known.any():
        return np.nan, np.nan
    real, told = (np.where(known, each, 1.0) for each in (real, told))
    ratio = np.sqrt(real / told)
    influence = 0.5 * ratio[place] * (quoted / told[place] - actual / real[place])
    influence[~known[place] | (index != place)] = 0.0
    _, (error,) = binned_means([influence], w, index, bins, fluctuations)
    miss, error = (1 - ratio)[known], error[known]
    sign = np.zeros(bins)
    sign[known], folded = _folded(miss, error)
    share = np.sum(w) / np.where(known, binned_sum(w, index, bins), 1.0)
    _, (shared,) = mean_values([(sign * share)[place] * influence], w, fluctuations)
    variance = shared**2 + np.sum(np.maximum(folded - (sign[known] * error) ** 2, 0.0))
    return float(np.mean(np.abs(miss))), float(np.sqrt(variance) / miss.size)


def _folded(miss: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """E[sgn d] and Var|d| of Gaussian d of these means and widths (k,), which may be 0."""
    sign, variance, moves = np.sign(miss), np.zeros(miss.size), error > 0
    mean, width = miss[moves], error[moves]
    sign[moves] = 2 * ndtr(mean / width) - 1
    variance[moves] = mean**2 + width**2 - mean_absolute(mean, width) ** 2
    return sign, variance
