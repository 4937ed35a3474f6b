"""Weighted histograms as densities with statistical errors √Σw²."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.evaluators.residuals import Residual
from calibrate.records import PullHistogram, ResponseHistogram, TailHistogram
from calibrate.sample import BoolArray, FloatArray, IntArray, Sample
from calibrate.statistics import (
    Summary,
    bin_index,
    binned_sum,
    core_goodness,
    grouped_squares,
    mean_error,
    weighted_mean,
    weighted_quantile,
    weighted_std,
)

RESPONSE_BINS = 60
SHOWN = (0.002, 0.998)
REACH = 5.0
RARE = 2e-4
TAIL_BINS = 80
FARTHEST = (2e-5, 1 - 2e-5)
PULL_EDGES = np.linspace(-5.0, 5.0, 51)


@dataclass(frozen=True)
class Density:
    """Fractions of weight per unit (n_b,), their errors, and the fractions outside."""

    density: FloatArray
    error: FloatArray
    underflow: float
    overflow: float


def density(
    values: FloatArray, sample: Sample, edges: FloatArray, ascending: IntArray | None = None
) -> Density:
    """Histogram of values (n,) over a sample, normalised to the whole of it.

    The error is √ΣW², W the weight that one group puts into a bin. `ascending` (n,) are the rows in
    the order of the values, where the caller knows them.
    """
    w = sample.w
    total, width = float(np.sum(w)), np.diff(edges)
    index = bin_index(values, edges, ascending)
    counts = binned_sum(w, index, width.size)
    squares = grouped_squares(w, index, width.size, sample.groups)
    below, above = (float(np.sum(w[m]) / total) for m in (index < 0, index >= width.size))
    return Density(counts / total / width, np.sqrt(squares) / total / width, below, above)


def response_edges(residuals: Sequence[Residual], w: FloatArray) -> FloatArray:
    """Common edges for the responses of several methods: what holds 99.6 % of each."""
    weights = np.maximum(w, 0.0)
    limits = [weighted_quantile(r.u, weights, SHOWN, r.ascending) for r in residuals]
    low, high = min(q[0] for q in limits), max(q[1] for q in limits)
    return np.linspace(low, high if high > low else low + 1.0, RESPONSE_BINS + 1)


def tail_edges(residuals: Sequence[Residual], w: FloatArray) -> FloatArray | None:
    """Common edges out to the last of the tails; None where no method has any, or weights are
    negative: less than 0.02 % beyond `REACH` half 16-84 % intervals from the median."""
    if np.any(w < 0):
        return None
    if not any(sum(np.sum(w[side]) for side in _tails(r, w)) > RARE * np.sum(w) for r in residuals):
        return None
    limits = [weighted_quantile(r.u, w, FARTHEST, r.ascending) for r in residuals]
    low, high = min(q[0] for q in limits), max(q[1] for q in limits)
    return np.linspace(low, high, TAIL_BINS + 1)


def tail_histogram(
    method: str, residual: Residual, sample: Sample, edges: FloatArray
) -> TailHistogram:
    """The distribution of u out to its tails, and how much lies in them."""
    found, w = density(residual.u, sample, edges, residual.ascending), sample.w
    shares, errors = [], []
    for side in _tails(residual, w):
        share = float(np.sum(w[side]) / np.sum(w))
        shares.append(share)
        errors.append(mean_error(side, share, w, sample.groups))
    return TailHistogram(
        method=method,
        test=residual.label,
        z_name=residual.column.name,
        z_unit=residual.column.unit,
        relative=residual.column.positive,
        edges=edges,
        density=found.density,
        density_error=found.error,
        reach=REACH,
        below=shares[0],
        below_error=errors[0],
        above=shares[1],
        above_error=errors[1],
    )


def _tails(residual: Residual, w: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Which events lie below and above the core."""
    levels = [0.1587, 0.5, 0.8413]
    low, median, high = weighted_quantile(residual.u, w, levels, residual.ascending)
    width = REACH * float(high - low) / 2
    return residual.u < median - width, residual.u > median + width


def response_histogram(
    method: str, residual: Residual, sample: Sample, edges: FloatArray, whole: Summary
) -> ResponseHistogram:
    """The distribution of u over a test sample, and its core, as `whole` has it fitted."""
    w, u = sample.w, residual.u
    found = density(u, sample, edges, residual.ascending)
    low, high = weighted_quantile(u, np.maximum(w, 0.0), [0.1587, 0.8413], residual.ascending)
    mean = float(weighted_mean(u, w))
    core = core_goodness(u, w, np.zeros(u.size, int), whole.mode, whole.fit, sample.groups)
    return ResponseHistogram(
        method=method,
        test=residual.label,
        z_name=residual.column.name,
        z_unit=residual.column.unit,
        relative=residual.column.positive,
        edges=edges,
        density=found.density,
        density_error=found.error,
        underflow=found.underflow,
        overflow=found.overflow,
        mean=mean,
        mean_error=mean_error(u, mean, w, sample.groups),
        iqr=float(high - low) / 2,
        n_effective=float(sample.effective_size),
        mode=float(whole.mode[0]),
        mode_error=float(whole.mode_error[0]),
        fit=float(whole.fit[0]),
        fit_low=float(core.low[0]),
        fit_high=float(core.high[0]),
        fit_inside=float(core.inside[0]),
        fit_chi2=float(core.chi2[0]),
        fit_ndf=float(core.ndf[0]),
        fit_probability=float(core.probability[0]),
    )


def pull_histogram(method: str, residual: Residual, sample: Sample) -> PullHistogram:
    """The distribution of (ẑ-z)/Σ(x); the residual must quote Σ."""
    pull = (residual.estimate - residual.z) / np.asarray(residual.sigma)
    w, found = sample.w, density(pull, sample, PULL_EDGES)
    return PullHistogram(
        method=method,
        test=residual.label,
        edges=PULL_EDGES,
        density=found.density,
        density_error=found.error,
        underflow=found.underflow,
        overflow=found.overflow,
        mean=float(weighted_mean(pull, w)),
        width=float(weighted_std(pull, w)),
    )
