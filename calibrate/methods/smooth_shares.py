"""Do simulated values follow those of data? Shares of both in smooth bins, with covariance.

Bin k holds Φ((b_k - v)/h) - Φ((b_k-1 - v)/h) of a value v: as if all values, of simulation and of
data alike, were smeared by h. The comparison stays exact, and shares move smoothly with a map:
with sharp bins χ² is bumpy, fits end where they began, and a numerical derivative takes the noise
for information. The bounds b are quantiles of data. Values are counted on a fine grid first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from calibrate.methods.monotone import Distribution
from calibrate.sample import BoolArray, FloatArray, Sample

BINS = 40
CELLS = 2000
REACH = 6.0
"""Widths of the smoothing beyond the outermost bounds, where bins are saturated."""
SMALLEST = float(np.finfo(np.float64).tiny)
NEGLIGIBLE = 1e-3
"""Share of the largest eigenvalue below which the covariance has no direction of its own."""


@dataclass(frozen=True)
class Weighted:
    """Values (n,), their weights, and the summed weight of the event that each belongs to."""

    values: FloatArray
    w: FloatArray
    event: FloatArray

    @classmethod
    def of(cls, values: FloatArray, sample: Sample) -> Weighted:
        """One value for every row of a sample."""
        groups = sample.groups
        if groups.single:
            return cls(values, sample.w, sample.w)
        event = np.bincount(groups.row, weights=sample.w).astype(np.float64)
        return cls(values, sample.w, event[groups.row])

    def taken(self, index: BoolArray) -> Weighted:
        """The selected rows."""
        return Weighted(self.values[index], self.w[index], self.event[index])


@dataclass(frozen=True)
class SmoothShares:
    """The smooth bins of data: the share of every cell of a grid in bin k is row of `smear`
    (cells, k), data's shares `wanted` (k,) with their covariance; the last bin is what is left.
    """

    low: float
    step: float
    smear: FloatArray
    wanted: FloatArray
    covariance: FloatArray

    @classmethod
    def of(cls, data: Weighted, width: float, folded: bool = False) -> SmoothShares:
        """Bins of equal statistics of data, smoothed by `width`; `folded` for absolute values,
        which are smoothed as signed ones."""
        found = Distribution.of(data.values, data.w)
        bounds = np.interp(np.linspace(0, 1, BINS + 1)[1:-1], found.level, found.values)
        low = 0.0 if folded else bounds[0] - REACH * width
        grid = np.linspace(low, bounds[-1] + REACH * width, CELLS)
        below = ndtr((bounds - grid[:, None]) / width)
        if folded:
            below -= ndtr((-bounds - grid[:, None]) / width)
        smear = np.diff(below, axis=1, prepend=0.0)
        empty = cls(low, grid[1] - grid[0], smear, np.empty(0), np.empty(0))
        wanted, covariance = empty.shares(data), empty.spread(data)
        return cls(low, grid[1] - grid[0], smear, wanted, covariance)

    def shares(self, simulated: Weighted) -> FloatArray:
        """Shares of the weight (k,); zeros if there is none."""
        counts = self._counts(simulated.values, simulated.w)
        return np.asarray(counts @ self.smear / max(simulated.w.sum(), SMALLEST))

    def spread(self, simulated: Weighted) -> FloatArray:
        """Covariance of the shares (k, k); rows of one event fluctuate together."""
        total = max(simulated.w.sum(), SMALLEST)
        shares = self.shares(simulated)
        squares = self._counts(simulated.values, simulated.w / total * simulated.event / total)
        mixed = np.outer(squares @ self.smear, shares)
        return np.asarray(
            (self.smear.T * squares) @ self.smear
            - mixed
            - mixed.T
            + squares.sum() * np.outer(shares, shares)
        )

    def whitening(self, simulated: Weighted) -> FloatArray:
        """The matrix (m, k) that makes the differences of shares independent, of variance 1."""
        size, axes = np.linalg.eigh(self.covariance + self.spread(simulated))
        kept = size > NEGLIGIBLE * size[-1]
        return np.asarray((axes[:, kept] / np.sqrt(size[kept])).T)

    def _counts(self, values: FloatArray, w: FloatArray) -> FloatArray:
        """Weights on the grid, those of a value shared by its two neighbours."""
        place = np.clip((values - self.low) / self.step, 0.0, CELLS - 1 - 1e-9)
        cell = place.astype(np.int64)
        upper = w * (place - cell)
        counts = np.bincount(cell, w - upper, CELLS) + np.bincount(cell + 1, upper, CELLS)
        return np.asarray(counts, np.float64)
