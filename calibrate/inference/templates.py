"""Templates of a score: signal and background in its bins at many values of the nuisances.

Every filling takes the same simulated events, moved to other nuisances and scored again, so that
templates fluctuate together and their changes are known better than they are themselves.
What the finite simulation leaves open in a result is told by events in parts, made of whole groups
by a hash of their labels (the label itself may follow the class, or a cut that chose the events),
the same parts in all fillings and of all scores. One pass over the events fills all of them, where
replicas event by event take a pass each. A jackknife leaves out one of ten `blocks` of parts at a
time; a replica of the simulation draws parts with replacement.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from calibrate.errors import ConfigurationError, DataError
from calibrate.inference.bins import ScoreBins
from calibrate.inference.contents import Axes, Contents
from calibrate.inference.likelihood import Expectation
from calibrate.sample import FloatArray, IntArray, Sample
from calibrate.statistics import binned_sum, grouped_squares
from calibrate.statistics.hashes import row_keys
from calibrate.task import Auxiliary, LabelledEvents, Nuisance, Point

WIDTHS_REACHED = 4.0
CLASSES = ("background", "signal")
BLOCKS = 10
PARTS = 500
"""Of the events, a multiple of the blocks."""
ATTEMPTS = 100


def axes_of(
    nuisances: Sequence[Nuisance], points: Sequence[Point], number: int, pieces: int | None = None
) -> Axes:
    """`number` values of each nuisance, over its range or four widths around the nominal value and
    all points where that is smaller; these values are among them. Splines are of `pieces` (None:
    through all).

    Raises ConfigurationError for a nuisance with neither range nor width, and for a point outside
    a range.
    """
    nominal = {each.name: each.nominal for each in nuisances}
    return Axes(nominal, {each.name: _knots(each, points, number) for each in nuisances}, pieces)


def _knots(nuisance: Nuisance, points: Sequence[Point], number: int) -> FloatArray:
    needed = {nuisance.nominal, *(point.values[nuisance.name] for point in points)}
    for value in sorted(needed):
        if not nuisance.low <= value <= nuisance.high:
            raise ConfigurationError(
                f"a point has {nuisance.name}={value:.4g}, but simulation covers "
                f"{nuisance.low:.4g} to {nuisance.high:.4g}: templates are not extrapolated"
            )
    reach = np.inf if nuisance.width is None else WIDTHS_REACHED * nuisance.width
    low = max(nuisance.low, min(needed) - reach)
    high = min(nuisance.high, max(needed) + reach)
    if not np.isfinite(high - low):
        raise ConfigurationError(
            f"the nuisance '{nuisance.name}' has neither a width nor a range: templates need one"
        )
    knots = np.linspace(low, high, number)
    for value in sorted(needed):
        knots[int(np.argmin(np.abs(knots - value)))] = value
    return np.unique(knots)


class Scoring(Protocol):
    """What templates need of a score."""

    @property
    def uses_nuisances(self) -> bool: ...

    def score(self, x: FloatArray, values: Mapping[str, float | FloatArray]) -> FloatArray: ...


@dataclass(frozen=True)
class FrozenAt:
    """A score at fixed assumed values of the nuisances, whatever is tested."""

    of: Scoring
    values: Mapping[str, float]

    @property
    def uses_nuisances(self) -> bool:
        return False

    def score(self, x: FloatArray, values: Mapping[str, float | FloatArray]) -> FloatArray:
        return self.of.score(x, self.values)


@dataclass(frozen=True)
class Templates:
    """Sums of weights in the parts of events, and sums of the squared weights of their groups,
    (g, j, 2, n_b) each, of background and signal at the settings of `axes`."""

    axes: Axes
    bins: ScoreBins
    parts: FloatArray
    squared: FloatArray

    @classmethod
    def fill(cls, score: Scoring, events: LabelledEvents, axes: Axes, bins: ScoreBins) -> Templates:
        """Move the events to every setting, score them there and fill the bins.

        Raises DataError where a class has no events.
        """
        filled = [_fill(score, events.at(values), values, bins) for values in axes.settings()]
        return cls(axes, bins, *(np.stack(parts) for parts in zip(*filled, strict=True)))

    @cached_property
    def sums(self) -> FloatArray:
        """Sums of weights (g, 2, n_b)."""
        return np.asarray(self.parts.sum(axis=1))

    @cached_property
    def squares(self) -> FloatArray:
        """Sums of the groups' squared weights (g, 2, n_b)."""
        return np.asarray(self.squared.sum(axis=1))

    @property
    def blocks(self) -> FloatArray:
        """Sums of weights in blocks of parts, (g, 10, 2, n_b)."""
        settings, _, *shape = self.parts.shape
        return np.asarray(self.parts.reshape(settings, -1, BLOCKS, *shape).sum(axis=1))

    def merged(self) -> Templates:
        """With bins joined until none is empty anywhere, whichever block is left out."""
        bins, firsts = self.bins.merged(jackknifed(self.blocks), self.squares[:, None])
        parts, squared = (
            np.add.reduceat(array, firsts, axis=-1) for array in (self.parts, self.squared)
        )
        return Templates(self.axes, bins, parts, squared)

    @cached_property
    def contents(self) -> tuple[Contents, Contents]:
        """Signal and background as functions of the nuisances."""
        background, signal = (self.axes.product(self.sums[:, k]) for k in range(2))
        return signal, background

    @cached_property
    def jackknifed(self) -> tuple[Contents, Contents]:
        """The same with each block left out, as j experiments."""
        left_out = jackknifed(self.blocks)
        background, signal = (self.axes.product(left_out[:, :, k]) for k in range(2))
        return signal, background

    def variance(self, values: Mapping[str, float]) -> FloatArray:
        """δ² (2, n_b) of background and signal, ΣW²/(Σw)², at the setting that is next to these
        values."""
        place = self._next_to(values)
        return np.asarray(self.squares[place] / self.sums[place] ** 2)

    def _next_to(self, values: Mapping[str, float]) -> int:
        names = list(values)
        settings = np.array([[setting[name] for name in names] for setting in self.axes.settings()])
        return int(np.argmin(np.sum((settings - [values[n] for n in names]) ** 2, axis=1)))

    def expectation(
        self,
        nuisances: Sequence[Nuisance],
        values: Mapping[str, float],
        auxiliary: Auxiliary | None = None,
    ) -> Expectation:
        """What a likelihood expects; the templates' relative errors are those at `values`, where
        data lies."""
        signal, background = self.contents
        variance = self.variance(values)
        return Expectation(signal, background, variance, nuisances, self.axes.bounds, auxiliary)

    def drawn_again(
        self,
        expected: Expectation,
        values: Mapping[str, float],
        number: int,
        rng: np.random.Generator,
    ) -> Expectation:
        """The same expectation from `number` replicas of the simulation, each with templates and
        errors of its own, as p experiments.

        Raises DataError where nearly all replicas leave a bin empty.
        """
        times = self._times(number, rng)
        filled = np.swapaxes(self._filled(times), 0, 1)
        background, signal = (self.axes.product(filled[:, :, k]) for k in range(2))
        place = self._next_to(values)
        squares = np.tensordot(times, self.squared[place], (1, 0))
        variance = np.swapaxes(squares / filled[place] ** 2, 0, 1)
        return replace(expected, signal=signal, background=background, variance=variance)

    def _filled(self, times: IntArray) -> FloatArray:
        """Sums of weights (p, g, 2, n_b) of replicas in which parts are so many `times` (p, j)."""
        return np.asarray(np.tensordot(times.astype(np.float64), self.parts, (1, 1)))

    def _times(self, number: int, rng: np.random.Generator) -> IntArray:
        """How often each part is in each replica (p, j); one that leaves a bin empty, in which an
        analysis would have merged bins, is drawn again."""
        shares = np.full(PARTS, 1 / PARTS)
        times = rng.multinomial(PARTS, shares, number)
        for _ in range(ATTEMPTS):
            empty = np.flatnonzero((self._filled(times) <= 0).any(axis=(1, 2, 3)))
            if not empty.size:
                return times
            times[empty] = rng.multinomial(PARTS, shares, empty.size)
        raise DataError(
            f"{empty.size} of {number} replicas of the simulation leave a bin empty, {ATTEMPTS} "
            "times over: use fewer bins, or evaluator.likelihood.experiments=0"
        )


def jackknifed(blocks: FloatArray) -> FloatArray:
    """Sums over all blocks (…, j, 2, n) but one, scaled to all."""
    return np.asarray((blocks.sum(axis=-3, keepdims=True) - blocks) * (BLOCKS / (BLOCKS - 1)))


def jackknife_error(values: FloatArray) -> float:
    """The error of a result whose values (j,) without one block each are known."""
    return float(np.sqrt((BLOCKS - 1) * np.var(values)))


def in_parts(index: IntArray, group: IntArray, parts: int, size: int) -> IntArray:
    """The cells (n,) below parts × size of events with `index` (n,) below `size`; a group is in any
    part with the same probability, in that of fewer parts whose number divides `parts` too."""
    part = (row_keys([group]) % np.uint64(parts)).astype(np.int64)
    return np.asarray(index + size * part)


def _fill(
    score: Scoring, sample: Sample, values: Mapping[str, float], bins: ScoreBins
) -> tuple[FloatArray, FloatArray]:
    index = scored_bins(score, sample, values, bins) + len(bins) * _labels(sample)
    shape = PARTS, len(CLASSES), len(bins)
    cells = in_parts(index, sample.group, PARTS, shape[1] * shape[2])
    sums = binned_sum(sample.w, cells, math.prod(shape)).reshape(shape)
    squares = grouped_squares(sample.w, cells, math.prod(shape), sample.groups)
    return sums, squares.reshape(shape)


def scored_bins(
    score: Scoring, sample: Sample, values: Mapping[str, float], bins: ScoreBins
) -> IntArray:
    """The bin (n,) of each event's score under assumed values of the nuisances.

    Raises DataError for a score that is not finite.
    """
    found = score.score(sample.x, values)
    if not np.isfinite(found).all():
        raise DataError(f"the score of {int(np.sum(~np.isfinite(found)))} events is not finite")
    return bins.index(found)


def _labels(sample: Sample) -> IntArray:
    labels = sample.z[:, 0].astype(np.int64)
    for label, name in enumerate(CLASSES):
        if not np.any(labels == label):
            raise DataError(f"the events hold no {name}: templates need both classes")
    return labels
