"""Templates of a score: signal and background in its bins at many values of the nuisances.

Every filling takes the same simulated events, moved to other nuisances and scored again, so that
templates fluctuate together and their changes are known better than they are themselves.
Bootstrap replicas of the events, the same in all fillings and of all scores, say what the finite
simulation leaves open in whatever is made of templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import ConfigurationError, DataError
from calibrate.estimate import Score
from calibrate.inference.bins import ScoreBins
from calibrate.inference.contents import Axes, Contents
from calibrate.inference.likelihood import Expectation
from calibrate.sample import FloatArray, IntArray, Sample
from calibrate.task import Auxiliary, InferenceTask, LabelledEvents, Nuisance, Point

WIDTHS_REACHED = 4.0
CLASSES = ("background", "signal")


def axes_of(task: InferenceTask, points: tuple[Point, ...], number: int) -> Axes:
    """`number` values of each nuisance, over its range or four widths where that is smaller,
    and over all points; the nominal value and those of the points are among them.

    Raises ConfigurationError for a nuisance with neither range nor width, and for a point outside
    a range.
    """
    nominal = {each.name: each.nominal for each in task.nuisances}
    return Axes(nominal, {each.name: _knots(each, points, number) for each in task.nuisances})


def _knots(nuisance: Nuisance, points: tuple[Point, ...], number: int) -> FloatArray:
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


@dataclass(frozen=True)
class Replicas:
    """Poisson(1) counts of bootstrap replicas by group of the events; none if `number` is 0."""

    number: int
    seed: np.random.SeedSequence
    kept: dict[int, NDArray[np.uint8]] = field(default_factory=dict, repr=False, compare=False)

    def counts(self, group: IntArray) -> Iterator[FloatArray]:
        """The counts (n,) of one replica after the other: the same for a group wherever it
        appears."""
        if not self.number:
            return
        size = 1 << int(group.max()).bit_length()
        if size not in self.kept:
            self.kept[size] = np.stack(
                [np.random.default_rng(seed).poisson(1.0, size).astype(np.uint8)
                 for seed in self._seeds()]
            )  # fmt: skip
        for row in self.kept[size]:
            yield row[group].astype(np.float64)

    def _seeds(self) -> list[np.random.SeedSequence]:
        """One for each replica, so that a longer row begins like a shorter one."""
        key = self.seed.spawn_key
        return [
            np.random.SeedSequence(self.seed.entropy, spawn_key=(*key, r))
            for r in range(self.number)
        ]


@dataclass(frozen=True)
class Templates:
    """Sums of weights and of their squares (g, 2, n_b) of background and signal at the settings of
    `axes`, and the sums in bootstrap replicas (g, r, 2, n_b)."""

    axes: Axes
    bins: ScoreBins
    sums: FloatArray
    squares: FloatArray
    replicas: FloatArray

    @classmethod
    def fill(
        cls, score: Score, events: LabelledEvents, axes: Axes, bins: ScoreBins, replicas: Replicas
    ) -> Templates:
        """Move the events to every setting, score them there and fill the bins.

        Raises DataError where a class has no events.
        """
        filled = [_fill(score, events.at(values), values, bins, replicas)
                  for values in axes.settings()]  # fmt: skip
        return cls(axes, bins, *(np.stack(parts) for parts in zip(*filled, strict=True)))

    def merged(self) -> Templates:
        """With bins joined until none is empty anywhere."""
        bins, firsts = self.bins.merged(self.sums, self.squares)
        sums, squares, replicas = (
            np.add.reduceat(array, firsts, axis=-1)
            for array in (self.sums, self.squares, self.replicas)
        )
        return Templates(self.axes, bins, sums, squares, replicas)

    def replica(self, number: int) -> Templates:
        """The templates of one bootstrap replica."""
        return replace(self, sums=self.replicas[:, number])

    @cached_property
    def contents(self) -> tuple[Contents, Contents]:
        """Signal and background as functions of the nuisances."""
        background, signal = (self.axes.product(self.sums[:, k]) for k in range(2))
        return signal, background

    def variance(self, values: Mapping[str, float]) -> FloatArray:
        """δ² (n_b,) of signal and background together at a setting: Σw²/(Σw)²; one after the
        other for several nuisances, at their nominal ones."""
        names = list(values)
        settings = np.array([[setting[name] for name in names] for setting in self.axes.settings()])
        place = int(np.argmin(np.sum((settings - [values[n] for n in names]) ** 2, axis=1)))
        return self.squares[place].sum(axis=0) / self.sums[place].sum(axis=0) ** 2

    def expectation(
        self,
        nuisances: tuple[Nuisance, ...],
        values: Mapping[str, float],
        auxiliary: Auxiliary | None = None,
    ) -> Expectation:
        """What a likelihood expects; the templates' relative errors are those at `values`, where
        data lies."""
        signal, background = self.contents
        variance = self.variance(values)
        return Expectation(signal, background, variance, nuisances, self.axes.bounds, auxiliary)


def _fill(
    score: Score, sample: Sample, values: Mapping[str, float], bins: ScoreBins, replicas: Replicas
) -> tuple[FloatArray, FloatArray, FloatArray]:
    index = scored_bins(score, sample, values, bins) + len(bins) * _labels(sample)
    size, shape = 2 * len(bins), (2, len(bins))
    sums, squares = (
        np.bincount(index, weights=w, minlength=size).reshape(shape)
        for w in (sample.w, sample.w**2)
    )
    resampled = [np.bincount(index, weights=sample.w * counts, minlength=size).reshape(shape)
                 for counts in replicas.counts(sample.group)]  # fmt: skip
    return sums, squares, np.array(resampled).reshape(replicas.number, *shape)


def scored_bins(
    score: Score, sample: Sample, values: Mapping[str, float], bins: ScoreBins
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
