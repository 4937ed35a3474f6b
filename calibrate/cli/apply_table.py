"""What the jobs of `calibrate apply` over many files did, as a table with one row per file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from calibrate.apply import Applied, Written
from calibrate.apply.files import records
from calibrate.provenance import file_state
from calibrate.sweep.collect import Columns, write_tables
from calibrate.sweep.job import DONE, Job
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.runs import attempts, report

FILES = "files"
"""Stem of the table."""
COUNTS = tuple(each.name for each in fields(Applied) if each.name != "columns")


def collect(ledger: Ledger) -> Path:
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
    folders = attempts(ledger.folder / job.folder)
    found = [each for folder in folders for each in records(folder)]
    return [each for each in found if file_state(each.target) == each.target_state]


def _rows(ledger: Ledger, job: Job) -> Iterator[dict[str, Any]]:
    """One row for each file of a job."""
    done = {str(each.source): each for each in reported(ledger, job)}
    recipe = ledger.recipe(job.number)
    for source, target in recipe["configuration"]["files"]:
        found = done.get(source)
        counts = {name: getattr(found.applied, name) if found else None for name in COUNTS}
        yield {
            "input": source,
            "output": target,
            "state": DONE if found else job.state,
            **counts,
            "error": None if found else job.error,
        }
