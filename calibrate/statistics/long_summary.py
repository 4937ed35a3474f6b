"""Location and spread of u in bins, of rows on disk: the statistics of `summary`, with memory that
does not grow with the number of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.sample import FloatArray, IntArray
from calibrate.statistics.bootstrap import Poisson
from calibrate.statistics.long_sums import ExactSums, InterpolatedSums, known_rows
from calibrate.statistics.on_disk import RowsOnDisk, Space
from calibrate.statistics.prefix import RunningSums, SortedPowers
from calibrate.statistics.summary import SortedTable, Summary, spread

TOGETHER = 256
"""Rows whose sums are asked for together: 13 MB with a hundred replicas."""


@dataclass(frozen=True)
class Run:
    """Some of the rows, sorted by bin and value; `order` (n,) are their places among the rows that
    `poisson` gives counts for. All arrays may be memory maps."""

    rows: RowsOnDisk
    order: IntArray
    poisson: Callable[[], Poisson]

    @classmethod
    def sorted(
        cls,
        space: Space,
        start: int,
        u: FloatArray,
        w: FloatArray,
        index: IntArray,
        bins: int,
        poisson: Callable[[], Poisson],
    ) -> Run:
        """Sort rows in the bins that `index` (n,) names, and write them into a space from its row
        `start` on; rows in no bin are left out."""
        kept = np.flatnonzero((index >= 0) & (index < bins))
        order = kept[np.lexsort((u[kept], index[kept]))]
        offsets = np.searchsorted(index[order], np.arange(bins + 1))
        places = space.order[start : start + order.size]
        places[:] = order
        return cls(space.filled(start, u[order], w[order], offsets), places, poisson)


def summarise_on_disk(
    rows: RowsOnDisk, runs: Sequence[Run], replicas: int, centre: float, negative: bool, mode: bool
) -> Summary:
    """Statistics of all `rows`, which the `runs` together hold; values are counted from `centre`.

    Errors by `replicas` of the bootstrap, each run with counts of its own; `negative` says whether
    there are negative weights.
    """
    bin_, known = known_rows(rows)
    sums = ExactSums.of(rows, known)
    none = np.empty(0, np.int64), SortedPowers(rows.values, np.empty(0))
    table = SortedTable(*none, rows.offsets, centre, negative)
    nominal = table.statistics(sums)
    if mode:
        nominal[4:] = table.cores(sums, nominal[2], nominal[3])
    edges = np.zeros((known.size, 3, replicas))
    values = rows.values[np.minimum(known, max(rows.values.size - 1, 0))]
    for run in runs:
        edges += _replica_sums(run, bin_, values)
    found = InterpolatedSums(rows.values, known, edges)
    drawn = table.statistics(found)
    if mode:
        drawn[4:] = table.cores(found, nominal[4], nominal[5])
    value = nominal[..., 0]
    error = spread(drawn, value)
    value[[0, 2, 4]] += centre
    return Summary(*value, *error)


def _replica_sums(run: Run, bin_: IntArray, values: FloatArray) -> FloatArray:
    """The sums of one run's rows before the given places, each a bin and a value, under the counts
    of the run (m, 3, r)."""
    offsets, before = run.rows.offsets, np.empty(bin_.size, np.int64)
    for b in range(offsets.size - 1):
        here = bin_ == b
        before[here] = offsets[b] + np.searchsorted(run.rows.bin(b)[0], values[here])
    before[bin_ == offsets.size - 1] = offsets[-1]
    table = SortedPowers.of(np.asarray(run.rows.values), np.asarray(run.rows.w))
    drawn = run.poisson().counts(np.asarray(run.order))
    return np.concatenate([_before(table.sums(counts), before) for counts in drawn], axis=2)


def _before(sums: RunningSums, rows: IntArray) -> FloatArray:
    """`sums.before(rows)` as (m, 3, r), a few rows at a time: each takes the counts of 64."""
    pieces = [rows[start : start + TOGETHER] for start in range(0, rows.size, TOGETHER)]
    return np.concatenate([np.swapaxes(sums.before(piece), 0, 1) for piece in pieces])
