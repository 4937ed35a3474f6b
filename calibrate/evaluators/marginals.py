"""One feature of one weighted sample: location and spread, shares in bins, and their errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from calibrate.evaluators.histograms import Density, density
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import (
    Distances,
    Poisson,
    Summary,
    bin_index,
    binned_sum,
    grouped_squares,
    summarise,
    weighted_mean,
    weighted_quantile,
    weighted_std,
)

SHAPE = ("mean", "std", "iqr")
DISTANCE = ("ks", "wasserstein")
ONE_SIGMA = (0.15865525393145707, 0.8413447460685429)


@dataclass(frozen=True)
class Marginal:
    """Values (n,) of a feature of the events of a sample, which fluctuate as `poisson` says."""

    values: FloatArray
    sample: Sample
    poisson: Poisson

    def moved(self, values: FloatArray) -> Marginal:
        """The same events with other values (n,)."""
        return replace(self, values=values)

    @cached_property
    def summary(self) -> Summary:
        """Mean, standard deviation and half 16-84 % interval with bootstrap errors, (1,)."""
        everything = np.zeros(self.values.size, np.int64)
        return summarise(self.values, self.sample.w, everything, 1, self.poisson)

    @property
    def shape(self) -> FloatArray:
        """Value and error (2, 3) of the quantities of `SHAPE`."""
        s = self.summary
        found = [[s.mean, s.std, s.iqr], [s.mean_error, s.std_error, s.iqr_error]]
        return np.asarray(found)[:, :, 0]

    def shares(self, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Shares of the weight in bins (n_b,) and their variances ΣW²/(Σw)², W per group."""
        w, bins = self.sample.w, edges.size - 1
        index = np.clip(bin_index(self.values, edges), 0, bins - 1)
        total = np.sum(w)
        squares = grouped_squares(w, index, bins, self.sample.groups)
        return binned_sum(w, index, bins) / total, squares / total**2

    def density(self, edges: FloatArray) -> Density:
        """The distribution in bins, normalised to all events."""
        return density(self.values, self.sample, edges)


def distances(simulation: Marginal, data: Marginal) -> FloatArray:
    """Value and bootstrap error (2, 2) of the quantities of `DISTANCE`; NaN where weights are
    negative."""
    w, v = simulation.sample.w, data.sample.w
    if np.any(w < 0) or np.any(v < 0):
        return np.full((2, len(DISTANCE)), np.nan)
    found = Distances.of(simulation.values, data.values)
    replicas = found.replicas(w, v, simulation.poisson, data.poisson)
    return np.stack([found(w, v), np.std(replicas, axis=0)])


def plain_numbers(values: FloatArray, simulation: Sample, data: Marginal) -> FloatArray:
    """The quantities of `SHAPE` and `DISTANCE` (5,) of simulated values (n,), without errors."""
    w, v = simulation.w, data.sample.w
    moments = [float(weighted_mean(values, w)), float(weighted_std(values, w))]
    if np.any(w < 0) or np.any(v < 0):
        return np.array([*moments, np.nan, np.nan, np.nan])
    low, high = weighted_quantile(values, w, ONE_SIGMA)
    return np.array([*moments, (high - low) / 2, *Distances.of(values, data.values)(w, v)])
