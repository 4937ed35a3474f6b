"""What the finished runs of a sweep found: one row per run, and one with the seeds averaged."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibrate.records import Quantity
from calibrate.records.sweep import Value
from calibrate.storage import atomic, write_text
from calibrate.sweep.job import DONE, Job
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.runs import report
from calibrate.tables.results import Cell, write_parquet

SCHEMA = 1
SEED = "seed"
JOBS, AVERAGES = "jobs", "sweep"
"""Stems of the tables: one row per run, and one per point of the sweep."""

Columns = dict[str, list[Cell]]


@dataclass(frozen=True)
class Measured:
    """A finished job and its metrics."""

    job: Job
    metrics: Mapping[str, Quantity]


@dataclass(frozen=True)
class Averaged:
    """A metric over the seeds: mean; root mean square of the runs' errors, which is the error of
    one run; standard deviation over the runs (None for a single one)."""

    value: float | str | None
    error: float | None
    spread: float | None
    unit: str


@dataclass(frozen=True)
class Point:
    """The runs that differ in their seed alone: swept values, numbers, metrics."""

    values: Mapping[str, Value]
    jobs: tuple[Job, ...]
    metrics: Mapping[str, Averaged]


def measured(ledger: Ledger) -> list[Measured]:
    """The finished jobs with their metrics; one whose report is gone is left out."""
    found = []
    for job in ledger.jobs():
        document = report(ledger.folder, job) if job.state == DONE else None
        if document:
            metrics = {name: Quantity(**value) for name, value in document["metrics"].items()}
            found.append(Measured(job, metrics))
    return found


def averaged(runs: Sequence[Measured]) -> list[Point]:
    """One point for all runs of the same swept values but the seed."""
    groups: dict[str, list[Measured]] = {}
    for run in runs:
        values = {key: value for key, value in run.job.parameters.items() if key != SEED}
        groups.setdefault(json.dumps(values), []).append(run)
    return [_point(json.loads(values), group) for values, group in groups.items()]


def _point(values: Mapping[str, Value], runs: Sequence[Measured]) -> Point:
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    metrics = {
        name: _average([run.metrics[name] for run in runs if name in run.metrics]) for name in names
    }
    return Point(values, tuple(run.job for run in runs), metrics)


def _average(found: Sequence[Quantity]) -> Averaged:
    unit = found[0].unit
    numbers = [each.value for each in found if not isinstance(each.value, str)]
    if len(numbers) < len(found):
        words = {str(each.value) for each in found}
        return Averaged(words.pop() if len(words) == 1 else None, None, None, unit)
    errors = [each.error for each in found if each.error is not None]
    squares = [error**2 for error in errors]
    return Averaged(
        statistics.fmean(numbers),
        math.sqrt(statistics.fmean(squares)) if len(squares) == len(numbers) else None,
        statistics.stdev(numbers) if len(numbers) > 1 else None,
        unit,
    )


def job_columns(runs: Sequence[Measured]) -> Columns:
    """One row per run: number, swept values, run folder, metrics with errors."""
    keys = dict.fromkeys(key for run in runs for key in run.job.parameters)
    columns: Columns = {"job": [run.job.number for run in runs]}
    columns |= {key: [run.job.parameters.get(key) for run in runs] for key in keys}
    columns["folder"] = [run.job.folder for run in runs]
    for name in dict.fromkeys(name for run in runs for name in run.metrics):
        found = [run.metrics.get(name) for run in runs]
        columns |= _metric(name, found, "value", "error")
    return _filled(columns)


def point_columns(points: Sequence[Point]) -> Columns:
    """One row per point: swept values, number of runs, metrics with errors and spreads."""
    keys = dict.fromkeys(key for point in points for key in point.values)
    columns: Columns = {key: [point.values.get(key) for point in points] for key in keys}
    columns["runs"] = [len(point.jobs) for point in points]
    for name in dict.fromkeys(name for point in points for name in point.metrics):
        found = [point.metrics.get(name) for point in points]
        columns |= _metric(name, found, "value", "error", "spread")
    return _filled(columns)


def _metric(name: str, found: Sequence[object], *parts: str) -> Columns:
    """The columns `name`, `name_error` …; empty where a row has no such metric."""
    suffix = {"value": ""}
    return {
        f"{name}{suffix.get(part, f'_{part}')}": [getattr(each, part, None) for each in found]
        for part in parts
    }


def _filled(columns: Columns) -> Columns:
    """Without the columns of errors and spreads that no row has."""
    return {
        name: values
        for name, values in columns.items()
        if any(value is not None for value in values) or not name.endswith(("_error", "_spread"))
    }


def write_tables(folder: Path, stem: str, columns: Columns, about: Mapping[str, Any]) -> None:
    """Write `stem.csv`, `stem.parquet` and `stem.json`, each as a whole or not at all."""
    rows = list(zip(*columns.values(), strict=True))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    write_text(folder / f"{stem}.csv", text.getvalue())
    document = {"schema": SCHEMA, **about, "columns": list(columns), "rows": rows}
    write_text(folder / f"{stem}.json", json.dumps(document, indent=1))
    with atomic(folder / f"{stem}.parquet") as temporary:
        write_parquet(temporary, columns)
