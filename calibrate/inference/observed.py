"""Observed counts, as expected or as pseudo-experiments, at any tested value of the nuisances.

A score that depends on the nuisances sees an event in another bin when others are tested. Which
bins it visits as each nuisance runs along its values is the event's *path*. Events of one path are
alike, and there are far fewer paths than events: a pseudo-experiment is one Poisson number for
each path, and its counts at all tested values follow together, as they do in real data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from calibrate.errors import DataError
from calibrate.inference.bins import ScoreBins
from calibrate.inference.contents import Axes, Constant, Contents
from calibrate.inference.templates import (
    BLOCKS,
    CLASSES,
    Scoring,
    by_block,
    jackknifed,
    scored_bins,
)
from calibrate.sample import FloatArray, IntArray, Sample


@dataclass(frozen=True)
class Paths:
    """Paths (u, g) of the events of one point through the bins at the g settings of `axes` (g = 1
    for a score without nuisances), and their expected numbers (j, 2, u) of background and signal at
    μ = 1 in the blocks of events."""

    axes: Axes
    bins: ScoreBins
    visited: IntArray
    blocks: FloatArray

    @classmethod
    def of(
        cls,
        score: Scoring,
        sample: Sample,
        values: Mapping[str, float],
        axes: Axes,
        bins: ScoreBins,
    ) -> Paths:
        """Of a sample at its true `values`."""
        tested = axes.settings() if score.uses_nuisances else [dict(values)]
        seen = np.stack([scored_bins(score, sample, each, bins) for each in tested], axis=1)
        first, row = _alike(seen, len(bins))
        visited = seen[first]
        place = row + len(visited) * sample.z[:, 0].astype(np.int64)
        shape = (len(CLASSES), len(visited))
        blocks = by_block(sample.w, sample.group, place, shape[0] * shape[1])
        return cls(axes, bins, visited, blocks.reshape(BLOCKS, *shape))

    def asimov(self, strength: float) -> Contents:
        """The expected counts."""
        background, signal = self.blocks.sum(axis=0)
        return self._contents((background + strength * signal)[None], single=True)

    def jackknifed(self, strength: float) -> Contents:
        """The expected counts with each block of events left out, as j experiments."""
        left_out = jackknifed(self.blocks)
        return self._contents(left_out[:, 0] + strength * left_out[:, 1])

    def drawn(
        self, strength: float, number: int, rng: np.random.Generator, *, single: bool = False
    ) -> Contents:
        """The counts of `number` pseudo-experiments, of one as a `single` observation.

        Raises DataError where negative weights leave a path with less than nothing.
        """
        background, signal = self.blocks.sum(axis=0)
        expected = background + strength * signal
        negative = int(np.sum(expected < 0))
        if negative:
            raise DataError(
                f"negative weights: {negative} of {expected.size} paths through the bins expect "
                "less than nothing, so no pseudo-experiments can be drawn: use "
                "evaluator.likelihood.experiments=0"
            )
        events = rng.poisson(expected, (number, expected.size)).astype(np.float64)
        return self._contents(events, single=single)

    def _contents(self, events: FloatArray, *, single: bool = False) -> Contents:
        """Counts as a function of the nuisances, of numbers (p, u) of events on each path."""
        paths, settings = self.visited.shape
        cells = (self.visited + len(self.bins) * np.arange(settings)).reshape(-1)
        shape = (paths, settings * len(self.bins))
        rows = np.repeat(np.arange(paths), settings)
        counts = (csr_matrix((np.ones(rows.size), (rows, cells)), shape).T @ events.T).T
        counts = counts.reshape(len(events), settings, len(self.bins))
        if settings == 1:
            return Constant(counts[0, 0] if single else counts[:, 0])
        filled = np.swapaxes(counts, 0, 1)
        return self.axes.sum(filled[:, 0] if single else filled)


def _alike(rows: IntArray, base: int) -> tuple[IntArray, IntArray]:
    """The first of equal rows (n, g) of digits below `base`, and which of them each row (n,) is;
    as many digits at a time as one integer holds, which is ten times as fast as sorting rows."""
    together = max(1, int((62 - np.log2(len(rows))) / np.log2(max(base, 2))))
    row = np.zeros(len(rows), dtype=np.int64)
    first = row[:1]
    for start in range(0, rows.shape[1], together):
        number = row
        for digit in rows[:, start : start + together].T:
            number = number * base + digit
        _, first, row = np.unique(number, return_index=True, return_inverse=True)
    return first, row.reshape(-1)
