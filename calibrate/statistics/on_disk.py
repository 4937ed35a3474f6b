"""Weighted rows in the order of their values, on disk: more of them than the memory holds.

Sorted runs are put together bin by bin. Where a bin has more rows than `AT_ONCE`, its values are
cut at quantiles of the runs' own quantiles, between which each run has a stretch of rows; these
are sorted together and appended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import ArrayLike

from calibrate.sample import FloatArray, IntArray
from calibrate.statistics.quantiles import ROUNDING

AT_ONCE = 4_000_000
"""Rows that are sorted together."""
MARKS = 512
"""Quantiles of a run that help to find where to cut."""


@dataclass(frozen=True)
class Space:
    """Room for n rows on disk, in three files however many runs share it: an open file each."""

    values: FloatArray
    w: FloatArray
    order: IntArray

    @classmethod
    def of(cls, path: Path, rows: int) -> Space:
        """In new files beside `path`, which take no room on the disk until they are written."""
        kinds = {"values": np.float64, "weights": np.float64, "order": np.int64}
        return cls(*(
            open_memmap(path.with_name(f"{path.name}_{name}.npy"), "w+", kind, (max(rows, 1),))
            for name, kind in kinds.items()
        ))  # fmt: skip

    def filled(
        self, start: int, values: FloatArray, w: FloatArray, offsets: IntArray
    ) -> RowsOnDisk:
        """Sorted rows, written from the row `start` on."""
        part = slice(start, start + values.size)
        self.values[part], self.w[part] = values, w
        return RowsOnDisk(self.values[part], self.w[part], offsets)


@dataclass(frozen=True)
class RowsOnDisk:
    """Values and weights (n,), in ascending order of the values within each bin; bin b holds the
    rows offsets[b] … offsets[b+1]-1. Both arrays may be memory maps."""

    values: FloatArray
    w: FloatArray
    offsets: IntArray

    @classmethod
    def merged(cls, path: Path, runs: Sequence[RowsOnDisk]) -> RowsOnDisk:
        """The rows of all runs, in files beside `path`."""
        counts = sum(np.diff(run.offsets) for run in runs)
        offsets = np.append(0, np.cumsum(counts))
        space = Space.of(path, int(offsets[-1]))
        rows = cls(space.values[: offsets[-1]], space.w[: offsets[-1]], offsets)
        for b, start in enumerate(rows.offsets[:-1]):
            for values, w in _in_order([run.bin(b) for run in runs]):
                stop = start + values.size
                rows.values[start:stop], rows.w[start:stop] = values, w
                start = stop
        return rows

    def bin(self, b: int) -> tuple[FloatArray, FloatArray]:
        """Values and weights of one bin."""
        part = slice(self.offsets[b], self.offsets[b + 1])
        return self.values[part], self.w[part]

    def quantile(self, q: ArrayLike) -> FloatArray:
        """Weighted quantiles q of all rows of one bin, as `weighted_quantile` gives them; negative
        weights count as none."""
        pieces = list(_pieces(self.w.size))
        held = [float(np.maximum(self.w[piece], 0.0).sum()) for piece in pieces]
        ends = np.cumsum(held)
        target = np.atleast_1d(np.asarray(q)) * ends[-1] * (1 - ROUNDING)
        found = np.empty(target.size)
        for i, wanted in enumerate(target):
            at = min(int(np.searchsorted(ends, wanted)), len(pieces) - 1)
            running = ends[at] - held[at] + np.cumsum(np.maximum(self.w[pieces[at]], 0.0))
            row = pieces[at].start + int(np.searchsorted(running, wanted))
            found[i] = self.values[min(row, self.values.size - 1)]
        return found


def _pieces(size: int) -> Iterator[slice]:
    for start in range(0, max(size, 1), AT_ONCE):
        yield slice(start, min(start + AT_ONCE, size))


def _in_order(runs: Sequence[tuple[FloatArray, FloatArray]]) -> Iterator[tuple[FloatArray, ...]]:
    """Sorted runs (values, weights) as one, in blocks that follow each other."""
    runs = [run for run in runs if run[0].size]
    cuts = _cuts([values for values, _ in runs])
    ends = [np.append(np.searchsorted(values, cuts), values.size) for values, _ in runs]
    starts = [0] * len(runs)
    for k in range(cuts.size + 1):
        parts = [slice(start, end[k]) for start, end in zip(starts, ends, strict=True)]
        values, w = (np.concatenate([run[i][part] for run, part in zip(runs, parts, strict=True)])
                     if runs else np.empty(0) for i in (0, 1))  # fmt: skip
        order = np.argsort(values, kind="stable")
        yield values[order], w[order]
        starts = [end[k] for end in ends]


def _cuts(runs: Sequence[FloatArray]) -> FloatArray:
    """Values that cut all runs together into stretches of about half of AT_ONCE rows."""
    total = sum(run.size for run in runs)
    if total <= AT_ONCE:
        return np.empty(0)
    places = [np.linspace(0, run.size - 1, min(MARKS, run.size)).astype(np.int64) for run in runs]
    marks = np.concatenate([run[place] for run, place in zip(runs, places, strict=True)])
    stands_for = np.concatenate(
        [
            np.full(place.size, run.size / place.size)
            for run, place in zip(runs, places, strict=True)
        ]
    )
    order = np.argsort(marks)
    running = np.cumsum(stands_for[order])
    wanted = np.arange(AT_ONCE // 2, total, AT_ONCE // 2)
    return np.unique(marks[order][np.minimum(np.searchsorted(running, wanted), marks.size - 1)])
