"""The run folder: created exclusively, written as a whole, `report.json` last.

A folder without `report.json` is an unfinished run.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from calibrate.context import Context
from calibrate.errors import StorageError
from calibrate.figures import figures_for
from calibrate.figures.style import save
from calibrate.loading import FITTED_FILE
from calibrate.records import FitSummary, Outcome, Quantity, Record, Table, WorkspaceFile
from calibrate.report.html import render
from calibrate.storage import (
    load_records,
    save_records,
    save_state,
    write_text,
)
from calibrate.study import Result

SCHEMA = 1
JSON_FILE, HTML_FILE, RECORDS_FILE = "report.json", "report.html", "findings.h5"
CONFIGURATION_FILE, FIGURES_FOLDER, WORKSPACES_FOLDER = "config.yaml", "figures", "workspaces"


def create_run_folder(root: Path, data: str, method: str) -> Path:
    """A new folder `root/data/method/date_time_id`; never one that exists.

    Raises StorageError if it cannot be made.
    """
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder = root / data / method / f"{stamp}_{uuid.uuid4().hex[:6]}"
    return create_folder(folder, "the run folder", "output=FOLDER")


def create_folder(folder: Path, what: str, option: str) -> Path:
    """A new folder; StorageError, with the option that names another, if it exists or cannot be
    made."""
    try:
        folder.mkdir(parents=True, exist_ok=False)
    except OSError as error:
        raise StorageError(
            f"cannot create {what} {folder}: {error.strerror}; choose another with {option}"
        ) from error
    return folder


def write(folder: Path, result: Result, figures: bool, context: Context) -> Outcome:
    """Write everything a study leaves; returns the outcome with the time the report took."""
    start, outcome = time.perf_counter(), result.outcome
    main = result.fits[outcome.methods[0]]
    write_text(folder / CONFIGURATION_FILE, outcome.configuration)
    save_state(folder / FITTED_FILE, main.kind, main.state())
    save_records(folder / RECORDS_FILE, outcome.records)
    write_workspaces(folder, outcome.records)
    write_page(folder, outcome, figures, context)
    seconds = {**outcome.run["seconds"], "report": time.perf_counter() - start}
    outcome = replace(outcome, run={**outcome.run, "seconds": seconds})
    write_text(folder / JSON_FILE, json.dumps(_document(outcome), indent=1, allow_nan=False))
    return outcome


def write_workspaces(folder: Path, records: Sequence[Record]) -> None:
    """Write the HistFactory workspaces among the records, `workspaces/METHOD_POINT.json`."""
    found = [record for record in records if isinstance(record, WorkspaceFile)]
    if found:
        (folder / WORKSPACES_FOLDER).mkdir(exist_ok=True)
    for each in found:
        name = f"{each.method}_{each.point}.json".replace("/", "_")
        write_text(folder / WORKSPACES_FOLDER / name, each.document)


def write_page(folder: Path, outcome: Outcome, figures: bool, context: Context) -> None:
    """Draw the figures (PNG and PDF) and write the page that shows them."""
    drawn = figures_for(outcome.records, outcome.methods) if figures else {}
    write_text(folder / HTML_FILE, render(outcome, save_figures(folder, drawn, context)))


def save_figures(folder: Path, drawn: Mapping[str, Any], context: Context) -> dict[str, bytes]:
    """Write figures (PNG and PDF) by name to the folder's `figures/`; the PNGs' contents."""
    images: dict[str, bytes] = {}
    if drawn:
        with context.progress.track("figures", len(drawn)) as advance:
            for key, figure in drawn.items():
                images[key] = _saved(folder / FIGURES_FOLDER, key, figure)
                advance(1)
    return images


def read(folder: Path) -> Outcome:
    """The outcome of a finished run; StorageError if the folder holds none."""
    path = folder / JSON_FILE
    if not path.is_file():
        raise StorageError(f"{folder} holds no finished run: there is no {JSON_FILE} in it")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] > SCHEMA:
            raise StorageError(f"{path} has schema {document['schema']}: upgrade calibrate")
        configuration = (folder / CONFIGURATION_FILE).read_text(encoding="utf-8")
        return _outcome(document, load_records(folder / RECORDS_FILE), configuration)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{folder} holds a damaged run: {error!r}") from error


def _saved(folder: Path, key: str, figure: Any) -> bytes:  # noqa: ANN401 - matplotlib's Figure
    try:
        folder.mkdir(exist_ok=True)
        png, *_ = save(figure, folder / key, ("png", "pdf"))
        return png.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot write figures to {folder}: {error.strerror}") from error


def _document(outcome: Outcome) -> dict[str, Any]:
    main = outcome.methods[0]

    def flat(by_method: Mapping[str, Mapping[str, Quantity | Table]]) -> dict[str, Any]:
        return {
            (name if method == main else f"{method}:{name}"): asdict(value)
            for method, values in by_method.items()
            for name, value in values.items()
            if not _unknown(value)
        }

    return {
        "schema": SCHEMA,
        "run": outcome.run,
        "metrics": flat(outcome.metrics),
        "tables": flat(outcome.tables),
        "warnings": list(outcome.warnings),
        "notes": list(outcome.notes),
        "fits": {method: _summary(s) for method, s in outcome.summaries.items()},
    }


def _unknown(value: Quantity | Table) -> bool:
    number = value.value if isinstance(value, Quantity) else None
    return isinstance(number, float) and not math.isfinite(number)


def _summary(summary: FitSummary) -> dict[str, Any]:
    """A fit's summary without its curve, which is a record."""
    state = {name: getattr(summary, name) for name in FitSummary.__dataclass_fields__}
    del state["curve"]
    return state


def _outcome(document: Mapping[str, Any], records: tuple[Any, ...], configuration: str) -> Outcome:
    methods = tuple(document["fits"])
    metrics: dict[str, dict[str, Quantity]] = {method: {} for method in methods}
    tables: dict[str, dict[str, Table]] = {method: {} for method in methods}
    for key, value in document["metrics"].items():
        method, name = _owner(key, methods)
        metrics[method][name] = Quantity(**value)
    for key, value in document["tables"].items():
        method, name = _owner(key, methods)
        rows = tuple(tuple(row) for row in value["rows"])
        tables[method][name] = Table(tuple(value["columns"]), tuple(value["units"]), rows)
    return Outcome(
        methods=methods,
        metrics=metrics,
        tables=tables,
        records=records,
        summaries={k: _fit_summary(v) for k, v in document["fits"].items()},
        notes=tuple(document["notes"]),
        warnings=tuple(document["warnings"]),
        run=document["run"],
        configuration=configuration,
    )


def _fit_summary(state: Mapping[str, Any]) -> FitSummary:
    texts = {name: tuple(state[name]) for name in ("notes", "warnings")}
    return FitSummary(**{**state, **texts})


def _owner(key: str, methods: tuple[str, ...]) -> tuple[str, str]:
    for method in methods[1:]:
        if key.startswith(f"{method}:"):
            return method, key[len(method) + 1 :]
    return methods[0], key
