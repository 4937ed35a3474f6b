"""Distributions over one sample, and the calibration over one: what histograms and maps hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

from calibrate.records.closure import Deviation, fit_state
from calibrate.sample import FloatArray


@dataclass(frozen=True)
class ResponseHistogram(Deviation):
    """Density of u over one test sample with its statistical error, arrays (n_b,); the
    fractions of weight below and above the shown range.

    The Gaussian core of the whole sample: `mode` and width `fit`, from the window `fit_low` …
    `fit_high` that holds the fraction `fit_inside` of the weight, with its χ²; NaN where there
    is none.
    """

    method: str
    test: str
    z_name: str
    z_unit: str
    relative: bool
    edges: FloatArray
    density: FloatArray
    density_error: FloatArray
    underflow: float
    overflow: float
    mean: float
    mean_error: float
    iqr: float
    n_effective: float = math.nan
    mode: float = math.nan
    mode_error: float = math.nan
    fit: float = math.nan
    fit_low: float = math.nan
    fit_high: float = math.nan
    fit_inside: float = math.nan
    fit_chi2: float = math.nan
    fit_ndf: float = math.nan
    fit_probability: float = math.nan

    @property
    def fit_state(self) -> str:
        """How the fit of the core went; empty in records of versions without it."""
        if math.isnan(self.n_effective):
            return ""
        return fit_state(self.n_effective, self.mode, self.fit_probability)


@dataclass(frozen=True)
class TailHistogram(Deviation):
    """Density of u out to the last of its tails, with its error, arrays (n_b,); the fractions of
    weight more than `reach` half 16-84 % intervals below and above the median, with errors."""

    method: str
    test: str
    z_name: str
    z_unit: str
    relative: bool
    edges: FloatArray
    density: FloatArray
    density_error: FloatArray
    reach: float
    below: float
    below_error: float
    above: float
    above_error: float


@dataclass(frozen=True)
class PullHistogram:
    """Density of the pull (ẑ-z)/Σ(x) over one test sample with its error, arrays (n_b,)."""

    method: str
    test: str
    edges: FloatArray
    density: FloatArray
    density_error: FloatArray
    underflow: float
    overflow: float
    mean: float
    width: float


@dataclass(frozen=True)
class CalibrationCurve:
    """ẑ(x) ± Σ(x) on a grid of x (n_b,), and the closed form where known (NaN elsewhere)."""

    method: str
    x_name: str
    x_unit: str
    z_name: str
    z_unit: str
    x: FloatArray
    estimate: FloatArray
    sigma: FloatArray
    exact_estimate: FloatArray
    exact_sigma: FloatArray


@dataclass(frozen=True)
class JointHistogram:
    """Weighted events of the training sample in bins of x and z: counts (n_x, n_z)."""

    x_name: str
    x_unit: str
    z_name: str
    z_unit: str
    x_edges: FloatArray
    z_edges: FloatArray
    counts: FloatArray


@dataclass(frozen=True)
class SpectrumHistogram:
    """Density of one quantity of one sample (truth or detector level), normalised to one."""

    sample: str
    level: str
    name: str
    unit: str
    edges: FloatArray
    density: FloatArray
    density_error: FloatArray
    underflow: float
    overflow: float
