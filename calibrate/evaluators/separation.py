"""Can a classifier tell simulation from data? The two-sample test (Lopez-Paz & Oquab,
arXiv:1610.06545): it sees all features at once, and so their correlations.

Boosted trees (scikit-learn) are trained on all folds but one and score that one; the AUC is the
mean over folds. Each is unbiased: 0.5 where nothing can be told. But two folds share events: where
simulation and data are alike, the trees learn fluctuations of one fold and are tested on those of
another, and then in the reverse order. Each pair of folds counts twice, so that the variance is
2 Σ_k Var_k/K² (DeLong's Var_k). Where the samples differ by more than fluctuations the factor would
be 1, and the error quoted, which always has it, is too large by at most √2.
"""

from __future__ import annotations

from collections.abc import Sequence
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
TREES, LEAVES, RATE, PER_LEAF = 60, 4, 0.1, 50
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
        are negative, for which trees have no meaning."""
        samples = {"simulation": pair.simulation, "data": pair.data}
        if any(np.any(sample.w < 0) for sample in samples.values()):
            return None
        return cls(*(Side.of(s, largest, context.stream(side)) for side, s in samples.items()))

    def untouched(self) -> Area:
        """AUC and error of the simulation as it is."""
        return self._area(self.simulation.sample.x, ())

    def __call__(self, moved: Moved) -> Area:
        """AUC and error of transported simulation; the error contains that of the map, by refits
        that are scored by the same trees."""
        return self._area(moved.values, moved.again)

    def _area(self, values: FloatArray, again: Sequence[FloatArray]) -> Area:
        found = np.array([self._fold(fold, values, again) for fold in range(FOLDS)])
        areas = found[:, 0].mean(axis=0)
        variance = SHARED * np.sum(found[:, 1, 0] ** 2) / FOLDS**2
        if len(again) > 1:
            variance += np.var(areas[1:], ddof=1)
        return Area(float(areas[0]), float(np.sqrt(variance)))

    def _fold(self, fold: int, values: FloatArray, again: Sequence[FloatArray]) -> FloatArray:
        """AUC and error (2, 1 + refits) of the events of one fold."""
        s, d = self.simulation, self.data
        measured = d.sample.x[d.rows]
        trees = _trained(
            values[s.rows][s.fold != fold], s.w[s.fold != fold],
            measured[d.fold != fold], d.w[d.fold != fold],
        )  # fmt: skip
        here, there = s.fold == fold, d.fold == fold
        rest = s.w[here], d.w[there], s.group[here], d.group[there]
        score = trees.decision_function(measured[there])
        areas = [
            area_under_curve(trees.decision_function(moved[s.rows][here]), score, *rest)
            for moved in (values, *again)
        ]
        found: FloatArray = np.transpose(areas)
        return found


def two_sample(method: str, test: str, pair: Pair, after: Area, before: Area) -> TwoSample:
    """The record of the AUC after and before a map."""
    return TwoSample(method, test, len(pair.data.x_columns), *after, *before)


def _trained(a: FloatArray, w_a: FloatArray, b: FloatArray, w_b: FloatArray) -> Any:  # noqa: ANN401
    """Trees that tell b from a; both have the same sum of weights. One thread: sums keep their
    order."""
    # heavy, and needed where transport is evaluated alone
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    trees = HistGradientBoostingClassifier(
        max_iter=TREES, max_leaf_nodes=LEAVES, learning_rate=RATE, min_samples_leaf=PER_LEAF,
        early_stopping=False,
    )  # fmt: skip
    half = 0.5 * (len(a) + len(b))
    weights = np.concatenate([w * (half / np.sum(w)) for w in (w_a, w_b)])
    with threadpool_limits(1):
        return trees.fit(np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)]), weights)
