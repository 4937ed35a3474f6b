"""The run folders of a sweep's jobs: which are finished, and which were left by the dead."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from calibrate.sweep.job import RUNNING, Job
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.process import Process

REPORT = "report.json"
FAREWELL = 5.0
"""Seconds that workers of a sweep that was killed have to leave; they look every half second."""


def report(folder: Path, job: Job) -> dict[str, Any] | None:
    """The report of a job; None unless its run is finished."""
    return None if job.folder is None else whole_report(folder / job.folder, job.content)


def whole_report(folder: Path, content: str) -> dict[str, Any] | None:
    """The report in a run folder, if it is of that job; it is written last."""
    path = folder / REPORT
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found if found["run"].get("content") == content else None


def attempts(folder: Path) -> list[Path]:
    """The run folders of all attempts at a job, given that of one, the last one first; an attempt
    that was requeued has one more each time."""
    stem = folder.name.rpartition("_")[0]

    def place(path: Path) -> tuple[int, int]:
        attempt, _, requeues = path.name.removeprefix(f"{stem}_").partition("r")
        return int(attempt), int(requeues or 0)

    return sorted(folder.parent.glob(f"{stem}_*"), key=place, reverse=True)


def checkpoints(folder: Path, job: Job) -> Path:
    """Where the trainings of a job keep their state, from one attempt to the next."""
    return folder / "checkpoints" / f"{job.number:04d}_{job.content[:8]}"


def settle(ledger: Ledger) -> list[int]:
    """Find out which jobs, said to run in a process, have none any more: done if their report is
    whole, else lost. Returns the numbers of the lost ones."""
    deadline = time.monotonic() + FAREWELL
    while any(each.alive for _, each in _running(ledger)) and time.monotonic() < deadline:
        time.sleep(0.1)
    lost = []
    for job, process in _running(ledger):
        if process.alive:
            continue
        if report(ledger.folder, job):
            ledger.finish(job)
        else:
            ledger.lose(job, f"process {process.pid} on {process.host} died without a word")
            lost.append(job.number)
    return lost


def _running(ledger: Ledger) -> list[tuple[Job, Process]]:
    return [(job, process) for job, process in ledger.running() if job.state == RUNNING]
