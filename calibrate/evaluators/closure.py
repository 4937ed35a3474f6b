"""Closure: bias and resolution in bins of the truth, and whether the quoted Σ(x) is honest.

b(z) = E[ẑ - z given z] (arXiv:2205.05084, Eq. 7) and Σ(z) = std[ẑ - z given z] (Eq. 20) on
independent test samples, unbinned inside each bin, with errors by group. For truths that are
positive by nature the experiments' convention is followed: the response ẑ/z.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from calibrate.checks import finite_number, number_of_replicas, positive_integer, positive_number
from calibrate.context import Context
from calibrate.cores import threads
from calibrate.errors import ConfigurationError
from calibrate.estimate import Calibration
from calibrate.evaluators.answer import Answer, Binning, Scalars
from calibrate.evaluators.histograms import response_edges, tail_edges
from calibrate.evaluators.merged_closure import Axis, merged_views
from calibrate.evaluators.parts import StoredPart
from calibrate.evaluators.pile import Pile
from calibrate.evaluators.residuals import Residual, residuals
from calibrate.evaluators.resolution import is_transverse_momentum, term_table
from calibrate.evaluators.slices import Sliced, Slicing, sliced_table, slicings
from calibrate.evaluators.tables import closure_table, failing_table
from calibrate.evaluators.view import View
from calibrate.protocols import Refit
from calibrate.records import MINIMUM_EFFECTIVE, Findings, Record, Table
from calibrate.sample import Column, FloatArray, Sample
from calibrate.statistics import equal_statistics_edges, fluctuations_of, weighted_std
from calibrate.task import NOMINAL, RegressionTask

RELATIVE_TOLERANCE = 0.01
REPLICAS = 100
"""Of the bootstrap of merged parts, where none are asked for."""
TOLERANCE_IN_SIGMA = 0.1


@dataclass(frozen=True)
class Closure:
    """Bias, response, resolution, pulls and coverage on every test sample.

    `bins` with equal effective statistics each (at least 200 effective events), or the given
    `edges` [unit of z]. Errors are in closed form; those of location and spread from `replicas` of
    a bootstrap, if there are any. A bin fails if its bias exceeds `tolerance` by more than two
    errors: 0.01 of z where z is positive by nature, else 0.1 of the width of the training spectrum.

    `by` maps any column of the test samples (or its absolute value, `abs(eta)`) to edges or to a
    number of slices: the same in bins of z × slices. `nsc` fits the resolution as a function of
    a transverse momentum: None where the truth is one by its name.
    Raises ConfigurationError for values out of range; `check` and the call DataError for a
    column that a test sample does not have.
    """

    bins: int = 12
    edges: Sequence[float] | None = None
    replicas: int = 0
    tolerance: float | None = None
    by: Mapping[str, int | Sequence[float]] | None = None
    nsc: bool | None = None

    def __post_init__(self) -> None:
        positive_integer("evaluator.closure.bins", self.bins)
        number_of_replicas("evaluator.closure.replicas", self.replicas)
        if self.tolerance is not None:
            positive_number("evaluator.closure.tolerance", self.tolerance)
        if self.edges is not None:
            edges = list(self.edges) if isinstance(self.edges, Iterable) else [self.edges]
            for edge in edges:
                finite_number("each of evaluator.closure.edges", edge)
            if len(edges) < 2 or not np.all(np.diff(edges) > 0):
                raise ConfigurationError(
                    f"evaluator.closure.edges takes at least two edges that rise, got {edges}"
                )
        if self.nsc not in (None, True, False):
            raise ConfigurationError(
                f"evaluator.closure.nsc must be true, false or null (by the truth's name), got "
                f"{self.nsc!r}"
            )
        self.slicings()

    def slicings(self) -> tuple[Slicing, ...]:
        """What `by` asks for."""
        return slicings("evaluator.closure.by", {} if self.by is None else self.by)

    def check(self, task: RegressionTask) -> None:
        """Whether this can be asked of a task, before anything is fitted.

        Raises DataError for a column of `by` that a test sample does not have, ConfigurationError
        for nsc=true where no truth is positive by nature.
        """
        for sample in task.tests.values():
            for slicing in self.slicings():
                slicing.values(sample)
        columns = task.train.z_columns
        if self.nsc and not any(column.positive for column in columns):
            names = ", ".join(column.name for column in columns)
            raise ConfigurationError(
                f"evaluator.closure.nsc=true needs a truth that is positive by nature, such as a "
                f"transverse momentum: {names} is not"
            )

    def __call__(
        self, fits: Mapping[str, Calibration], task: RegressionTask, refit: Refit, context: Context
    ) -> Findings:
        """Evaluate all fits on all test samples of the task."""
        self.check(task)
        views = [
            view
            for name, sample in task.tests.items()
            for view in self._views(fits, task, name, sample, context)
        ]
        answers: dict[str, list[Answer]] = {method: [] for method in fits}
        track = context.progress.track("closure", len(views))
        with track as advance, ThreadPoolExecutor(threads()) as pool:
            for view, answer in zip(views, pool.map(View.answer, views), strict=True):
                answers[view.method].append(answer)
                advance(1)
        return _findings(answers)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the test samples that are needed besides truth and weight."""
        return tuple(slicing.column for slicing in self.slicings())

    def merged(
        self,
        parts: Sequence[StoredPart],
        fits: Mapping[str, Calibration],
        context: Context,
        folder: Path,
    ) -> Findings:
        """The same of `nominal` in parts, which together may be larger than the memory; `fits` are
        the calibrations with replicas, `folder` is for scratch files. Errors of medians, intervals
        and modes are bootstrap."""
        pile = Pile(parts, NOMINAL, self.replicas or REPLICAS, context, folder)
        answers: dict[str, list[Answer]] = {method: [] for method in pile.methods}
        with context.progress.track("closure", len(pile.methods) * len(pile.z_columns)) as advance:
            for component, column in enumerate(pile.z_columns):
                axis = Axis.of(pile, component, self.edges, self.bins)
                tolerance = self._tolerance(column, partial(axis.width, pile))
                given = axis, self.slicings(), tolerance, self._nsc(column)
                for view in merged_views(pile, fits, *given):
                    answers[view.method].append(view.answer())
                    advance(1)
        return _findings(answers)

    def _views(
        self,
        fits: Mapping[str, Calibration],
        task: RegressionTask,
        test: str,
        sample: Sample,
        context: Context,
    ) -> list[View]:
        seed = context.sequence("bootstrap", test)
        fluctuations = fluctuations_of(sample.groups, self.replicas, seed)
        found = list(residuals(fits, test, sample))
        slices = tuple(Sliced.of(slicing, sample) for slicing in self.slicings())
        binning = {}
        for _, residual in found:
            if residual.label not in binning:
                alike = [r for _, r in found if r.label == residual.label]
                edges = self._edges(residual, sample)
                tolerance = self._tolerance(residual.column, partial(_width, task, residual))
                shapes = response_edges(alike, sample.w), tail_edges(alike, sample.w)
                binning[residual.label] = Binning(edges, *shapes, tolerance)
        return [
            View(
                method,
                fits[method],
                residual,
                sample,
                binning[residual.label],
                fluctuations,
                task.closed_forms.get(fits[method].closed_form),
                slices,
                self._nsc(residual.column),
            )
            for method, residual in found
        ]

    def _nsc(self, column: Column) -> bool:
        if self.nsc is None:
            return is_transverse_momentum(column)
        return self.nsc and column.positive

    def _edges(self, residual: Residual, sample: Sample) -> FloatArray:
        if self.edges is not None:
            return np.asarray(list(self.edges), dtype=np.float64)
        z, order = residual.z, sample.ascending[:, residual.component]
        return equal_statistics_edges(
            z, sample.w, sample.group, self.bins, MINIMUM_EFFECTIVE, order
        )

    def _tolerance(self, column: Column, width: Callable[[], float]) -> float:
        if self.tolerance is not None:
            return self.tolerance
        if column.positive:
            return RELATIVE_TOLERANCE
        return float(f"{TOLERANCE_IN_SIGMA * width():.1g}")


def _width(task: RegressionTask, residual: Residual) -> float:
    """The width of the training spectrum of a truth column."""
    return float(weighted_std(task.train.z[:, residual.component], task.train.w))


def _findings(answers: Mapping[str, Sequence[Answer]]) -> Findings:
    """All answers by method: scalars and tables by name; records and warnings by test sample."""
    scalars: dict[str, Scalars] = {method: {} for method in answers}
    tables = {method: _tables(found) for method, found in answers.items()}
    records: list[Record] = []
    warnings: list[str] = []
    for method, found in answers.items():
        for answer in found:
            scalars[method] |= answer.scalars
    for answer in (each for row in zip(*answers.values(), strict=True) for each in row):
        fit = [answer.resolution] if answer.resolution else []
        records += [answer.curve, *answer.sliced, *fit, *answer.histograms]
        warnings += answer.warnings
    return Findings(scalars, tables, tuple(records), tuple(dict.fromkeys(warnings)))


def _tables(answers: Sequence[Answer]) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    failing = failing_table(
        [answer.curve for answer in answers], [s for answer in answers for s in answer.sliced]
    )
    if failing:
        tables["closure/failing"] = failing
    for answer in answers:
        name = f"closure/{answer.curve.test}"
        tables[name] = closure_table(answer.curve)
        tables |= {f"{name}/by_{s.by}": sliced_table(s) for s in answer.sliced}
        if answer.resolution:
            tables[f"resolution/{answer.curve.test}/terms"] = term_table(answer.resolution)
    return tables
