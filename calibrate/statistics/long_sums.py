"""Running sums of weighted powers over rows on disk, known at some rows only.

Of the rows themselves, what lies between two known rows is read and added where it is asked for:
exact. Of replicas it is interpolated: with 512 known rows in a bin that moves a bootstrap error by
far less than its own error (a stretch of 1/512 of the rows fluctuates by 1/√512 of them).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from calibrate.sample import FloatArray, IntArray
from calibrate.statistics.on_disk import RowsOnDisk

PER_BIN, IN_ALL = 512, 32_768
"""Known rows of one bin, and of all bins together, at most."""
APART, FEWEST = 4, 16
"""Rows between two known ones, and known rows of a bin, at least."""


def powers(values: FloatArray, w: FloatArray) -> FloatArray:
    """Weight × value^k, k = 0, 1, 2, as (3, n)."""
    return np.stack([w, w * values, w * values**2])


def known_rows(rows: RowsOnDisk) -> tuple[IntArray, IntArray]:
    """The bins (m,) and the rows (m,) before which sums are to be known, from the first row to the
    end: each is the first of its value in its bin, so that every run can tell what lies before it.
    """
    bins = rows.offsets.size - 1
    most = int(np.clip(IN_ALL // max(bins, 1), FEWEST, PER_BIN))
    places = []
    for b, (start, stop) in enumerate(pairwise(rows.offsets)):
        number = int(np.clip((stop - start) // APART, FEWEST, most))
        inside = np.unique(np.linspace(start, stop, number, endpoint=False).astype(np.int64))
        values, _ = rows.bin(b)
        first = start + np.searchsorted(values, values[inside - start]) if stop > start else start
        places.append(np.unique(np.append(start, first)))
    bin_ = np.repeat(np.arange(bins), [place.size for place in places])
    return np.append(bin_, bins), np.append(np.concatenate(places), rows.offsets[-1])


@dataclass(frozen=True)
class ExactSums:
    """The sums over rows on disk, known at the rows `known` (m,), from 0 to n, as `edges`
    (m, 3, 1)."""

    rows: RowsOnDisk
    known: IntArray
    edges: FloatArray
    replicas: int = 1

    @classmethod
    def of(cls, rows: RowsOnDisk, known: IntArray) -> ExactSums:
        """Add the rows up."""
        sums = [powers(rows.values[a:b], rows.w[a:b]).sum(axis=1) for a, b in pairwise(known)]
        edges = np.concatenate([np.zeros((1, 3)), np.cumsum(np.reshape(sums, (-1, 3)), axis=0)])
        return cls(rows, known, edges[:, :, None])

    @property
    def values(self) -> FloatArray:
        """The values (n,)."""
        return self.rows.values

    def before(self, rows: IntArray) -> FloatArray:
        """Over all rows before each of `rows` (m,), as (3, m, 1)."""
        return self.at(rows, np.zeros_like(rows))[:, :, None]

    def at(self, rows: IntArray, replica: IntArray) -> FloatArray:
        """The same as (3, m)."""
        place = np.searchsorted(self.known, rows, side="right") - 1
        return np.stack([self._at(p, row) for p, row in zip(place, rows, strict=True)], axis=1)

    def row_reaching(self, target: FloatArray) -> IntArray:
        """The first row at which the running weight reaches each target (m, 1)."""
        return np.array([[self._reaching(float(value))] for (value,) in target], dtype=np.int64)

    def _at(self, place: int, row: int) -> FloatArray:
        start = self.known[place]
        part = powers(self.rows.values[start:row], self.rows.w[start:row])
        return np.asarray(self.edges[place, :, 0] + part.sum(axis=1))

    def _reaching(self, target: float) -> int:
        ends = self.edges[1:, 0, 0]
        place = min(int(np.searchsorted(ends, target)), ends.size - 1)
        start, stop = self.known[place : place + 2]
        running = self.edges[place, 0, 0] + np.cumsum(self.rows.w[start:stop])
        return int(start) + int(np.sum(running < target))


@dataclass(frozen=True)
class InterpolatedSums:
    """The sums under r sets of counts, `edges` (m, 3, r) at the rows `known` (m,), from 0 to n;
    between two of them as if the counts were spread evenly."""

    values: FloatArray
    known: IntArray
    edges: FloatArray

    @property
    def replicas(self) -> int:
        """The number of sets of counts."""
        return int(self.edges.shape[2])

    def before(self, rows: IntArray) -> FloatArray:
        """Over all rows before each of `rows` (m,), as (3, m, r)."""
        place, share = self._place(rows)
        low, high = self.edges[place], self.edges[place + 1]
        return np.swapaxes(low + share[:, None, None] * (high - low), 0, 1)

    def at(self, rows: IntArray, replica: IntArray) -> FloatArray:
        """The same at one row for each named replica, both (m,), as (3, m)."""
        place, share = self._place(rows)
        low, high = self.edges[place, :, replica], self.edges[place + 1, :, replica]
        return np.asarray((low + share[:, None] * (high - low)).T)

    def row_reaching(self, target: FloatArray) -> IntArray:
        """The row at which the running weight reaches each target (m, r)."""
        ends = self.edges[:, 0]
        pairs = zip(ends[1:].T, target.T, strict=True)
        place = np.stack([np.searchsorted(end, wanted) for end, wanted in pairs], axis=1)
        place = np.minimum(place, self.known.size - 2)
        replica = np.broadcast_to(np.arange(self.replicas), place.shape)
        low, high = ends[place, replica], ends[place + 1, replica]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(high > low, (target - low) / (high - low), 1.0)
        step = self.known[place + 1] - self.known[place]
        ahead = np.ceil(np.clip(share, 0.0, 1.0) * step).astype(np.int64) - 1
        return np.asarray(self.known[place] + np.maximum(ahead, 0))

    def _place(self, rows: IntArray) -> tuple[IntArray, FloatArray]:
        """The known row at or before each row, and how far it is to the next one."""
        place = np.searchsorted(self.known, rows, side="right") - 1
        place = np.minimum(place, self.known.size - 2)
        step = np.maximum(self.known[place + 1] - self.known[place], 1)
        return place, (rows - self.known[place]) / step
