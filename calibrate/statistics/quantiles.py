"""Weighted quantiles as the inverse of the empirical distribution function.

Q(q) is the smallest value whose cumulative weight reaches q·Σw. No interpolation: an event of
weight 2 is exactly the event twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from calibrate.errors import DataError
from calibrate.sample import FloatArray, IntArray

ROUNDING = 1e-12
"""Relative slack in the comparison of cumulative weights, so that a common factor of all
weights cannot move a quantile by rounding."""


def weighted_quantile(
    values: FloatArray, w: FloatArray, q: ArrayLike, ascending: IntArray | None = None
) -> FloatArray:
    """Quantiles q of values (n,) with weights (n,) ≥ 0; `ascending` (n,) are the rows in the
    order of the values, where the caller knows them.

    Raises DataError for negative weights: the distribution function would not be monotone.
    """
    refuse_negative(w, "a quantile")
    order = np.argsort(values) if ascending is None else ascending
    cumulative = np.cumsum(w[order])
    target = np.asarray(q) * cumulative[-1] * (1 - ROUNDING)
    index = np.minimum(np.searchsorted(cumulative, target), values.size - 1)
    return np.asarray(values[order[index]])


def refuse_negative(w: FloatArray, consumer: str) -> None:
    """Raise DataError if a weight is negative; `consumer` says what needs them positive."""
    negative = int(np.count_nonzero(w < 0))
    if negative:
        raise DataError(
            f"{consumer} needs weights ≥ 0, got {negative} negative of {w.size}: use a method or "
            "statistic that allows them, or remove the negative weights"
        )
