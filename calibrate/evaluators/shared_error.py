"""The statistical error of a calibration that all events of a bin share.

The mean of ẑ in a bin of z changes with the training sample; the replicas of a calibration tell by
how much. It is a smooth function of x, so that a few events of a bin tell it: those whose features
and truth have the smallest hashes. They are a random choice, the same in whatever order the events
come, and those of a whole sample are among those of its parts. Events alike in features and truth
share a hash; they are one with the sum of their weights, or the choice would be one of few values.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np

from calibrate.estimate import Calibration, Replicated
from calibrate.evaluators.residuals import Residual, binned_mean
from calibrate.sample import FloatArray, IntArray, KeyArray, Sample
from calibrate.statistics.hashes import row_keys

SHARED_EVENTS = 2000
"""Different events of a bin that are looked at."""


@dataclass(frozen=True)
class Chosen:
    """Events: features (n, d_x), what ẑ is divided by (n,), weights, bins, and hashes."""

    x: FloatArray
    unit: FloatArray
    w: FloatArray
    index: IntArray
    key: KeyArray

    @classmethod
    def of(
        cls, fit: Calibration, sample: Sample, residual: Residual, index: IntArray, bins: int
    ) -> Chosen:
        """Those of a sample in the bins that `index` (n,) names, as far as they are looked at."""
        x, z = fit.domain.features(sample), residual.z
        unit = z if residual.column.positive else np.ones_like(z)
        return cls(x, unit, sample.w, index, row_keys([*x.T, z])).thinned(bins)

    def joined(self, other: Chosen, bins: int) -> Chosen:
        """Those of both parts, as far as they are looked at."""
        columns = {each.name: np.concatenate([getattr(self, each.name), getattr(other, each.name)])
                   for each in fields(self)}  # fmt: skip
        return Chosen(**columns).thinned(bins)

    def thinned(self, bins: int) -> Chosen:
        """At most `SHARED_EVENTS` different ones of each bin, in the order of bins and hashes."""
        order = np.lexsort((self.key, self.index))
        index, key = self.index[order], self.key[order]
        new = np.ones(order.size, dtype=bool)
        new[1:] = (index[1:] != index[:-1]) | (key[1:] != key[:-1])
        firsts = np.flatnonzero(new)
        w = np.add.reduceat(self.w[order], firsts)
        ends = np.searchsorted(index[firsts], np.arange(bins + 1))
        kept = [np.arange(low, min(high, low + SHARED_EVENTS)) for low, high in pairwise(ends)]
        rows = np.concatenate(kept)
        return replace(self.take(order[firsts[rows]]), w=w[rows])

    def take(self, rows: IntArray) -> Chosen:
        """Some of them."""
        return Chosen(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    def error(self, fit: Replicated, component: int, bins: int) -> FloatArray:
        """The standard deviation over the replicas of the mean of ẑ/unit in each bin (n_b,)."""
        means = [
            binned_mean(z[:, component] / self.unit, self.w, self.index, bins)
            for z in fit.estimates(self.x)
        ]
        return np.asarray(np.std(np.stack(means), axis=0, ddof=1))
