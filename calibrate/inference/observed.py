"""Observed counts, as expected or as pseudo-experiments, at any tested value of the nuisances.

A score that depends on the nuisances sees an event in another bin when others are tested. Which
bins it visits as each nuisance runs along its values is the event's *path*. Events of one path are
alike, and there are far fewer paths than events: a pseudo-experiment is one Poisson number for
each path, and its counts at all tested values follow together, as they do in real data.

The events are those that fill the templates, and templates are smooth where what these events do is
not: a sample that is expected as it stands would differ from the templates by the same chance in
every experiment, as no other sample does. So paths are given the numbers of events that the
templates expect where data lies (`matched`): the true model is one of those that are fitted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

from calibrate.errors import DataError
from calibrate.inference.bins import ScoreBins
from calibrate.inference.contents import Axes, Constant, Contents
from calibrate.inference.templates import (
    BLOCKS,
    CLASSES,
    Scoring,
    in_parts,
    jackknifed,
    scored_bins,
)
from calibrate.sample import FloatArray, IntArray, Sample
from calibrate.statistics import binned_sum


@dataclass(frozen=True)
class Paths:
    """Paths (u, g) of the events of one point through the bins at the g settings of `axes` (g = 1
    for a score without nuisances), the bin (u,) at the `true` values (d,) of the nuisances, and
    the expected numbers (j, 2, u) of background and signal at μ = 1 in the blocks of events.

    `templates` (2, n_b), if they are known, are what is expected where data lies.
    """

    axes: Axes
    bins: ScoreBins
    true: FloatArray
    visited: IntArray
    home: IntArray
    blocks: FloatArray
    templates: FloatArray | None = None

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
        tested = axes.settings() if score.uses_nuisances else []
        seen = np.stack(
            [scored_bins(score, sample, each, bins) for each in (values, *tested)], axis=1
        )
        first, row = _alike(seen, len(bins))
        home, visited = seen[first, 0], seen[first, 1:] if tested else seen[first]
        shape = BLOCKS, len(CLASSES), len(first)
        place = row + shape[2] * sample.z[:, 0].astype(np.int64)
        cells = in_parts(place, sample.group, BLOCKS, shape[1] * shape[2])
        blocks = binned_sum(sample.w, cells, math.prod(shape)).reshape(shape)
        true = np.array([values[name] for name in axes.nominal])
        return cls(axes, bins, true, visited, home, blocks)

    def matched(self, signal: Contents, background: Contents) -> Paths:
        """With the numbers of events in the bins that templates expect at the true values."""
        templates = np.concatenate([each(self.true[None])[0] for each in (background, signal)])
        found = np.stack(
            [binned_sum(each, self.home, len(self.bins)) for each in self.blocks.sum(axis=0)]
        )
        ratio = np.divide(templates, found, out=np.ones_like(found), where=found > 0)
        return replace(self, blocks=self.blocks * ratio[:, self.home], templates=templates)

    def asimov(self, strength: float) -> Contents:
        """The expected counts."""
        return self._contents(self._expected(strength)[None], strength, single=True)

    def jackknifed(self, strength: float) -> Contents:
        """The expected counts with each block of events left out, as j experiments."""
        left_out = jackknifed(self.blocks)
        return self._contents(left_out[:, 0] + strength * left_out[:, 1], strength)

    def drawn(
        self, strength: float, number: int, rng: np.random.Generator, *, single: bool = False
    ) -> Contents:
        """The counts of `number` pseudo-experiments, of one as a `single` observation.

        Raises DataError where negative weights leave a path with less than nothing.
        """
        expected = self._expected(strength)
        negative = int(np.sum(expected < 0))
        if negative:
            raise DataError(
                f"negative weights: {negative} of {expected.size} paths through the bins expect "
                "less than nothing, so no pseudo-experiments can be drawn: use "
                "evaluator.likelihood.experiments=0"
            )
        events = rng.poisson(expected, (number, expected.size)).astype(np.float64)
        return self._contents(events, strength, single=single)

    def _expected(self, strength: float) -> FloatArray:
        """The numbers (u,) of events that are expected on the paths."""
        background, signal = self.blocks.sum(axis=0)
        return np.asarray(background + strength * signal)

    def _contents(self, events: FloatArray, strength: float, *, single: bool = False) -> Contents:
        """Counts as a function of the nuisances, of numbers (p, u) of events on each path."""
        counts = self._counts(events)
        if len(counts) == 1:
            return Constant(counts[0, 0] if single else counts[0])
        filled = counts * self._smoothing(strength)
        return self.axes.sum(filled[:, 0] if single else filled)

    def _smoothing(self, strength: float) -> FloatArray:
        """What brings the smooth counts that are expected at the true values to the templates,
        (n_b,): events cross edges of bins between two settings, and splines do not follow."""
        if self.templates is None:
            return np.ones(len(self.bins))
        smooth = self.axes.sum(self._counts(self._expected(strength)[None])[:, 0])
        background, signal = self.templates
        found = smooth(self.true[None])[0][0]
        wanted = background + strength * signal
        ratio = np.divide(wanted, found, out=np.ones_like(found), where=found > 0)
        return np.asarray(ratio)

    def _counts(self, events: FloatArray) -> FloatArray:
        """Counts (g, p, n_b) at all settings, of numbers (p, u) of events on each path."""
        paths, settings = self.visited.shape
        cells = (self.visited + len(self.bins) * np.arange(settings)).reshape(-1)
        shape = (paths, settings * len(self.bins))
        rows = np.repeat(np.arange(paths), settings)
        counts = (csr_matrix((np.ones(rows.size), (rows, cells)), shape).T @ events.T).T
        filled = np.asarray(counts).reshape(len(events), settings, -1)
        return np.asarray(np.swapaxes(filled, 0, 1))


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
