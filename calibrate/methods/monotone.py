"""Optimal transport in one dimension: x' = P_data⁻¹(P_sim(x)), arXiv:2205.05084, Eq. 17.

Both distributions are known as weighted events. Equal values are one point with their summed
weight; the distribution function at a point is the weight below it and half its own, a straight
line between points. So an event of weight 2 is exactly the event twice, and the map rises. It is
the exact monotone map where the table holds all points; larger samples are thinned (see
`Table.of`), by less than the statistical error of either distribution function.

The map closes on its training sample by construction and inherits its spectrum: it moves the
features, not the response.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from calibrate.errors import DataError
from calibrate.estimate import Domain, State
from calibrate.records import FitSummary
from calibrate.sample import FloatArray, IntArray, Sample
from calibrate.statistics import polygon, refuse_negative

CONSUMER = "optimal transport"
TAIL_STEP = 0.01
"""Knots in the tails are as far apart as this share of the events beyond them."""
LOOKED_AT = 1_000_000
"""About as many points are looked at to say how good a thinned table is."""
EDGE = 0.01
"""The weight at either end that gives the slope with which the map goes on outside."""


def monotone_map(simulation: Sample, data: Sample, knots: int) -> QuantileMap:
    """The map between two samples of one feature, with at most `knots` points.

    Raises DataError for negative weights and for samples that do not overlap.
    """
    start, domain = time.perf_counter(), Domain.of(simulation)
    require_overlap(simulation, data)
    simulated, measured = (Distribution.of(s.x[:, 0], s.w) for s in (simulation, data))
    table, note = _table(simulated, measured, knots)
    notes = (note, "outside the training range the map goes on straight")
    summary = FitSummary(time.perf_counter() - start, notes=notes)
    return QuantileMap(domain, table.x, table.y, table.end_slopes(), summary)


@dataclass(frozen=True)
class QuantileMap:
    """x' as a polygon through the knots `x`, `y` (k,), and straight with `slopes` (2,) outside."""

    domain: Domain
    x: FloatArray
    y: FloatArray
    slopes: FloatArray
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "quantile_map"
    uses_truth: ClassVar[bool] = False

    def transport(self, x: FloatArray, z: FloatArray) -> FloatArray:
        """x' (n, 1) of x (n, 1); z is not used."""
        values = self.domain.checked(x)[:, 0]
        return polygon(values, self.x, self.y, self.slopes)[:, None]

    def state(self) -> State:
        """Domain, knots and slopes."""
        return {"domain": self.domain.state(), "x": self.x, "y": self.y, "slopes": self.slopes}

    @classmethod
    def from_state(cls, state: State) -> QuantileMap:
        """Rebuild from `state`."""
        x, y, slopes = (np.asarray(state[name], np.float64) for name in ("x", "y", "slopes"))
        return cls(Domain.from_state(state["domain"]), x, y, slopes)


@dataclass(frozen=True)
class Distribution:
    """A weighted empirical distribution: rising values (m,), the share of weight of each, and
    `level`, the share of weight below each and half its own."""

    values: FloatArray
    share: FloatArray
    level: FloatArray

    @classmethod
    def of(cls, x: FloatArray, w: FloatArray) -> Distribution:
        """From x (n,) and weights (n,) ≥ 0; equal values become one, weight 0 is left out."""
        refuse_negative(w, CONSUMER)
        if not np.all(w):
            x, w = x[w > 0], w[w > 0]
        order = np.argsort(x)
        values, share = x[order], w[order]
        del order
        if not np.all(values[1:] != values[:-1]):
            start = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
            values, share = values[start], np.add.reduceat(share, start)
        share /= np.sum(share)
        level = np.cumsum(share)
        total = level[-1]
        level -= 0.5 * share
        level /= total
        return cls(values, share, level)

    def error(self, rows: slice) -> FloatArray:
        """The statistical error of `level` at some rows: its square is (1-F)² Σ_below w² +
        F² Σ_above w², half of a point's own w² below, half above."""
        squares = self.share**2
        below = np.cumsum(squares)
        total, below, level = below[-1], (below - 0.5 * squares)[rows], self.level[rows]
        return np.asarray(np.sqrt((1 - level) ** 2 * below + level**2 * (total - below)))

    def rows(self, knots: int) -> IntArray:
        """At most about `knots` rows: all, or equally spaced ones, denser in the tails."""
        n = self.values.size
        if n <= knots:
            return np.arange(n)
        steps = min(int(np.log(n) / TAIL_STEP), knots // 4)
        tail = np.geomspace(1.0, n / 2, steps) - 1
        grid = np.linspace(0, n - 1, knots - 2 * steps)
        return np.unique(np.concatenate([grid, tail, n - 1 - tail]).astype(np.int64))


@dataclass(frozen=True)
class Table:
    """Knots x, y (k,) at rising levels (k,)."""

    x: FloatArray
    y: FloatArray
    level: FloatArray

    @classmethod
    def of(cls, simulation: Distribution, data: Distribution, knots: int) -> Table:
        """Both distributions inverted at the levels of their points (half the knots each)."""
        chosen = [d.level[d.rows(knots // 2)] for d in (simulation, data)]
        level = np.unique(np.concatenate(chosen))
        x = np.interp(level, simulation.level, simulation.values)
        y = np.interp(level, data.level, data.values)
        first = np.flatnonzero(np.append(True, np.diff(x) > 0))
        last = np.append(first[1:], x.size) - 1
        middle = 0.5 * (y[first] + y[last])
        return cls(x[first], middle, level[first])

    def end_slopes(self) -> FloatArray:
        """The mean slopes (2,) over the outermost 1 % of the levels; 1 where there is none."""
        low, high = np.searchsorted(self.level, [EDGE, 1 - EDGE])
        ends = ((0, max(low, 1)), (min(high, self.x.size - 2), self.x.size - 1))
        if self.x.size < 2:
            return np.ones(2)
        return np.array(
            [(self.y[b] - self.y[a]) / (self.x[b] - self.x[a]) for a, b in ends], dtype=np.float64
        )

    def worst(self, distribution: Distribution, other: Distribution, knots: FloatArray) -> float:
        """The largest distance of a thinned distribution function from the full one, in units of
        its statistical error; `knots` (k,) are its values at the table's levels.

        Levels beyond the outermost of the `other` sample, where there is nothing to match, are
        left out.
        """
        looked = slice(None, None, 1 + distribution.values.size // LOOKED_AT)
        values, level = distribution.values[looked], distribution.level[looked]
        distance = np.abs(np.interp(values, knots, self.level) - level)
        matched = (level >= other.level[0]) & (level <= other.level[-1])
        return float(np.max((distance / distribution.error(looked))[matched], initial=0.0))


def _table(simulation: Distribution, data: Distribution, knots: int) -> tuple[Table, str]:
    """The table and a note on its size."""
    table = Table.of(simulation, data, knots)
    if max(simulation.values.size, data.values.size) <= knots // 2:
        return table, f"exact: all {table.x.size} points of the monotone map are kept"
    worst = max(table.worst(simulation, data, table.x), table.worst(data, simulation, table.y))
    return table, (
        f"monotone polygon of {table.x.size} points, thinned from {simulation.values.size} "
        f"simulated and {data.values.size} measured values; it differs from their distribution "
        f"functions by at most {worst:.2g} of the statistical error"
    )


def require_overlap(simulation: Sample, data: Sample, consumer: str = CONSUMER) -> None:
    """DataError for a negative weight, which the `consumer` has no use for, or a feature whose
    ranges have nothing in common."""
    refuse_negative(simulation.w, consumer)
    refuse_negative(data.w, consumer)
    ranges = [Domain.of(sample).x_range for sample in (simulation, data)]
    for column, (a, b), (c, d) in zip(simulation.x_columns, *(r.T for r in ranges), strict=True):
        if b < c or d < a:
            raise DataError(
                f"simulation and data do not overlap in {column.label}: simulation lies in "
                f"{a:.6g} to {b:.6g}, data in {c:.6g} to {d:.6g}; check units and selection"
            )
