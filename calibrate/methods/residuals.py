"""The spread of z about a regression, as a function of the regression's value.

Σ²(x) = E[(z - f(x))(z - f(x))ᵀ given f(x)] (arXiv:2205.05084, Eq. 24), estimated in bins of the
first component of f with equal effective statistics and interpolated linearly between their
centres, which keeps a covariance matrix positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from calibrate.sample import FloatArray, Sample
from calibrate.statistics import bin_index, equal_statistics_edges, weighted_mean

BINS = 20
EVENTS_PER_BIN = 400.0


@dataclass(frozen=True)
class ResidualCovariance:
    """Covariances (n_b, d_z, d_z) at the centres (n_b,) of bins of the first estimate."""

    centres: FloatArray
    covariances: FloatArray

    @classmethod
    def of(cls, sample: Sample, estimate: FloatArray) -> ResidualCovariance:
        """From the residuals of the training sample; estimate (n, d_z)."""
        first, residual = estimate[:, 0], sample.z - estimate
        edges = equal_statistics_edges(first, sample.w, sample.group, BINS, EVENTS_PER_BIN)
        index = np.clip(bin_index(first, edges), 0, edges.size - 2)
        outer = residual[:, :, None] * residual[:, None, :]
        filled = [b for b in range(edges.size - 1) if np.sum(sample.w[index == b]) > 0]
        rows = [index == b for b in filled]
        centres = np.array([float(weighted_mean(first[r], sample.w[r])) for r in rows])
        covariances = np.stack([weighted_mean(outer[r], sample.w[r]) for r in rows])
        return cls(centres, covariances)

    def at(self, estimate: FloatArray) -> FloatArray:
        """The covariance (n, d_z, d_z) at estimates (n, d_z); constant beyond the end bins."""
        if self.centres.size == 1:
            return np.repeat(self.covariances, len(estimate), axis=0)
        position = np.interp(estimate[:, 0], self.centres, np.arange(self.centres.size))
        low = np.minimum(position.astype(np.int64), self.centres.size - 2)
        share = (position - low)[:, None, None]
        return np.asarray((1 - share) * self.covariances[low] + share * self.covariances[low + 1])

    def state(self) -> dict[str, Any]:
        """The arrays from which `ResidualCovariance(**state)` rebuilds the object."""
        return {"centres": self.centres, "covariances": self.covariances}
