"""How an attempt at a job ended, as it says itself, in a file in its run folder.

For jobs on other machines than the driver's: they share the sweep's folder with it, and nothing
else. They never open the ledger, whose locks hold among the processes of one machine only; each
writes this one file, whole or not at all, and the driver carries it over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from calibrate.errors import StorageError
from calibrate.storage import write_text
from calibrate.sweep.job import Job
from calibrate.sweep.runs import whole_report

FILE = "outcome.json"
PATIENCE, PAUSE = 180.0, 2.0
"""Seconds that a job waits for a shared folder that is gone, and between two looks."""


@dataclass(frozen=True)
class Outcome:
    """The end of one attempt; `error` is None if it is done, `of_all` says whether it keeps all
    other jobs, too, from being done. Times in seconds since 1970."""

    content: str
    host: str | None
    started: float | None
    finished: float | None
    error: str | None
    of_all: bool = False

    def write(self, folder: Path) -> None:
        """Write it into a run folder, which is made if it is missing, but not the sweep's.

        Waits for a folder that cannot be written; raises StorageError if it does not come back.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                folder.parent.mkdir(exist_ok=True)
                folder.mkdir(exist_ok=True)
                return write_text(folder / FILE, json.dumps(asdict(self)))
            except (OSError, StorageError) as error:
                if time.monotonic() > deadline:
                    raise StorageError(f"cannot write {folder / FILE}: {error}") from error
            time.sleep(PAUSE)


def folders(sweep: Path, job: Job) -> Iterator[Path]:
    """The run folders of a job's last attempt: one more each time that it was requeued."""
    base = sweep / str(job.folder)
    yield from sorted(base.parent.glob(f"{base.name}r*"), reverse=True)
    yield base


def requeued(folder: Path, times: int) -> Path:
    """The run folder after that many requeues: the node that was given up may still write."""
    return folder.with_name(f"{folder.name}r{times:02d}") if times else folder


def outcome(folder: Path, job: Job) -> Outcome | None:
    """What an attempt says of its end; None: nothing, or its report is not to be seen yet."""
    said = _said(folder)
    if whole_report(folder, job.content):
        return said or Outcome(job.content, None, None, None, None)
    return said if said and said.error and said.content == job.content else None


def _said(folder: Path) -> Outcome | None:
    path = folder / FILE
    return Outcome(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
