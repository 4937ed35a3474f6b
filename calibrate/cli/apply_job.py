"""One job of `calibrate apply` over many files, and the table of what all jobs did."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from calibrate.apply import Options, Written, apply_each
from calibrate.apply.files import records
from calibrate.context import Context, Progress
from calibrate.loading import load_calibration
from calibrate.provenance import file_state
from calibrate.storage import write_text
from calibrate.sweep.collect import Columns, write_tables
from calibrate.sweep.job import DONE, Job
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.runs import REPORT, report

FILES = "files"
"""Stem of the table: one row per file."""


def apply_chunk(
    ledger: Ledger, job: Job, recipe: Mapping[str, Any], folder: Path, progress: Progress
) -> None:
    """One job: the files of a chunk, one after the other."""
    given = recipe["configuration"]
    pairs = [(Path(source), Path(target)) for source, target in given["files"]]
    earlier = [path for path in _attempts(ledger.folder, job) if path != folder]
    done = apply_each(
        load_calibration(given["calibration"]),
        pairs,
        folder,
        earlier,
        Options(**given["options"]),
        Context(progress=progress),
    )
    document = {"schema": 1, "run": {"content": job.content}, "files": [d.plain() for d in done]}
    write_text(folder / REPORT, json.dumps(document, indent=1))


def collect_files(ledger: Ledger) -> Path:
    """Write the table of all files: what was done, or why not; returns its path."""
    rows = [row for job in ledger.jobs() for row in _rows(ledger, job)]
    columns: Columns = {name: [row[name] for row in rows] for name in rows[0]}
    about = ledger.about()
    write_tables(ledger.folder, FILES, columns, {k: about[k] for k in ("command", "version")})
    return ledger.folder / f"{FILES}.csv"


def reported(ledger: Ledger, job: Job) -> list[Written]:
    """The outputs of a job that is done; those that are recorded of one that is not."""
    document = report(ledger.folder, job)
    if document:
        return [Written.of(each) for each in document["files"]]
    if job.folder is None:
        return []
    found = [each for folder in _attempts(ledger.folder, job) for each in records(folder)]
    return [each for each in found if file_state(each.target) == each.target_state]


def _rows(ledger: Ledger, job: Job) -> Iterator[dict[str, Any]]:
    """One row for each file of a job."""
    done = {str(each.source): each for each in reported(ledger, job)}
    recipe = ledger.recipe(job.number)
    for source, target in recipe["configuration"]["files"]:
        found = done.get(source)
        counts = {name: getattr(found, name, None)
                  for name in ("rows", "outside", "unusable", "skipped")}  # fmt: skip
        yield {
            "input": source,
            "output": target,
            "state": DONE if found else job.state,
            **counts,
            "error": None if found else job.error,
        }


def _attempts(folder: Path, job: Job) -> list[Path]:
    """The folders of all attempts at a job, the last one first."""
    stem = str(job.folder).rpartition("_")[0]
    return [folder / f"{stem}_{attempt}" for attempt in range(job.attempt, 0, -1)]
