"""One feature of one test under one map: its numbers and the records that show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from calibrate.estimate import TransportMap
from calibrate.evaluators.marginals import DISTANCE, SHAPE, Marginal, distances, plain_numbers
from calibrate.records import Quantity, TransportCurve, TransportHistogram
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import (
    ChiSquare,
    bin_index,
    binned_sum,
    chi_square,
    weighted_covariance,
    weighted_quantile,
)
from calibrate.task import TransportFunction

SHOWN = (0.001, 0.999)
POINTS = 61
MEAN_BINS = 40
Scalars = Mapping[str, Quantity]


@dataclass(frozen=True)
class Moved:
    """The simulation of a test, x' (n, d_x), under a map and under bootstrap refits of it."""

    fit: TransportMap
    values: FloatArray
    again: tuple[FloatArray, ...]

    @classmethod
    def of(cls, sample: Sample, fit: TransportMap, again: Sequence[TransportMap]) -> Moved:
        """Every map applied to all events."""
        values, *others = (each.transport(sample.x, sample.z) for each in (fit, *again))
        return cls(fit, values, tuple(others))


@dataclass(frozen=True)
class Carried:
    """Feature number `feature` of the simulation of a test before and after a map, and of its
    data; `label` is the test's name, with the feature's if there are several.

    `edges` (n_b + 1,) are the bins of χ².
    """

    test: str
    label: str
    feature: int
    simulation: Marginal
    data: Marginal
    moved: Moved
    edges: FloatArray

    @cached_property
    def after(self) -> Marginal:
        """The transported simulation."""
        return self.simulation.moved(self.moved.values[:, self.feature])

    @cached_property
    def _varied(self) -> tuple[FloatArray, FloatArray]:
        """Variances that the map's own error gives to the shares in bins (n_b,) and to mean,
        std, iqr and distances (5,); zero without refits."""
        if len(self.moved.again) < 2:
            return np.zeros(self.edges.size - 1), np.zeros(len(SHAPE + DISTANCE))
        sample = self.simulation.sample
        moved = [values[:, self.feature] for values in self.moved.again]
        shares = [self.simulation.moved(values).shares(self.edges)[0] for values in moved]
        numbers = [plain_numbers(values, sample, self.data) for values in moved]
        return np.var(shares, axis=0, ddof=1), np.var(numbers, axis=0, ddof=1)

    @cached_property
    def shape(self) -> FloatArray:
        """Value and error (2, 5) of mean, std, iqr and distances of the transported simulation."""
        found = np.hstack([self.after.shape, distances(self.after, self.data)])
        return np.stack([found[0], np.sqrt(found[1] ** 2 + self._varied[1])])

    def chi2(self, simulation: Marginal, more: FloatArray | float = 0.0) -> ChiSquare:
        """χ² of simulated against measured shares; `more` (n_b,) is added to the variances."""
        p, simulated = simulation.shares(self.edges)
        q, measured = self.data.shares(self.edges)
        return chi_square(p, q, simulated + measured + more)

    @cached_property
    def agreement(self) -> ChiSquare:
        """χ² of transported simulation against data."""
        return self.chi2(self.after, self._varied[0])

    def scalars(self) -> dict[str, Quantity]:
        """The metrics of the transported simulation."""
        numbers = self._named("", self.shape, SHAPE + DISTANCE, self.agreement)
        w, before = self.simulation.sample.w, self.simulation.values[:, None]
        moved = self.after.values[:, None]
        covariances = [weighted_covariance(each, before, w)[0, 0] for each in (moved, before)]
        slope = Quantity(float(covariances[0] / covariances[1]))
        return {**numbers, f"transport/{self.label}/slope": slope}

    def untouched(self) -> dict[str, Quantity]:
        """The same of data and of the untouched simulation."""
        before = np.hstack([self.simulation.shape, distances(self.simulation, self.data)])
        return {
            **self._named("data_", self.data.shape, SHAPE, None),
            **self._named("uncalibrated_", before, SHAPE + DISTANCE, self.chi2(self.simulation)),
        }

    def _named(
        self, prefix: str, found: FloatArray, names: tuple[str, ...], chi2: ChiSquare | None
    ) -> dict[str, Quantity]:
        unit = self.data.sample.x_columns[self.feature].unit
        where = f"transport/{self.label}/{prefix}"
        metrics = {
            f"{where}{name}": Quantity(float(value), float(error), "" if name == "ks" else unit)
            for name, value, error in zip(names, *found, strict=True)
        }
        if chi2 is not None:
            metrics[f"{where}chi2_per_bin"] = Quantity(chi2.per_ndf)
        return metrics

    def histogram(self, method: str, edges: FloatArray) -> TransportHistogram:
        """The record of the distributions, in bins to be shown."""
        column, agreement = self.data.sample.x_columns[self.feature], self.agreement
        after, before, data = (m.density(edges) for m in (self.after, self.simulation, self.data))
        measured = self.data.shape
        return TransportHistogram(
            method=method,
            test=self.test,
            name=column.name,
            unit=column.unit,
            edges=edges,
            density=after.density,
            density_error=after.error,
            before=before.density,
            before_error=before.error,
            data=data.density,
            data_error=data.error,
            chi2=agreement.value,
            ndf=float(agreement.ndf),
            probability=agreement.probability,
            mean=float(self.shape[0, 0]),
            mean_error=float(self.shape[1, 0]),
            width=float(self.shape[0, 2]),
            width_error=float(self.shape[1, 2]),
            data_mean=float(measured[0, 0]),
            data_mean_error=float(measured[1, 0]),
            data_width=float(measured[0, 2]),
            data_width_error=float(measured[1, 2]),
            outside=outside_share(self.simulation.sample, self.moved.fit),
        )


def outside_share(simulation: Sample, fit: TransportMap) -> float:
    """The share of the weight of simulated events outside the range of a map."""
    w, inside = simulation.w, fit.domain.inside(simulation.x)
    return float(np.sum(w[~inside]) / np.sum(w))


def transport_curve(
    method: str, test: str, simulation: Sample, fit: TransportMap, exact: TransportFunction | None
) -> TransportCurve:
    """x' on a grid over the test's simulation, of a map that needs no truth."""
    low, high = weighted_quantile(simulation.x[:, 0], np.maximum(simulation.w, 0.0), SHOWN)
    x = np.linspace(low, high, POINTS)
    moved = fit.transport(x[:, None], np.empty((x.size, 0)))[:, 0]
    return _curve(method, test, simulation, x, moved, exact, fit.uses_truth)


def mean_curve(
    method: str, test: str, simulation: Sample, fit: TransportMap, exact: TransportFunction | None
) -> TransportCurve:
    """Mean x' in bins of x over the test's simulation, of a map that depends on z too."""
    x, w = simulation.x[:, 0], simulation.w
    low, high = weighted_quantile(x, np.maximum(w, 0.0), SHOWN)
    edges = np.linspace(low, high, MEAN_BINS + 1)
    index = bin_index(x, edges)
    moved = fit.transport(simulation.x, simulation.z)[:, 0]
    total = binned_sum(w, index, MEAN_BINS)
    filled = total > 0
    means = [binned_sum(w * v, index, MEAN_BINS)[filled] / total[filled] for v in (x, moved)]
    return _curve(method, test, simulation, means[0], means[1], exact, fit.uses_truth)


def _curve(
    method: str,
    test: str,
    simulation: Sample,
    x: FloatArray,
    moved: FloatArray,
    exact: TransportFunction | None,
    uses_truth: bool,
) -> TransportCurve:
    column = simulation.x_columns[0]
    known = np.full(x.size, np.nan) if exact is None else exact(x)
    return TransportCurve(method, test, column.name, column.unit, x, moved, known, uses_truth)
