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
from calibrate.statistics import binned_sum
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
        one = self.alike_joined()
        ends = np.searchsorted(one.index, np.arange(bins + 1))
        kept = [np.arange(low, min(high, low + SHARED_EVENTS)) for low, high in pairwise(ends)]
        return one.take(np.concatenate(kept))

    def alike_joined(self) -> Chosen:
        """Each hash of a bin once, with the sum of its weights, in the order of bins and hashes."""
        ordered = self.take(np.lexsort((self.key, self.index)))
        new = np.ones(ordered.w.size, bool)
        new[1:] = (np.diff(ordered.index) != 0) | (ordered.key[1:] != ordered.key[:-1])
        row = np.cumsum(new) - 1
        different = ordered.take(np.flatnonzero(new))
        return replace(different, w=binned_sum(ordered.w, row, different.w.size))

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
