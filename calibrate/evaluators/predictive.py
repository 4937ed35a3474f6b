"""A quoted distribution p(z|x) beside the truths: scores, coverage, and the budget of errors.

The distribution is the method's mixture of Gaussians, or N(ẑ, Σ²) where it quotes Σ alone. F(z|x)
at the truth, the probability integral transform (PIT), is uniform if it is right; a truth lies in
the central interval of probability p if |2F - 1| ≤ p, which for one Gaussian is |ẑ - z| ≤ Σ at
p = 0.683. For a mixture the smallest regions of a probability, of highest density, are others.
Scores are those of Gneiting & Raftery, J. Am. Stat. Assoc. 102 (2007) 359: CRPS and
NLL = -log p(z|x), both smaller where better. ENCE (Levi et al., arXiv:1905.11659, Eq. 8) is the
mean of |rms Σ - rms(ẑ - z)|/rms Σ over bins of Σ; n events a bin make it 0.8/√(2n) at best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from calibrate.evaluators.histograms import density
from calibrate.evaluators.residuals import Residual, binned_mean, effective_events
from calibrate.evaluators.slices import Sliced
from calibrate.mixture import ONE_SIGMA, GaussianMixture
from calibrate.records import (
    MINIMUM_EFFECTIVE,
    CoverageCurve,
    CoverageProfile,
    ErrorBudget,
    PITHistogram,
    Quantity,
)
from calibrate.records.uncertainty import CENTRAL, HIGHEST, QUOTED, TRUTH
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import (
    Fluctuations,
    bin_index,
    binned_means,
    equal_statistics_edges,
    mean_values,
    normalised_error,
    root,
    shares_below,
    weighted_mean,
)

LEVELS = np.linspace(0.02, 0.98, 49)
PIT_EDGES = np.linspace(0.0, 1.0, 21)
INTERVALS = {"coverage_68": ONE_SIGMA, "coverage_95": 0.95}
BUDGET = {
    "sigma_stoch": "stochastic",
    "sigma_pred": "predictive",
    "sigma_tot": "total",
    "rmse": "rmse",
}
"""Root mean squares by the name of their metric, and their fields in an `ErrorBudget`."""

Scalars = dict[str, Quantity]


@dataclass(frozen=True)
class Prediction:
    """One truth column of one test sample under one method that quotes Σ(x)."""

    method: str
    residual: Residual
    sample: Sample
    fluctuations: Fluctuations

    @cached_property
    def sigma(self) -> FloatArray:
        """The quoted Σ(x) (n,)."""
        return np.asarray(self.residual.sigma)

    @cached_property
    def density(self) -> GaussianMixture:
        """p(z|x) of each event."""
        known = self.residual.mixture
        return known or GaussianMixture.gaussian(self.residual.estimate, self.sigma)

    @cached_property
    def pit(self) -> FloatArray:
        """F(z|x) (n,)."""
        return self.density.cdf(self.residual.z)

    @cached_property
    def central(self) -> FloatArray:
        """The probability (n,) of the central interval that ends at the truth."""
        return np.abs(2 * self.pit - 1)

    @cached_property
    def regions(self) -> Mapping[str, FloatArray]:
        """The probability (n,) of the region of each kind that ends at the truth; those of highest
        density of a mixture, since one Gaussian's are the central ones."""
        if self.density.weights.shape[1] == 1:
            return {CENTRAL: self.central}
        return {CENTRAL: self.central, HIGHEST: self.density.density_level(self.residual.z)}

    @cached_property
    def squares(self) -> Mapping[str, FloatArray]:
        """What the root mean squares are taken of (n,), by the name of the metric."""
        r = self.residual
        parts = {"sigma_stoch": r.stochastic, "sigma_pred": r.statistical}
        known = {name: part**2 for name, part in parts.items() if part is not None}
        return {**known, "sigma_tot": self.sigma**2, "rmse": (r.estimate - r.z) ** 2}

    def scalars(self) -> Scalars:
        """Root mean squares, pulls, coverage and scores over the sample."""
        r = self.residual
        pull = (r.estimate - r.z) / self.sigma
        means = {
            "pull_mean": pull,
            **{name: (self.central <= p).astype(np.float64) for name, p in INTERVALS.items()},
            "crps": self.density.crps(r.z),
            "nll": -self.density.log_density(r.z),
        }
        if HIGHEST in self.regions:
            means["coverage_68_hpd"] = (self.regions[HIGHEST] <= ONE_SIGMA).astype(np.float64)
        squares = {**self.squares, "pull_width": (pull - weighted_mean(pull, self.sample.w)) ** 2}
        units = {**dict.fromkeys((*self.squares, "crps"), r.column.unit), "nll": "nat"}
        found, k = np.stack(self.means(*squares.values(), *means.values())), len(squares)
        found[:, :k] = root(*found[:, :k])
        named = zip((*squares, *means), found.T, strict=True)
        return {name: quantity(v, e, units.get(name, "")) for name, (v, e) in named}

    def means(self, *columns: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Means of columns (n,) over the sample, and their errors, (k,) each."""
        return mean_values(columns, self.sample.w, self.fluctuations)

    def coverage(self) -> tuple[CoverageCurve, ...]:
        """Coverage of the regions of all probabilities, a curve for each kind."""
        return tuple(self._covered(regions, held) for regions, held in self.regions.items())

    def _covered(self, regions: str, held: FloatArray) -> CoverageCurve:
        w, n_effective = self.sample.w, self.sample.effective_size
        coverage, error = shares_below(held, w, LEVELS, self.fluctuations)
        band = np.sqrt(LEVELS * (1 - LEVELS) / n_effective)
        about = self.method, self.residual.label, LEVELS
        return CoverageCurve(*about, coverage, error, band, n_effective, regions)

    def pit_histogram(self) -> PITHistogram:
        """The distribution of F(z|x)."""
        found, width = density(self.pit, self.sample, PIT_EDGES), float(PIT_EDGES[1])
        band = np.sqrt(width * (1 - width) / self.sample.effective_size) / width
        return PITHistogram(
            self.method,
            self.residual.label,
            PIT_EDGES,
            found.density,
            found.error,
            float(band),
        )

    def profile(self, sliced: Sliced) -> CoverageProfile:
        """Coverage in slices of a column."""
        index, bins, w = sliced.index, sliced.edges.size - 1, self.sample.w
        inside = [(self.central <= p).astype(np.float64) for p in INTERVALS.values()]
        coverage, error = binned_means(inside, w, index, bins, self.fluctuations)
        n_effective = effective_events(w, index, bins, self.sample.groups)
        level = np.array(list(INTERVALS.values()))
        with np.errstate(divide="ignore"):
            band = np.sqrt((level * (1 - level))[:, None] / n_effective)
        name = sliced.slicing.name
        return CoverageProfile(
            method=self.method,
            test=self.residual.label,
            name=name,
            unit=sliced.unit,
            truth=name in {column.name for column in self.sample.z_columns},
            edges=sliced.edges,
            mean=binned_mean(sliced.slicing.values(self.sample), w, index, bins),
            n_effective=n_effective,
            level=level,
            coverage=coverage,
            coverage_error=error,
            band=np.where(np.isfinite(band), band, np.nan),
        )

    def budget(self, by: str, bins: int) -> ErrorBudget:
        """Root mean squares in bins of equal effective statistics of the truth or of Σ(x)."""
        values = {TRUTH: self.residual.z, QUOTED: self.sigma}[by]
        w, group = self.sample.w, self.sample.group
        edges = equal_statistics_edges(values, w, group, bins, MINIMUM_EFFECTIVE)
        index, bins = bin_index(values, edges), edges.size - 1
        squares = [*self.squares.values()]
        found = np.stack(root(*binned_means(squares, w, index, bins, self.fluctuations)), axis=1)
        parts = {name: np.full((2, bins), np.nan) for name in BUDGET}
        parts |= dict(zip(self.squares, found, strict=True))
        r = self.residual
        return ErrorBudget(
            method=self.method,
            test=r.label,
            z_name=r.column.name,
            z_unit=r.column.unit,
            by=by,
            edges=edges,
            mean=binned_mean(values, w, index, bins),
            n_effective=effective_events(w, index, bins, self.sample.groups),
            **{field: parts[name][0] for name, field in BUDGET.items()},
            **{f"{field}_error": parts[name][1] for name, field in BUDGET.items()},
        )

    def ence(self, budget: ErrorBudget) -> Quantity:
        """The expected normalised calibration error over the bins of `budget`, which is by Σ."""
        squares, edges = self.squares, budget.edges
        binned = bin_index(self.sigma, edges), edges.size - 1
        about = squares["rmse"], squares["sigma_tot"], self.sample.w
        return quantity(*normalised_error(*about, *binned, self.fluctuations))


def quantity(value: float, error: float, unit: str = "") -> Quantity:
    """A number with its error, where there is one."""
    return Quantity(float(value), float(error) if np.isfinite(error) else None, unit)
