"""The exact maximum-likelihood calibration of one positive feature, without any network.

p(r | z) with r = log(x/z) is estimated by a product of Gaussian kernels in r and log z on a grid
(both axes in steps of 0.001); ẑ(x) = argmax_z p(log(x/z) | z). The spectrum is flattened first, so
that a window in log z is not pulled towards its populated end; weights are honoured. It needs no
training, and many more events than a network: its own statistical error is found by a bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter1d

from calibrate.estimate import Domain, Estimate
from calibrate.prior import flatten
from calibrate.records import FitSummary
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import weighted_quantile

STEP = 0.001
REACH = 0.4
WINDOW = 0.08
BANDWIDTH = 0.35


@dataclass(frozen=True)
class KernelLikelihood:
    """ẑ(x) by interpolation in log x between grid points (n_g,); no uncertainty is quoted."""

    domain: Domain
    log_x: FloatArray
    log_z: FloatArray
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "kernel_likelihood"
    closed_form: ClassVar[str] = "maximum_likelihood"

    @classmethod
    def of(cls, sample: Sample, bandwidth: float = BANDWIDTH) -> KernelLikelihood:
        """From simulated events; `bandwidth` in units of the response's half 16-84 % interval."""
        flat = flatten(sample).sample
        log_x, log_z = np.log(flat.x[:, 0]), np.log(flat.z[:, 0])
        low, high = weighted_quantile(log_x - log_z, flat.w, [0.16, 0.84])
        width = bandwidth * (high - low) / 2
        z_grid = np.arange(log_z.min(), log_z.max() + STEP, STEP)
        log_density = _log_density(log_x - log_z, log_z, flat.w, z_grid, width)
        x_grid = np.arange(log_x.min(), log_x.max() + STEP, STEP)
        return cls(Domain.of(sample), x_grid, _maxima(log_density, x_grid, z_grid))

    def estimate(self, x: FloatArray) -> Estimate:
        """ẑ (n, 1) for x (n, 1); constant response beyond the ends of the grid."""
        x = self.domain.checked(x)
        log_response = np.interp(np.log(x), self.log_x, self.log_z - self.log_x)
        return Estimate(x * np.exp(log_response), None, self.domain.inside(x))


def _log_density(
    r: FloatArray, log_z: FloatArray, w: FloatArray, z_grid: FloatArray, width: float
) -> FloatArray:
    """log p(r | z) (n_z, n_r) on the grids of log z and of r in [-REACH, REACH]."""
    row = np.rint((log_z - z_grid[0]) / STEP).astype(int)
    column = np.rint((r + REACH) / STEP).astype(int)
    columns = round(2 * REACH / STEP) + 1
    inside = (column >= 0) & (column < columns)
    counts = np.zeros((z_grid.size, columns))
    np.add.at(counts, (row[inside], column[inside]), w[inside])
    counts = gaussian_filter1d(counts, width / STEP, axis=1, mode="constant")
    counts = gaussian_filter1d(counts, WINDOW / STEP, axis=0, mode="constant")
    counts /= counts.sum(axis=1, keepdims=True)
    return np.log(np.maximum(counts, 1e-300))


def _maxima(log_density: FloatArray, x_grid: FloatArray, z_grid: FloatArray) -> FloatArray:
    """argmax of log p(log x - log z | z) in log z for every x (n_x,), by a parabola through three
    points of the grid."""
    rows, columns = log_density.shape
    shift = round((x_grid[0] - z_grid[0] + REACH) / STEP)
    remainder = x_grid[0] - z_grid[0] + REACH - shift * STEP
    column = shift + np.arange(x_grid.size)[:, None] - np.arange(rows)[None, :]
    known = (column >= 0) & (column < columns)
    values = np.where(known, log_density[np.arange(rows), np.clip(column, 0, columns - 1)], -1e3)
    best = np.clip(np.argmax(values, axis=1), 1, rows - 2)
    left, middle, right = (values[np.arange(x_grid.size), best + k] for k in (-1, 0, 1))
    curvature = np.minimum(left - 2 * middle + right, -1e-12)
    offset = np.clip(0.5 * (left - right) / curvature, -1, 1)
    return z_grid[best] + offset * STEP + remainder
