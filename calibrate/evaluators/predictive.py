"""A quoted distribution p(z|x) beside the truths: scores, coverage, and the budget of errors.

The distribution is the method's mixture of Gaussians, or N(ẑ, Σ²) where it quotes Σ alone. F(z|x)
at the truth, the probability integral transform (PIT), is uniform if it is right; a truth lies in
the central interval of probability p if |2F - 1| ≤ p, which for one Gaussian is |ẑ - z| ≤ Σ at
p = 0.683. Scores are those of Gneiting & Raftery, J. Am. Stat. Assoc. 102 (2007) 359: CRPS and
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
from calibrate.records.uncertainty import QUOTED, TRUTH
from calibrate.sample import FloatArray, IntArray, Sample
from calibrate.statistics import (
    Poisson,
    bin_index,
    bootstrap_binned,
    bootstrap_ratios,
    equal_statistics_edges,
)

LEVEL_EDGES = np.linspace(0.0, 1.0, 51)
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
    poisson: Poisson

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
            **{name: (self.central <= p).astype(np.float64) for name, p in INTERVALS.items()},
            "crps": self.density.crps(r.z),
            "nll": -self.density.log_density(r.z),
        }
        columns = {"pull": pull, "pull square": pull**2, **self.squares, **means}
        table = np.column_stack(list(columns.values()))
        value, replicas = bootstrap_ratios(table, self.sample.w, self.poisson)
        known = {name: (value[i], replicas[:, i]) for i, name in enumerate(columns)}
        (mean, means_drawn), (square, squares_drawn) = known["pull"], known["pull square"]
        unit = r.column.unit
        units = {"crps": unit, "nll": "nat"}
        return {
            **{k: quantity(root(known[k][0]), root(known[k][1]), unit) for k in self.squares},
            "pull_mean": quantity(mean, means_drawn),
            "pull_width": quantity(root(square - mean**2), root(squares_drawn - means_drawn**2)),
            **{k: quantity(*known[k], units.get(k, "")) for k in means},
        }

    def coverage(self) -> CoverageCurve:
        """Coverage of the central intervals of all probabilities."""
        index, bins = bin_index(self.central, LEVEL_EDGES), LEVEL_EDGES.size - 1
        ones = np.ones((len(self.sample), 1))
        value, replicas = bootstrap_binned(ones, self.sample.w, index, bins, self.poisson)
        inside, spread = (np.cumsum(m[..., 0], axis=-1) for m in (value, replicas))
        level, n_effective = LEVEL_EDGES[1:-1], self.sample.effective_size
        return CoverageCurve(
            self.method,
            self.residual.label,
            level,
            inside[:-1] / inside[-1],
            np.std(spread[:, :-1] / spread[:, -1:], axis=0),
            np.sqrt(level * (1 - level) / n_effective),
            n_effective,
        )

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
        columns = np.column_stack([*inside, np.ones(len(w))])
        value, replicas = bootstrap_binned(columns, w, index, bins, self.poisson)
        coverage, spread = (ratios(m) for m in (value, replicas))
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
            coverage=coverage.T,
            coverage_error=np.std(spread, axis=0).T,
            band=np.where(np.isfinite(band), band, np.nan),
        )

    def budget(self, by: str, bins: int) -> ErrorBudget:
        """Root mean squares in bins of equal effective statistics of the truth or of Σ(x)."""
        values = {TRUTH: self.residual.z, QUOTED: self.sigma}[by]
        w, group = self.sample.w, self.sample.group
        edges = equal_statistics_edges(values, w, group, bins, MINIMUM_EFFECTIVE)
        index, bins = bin_index(values, edges), edges.size - 1
        value, replicas = map(root, self._binned(index, bins))
        parts = {name: (np.full(bins, np.nan), np.full(bins, np.nan)) for name in BUDGET}
        parts |= {
            name: (value[:, i], np.std(replicas[..., i], axis=0))
            for i, name in enumerate(self.squares)
        }
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
        index = bin_index(self.sigma, budget.edges)
        found = self._binned(index, budget.edges.size - 1)
        names = list(self.squares)
        total, rmse = names.index("sigma_tot"), names.index("rmse")
        relative = [np.abs(1 - root(m[..., rmse] / m[..., total])) for m in found]
        value, replicas = (np.nanmean(each, axis=-1) for each in relative)
        return quantity(value, replicas)

    def _binned(self, index: IntArray, bins: int) -> tuple[FloatArray, FloatArray]:
        """Means of the squares in bins (n_b, k), and in every replica."""
        columns = np.column_stack([*self.squares.values(), np.ones(len(self.sample))])
        found = bootstrap_binned(columns, self.sample.w, index, bins, self.poisson)
        value, replicas = (ratios(m) for m in found)
        return value, replicas


def ratios(sums: FloatArray) -> FloatArray:
    """Sums (…, k + 1) over the last of them (…, k); NaN in bins without weight."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[..., :-1] / sums[..., -1:])


def root(square: FloatArray) -> FloatArray:
    """The square root; 0 where negative weights leave less than nothing."""
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def quantity(value: FloatArray, replicas: FloatArray, unit: str = "") -> Quantity:
    """A number with the standard deviation of its replicas."""
    return Quantity(float(value), float(np.std(replicas)), unit)
