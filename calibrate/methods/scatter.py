"""Mean and covariance of estimates that come one after the other.

With shifts δ_k = ẑ_k - o from an origin o near them, which keeps rounding small,
    mean = o + Σδ/K,    covariance = (Σδδᵀ - ΣδΣδᵀ/K)/(K - 1).
"""

from __future__ import annotations

import numpy as np

from calibrate.sample import FloatArray


class Scatter:
    """Sums over the estimates (n, d_z) added so far."""

    def __init__(self, origin: FloatArray) -> None:
        self.number = 0
        self._origin = origin
        self._shifts = np.zeros_like(origin)
        self._squares = np.zeros((*origin.shape, origin.shape[1]))

    def add(self, z: FloatArray) -> None:
        """One more estimate."""
        shift = z - self._origin
        self.number += 1
        self._shifts += shift
        self._squares += shift[:, :, None] * shift[:, None, :]

    @property
    def mean(self) -> FloatArray:
        """Of the estimates (n, d_z)."""
        return np.asarray(self._origin + self._shifts / self.number)

    @property
    def covariance(self) -> FloatArray:
        """Of one estimate (n, d_z, d_z), from at least two of them."""
        squared = self._shifts[:, :, None] * self._shifts[:, None, :] / self.number
        return np.asarray((self._squares - squared) / (self.number - 1))


def deviation(covariance: FloatArray) -> FloatArray:
    """Standard deviations (n, d_z) of covariances (n, d_z, d_z)."""
    return np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0.0))
