"""Running sums of weighted powers under many sets of counts, known at every row but computed
only at every 64th.

A bootstrap replica changes all weights, and needs running sums at a few rows only: bin edges,
quantiles, the ends of a window. The sums over blocks of 64 rows are one small matrix product per
block for all replicas together; what is left of a block is added where it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from calibrate.sample import FloatArray, IntArray

BLOCK = 64
AT_ONCE = 16
"""Blocks that are multiplied together: their counts, as float64, stay in the cache."""

Counts = NDArray[np.uint8]


@dataclass(frozen=True)
class SortedPowers:
    """Values (n,) in ascending order within each bin, and weight × value^k (3, n), k = 0, 1, 2."""

    values: FloatArray
    powers: FloatArray

    @classmethod
    def of(cls, values: FloatArray, w: FloatArray) -> SortedPowers:
        """From sorted values (n,) and their weights (n,)."""
        linear = w * values
        return cls(values, np.stack([w, linear, linear * values]))

    @cached_property
    def blocks(self) -> FloatArray:
        """The powers in blocks (n_blocks, 3, 64) that are padded with zeros."""
        return np.ascontiguousarray(np.swapaxes(_padded(self.powers.T), 1, 2))

    def sums(self, counts: Counts) -> RunningSums:
        """The running sums when each row is taken `counts` (n, r) times."""
        blocked: Counts = _padded(counts)
        sums = np.zeros((len(blocked) + 1, 3, counts.shape[1]))
        for start in range(0, len(blocked), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            sums[1:][part] = self.blocks[part] @ blocked[part].astype(np.float64)
        return RunningSums(self, blocked, np.cumsum(sums, axis=0, out=sums))

    def once(self) -> PlainSums:
        """The running sums when each row is taken once."""
        return PlainSums(self.values, np.pad(np.cumsum(self.powers, axis=1), ((0, 0), (1, 0))))


class Sums(Protocol):
    """Running sums for r sets of counts."""

    @property
    def replicas(self) -> int: ...

    @property
    def values(self) -> FloatArray: ...

    def before(self, rows: IntArray) -> FloatArray:
        """Σ weight × value^k over all rows before each of `rows` (m,), as (3, m, r)."""
        ...

    def at(self, rows: IntArray, replica: IntArray) -> FloatArray:
        """The same at one row for each named replica, both (m,), as (3, m)."""
        ...

    def row_reaching(self, target: FloatArray) -> IntArray:
        """The first row at which the running weight reaches each target (m, r)."""
        ...


@dataclass(frozen=True)
class PlainSums:
    """Sums over the rows before each (3, n + 1), every row taken once."""

    values: FloatArray
    sums: FloatArray
    replicas: ClassVar[int] = 1

    def before(self, rows: IntArray) -> FloatArray:
        """As `Sums` says."""
        return self.sums[:, rows, None]

    def at(self, rows: IntArray, replica: IntArray) -> FloatArray:
        """As `Sums` says."""
        return self.sums[:, rows]

    def row_reaching(self, target: FloatArray) -> IntArray:
        """As `Sums` says."""
        return np.asarray(np.searchsorted(self.sums[0, 1:], target))


@dataclass(frozen=True)
class RunningSums:
    """Sums over the rows before a given one for r sets of counts (n_blocks, 64, r), at the
    edges of the blocks (n_blocks + 1, 3, r)."""

    powers: SortedPowers
    counts: Counts
    edges: FloatArray

    @property
    def values(self) -> FloatArray:
        """The sorted values (n,)."""
        return self.powers.values

    @property
    def replicas(self) -> int:
        """The number of sets of counts."""
        return int(self.counts.shape[2])

    def before(self, rows: IntArray) -> FloatArray:
        """As `Sums` says."""
        block, inside = self._place(rows)
        powers = np.where(inside[:, None], self.powers.blocks[block], 0.0)
        return np.swapaxes(self.edges[block] + powers @ self.counts[block], 0, 1)

    def at(self, rows: IntArray, replica: IntArray) -> FloatArray:
        """As `Sums` says."""
        block, inside = self._place(rows)
        taken = np.where(inside, self.counts[block, :, replica], 0)
        partial = np.einsum("mkj,mj->km", self.powers.blocks[block], taken)
        return np.asarray(self.edges[block, :, replica].T + partial)

    def row_reaching(self, target: FloatArray) -> IntArray:
        """As `Sums` says."""
        found = [np.searchsorted(edges, t) for edges, t in zip(self._ends, target.T, strict=True)]
        block = np.minimum(np.stack(found, axis=1), len(self.counts) - 1)
        replica = np.broadcast_to(np.arange(self.replicas), block.shape)
        weights = self.powers.blocks[block, 0] * self.counts[block, :, replica]
        running = self.edges[block, 0, replica][..., None] + np.cumsum(weights, axis=-1)
        return np.asarray(block * BLOCK + np.sum(running < target[..., None], axis=-1))

    @cached_property
    def _ends(self) -> FloatArray:
        """The weight up to the end of each block, one row for each set of counts."""
        return np.ascontiguousarray(self.edges[1:, 0].T)

    def _place(self, rows: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
        """The block of each row (m,), and which rows of the block come before it (m, 64)."""
        block = np.minimum(rows // BLOCK, len(self.counts) - 1)
        return block, np.arange(BLOCK) < (rows - block * BLOCK)[:, None]


def _padded(rows: NDArray[Any]) -> NDArray[Any]:
    """(n, k) as (n_blocks, 64, k), padded with zeros; there is always one block."""
    n = len(rows)
    padding = max(-n % BLOCK, BLOCK if n == 0 else 0)
    padded = np.pad(rows, ((0, padding), (0, 0))) if padding else rows
    return padded.reshape(-1, BLOCK, rows.shape[1])
