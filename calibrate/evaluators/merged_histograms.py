"""Histograms, tails and cores of u over all parts of a pile: sums that add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calibrate.evaluators.histograms import (
    CORE_LEVELS,
    FARTHEST,
    PULL_EDGES,
    SHOWN,
    Location,
    histogram_sums,
    normalised,
    pull_record,
    response_record,
    tail_ends,
    tail_record,
)
from calibrate.evaluators.parts import Part
from calibrate.evaluators.pile import Facts, Pile, one_bin
from calibrate.evaluators.residuals import Residual
from calibrate.records import PullHistogram, ResponseHistogram, TailHistogram
from calibrate.sample import FloatArray, Groups, IntArray
from calibrate.statistics import Goodness, Summary, grouped_squares
from calibrate.statistics.goodness import CoreWindows
from calibrate.statistics.on_disk import RowsOnDisk


@dataclass(frozen=True)
class Spread:
    """Quantiles of u over all events: the ends of what is shown, of the tails, and the core."""

    shown: FloatArray
    farthest: FloatArray
    core: FloatArray

    @classmethod
    def of(cls, rows: RowsOnDisk) -> Spread:
        """From sorted rows."""
        return cls(*(rows.quantile(levels) for levels in (SHOWN, FARTHEST, CORE_LEVELS)))


@dataclass(frozen=True)
class Shapes:
    """The distribution of u (`residual` of each part) over a pile."""

    method: str
    first: Residual
    pile: Pile
    residual: Callable[[Part], Residual]
    facts: Facts
    spread: Spread

    def cores(self, index: Callable[[Part], IntArray], found: Summary) -> Goodness:
        """How well the cores of a summary in bins describe the events; by two passes."""
        windows, scale = CoreWindows(found.mode, found.fit), self.facts.scale

        def events(part: Part) -> tuple[FloatArray, FloatArray, IntArray, Groups]:
            sample = part.sample
            return self.residual(part).u, sample.w / scale, index(part), sample.groups

        held = self.pile.total(lambda part: windows.held(*events(part)))
        number = windows.numbers(held)
        histogram = self.pile.total(lambda part: windows.histogram(*events(part), number))
        return windows.judged(held, number, histogram)

    def tail_share(self) -> float:
        """The share of the weight in the tails."""
        sums = self.pile.total(self._in_tails)
        return float((sums[0] + sums[1]) / sums[2])

    def response(self, edges: FloatArray, whole: Summary) -> ResponseHistogram:
        """The density of u, and its core."""

        def moments(part: Part) -> FloatArray:
            w, groups = part.sample.w, part.sample.groups
            squares = grouped_squares(w, one_bin(part), 1, groups)[0]
            return np.array([np.sum(w), w @ self.residual(part).u, squares])

        found = normalised(self._histogram(lambda r: r.u, edges), edges)
        total, weighted, squares = self.pile.total(moments)
        mean = float(weighted / total)
        error = self._mean_error(lambda r: r.u - mean, float(total))
        iqr = float(self.spread.core[2] - self.spread.core[0]) / 2
        about = Location(mean, error, iqr, float(total**2 / squares))
        core = self.cores(one_bin, whole)
        return response_record(self.method, self.first, edges, found, about, whole, core)

    def tails(self, edges: FloatArray) -> TailHistogram:
        """The density of u out to its tails, and how much lies in them."""
        below, above, total = map(float, self.pile.total(self._in_tails))
        low, high = tail_ends(self.spread.core)
        shares = [below / total, above / total]
        errors = [
            self._mean_error(lambda r: np.asarray((r.u < low) - shares[0], np.float64), total),
            self._mean_error(lambda r: np.asarray((r.u > high) - shares[1], np.float64), total),
        ]
        found = normalised(self._histogram(lambda r: r.u, edges), edges)
        return tail_record(self.method, self.first, edges, found, shares, errors)

    def pulls(self) -> PullHistogram:
        """The density of the pulls; the residuals must quote Σ."""

        def moments(part: Part) -> FloatArray:
            w, pull = part.sample.w, _pull(self.residual(part))
            return np.array([np.sum(w), w @ pull])

        total, weighted = self.pile.total(moments)
        mean = float(weighted / total)
        square = self.pile.total(
            lambda part: np.array(part.sample.w @ (_pull(self.residual(part)) - mean) ** 2)
        )
        width = float(np.sqrt(max(float(square / total), 0.0)))
        found = normalised(self._histogram(_pull, PULL_EDGES), PULL_EDGES)
        return pull_record(self.method, self.first.label, found, mean, width)

    def _histogram(self, values: Callable[[Residual], FloatArray], edges: FloatArray) -> FloatArray:
        return self.pile.total(
            lambda part: histogram_sums(
                values(self.residual(part)), part.sample.w, part.sample.groups, edges
            )
        )

    def _mean_error(self, deviation: Callable[[Residual], FloatArray], total: float) -> float:
        """√ΣD²/Σw, D the sum of w × deviation over one group."""

        def squares(part: Part) -> FloatArray:
            summed = np.bincount(
                part.sample.groups.row, part.sample.w * deviation(self.residual(part))
            )
            return np.array(np.sum(summed**2))

        return float(np.sqrt(self.pile.total(squares)) / total)

    def _in_tails(self, part: Part) -> FloatArray:
        """Weight below and above the core, and in all."""
        w, u = part.sample.w, self.residual(part).u
        low, high = tail_ends(self.spread.core)
        return np.array([np.sum(w[u < low]), np.sum(w[u > high]), np.sum(w)])


def _pull(residual: Residual) -> FloatArray:
    return np.asarray((residual.estimate - residual.z) / np.asarray(residual.sigma))
