"""Can a classifier tell simulation from data? The two-sample test (Lopez-Paz & Oquab,
arXiv:1610.06545): it sees all features at once, and so their correlations.

Boosted trees (scikit-learn) are trained on all folds but one and score that one; the AUC is the
mean over folds. Each is unbiased: 0.5 where nothing can be told. But two folds share events: where
simulation and data are alike, the trees learn fluctuations of one fold and are tested on those of
another, and then in the reverse order. Each pair of folds counts twice, so that the variance is
2 Σ_k Var_k/K² (DeLong's Var_k). Where the samples differ by more than fluctuations the factor would
be 1, and the error quoted, which always has it, is too large by at most √2.

A map that was derived from few events follows their fluctuations, and trees see that: the AUC is
above 0.5 though nothing else is wrong. A bootstrap refit of the map has about twice these
fluctuations; the root mean square change of the AUC under refits, trees trained anew, is the map's
part of the error.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from calibrate.context import Context
from calibrate.evaluators.carried import Moved
from calibrate.records import TwoSample
from calibrate.sample import FloatArray, IntArray, Sample
from calibrate.statistics import area_under_curve
from calibrate.task import Pair

FOLDS = 4
TREES, LEAVES, RATE, PER_LEAF, BINS = 60, 4, 0.1, 50, 63
REFITS = 3
"""Refits of a map that trees are trained on."""
SHARED = 2.0
"""How often the events of a fold enter the mean over folds, as tested and as trained with."""


class Area(NamedTuple):
    """An AUC and its error."""

    value: float
    error: float


@dataclass(frozen=True)
class Side:
    """The rows of a sample that are classified, and the fold of each; a group has one fold."""

    sample: Sample
    rows: IntArray
    fold: IntArray

    @classmethod
    def of(cls, sample: Sample, largest: int, rng: np.random.Generator) -> Side:
        """All rows of weight above zero, or about the `largest` number of them, at random."""
        rank = rng.permutation(sample.groups.number)[sample.groups.row]
        rows = np.flatnonzero(sample.w > 0)
        if rows.size > largest:
            rows = rows[rank[rows] <= np.partition(rank[rows], largest - 1)[largest - 1]]
        return cls(sample, rows, rank[rows] % FOLDS)

    @property
    def w(self) -> FloatArray:
        """Weights of the rows."""
        return self.sample.w[self.rows]

    @property
    def group(self) -> IntArray:
        """Group labels of the rows."""
        return self.sample.group[self.rows]


@dataclass(frozen=True)
class Separation:
    """How well simulation, moved or not, is told from the data of one test."""

    simulation: Side
    data: Side

    @classmethod
    def of(cls, pair: Pair, largest: int, context: Context) -> Separation | None:
        """At most about `largest` events on each side, the same for all maps; None where weights
        are negative, for which trees have no meaning, or where a fold has no group."""
        samples = {"simulation": pair.simulation, "data": pair.data}
        if any(np.any(sample.w < 0) for sample in samples.values()):
            return None
        sides = [Side.of(s, largest, context.stream(side)) for side, s in samples.items()]
        if any(np.unique(side.fold).size < FOLDS for side in sides):
            return None
        return cls(*sides)

    def untouched(self) -> Area:
        """AUC and error of the simulation as it is."""
        return self._area(self.simulation.sample.x)

    def __call__(self, moved: Moved) -> Area:
        """AUC and error of transported simulation; the error contains that of the map."""
        nominal = self._area(moved.values)
        again = [self._area(values).value for values in moved.again[:REFITS]]
        changes = np.array([value - nominal.value for value in again])
        return Area(nominal.value, float(np.hypot(nominal.error, _root_mean_square(changes))))

    def _area(self, values: FloatArray) -> Area:
        found = np.array([self._fold(fold, values) for fold in range(FOLDS)])
        error = np.sqrt(SHARED * np.sum(found[:, 1] ** 2)) / FOLDS
        return Area(float(found[:, 0].mean()), float(error))

    def _fold(self, fold: int, values: FloatArray) -> tuple[float, float]:
        """AUC and error of the events of one fold."""
        s, d = self.simulation, self.data
        simulated, measured = values[s.rows], d.sample.x[d.rows]
        here, there = s.fold == fold, d.fold == fold
        with _one_thread():
            trees = _trained(simulated[~here], s.w[~here], measured[~there], d.w[~there])
            a, b = (trees.decision_function(x) for x in (simulated[here], measured[there]))
        return area_under_curve(a, b, s.w[here], d.w[there], s.group[here], d.group[there])


def _root_mean_square(values: FloatArray) -> float:
    """0 where there are none."""
    return float(np.sqrt(np.mean(values**2))) if values.size else 0.0


def two_sample(method: str, test: str, pair: Pair, after: Area, before: Area) -> TwoSample:
    """The record of the AUC after and before a map."""
    return TwoSample(method, test, len(pair.data.x_columns), *after, *before)


def _one_thread() -> AbstractContextManager[object]:
    """Sums keep their order, and threads do not wait for each other at every one of small trees."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


def _trained(a: FloatArray, w_a: FloatArray, b: FloatArray, w_b: FloatArray) -> Any:  # noqa: ANN401
    """Trees that tell b from a; both have the same sum of weights."""
    # heavy, and needed where transport is evaluated alone
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        max_iter=TREES, max_leaf_nodes=LEAVES, learning_rate=RATE, min_samples_leaf=PER_LEAF,
        max_bins=BINS, early_stopping=False,
    )  # fmt: skip
    half = 0.5 * (len(a) + len(b))
    weights = np.concatenate([w * (half / np.sum(w)) for w in (w_a, w_b)])
    return trees.fit(np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)]), weights)
