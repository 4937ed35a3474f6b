"""`calibrate sweep status` and `cancel`: the ledger alone, at once."""

from __future__ import annotations

from pathlib import Path

from calibrate.sweep.job import RUNNING
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.told import undone, verdict


def status(folder: str) -> str:
    """How a sweep stands; StorageError if the folder holds none."""
    with Ledger(Path(folder)) as ledger:
        jobs, stopped, about = ledger.jobs(), ledger.stopped(), ledger.about()
        gone = [job.number for job, process in ledger.running() if process.here
                and not process.alive]  # fmt: skip
    lines = [str(about.get("command", "")), verdict(jobs), *undone(jobs, stopped)]
    if gone:
        lines.append(
            f"{len(gone)} of the running jobs have no process any more: calibrate sweep retry "
            f"{folder} does them again"
        )
    return "\n".join(lines)


def cancel(folder: str) -> str:
    """Start no further job."""
    with Ledger(Path(folder)) as ledger:
        ledger.stop("cancelled")
        running = ledger.counts()[RUNNING]
    return f"no further job is started, {running} still run; calibrate sweep retry {folder} goes on"
