"""Straight lines between knots, and straight on beyond them."""

from __future__ import annotations

import numpy as np

from calibrate.sample import FloatArray


def polygon(
    x: FloatArray, knots: FloatArray, values: FloatArray, slopes: FloatArray | None = None
) -> FloatArray:
    """y (n,) at x (n,) of the polygon through `values` (k,) at rising `knots` (k,).

    Beyond the ends it goes on straight with `slopes` (2,), by default those of its end pieces.
    """
    y = np.interp(x, knots, values)
    if slopes is None:
        slopes = np.diff(values)[[0, -1]] / np.diff(knots)[[0, -1]]
    for end, slope, beyond in zip((0, -1), slopes, (x < knots[0], x > knots[-1]), strict=True):
        rows = np.flatnonzero(beyond)
        y[rows] += slope * (x[rows] - knots[end])
    return np.asarray(y)
