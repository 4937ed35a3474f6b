"""Does transported simulation look like data? Marginals of every test before and after each map.

Means and spreads are unbinned, with bootstrap errors of the test's events. A map has an error of
its own, since its training samples are finite: `refits` bootstrap refits of each method give it,
and it is added in quadrature, in the bins of χ² too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from calibrate.checks import count, positive_integer
from calibrate.context import Context
from calibrate.errors import ConfigurationError, FitError
from calibrate.estimate import UNTOUCHED, TransportMap, TransportRefit
from calibrate.evaluators.carried import Carried, mean_curve, transport_curve
from calibrate.evaluators.marginals import Marginal
from calibrate.evaluators.spectrum_shift import shift_scalars, spectrum_shift
from calibrate.records import Findings, Quantity, Record, TransportCurve
from calibrate.sample import FloatArray
from calibrate.statistics import Poisson, equal_statistics_edges, weighted_quantile
from calibrate.task import Pair, TransportTask

FEWEST_EFFECTIVE = 50
SHOWN = (0.001, 0.999)
FEW_OUTSIDE = 1e-3


@dataclass(frozen=True)
class Transport:
    """Marginals, distances to data and the map itself, on every test.

    χ² in `bins` of equal statistics of data that hold all the weight; histograms of `shown_bins`;
    `replicas` of the bootstrap, `refits` of each method (0: the map's own error is left out).
    Raises ConfigurationError for numbers out of range; `check` for several features.
    """

    bins: int = 30
    shown_bins: int = 50
    replicas: int = 100
    refits: int = 20
    tasks: ClassVar[tuple[str, ...]] = ("transport",)

    def __post_init__(self) -> None:
        for name in ("bins", "shown_bins", "replicas"):
            positive_integer(f"evaluator.transport.{name}", getattr(self, name))
        count("evaluator.transport.refits", self.refits)
        for name in ("bins", "replicas", "refits"):
            if getattr(self, name) == 1:
                raise ConfigurationError(f"evaluator.transport.{name} must be at least 2, got 1")

    def check(self, task: TransportTask) -> None:
        """Raise ConfigurationError if the task has several features."""
        names = [column.name for column in task.train.simulation.x_columns]
        if len(names) != 1:
            raise ConfigurationError(
                f"evaluator=transport looks at one feature, got {len(names)}: {', '.join(names)}"
            )

    def __call__(
        self,
        fits: Mapping[str, TransportMap],
        task: TransportTask,
        refit: TransportRefit,
        context: Context,
    ) -> Findings:
        """Evaluate all maps on all tests of the task."""
        self.check(task)
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
        main = next(iter(fits))
        for test, pair in task.tests.items():
            for label, fit in fits.items():
                carried = self._carried(test, pair, fit, again[label], context)
                scalars[label] |= carried.scalars()
                if label == main:
                    scalars[label] |= carried.untouched()
                found = carried.histogram(label, self._shown(pair))
                records.append(found)
                if found.outside > FEW_OUTSIDE and fit.kind != UNTOUCHED:
                    warnings.append(_extrapolated(label, test, found.outside))
                shift = spectrum_shift(label, test, pair.simulation, fit, self._shown(pair))
                if shift is not None:
                    scalars[label] |= shift_scalars(shift)
                    records.append(shift)
            records += _curves(test, pair, fits, task)
        return Findings(scalars, {}, tuple(records), tuple(warnings))

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

    def _carried(
        self,
        test: str,
        pair: Pair,
        fit: TransportMap,
        again: Sequence[TransportMap],
        context: Context,
    ) -> Carried:
        simulation, data = (
            Marginal(
                sample.x[:, 0],
                sample,
                Poisson(sample.groups, self.replicas, context.sequence("bootstrap", test, side)),
            )
            for side, sample in (("simulation", pair.simulation), ("data", pair.data))
        )
        s = pair.data
        inner = equal_statistics_edges(s.x[:, 0], s.w, s.group, self.bins, FEWEST_EFFECTIVE)
        edges = np.array([-np.inf, *inner[1:-1], np.inf])
        return Carried(test, simulation, data, fit, tuple(again), edges)

    def _shown(self, pair: Pair) -> FloatArray:
        """Equal bins over what holds 99.8 % of data and of simulation."""
        limits = [
            weighted_quantile(s.x[:, 0], np.maximum(s.w, 0.0), SHOWN)
            for s in (pair.simulation, pair.data)
        ]
        low, high = min(q[0] for q in limits), max(q[1] for q in limits)
        return np.linspace(low, high if high > low else low + 1.0, self.shown_bins + 1)


def _curves(
    test: str, pair: Pair, fits: Mapping[str, TransportMap], task: TransportTask
) -> Iterator[TransportCurve]:
    """The map of every method that moves anything."""
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
        yield Pair(
            pair.simulation.with_weights(pair.simulation.w * simulated),
            pair.data.with_weights(pair.data.w * measured),
        )


def _extrapolated(label: str, test: str, outside: float) -> str:
    return (
        f"{label}, {test}: {100 * outside:.2g} % of the simulation lies outside the range of the "
        "training sample, where the map is extrapolated"
    )
