"""The linear map between the moments of two distributions, optimal where both are Gaussian.

T(x) = m₂ + A(x - m₁), A = Σ₁^{-1/2}(Σ₁^{1/2}Σ₂Σ₁^{1/2})^{1/2}Σ₁^{-1/2}: symmetric and positive, the
gradient of a convex function, hence the optimal map to T's image for the squared distance
(Olkin & Pukelsheim 1982; Peyré & Cuturi, arXiv:1803.00567, Eq. 2.40).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibrate.errors import DataError
from calibrate.sample import FloatArray
from calibrate.statistics import binned_sum, weighted_covariance, weighted_mean

DEGENERATE = 1e-10
"""Smallest over largest variance along any direction below which features are no longer told
apart."""


@dataclass(frozen=True)
class Cloud:
    """Weighted points t (n, d) in coordinates of about unit width; weights (n,) sum to 1."""

    t: FloatArray
    w: FloatArray

    @classmethod
    def of(cls, t: FloatArray, w: FloatArray) -> Cloud:
        """Points of weight above zero."""
        used = w > 0
        return cls(t[used], w[used] / np.sum(w[used]))

    def merged(self) -> Cloud:
        """Equal points as one, so that a point of weight 2 is exactly the point twice."""
        t, row = np.unique(self.t, axis=0, return_inverse=True)
        return Cloud(t, binned_sum(self.w, row.reshape(-1), len(t)))

    def moved(self, t: FloatArray) -> Cloud:
        """The same weights at other points (n, d)."""
        return Cloud(t, self.w)

    @property
    def mean(self) -> FloatArray:
        """(d,)"""
        return weighted_mean(self.t, self.w)

    @property
    def covariance(self) -> FloatArray:
        """(d, d)"""
        return weighted_covariance(self.t, self.t, self.w)


@dataclass(frozen=True)
class Linear:
    """t' = offset (d,) + matrix (d, d) · t."""

    offset: FloatArray
    matrix: FloatArray

    def __call__(self, t: FloatArray) -> FloatArray:
        """t' (n, d) of t (n, d)."""
        return np.asarray(self.offset + t @ self.matrix.T)

    @classmethod
    def of_moments(cls, simulation: Cloud, data: Cloud) -> Linear:
        """The optimal map between Gaussians of the same moments.

        Raises DataError where a feature is a linear combination of others.
        """
        root, inverse = _roots(simulation.covariance)
        middle, _ = _roots(root @ data.covariance @ root)
        matrix = inverse @ middle @ inverse
        return cls(data.mean - matrix @ simulation.mean, matrix)

    @classmethod
    def of_images(cls, points: Cloud, images: FloatArray) -> Linear:
        """The least-squares line of images (n, d) over points."""
        covariance = weighted_covariance(images, points.t, points.w)
        matrix = covariance @ np.linalg.inv(points.covariance)
        return cls(weighted_mean(images, points.w) - matrix @ points.mean, matrix)


def _roots(covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The symmetric square root and its inverse."""
    values, vectors = np.linalg.eigh(covariance)
    if not values[0] > DEGENERATE * values[-1]:
        raise DataError(
            "optimal transport of several features: one of them is a linear combination of the "
            f"others (variances along the main axes {values[0]:.3g} to {values[-1]:.3g}): leave "
            "it out"
        )
    root = np.sqrt(values)
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T
