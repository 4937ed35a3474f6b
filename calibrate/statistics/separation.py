"""How well one score tells two weighted samples apart: the area under the ROC curve.

AUC = P(score of b > score of a) + ½P(equal) = Σ_i w_i (1 - G(a_i))/Σw, G the weighted distribution
function of b with half of the weight at a point itself. Its variance is that of the placements
(DeLong, DeLong & Clarke-Pearson 1988), with the deviations of one group summed first:
Var = Σ_g [Σ_{i in g} w_i (1 - G(a_i) - AUC)]²/(Σw)², and the same of b. So an event of weight 2 is
the event twice.
"""

from __future__ import annotations

import numpy as np

from calibrate.sample import FloatArray, IntArray
from calibrate.statistics.quantiles import refuse_negative


def area_under_curve(
    a: FloatArray,
    b: FloatArray,
    w_a: FloatArray,
    w_b: FloatArray,
    group_a: IntArray,
    group_b: IntArray,
) -> tuple[float, float]:
    """AUC of scores a (n,) and b (m,) with weights ≥ 0 and group labels, and its error.

    Raises DataError for negative weights.
    """
    for w in (w_a, w_b):
        refuse_negative(w, "the area under a ROC curve")
    placed_a, placed_b = 1 - _level(b, w_b, a), _level(a, w_a, b)
    area = float(np.sum(w_a * placed_a) / np.sum(w_a))
    variance = _variance(placed_a - area, w_a, group_a) + _variance(placed_b - area, w_b, group_b)
    return area, float(np.sqrt(variance))


def _level(values: FloatArray, w: FloatArray, at: FloatArray) -> FloatArray:
    """The share of weight below each `at` (k,) and half of that at it."""
    order = np.argsort(values)
    ordered, sums = values[order], np.append(0.0, np.cumsum(w[order]))
    below, upto = (sums[np.searchsorted(ordered, at, side)] for side in ("left", "right"))
    return np.asarray(0.5 * (below + upto) / sums[-1])


def _variance(deviations: FloatArray, w: FloatArray, group: IntArray) -> float:
    """Of a weighted mean, with the sums of groups; n/(n-1) for n groups."""
    _, row = np.unique(group, return_inverse=True)
    sums = np.bincount(row, w * deviations)
    return float(np.sum(sums**2) / np.sum(w) ** 2 * sums.size / max(sums.size - 1, 1))
