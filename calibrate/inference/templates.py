"""Templates of a score: signal and background in its bins at many values of the nuisances.

Every filling takes the same simulated events, moved to other nuisances and scored again, so that
templates fluctuate together and their changes are known better than they are themselves.
What the finite simulation leaves open in a result is told by a jackknife: events are parted into
ten blocks by their groups, the same in all fillings and of all scores, and each block is left out
once. One pass over the events fills all blocks, where bootstrap replicas take a pass each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from calibrate.errors import ConfigurationError, DataError
from calibrate.inference.bins import ScoreBins
from calibrate.inference.contents import Axes, Contents
from calibrate.inference.likelihood import Expectation
from calibrate.sample import FloatArray, IntArray, Sample
from calibrate.statistics import grouped_squares
from calibrate.task import Auxiliary, LabelledEvents, Nuisance, Point

WIDTHS_REACHED = 4.0
CLASSES = ("background", "signal")
BLOCKS = 10


def axes_of(
    nuisances: Sequence[Nuisance], points: Sequence[Point], number: int, pieces: int | None = None
) -> Axes:
    """`number` values of each nuisance, over its range or four widths where that is smaller,
    and over all points; the nominal value and those of the points are among them. Splines are of
    `pieces` (None: through all).

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
    low = max(nuisance.low, min(nuisance.nominal - reach, min(needed)))
    high = min(nuisance.high, max(nuisance.nominal + reach, max(needed)))
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
    """Sums of weights in the blocks of events (g, j, 2, n_b), and sums of the squared weights of
    their groups (g, 2, n_b), of background and signal at the settings of `axes`."""

    axes: Axes
    bins: ScoreBins
    blocks: FloatArray
    squares: FloatArray

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
        return np.asarray(self.blocks.sum(axis=1))

    def merged(self) -> Templates:
        """With bins joined until none is empty anywhere, whichever block is left out."""
        left_out = jackknifed(self.blocks)
        bins, firsts = self.bins.merged(left_out, self.squares[:, None])
        blocks, squares = (
            np.add.reduceat(array, firsts, axis=-1) for array in (self.blocks, self.squares)
        )
        return Templates(self.axes, bins, blocks, squares)

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
        """δ² (n_b,) of signal and background together at a setting: Σw²/(Σw)²; one after the
        other for several nuisances, at their nominal ones."""
        names = list(values)
        settings = np.array([[setting[name] for name in names] for setting in self.axes.settings()])
        place = int(np.argmin(np.sum((settings - [values[n] for n in names]) ** 2, axis=1)))
        return np.asarray(self.squares[place].sum(axis=0) / self.sums[place].sum(axis=0) ** 2)

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


def jackknifed(blocks: FloatArray) -> FloatArray:
    """Sums over all blocks (…, j, 2, n) but one, scaled to all."""
    return np.asarray((blocks.sum(axis=-3, keepdims=True) - blocks) * (BLOCKS / (BLOCKS - 1)))


def jackknife_error(values: FloatArray) -> float:
    """The error of a result whose values (j,) without one block each are known."""
    return float(np.sqrt((BLOCKS - 1) * np.var(values)))


def by_block(w: FloatArray, group: IntArray, index: IntArray, size: int) -> FloatArray:
    """Σw of every block in the cells that `index` (n,) names, (j, size)."""
    cells = index + size * (group % BLOCKS)
    summed = np.bincount(cells, weights=w, minlength=size * BLOCKS)
    return np.asarray(summed, dtype=np.float64).reshape(BLOCKS, size)


def _fill(
    score: Scoring, sample: Sample, values: Mapping[str, float], bins: ScoreBins
) -> tuple[FloatArray, FloatArray]:
    index = scored_bins(score, sample, values, bins) + len(bins) * _labels(sample)
    size, shape = len(CLASSES) * len(bins), (len(CLASSES), len(bins))
    blocks = by_block(sample.w, sample.group, index, size).reshape(BLOCKS, *shape)
    return blocks, grouped_squares(sample.w, index, size, sample.groups).reshape(shape)


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
