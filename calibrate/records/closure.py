"""Closure in bins of the truth, alone and in slices of another column, and how a bin is judged."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from calibrate.sample import FloatArray

MINIMUM_EFFECTIVE = 200
"""Effective events below which a bin does not enter a verdict."""

CLOSES, FAILS, CANNOT_TELL = "closes", "fails", "cannot tell"
TOO_FEW = "too few events"

FITTED, POOR, FAILED = "fitted", "poor", "failed"
"""States of a fit of the core: with a χ² that is probable, with one that is not, not converged."""
IMPROBABLE = 1e-3
"""Probability of a larger χ² below which a fit is poor."""


def bin_state(n_effective: float, bias: float, error: float, tolerance: float) -> str:
    """`fails` if |bias| - 2 error > tolerance, else `cannot tell` if 2 error > tolerance, else
    `closes`; `too few events` below the minimum."""
    if not (n_effective >= MINIMUM_EFFECTIVE and np.isfinite(bias) and np.isfinite(error)):
        return TOO_FEW
    if abs(bias) - 2 * error > tolerance:
        return FAILS
    return CANNOT_TELL if 2 * error > tolerance else CLOSES


def fit_state(n_effective: float, mode: float, probability: float) -> str:
    """`fitted`, `poor` if a larger χ² has a probability below 1e-3, `failed` if the fit did not
    converge; `too few events` below the minimum."""
    if not n_effective >= MINIMUM_EFFECTIVE:
        return TOO_FEW
    if not np.isfinite(mode):
        return FAILED
    return POOR if probability < IMPROBABLE else FITTED


def _unknown() -> FloatArray:
    return np.empty(0)


class Deviation:
    """A record of u = ẑ/z if `relative`, else of u = ẑ - z."""

    relative: bool
    z_unit: str

    @property
    def reference(self) -> float:
        """The value of u of a perfect calibration."""
        return 1.0 if self.relative else 0.0


@dataclass(frozen=True)
class ClosureCurve(Deviation):
    """Location and spread of u in bins of z over one test sample, arrays (n_b,).

    u = ẑ/z with reference 1 if `relative`, else u = ẑ - z with reference 0. `sigma` is the
    root mean square of the quoted Σ(x) (over z if relative), NaN if none is quoted. `bias` and
    `resolution` are the closed-form bias ⟨u⟩ - reference and std of u, NaN where unknown.

    `mode` and `fit` are location and width of the Gaussian core, fitted in the window `fit_low`
    … `fit_high` of u; `fit_chi2`, `fit_ndf` and `fit_probability` judge it by a histogram. NaN
    where no fit converged, and in records of versions without it. `calibration_error` is the
    standard deviation of `mean` over replicas of the calibration (bootstrap refits, networks drawn
    from a posterior), which all events of a bin share; NaN without any.
    """

    method: str
    test: str
    z_name: str
    z_unit: str
    relative: bool
    tolerance: float
    edges: FloatArray
    z_mean: FloatArray
    n_effective: FloatArray
    mean: FloatArray
    mean_error: FloatArray
    median: FloatArray
    median_error: FloatArray
    std: FloatArray
    std_error: FloatArray
    iqr: FloatArray
    iqr_error: FloatArray
    sigma: FloatArray
    sigma_error: FloatArray
    exact_bias: FloatArray
    exact_resolution: FloatArray
    mode: FloatArray = field(default_factory=_unknown)
    mode_error: FloatArray = field(default_factory=_unknown)
    fit: FloatArray = field(default_factory=_unknown)
    fit_error: FloatArray = field(default_factory=_unknown)
    fit_low: FloatArray = field(default_factory=_unknown)
    fit_high: FloatArray = field(default_factory=_unknown)
    fit_chi2: FloatArray = field(default_factory=_unknown)
    fit_ndf: FloatArray = field(default_factory=_unknown)
    fit_probability: FloatArray = field(default_factory=_unknown)
    calibration_error: FloatArray = field(default_factory=_unknown)

    def __post_init__(self) -> None:
        for each in fields(self):
            if each.default_factory is _unknown and not getattr(self, each.name).size:
                object.__setattr__(self, each.name, np.full(self.mean.size, np.nan))

    @property
    def states(self) -> tuple[str, ...]:
        """Per bin, by `bin_state` of the mean."""
        found = zip(self.n_effective, self.mean - self.reference, self.mean_error, strict=True)
        return tuple(bin_state(*each, self.tolerance) for each in found)

    @property
    def fit_states(self) -> tuple[str, ...]:
        """Per bin, by `fit_state`."""
        return tuple(map(fit_state, self.n_effective, self.mode, self.fit_probability))


@dataclass(frozen=True)
class SlicedClosure(Deviation):
    """Mean and spread of u in slices of the column `by` and bins of z, arrays (n_s, n_b).

    `by_edges` (n_s + 1,) bound the slices, in the unit of `by`; `abs(c)` is the absolute value
    of a column c. u as in `ClosureCurve`.
    """

    method: str
    test: str
    z_name: str
    z_unit: str
    relative: bool
    tolerance: float
    by: str
    by_unit: str
    edges: FloatArray
    by_edges: FloatArray
    z_mean: FloatArray
    n_effective: FloatArray
    mean: FloatArray
    mean_error: FloatArray
    std: FloatArray
    std_error: FloatArray
    iqr: FloatArray
    iqr_error: FloatArray

    @property
    def states(self) -> tuple[tuple[str, ...], ...]:
        """Per slice and bin, by `bin_state` of the mean."""
        found = (self.n_effective, self.mean - self.reference, self.mean_error)
        return tuple(
            tuple(bin_state(*cell, self.tolerance) for cell in zip(*rows, strict=True))
            for rows in zip(*found, strict=True)
        )


@dataclass(frozen=True)
class ResolutionFit:
    """Noise N [unit of z], stochastic S [√unit] and constant term C of
    σ(u) = √(N|N|/z² + S²/z + C²), with errors; fitted to bins whose mean z goes from `low` to
    `high`."""

    method: str
    test: str
    z_name: str
    z_unit: str
    noise: float
    noise_error: float
    stochastic: float
    stochastic_error: float
    constant: float
    constant_error: float
    chi2: float
    ndf: float
    probability: float
    low: float
    high: float

    @property
    def poor(self) -> bool:
        """Whether a larger χ² is improbable: the formula does not describe the points."""
        return self.probability < IMPROBABLE

    def __call__(self, z: FloatArray) -> FloatArray:
        """σ(u) at z (n,)."""
        square = self.noise * abs(self.noise) / z**2 + self.stochastic**2 / z + self.constant**2
        return np.sqrt(np.maximum(square, 0.0))
