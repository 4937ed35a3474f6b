"""Does transported simulation look like data? Every feature of every test before and after each
map, and a classifier that sees all features together.

Means and spreads are unbinned, with bootstrap errors of the test's events. A map has an error of
its own, since its training samples are finite: `refits` bootstrap refits of each method give it,
and it is added in quadrature, in the bins of χ² too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import ClassVar

import numpy as np

from calibrate.checks import count, positive_integer
from calibrate.context import Context
from calibrate.errors import ConfigurationError, FitError
from calibrate.estimate import UNTOUCHED, TransportMap
from calibrate.evaluators.carried import (
    Carried,
    Moved,
    mean_curve,
    outside_share,
    transport_curve,
)
from calibrate.evaluators.marginals import Marginal
from calibrate.evaluators.separation import Area, Separation, two_sample
from calibrate.evaluators.spectrum_shift import shift_scalars, spectrum_shift
from calibrate.protocols import TransportRefit
from calibrate.records import Findings, Quantity, Record, TransportCurve
from calibrate.sample import MINIMUM_EVENTS, FloatArray, Sample
from calibrate.statistics import Poisson, equal_statistics_edges, weighted_quantile
from calibrate.task import Pair, TransportTask

FEWEST_EFFECTIVE = 50
SHOWN = (0.001, 0.999)
FEW_OUTSIDE = 1e-3
Seen = tuple[Mapping[str, Quantity], Record]
Classifier = tuple[Separation, Area]


@dataclass(frozen=True)
class Transport:
    """Marginals, distances to data, a two-sample classifier and the map itself, on every test.

    χ² in `bins` of equal statistics of data that hold all the weight; histograms of `shown_bins`;
    `replicas` of the bootstrap, `refits` of each method (0: the map's own error is left out);
    the classifier sees at most about `classified` events of each side, chosen at random (0: none).
    Where weights are negative, there are neither quantiles, distances nor a classifier.
    Raises ConfigurationError for numbers out of range.
    """

    bins: int = 30
    shown_bins: int = 50
    replicas: int = 100
    refits: int = 20
    classified: int = 5000
    tasks: ClassVar[tuple[str, ...]] = ("transport",)

    def __post_init__(self) -> None:
        for name in ("bins", "shown_bins", "replicas"):
            positive_integer(f"evaluator.transport.{name}", getattr(self, name))
        for name in ("refits", "classified"):
            count(f"evaluator.transport.{name}", getattr(self, name))
        if 0 < self.classified < MINIMUM_EVENTS:
            raise ConfigurationError(
                f"evaluator.transport.classified must be 0 or at least {MINIMUM_EVENTS}, got "
                f"{self.classified}"
            )
        for name in ("bins", "replicas", "refits"):
            if getattr(self, name) == 1:
                raise ConfigurationError(f"evaluator.transport.{name} must be at least 2, got 1")

    def __call__(
        self,
        fits: Mapping[str, TransportMap],
        task: TransportTask,
        refit: TransportRefit,
        context: Context,
    ) -> Findings:
        """Evaluate all maps on all tests of the task."""
        again = {label: [] if fit.kind == UNTOUCHED
                 else self._refitted(label, task, refit, context)
                 for label, fit in fits.items()}  # fmt: skip
        scalars: dict[str, dict[str, Quantity]] = {label: {} for label in fits}
        records: list[Record] = []
        warnings = [
            f"{label}: {self.refits - len(found)} of {self.refits} refits failed, the error of its "
            "map is that of the others"
            for label, found in again.items()
            if len(found) < self.refits and fits[label].kind != UNTOUCHED
        ]
        for test, pair in task.tests.items():
            classifier = self._classifier(test, pair, context)
            for label, fit in fits.items():
                moved, first = (
                    Moved.of(pair.simulation, fit, again[label]),
                    label == next(iter(fits)),
                )
                for numbers, record in chain(
                    self._marginals(label, test, pair, moved, context, first),
                    _told_apart(label, test, pair, moved, classifier, first),
                    self._varied(label, test, pair, fit),
                ):
                    scalars[label] |= numbers
                    records.append(record)
                warnings += _extrapolated(label, test, pair.simulation, fit)
            records += _curves(test, pair, fits, task)
        return Findings(scalars, {}, tuple(records), tuple(warnings))

    def _marginals(
        self, label: str, test: str, pair: Pair, moved: Moved, context: Context, first: bool
    ) -> Iterator[Seen]:
        """Every feature; with the first method also data's and the untouched simulation's."""
        for carried in self._carried(test, pair, moved, context):
            numbers = {**carried.scalars(), **(carried.untouched() if first else {})}
            yield numbers, carried.histogram(label, self._shown(pair, carried.feature))

    def _varied(self, label: str, test: str, pair: Pair, fit: TransportMap) -> Iterator[Seen]:
        """What varied training spectra do, of a map that knows them."""
        shift = spectrum_shift(label, test, pair.simulation, fit, self._shown(pair, 0))
        if shift is not None:
            yield shift_scalars(shift), shift

    def _classifier(self, test: str, pair: Pair, context: Context) -> Classifier | None:
        """The classifier of a test, and what it says of the untouched simulation."""
        if not self.classified:
            return None
        found = Separation.of(pair, self.classified, context.child("classifier", test))
        return None if found is None else (found, found.untouched())

    def _refitted(
        self, label: str, task: TransportTask, refit: TransportRefit, context: Context
    ) -> list[TransportMap]:
        """The method fitted to bootstrap samples of the training pair; those that fail are left
        out."""
        fitted = []
        with context.progress.track(f"refits of {label}", self.refits) as advance:
            for train, *controls in _resampled_all(task, self.refits, context.child("refits")):
                named = dict(zip(task.controls, controls, strict=True))
                with suppress(FitError):
                    fitted.append(refit(replace(task, train=train, controls=named), label))
                advance(1)
        return fitted

    def _carried(self, test: str, pair: Pair, moved: Moved, context: Context) -> Iterator[Carried]:
        """One after the other, all features; with several, their names end the test's."""
        s, names = pair.data, [column.name for column in pair.data.x_columns]
        poissons = [
            Poisson(sample.groups, self.replicas, context.sequence("bootstrap", test, side))
            for side, sample in (("simulation", pair.simulation), ("data", pair.data))
        ]
        for feature, name in enumerate(names):
            simulation, data = (
                Marginal(sample.x[:, feature], sample, poisson)
                for sample, poisson in zip((pair.simulation, s), poissons, strict=True)
            )
            inner = equal_statistics_edges(data.values, s.w, s.group, self.bins, FEWEST_EFFECTIVE)
            edges = np.array([-np.inf, *inner[1:-1], np.inf])
            label = test if len(names) == 1 else f"{test}.{name}"
            yield Carried(test, label, feature, simulation, data, moved, edges)

    def _shown(self, pair: Pair, feature: int) -> FloatArray:
        """Equal bins over what holds 99.8 % of data and of simulation."""
        limits = [
            weighted_quantile(s.x[:, feature], np.maximum(s.w, 0.0), SHOWN)
            for s in (pair.simulation, pair.data)
        ]
        low, high = min(q[0] for q in limits), max(q[1] for q in limits)
        return np.linspace(low, high if high > low else low + 1.0, self.shown_bins + 1)


def _told_apart(
    label: str, test: str, pair: Pair, moved: Moved, classifier: Classifier | None, first: bool
) -> Iterator[Seen]:
    if classifier is None:
        return
    separation, before = classifier
    after = before if moved.fit.kind == UNTOUCHED else separation(moved)
    numbers = {f"transport/{test}/auc": Quantity(*after)}
    if first:
        numbers[f"transport/{test}/uncalibrated_auc"] = Quantity(*before)
    yield numbers, two_sample(label, test, pair, after, before)


def _curves(
    test: str, pair: Pair, fits: Mapping[str, TransportMap], task: TransportTask
) -> Iterator[TransportCurve]:
    """The map of every method that moves anything, of one feature; with several, x' depends on
    all of them."""
    if len(pair.simulation.x_columns) != 1:
        return
    exact = task.closed_forms.get(test)
    for label, fit in fits.items():
        if fit.kind == UNTOUCHED:
            continue
        shape = mean_curve if fit.uses_truth else transport_curve
        yield shape(label, test, pair.simulation, fit, exact)


def _resampled_all(
    task: TransportTask, number: int, context: Context
) -> Iterator[tuple[Pair, ...]]:
    """Bootstrap samples of the training pair and of every control."""
    controls = (
        _resampled(pair, number, context.child(name)) for name, pair in task.controls.items()
    )
    return zip(_resampled(task.train, number, context), *controls, strict=True)


def _resampled(pair: Pair, number: int, context: Context) -> Iterator[Pair]:
    """Poisson bootstrap samples of simulation and of data, independent of each other."""
    if not number:
        return
    counts = (
        Poisson(sample.groups, number, context.sequence(side)).each()
        for side, sample in (("simulation", pair.simulation), ("data", pair.data))
    )
    for simulated, measured in zip(*counts, strict=True):
        yield pair.with_weights(pair.simulation.w * simulated, pair.data.w * measured)


def _extrapolated(label: str, test: str, simulation: Sample, fit: TransportMap) -> list[str]:
    """A warning where more than one in a thousand events lies outside the map's range."""
    outside = outside_share(simulation, fit)
    if fit.kind == UNTOUCHED or outside <= FEW_OUTSIDE:
        return []
    return [
        f"{label}, {test}: {100 * outside:.2g} % of the simulation lies outside the range of the "
        "training sample, where the map is extrapolated"
    ]
