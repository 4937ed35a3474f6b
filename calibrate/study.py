"""One study: a task, a method and those it is compared with, fitted on the same split and
evaluated together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from calibrate.context import Context, Silent
from calibrate.errors import ConfigurationError, MisfitError
from calibrate.estimate import Calibration, Fitted
from calibrate.methods.ensemble import bootstrap_ensemble
from calibrate.protocols import (
    CheckingDataset,
    CheckingEvaluator,
    Evaluator,
    RegressionDataset,
    Regressor,
    TransportDataset,
    Transporter,
    TransportEvaluator,
)
from calibrate.records import Findings, FitSummary, Outcome, Quantity, Record, Table
from calibrate.task import RegressionTask, TransportTask

REGRESSION, TRANSPORT = "regression", "transport"
TASKS = (REGRESSION, TRANSPORT, "inference")
AnyTask = RegressionTask | TransportTask


@dataclass(frozen=True)
class Study:
    """What is studied. `methods` holds the studied method first, then those compared with;
    `replicas` bootstrap refits give the statistical error of the studied calibration.

    `task` is the kind that all methods and evaluators are for and the dataset offers.
    Raises MisfitError if there is none, ConfigurationError for replicas of a transport map and for
    options of the dataset that do not do for this kind.
    """

    data: RegressionDataset | TransportDataset
    methods: Mapping[str, Regressor | Transporter]
    evaluators: Mapping[str, Evaluator | TransportEvaluator]
    replicas: int = 0

    def __post_init__(self) -> None:
        if self.task != REGRESSION and self.replicas:
            raise ConfigurationError(
                f"replicas={self.replicas}: bootstrap refits are made of regressions only; the "
                "transport evaluator has its own (evaluator.transport.refits): use replicas=0"
            )
        if isinstance(self.data, CheckingDataset):
            self.data.check(self.task)

    @property
    def task(self) -> str:
        """The kind of task that is solved: `regression` or `transport`."""
        kinds = common_tasks(self.methods)
        offered = offered_tasks(self.data)
        found = [kind for kind in kinds if kind in offered]
        if not found:
            raise MisfitError(misfit(type(self.data).__name__, offered, self.methods, kinds))
        return common_tasks(self.evaluators, found)[0]


def tasks_of(part: object) -> tuple[str, ...]:
    """The kinds of task that a method or an evaluator (or its class) is for: its `tasks`, or
    regression where it has none."""
    return tuple(getattr(part, "tasks", (REGRESSION,)))


def offered_tasks(data: object) -> tuple[str, ...]:
    """The kinds of task that a dataset (or its class) can pose."""
    return tuple(kind for kind in TASKS if hasattr(data, kind))


def common_tasks(parts: Mapping[str, object], kinds: Sequence[str] = TASKS) -> tuple[str, ...]:
    """The `kinds` that all parts are for; MisfitError if there is none."""
    common = tuple(kind for kind in kinds if all(kind in tasks_of(p) for p in parts.values()))
    if not common:
        said = ", ".join(f"{name} is for {' and '.join(tasks_of(p))}" for name, p in parts.items())
        one = "one study solves one kind of task"
        needed = one if tuple(kinds) == TASKS else f"the study solves a {' or '.join(kinds)} task"
        raise MisfitError(f"{needed}, but {said}")
    return common


def misfit(data: str, offered: Sequence[str], methods: Mapping[str, object],
           kinds: Sequence[str]) -> str:  # fmt: skip
    """Why a dataset does not go with the methods, in words."""
    needed = " or ".join(f"a {kind}" for kind in kinds)
    truth = ": use data with truth" if REGRESSION in kinds else ""
    return (
        f"{data} offers {', '.join(offered) or 'no task'}, "
        f"but {', '.join(methods)} need {needed} task{truth}"
    )


@dataclass(frozen=True)
class Result:
    """The fitted calibrations by label, and all that the report is written from."""

    fits: Mapping[str, Fitted]
    outcome: Outcome


def run(study: Study, context: Context, about: Mapping[str, Any], configuration: str) -> Result:
    """Load, fit, evaluate. `about` goes into the outcome's `run` block as it is."""
    seconds: dict[str, float] = {}
    with _timed(seconds, "load"):
        task: AnyTask = getattr(study.data, study.task)(context)
        for evaluator in study.evaluators.values():
            if isinstance(evaluator, CheckingEvaluator):
                evaluator.check(task)
    with _timed(seconds, "fit"):
        fits = _fits(study, task, context)
    refit = _refit(study, context)
    with _timed(seconds, "evaluate"):
        found = [_found(each, fits, task, refit, context.child(name))
                 for name, each in study.evaluators.items()]  # fmt: skip
    run_block = {**about, "seconds": seconds, "data_sha256": dict(task.files)}
    summaries = {label: fit.summary for label, fit in fits.items()}
    told = task.notes, task.warnings
    return Result(fits, outcome_of(summaries, *told, found, run_block, configuration))


def _fits(study: Study, task: AnyTask, context: Context) -> dict[str, Fitted]:
    """All methods fitted on the task; the studied one with its replicas, where asked for."""
    methods: Mapping[str, Any] = study.methods
    seen = _seen(task)
    fits = {label: method.fit(seen, context.child(label)) for label, method in methods.items()}
    if study.replicas and isinstance(task, RegressionTask):
        main = next(iter(methods))
        fits[main] = _with_replicas(methods[main], fits[main], main, study, task, context)
    return fits


def _refit(study: Study, context: Context) -> Callable[..., Any]:
    """What evaluators call to have a method fitted again: the studied one, or that of a label."""
    methods: Mapping[str, Any] = study.methods
    main = next(iter(methods))

    def refit(other: AnyTask, label: str = main) -> Fitted:
        fitted: Fitted = methods[label].fit(_seen(other), context.child(label, "refit"))
        return fitted

    return refit


def _seen(task: AnyTask) -> AnyTask:
    """What a method may see of a task: not the truth of data, where that is known."""
    return task.hidden() if isinstance(task, TransportTask) else task


def _found(evaluator: Any, *given: Any) -> Findings:  # noqa: ANN401 - of either kind of task
    found: Findings = evaluator(*given)
    return found


def _with_replicas(
    method: Regressor,
    nominal: Calibration,
    main: str,
    study: Study,
    task: RegressionTask,
    context: Context,
) -> Calibration:
    quiet = replace(context.child(main), progress=Silent())
    return bootstrap_ensemble(
        nominal,
        lambda other: method.fit(other, quiet),
        task,
        study.replicas,
        context.child(main),
    )


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
