"""How well quoted uncertainties describe the truths: coverage, PIT, and the budget of errors."""

from __future__ import annotations

from dataclasses import dataclass

from calibrate.sample import FloatArray

CENTRAL, HIGHEST = "central", "highest density"
"""The regions of a `CoverageCurve`: as much probability on either side, or the smallest ones."""
TRUTH, QUOTED = "truth", "quoted"
"""What an `ErrorBudget` is binned in: the true z, or the quoted Σ(x)."""


@dataclass(frozen=True)
class CoverageCurve:
    """Fractions `coverage` (n_l,) of the truths within the `regions` of probabilities `level`
    (central intervals, or those of highest density of a mixture), over one test sample, with
    errors by group; `band` is the binomial error √(level(1 - level)/n_effective) of an exact
    coverage."""

    method: str
    test: str
    level: FloatArray
    coverage: FloatArray
    coverage_error: FloatArray
    band: FloatArray
    n_effective: float
    regions: str = CENTRAL


@dataclass(frozen=True)
class PITHistogram:
    """Density (n_b,) of the probability integral transform F(z|x) with its error, flat at 1 if
    the quoted distribution is right; `band` is the binomial error of a bin then."""

    method: str
    test: str
    edges: FloatArray
    density: FloatArray
    density_error: FloatArray
    band: float


@dataclass(frozen=True)
class CoverageProfile:
    """Coverage of the central intervals of probabilities `level` (n_l,) in bins of a column (a
    truth if `truth`, else a feature or spectator): `coverage`, its statistical error, and the
    binomial error `band` of an exact one, (n_l, n_b); `mean` (n_b,) of the column in each bin."""

    method: str
    test: str
    name: str
    unit: str
    truth: bool
    edges: FloatArray
    mean: FloatArray
    n_effective: FloatArray
    level: FloatArray
    coverage: FloatArray
    coverage_error: FloatArray
    band: FloatArray


@dataclass(frozen=True)
class ErrorBudget:
    """Root mean squares [unit of z] in bins (n_b,) of the true z or of the quoted Σ, as `by` says:
    σ_stoch and σ_pred (NaN where the method does not tell them apart), the quoted Σ = σ_tot, and
    `rmse` of ẑ - z, with errors by group; `mean` of z or Σ in each bin."""

    method: str
    test: str
    z_name: str
    z_unit: str
    by: str
    edges: FloatArray
    mean: FloatArray
    n_effective: FloatArray
    stochastic: FloatArray
    stochastic_error: FloatArray
    predictive: FloatArray
    predictive_error: FloatArray
    total: FloatArray
    total_error: FloatArray
    rmse: FloatArray
    rmse_error: FloatArray
