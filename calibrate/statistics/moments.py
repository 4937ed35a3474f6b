"""Weighted moments; negative weights are exact here."""

from __future__ import annotations

import numpy as np

from calibrate.sample import FloatArray


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
