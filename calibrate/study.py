"""One study: a task, a method and those it is compared with, fitted on the same split and
evaluated together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from calibrate.context import Context
from calibrate.errors import CalibrateError, ConfigurationError, MisfitError
from calibrate.estimate import Fitted, Score
from calibrate.kinds_of_task import REGRESSION, common_tasks, misfit, offered_tasks
from calibrate.methods.ensemble import bootstrap_ensemble
from calibrate.methods.together import (
    Fit,
    Request,
    attempted,
    fit_together,
    network_shape,
    succeeded,
)
from calibrate.protocols import (
    CheckingDataset,
    CheckingEvaluator,
    Classifier,
    Evaluator,
    InferenceDataset,
    InferenceEvaluator,
    RegressionDataset,
    Regressor,
    TransportDataset,
    Transporter,
    TransportEvaluator,
)
from calibrate.records import Findings, FitSummary, Outcome, Quantity, Record, Table
from calibrate.task import InferenceTask, RegressionTask, TransportTask

AnyTask = RegressionTask | TransportTask | InferenceTask
Fits = Mapping[str, Fitted] | CalibrateError
"""Fitted calibrations or maps by label, or why there are none."""


@dataclass(frozen=True)
class Study:
    """What is studied. `methods` holds the studied method first, then those compared with;
    `replicas` bootstrap refits give the statistical error of the studied calibration.

    `task` is the kind that all methods and evaluators are for and the dataset offers.
    Raises MisfitError if there is none, ConfigurationError for replicas of anything but a
    calibration and for options of the dataset that do not do for this kind.
    """

    data: RegressionDataset | TransportDataset | InferenceDataset
    methods: Mapping[str, Regressor | Transporter | Classifier]
    evaluators: Mapping[str, Evaluator | TransportEvaluator | InferenceEvaluator]
    replicas: int = 0

    def __post_init__(self) -> None:
        if self.task != REGRESSION and self.replicas:
            raise ConfigurationError(
                f"replicas={self.replicas}: bootstrap refits are made of regressions only: use "
                "replicas=0 (the transport evaluator has its own, evaluator.transport.refits)"
            )
        if isinstance(self.data, CheckingDataset):
            self.data.check(self.task)

    @property
    def task(self) -> str:
        """The kind of task that is solved: `regression`, `transport` or `inference`."""
        kinds = common_tasks(self.methods)
        offered = offered_tasks(self.data)
        found = [kind for kind in kinds if kind in offered]
        if not found:
            raise MisfitError(misfit(type(self.data).__name__, offered, self.methods, kinds))
        return common_tasks(self.evaluators, found)[0]


@dataclass(frozen=True)
class Result:
    """The fitted calibrations by label, and all that the report is written from."""

    fits: Mapping[str, Fitted]
    outcome: Outcome


@dataclass(frozen=True)
class Loaded:
    """A study with its task, and the seconds that were spent on it so far."""

    study: Study
    context: Context
    task: AnyTask
    seconds: dict[str, float]


def run(study: Study, context: Context, about: Mapping[str, Any], configuration: str) -> Result:
    """Load, fit, evaluate. `about` goes into the outcome's `run` block as it is."""
    loaded = load(study, context)
    (fits,) = fit([loaded])
    return conclude(loaded, fits, about, configuration)


def load(study: Study, context: Context) -> Loaded:
    """The study's task; what it cannot be evaluated on is refused here."""
    seconds: dict[str, float] = {}
    with _timed(seconds, "load"):
        task: AnyTask = getattr(study.data, study.task)(context)
        for evaluator in study.evaluators.values():
            if isinstance(evaluator, CheckingEvaluator):
                evaluator.check(task)
    return Loaded(study, context, task, seconds)


def fit(studies: Sequence[Loaded]) -> list[Fits]:
    """All methods of all studies fitted, networks of one shape side by side; the studied ones with
    their replicas, where asked for. Each study is charged with its share of the time."""
    start = time.perf_counter()
    requests = {
        (i, label): Request(method, each.task.hidden(), each.context.child(label))
        for i, each in enumerate(studies)
        if isinstance(each.task, RegressionTask)
        for label, method in _methods(each).items()
    }
    networks = [key for key, each in requests.items() if network_shape(each.method) is not None]
    found = dict(zip(networks, fit_together([requests[key] for key in networks]), strict=True))
    found |= {key: attempted(each) for key, each in requests.items() if key not in found}
    fits = [
        _finished(each, {label: found[i, label] for label in _methods(each) if (i, label) in found})
        for i, each in enumerate(studies)
    ]
    for each in studies:
        each.seconds["fit"] = (time.perf_counter() - start) / len(studies)
    return fits


def _finished(loaded: Loaded, fits: dict[str, Fit]) -> Fits:
    """All fits of a study: the calibrations with replicas, or the maps; the error if one failed."""
    study, task, context = loaded.study, loaded.task, loaded.context
    try:
        done: dict[str, Fitted] = {label: succeeded(each) for label, each in fits.items()}
        if not isinstance(task, RegressionTask):
            methods = _methods(loaded)
            return {k: _fitted(m, task, context.child(k)) for k, m in methods.items()}
        if study.replicas:
            label, method = next(iter(_methods(loaded).items()))
            given = task.hidden(), study.replicas, context.child(label)
            done[label] = bootstrap_ensemble(succeeded(fits[label]), method, *given)
        return done
    except CalibrateError as error:
        return error


def _methods(loaded: Loaded) -> Mapping[str, Any]:
    methods: Mapping[str, Any] = loaded.study.methods
    return methods


def conclude(loaded: Loaded, fits: Fits, about: Mapping[str, Any], configuration: str) -> Result:
    """Evaluate the fits; raises what kept them from being made."""
    if isinstance(fits, CalibrateError):
        raise fits
    study, task, context = loaded.study, loaded.task, loaded.context
    refit = _refit(study, context)
    with _timed(loaded.seconds, "evaluate"):
        found = [_found(each, fits, task, refit, context.child(name))
                 for name, each in study.evaluators.items()]  # fmt: skip
    run_block = {**about, "seconds": loaded.seconds, "data_sha256": dict(task.files)}
    summaries = {label: fit.summary for label, fit in fits.items()}
    told = task.notes, task.warnings
    return Result(fits, outcome_of(summaries, *told, found, run_block, configuration))


def _refit(study: Study, context: Context) -> Callable[..., Any]:
    """What evaluators call to have a method fitted again: the studied one, or that of a label."""
    methods: Mapping[str, Any] = study.methods
    main = next(iter(methods))

    def refit(other: AnyTask, label: str = main) -> Fitted:
        method = methods[label]
        return _fitted(method, other, context.child(label, "refit"))

    return refit


def _fitted(method: Any, task: AnyTask, context: Context) -> Fitted:  # noqa: ANN401
    """The fit of a method to the task as it sees it; ConfigurationError for a score that lacks what
    evaluators ask of one."""
    if not isinstance(task, InferenceTask):
        fitted: Fitted = method.fit(task.hidden(), context)
        return fitted
    score: Score = method.fit(task.hidden(getattr(method, "sees", ())), context)
    if not isinstance(score, Score):
        needed = {*Score.__annotations__, *vars(Score)}
        lacking = [name for name in sorted(needed) if name[0] != "_" and not hasattr(score, name)]
        raise ConfigurationError(
            f"{type(method).__name__} gives a {type(score).__name__} without "
            f"{', '.join(lacking)}: a score needs them (calibrate/estimate.py)"
        )
    return score


def _found(evaluator: Any, *given: Any) -> Findings:  # noqa: ANN401 - of either kind of task
    found: Findings = evaluator(*given)
    return found


def outcome_of(
    summaries: Mapping[str, FitSummary],
    notes: Sequence[str],
    warnings: Sequence[str],
    found: Sequence[Findings],
    run_block: Mapping[str, Any],
    configuration: str,
) -> Outcome:
    """What evaluators found, put together; `summaries` by label, the studied method first, `notes`
    and `warnings` of the task."""
    metrics: dict[str, dict[str, Quantity]] = {
        label: _fit_metrics(summary) for label, summary in summaries.items()
    }
    tables: dict[str, dict[str, Table]] = {label: {} for label in summaries}
    records: list[Record] = []
    told = [*warnings]
    told += [f"{label}: {text}" for label, s in summaries.items() for text in s.warnings]
    for findings in found:
        for label in summaries:
            metrics[label] |= findings.scalars.get(label, {})
            tables[label] |= findings.tables.get(label, {})
        records += findings.records
        told += findings.warnings
    curves = {k: s.curve for k, s in summaries.items() if s.curve is not None}
    records += [replace(curve, method=label) for label, curve in curves.items()]
    return Outcome(
        methods=tuple(summaries),
        metrics=metrics,
        tables=tables,
        records=tuple(records),
        summaries=summaries,
        notes=tuple(notes),
        warnings=tuple(told),
        run=run_block,
        configuration=configuration,
    )


def _fit_metrics(summary: FitSummary) -> dict[str, Quantity]:
    if not summary.steps:
        return {}
    values = {
        "seconds": (summary.seconds, "s"),
        "steps": (summary.steps, ""),
        "loss": (summary.loss, ""),
        "restarts": (summary.restarts, ""),
        "mutual_information": (summary.mutual_information, "nat"),
    }
    return {
        f"fit/{name}": Quantity(float(value), None, unit)
        for name, (value, unit) in values.items()
        if value is not None
    }


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
