"""One study: a task, a method and those it is compared with, fitted on the same split and
evaluated together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from calibrate.context import Context, Silent
from calibrate.errors import MisfitError
from calibrate.estimate import (
    Calibration,
    CheckingEvaluator,
    Evaluator,
    RegressionDataset,
    Regressor,
)
from calibrate.methods.ensemble import bootstrap_ensemble
from calibrate.records import Findings, FitSummary, Outcome, Quantity, Record, Table
from calibrate.task import RegressionTask

TASKS = ("regression", "transport", "inference")


@dataclass(frozen=True)
class Study:
    """What is studied. `methods` holds the studied method first, then those compared with;
    `replicas` bootstrap refits give the statistical error of the studied calibration.

    Raises MisfitError if the dataset does not offer the task that the methods need.
    """

    data: RegressionDataset
    methods: Mapping[str, Regressor]
    evaluators: Mapping[str, Evaluator]
    replicas: int = 0

    def __post_init__(self) -> None:
        if not hasattr(self.data, "regression"):
            offered = [task for task in TASKS if hasattr(self.data, task)]
            raise MisfitError(
                f"{type(self.data).__name__} offers {', '.join(offered) or 'no task'}, "
                f"but {', '.join(self.methods)} need a regression task: use data with truth"
            )


@dataclass(frozen=True)
class Result:
    """The fitted calibrations by label, and all that the report is written from."""

    fits: Mapping[str, Calibration]
    outcome: Outcome


def run(study: Study, context: Context, about: Mapping[str, Any], configuration: str) -> Result:
    """Load, fit, evaluate. `about` goes into the outcome's `run` block as it is."""
    seconds: dict[str, float] = {}
    with _timed(seconds, "load"):
        task = study.data.regression(context)
        for evaluator in study.evaluators.values():
            if isinstance(evaluator, CheckingEvaluator):
                evaluator.check(task)
    with _timed(seconds, "fit"):
        fits = {
            label: method.fit(task, context.child(label)) for label, method in study.methods.items()
        }
        main = next(iter(study.methods))
        if study.replicas:
            fits[main] = _with_replicas(study, fits[main], main, task, context)

    def refit(other: RegressionTask) -> Calibration:
        return study.methods[main].fit(other, context.child(main, "refit"))

    with _timed(seconds, "evaluate"):
        found = [
            evaluator(fits, task, refit, context.child(name))
            for name, evaluator in study.evaluators.items()
        ]
    run_block = {**about, "seconds": seconds, "data_sha256": dict(task.files)}
    return Result(fits, _outcome(fits, task, found, run_block, configuration))


def _with_replicas(
    study: Study, nominal: Calibration, main: str, task: RegressionTask, context: Context
) -> Calibration:
    quiet = replace(context.child(main), progress=Silent())
    return bootstrap_ensemble(
        nominal,
        lambda other: study.methods[main].fit(other, quiet),
        task,
        study.replicas,
        context.child(main),
    )


def _outcome(
    fits: Mapping[str, Calibration],
    task: RegressionTask,
    found: list[Findings],
    run_block: Mapping[str, Any],
    configuration: str,
) -> Outcome:
    summaries = {label: fit.summary for label, fit in fits.items()}
    metrics: dict[str, dict[str, Quantity]] = {
        label: _fit_metrics(summary) for label, summary in summaries.items()
    }
    tables: dict[str, dict[str, Table]] = {label: {} for label in fits}
    records: list[Record] = []
    warnings = list(task.warnings)
    warnings += [f"{label}: {text}" for label, s in summaries.items() for text in s.warnings]
    for findings in found:
        for label in fits:
            metrics[label] |= findings.scalars.get(label, {})
            tables[label] |= findings.tables.get(label, {})
        records += findings.records
        warnings += findings.warnings
    curves = {k: s.curve for k, s in summaries.items() if s.curve is not None}
    records += [replace(curve, method=label) for label, curve in curves.items()]
    return Outcome(
        methods=tuple(fits),
        metrics=metrics,
        tables=tables,
        records=tuple(records),
        summaries=summaries,
        notes=task.notes,
        warnings=tuple(warnings),
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
