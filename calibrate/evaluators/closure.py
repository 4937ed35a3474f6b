"""Closure: bias and resolution in bins of the truth, and whether the quoted Σ(x) is honest.

b(z) = E[ẑ - z given z] (arXiv:2205.05084, Eq. 7) and Σ(z) = std[ẑ - z given z] (Eq. 20) on
independent test samples, unbinned inside each bin, with bootstrap errors. For truths that are
positive by nature the experiments' convention is followed: the response ẑ/z.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from calibrate.checks import finite_number, positive_integer, positive_number
from calibrate.context import Context
from calibrate.errors import ConfigurationError
from calibrate.estimate import Calibration, Refit
from calibrate.evaluators.histograms import response_edges
from calibrate.evaluators.residuals import Residual, residuals
from calibrate.evaluators.view import Binning, Scalars, View
from calibrate.records import MINIMUM_EFFECTIVE, ClosureCurve, Findings, Record, Table
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import Poisson, equal_statistics_edges, weighted_std
from calibrate.task import RegressionTask

RELATIVE_TOLERANCE = 0.01
TOLERANCE_IN_SIGMA = 0.1


@dataclass(frozen=True)
class Closure:
    """Bias, response, resolution, pulls and coverage on every test sample.

    `bins` with equal effective statistics each (at least 200 effective events), or the given
    `edges` [unit of z]. `replicas` of the bootstrap. A bin fails if its bias exceeds `tolerance`
    by more than two errors: 0.01 of z where z is positive by nature, else 0.1 of the width of
    the training spectrum. Raises ConfigurationError for values out of range.
    """

    bins: int = 12
    edges: Sequence[float] | None = None
    replicas: int = 100
    tolerance: float | None = None

    def __post_init__(self) -> None:
        positive_integer("evaluator.closure.bins", self.bins)
        positive_integer("evaluator.closure.replicas", self.replicas)
        if self.replicas < 2:
            raise ConfigurationError("evaluator.closure.replicas must be at least 2, got 1")
        if self.tolerance is not None:
            positive_number("evaluator.closure.tolerance", self.tolerance)
        if self.edges is not None:
            edges = list(self.edges) if isinstance(self.edges, Iterable) else [self.edges]
            for edge in edges:
                finite_number("each of evaluator.closure.edges", edge)
            if len(edges) < 2 or not np.all(np.diff(edges) > 0):
                raise ConfigurationError(f"evaluator.closure.edges must rise, got {edges}")

    def __call__(
        self, fits: Mapping[str, Calibration], task: RegressionTask, refit: Refit, context: Context
    ) -> Findings:
        """Evaluate all fits on all test samples of the task."""
        scalars: dict[str, Scalars] = {method: {} for method in fits}
        tables: dict[str, dict[str, Table]] = {method: {} for method in fits}
        records: list[Record] = []
        warnings: list[str] = []
        views = [
            view
            for name, sample in task.tests.items()
            for view in self._views(fits, task, name, sample, context)
        ]
        track = context.progress.track("closure", len(views))
        with track as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
            for view, answer in zip(views, pool.map(View.answer, views), strict=True):
                scalars[view.method] |= answer.scalars
                tables[view.method][f"closure/{view.residual.label}"] = table(answer.curve)
                records += [answer.curve, *answer.histograms]
                warnings += answer.warnings
                advance(1)
        return Findings(scalars, tables, tuple(records), tuple(dict.fromkeys(warnings)))

    def _views(
        self,
        fits: Mapping[str, Calibration],
        task: RegressionTask,
        test: str,
        sample: Sample,
        context: Context,
    ) -> list[View]:
        poisson = Poisson(sample.groups, self.replicas, context.sequence("bootstrap", test))
        poisson.draws()
        found = list(residuals(fits, test, sample))
        binning = {}
        for _, residual in found:
            if residual.label not in binning:
                alike = [r.u for _, r in found if r.label == residual.label]
                edges, tolerance = self._edges(residual.z, sample), self._tolerance(task, residual)
                binning[residual.label] = Binning(edges, response_edges(alike, sample.w), tolerance)
        return [
            View(
                method,
                residual,
                sample,
                binning[residual.label],
                poisson,
                task.closed_forms.get(fits[method].closed_form),
            )
            for method, residual in found
        ]

    def _edges(self, z: FloatArray, sample: Sample) -> FloatArray:
        if self.edges is not None:
            return np.asarray(list(self.edges), dtype=np.float64)
        return equal_statistics_edges(z, sample.w, sample.group, self.bins, MINIMUM_EFFECTIVE)

    def _tolerance(self, task: RegressionTask, residual: Residual) -> float:
        if self.tolerance is not None:
            return self.tolerance
        if residual.column.positive:
            return RELATIVE_TOLERANCE
        train = task.train
        width = float(weighted_std(train.z[:, residual.component], train.w))
        return float(f"{TOLERANCE_IN_SIGMA * width:.1g}")


def table(curve: ClosureCurve) -> Table:
    """A closure curve as a table, one row per bin, with its state."""
    u = "" if curve.relative else curve.z_unit
    quantities = ("mean", "median", "std", "iqr", "sigma")
    columns = ["z_low", "z_high", "n_effective"]
    columns += [name for q in quantities for name in (q, f"{q}_error")]
    arrays = [curve.edges[:-1], curve.edges[1:]]
    arrays += [np.asarray(getattr(curve, name)) for name in columns[2:]]
    rows = [
        (*(float(v) if np.isfinite(v) else None for v in row), state)
        for row, state in zip(zip(*arrays, strict=True), curve.states, strict=True)
    ]
    units = (curve.z_unit, curve.z_unit, "", *[u] * (len(columns) - 3), "")
    return Table((*columns, "state"), units, tuple(rows))
