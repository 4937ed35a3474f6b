"""`calibrate sweep status` and `cancel`: the ledger and Slurm alone, at once."""

from __future__ import annotations

from pathlib import Path

from calibrate.errors import StorageError
from calibrate.sweep.batch import carry_over, withdraw
from calibrate.sweep.job import RUNNING
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.told import undone, verdict


def status(folder: str) -> str:
    """How a sweep stands; StorageError if the folder holds none."""
    with Ledger(Path(folder)) as ledger:
        notes = _followed(ledger)
        jobs, stopped, about = ledger.jobs(), ledger.stopped(), ledger.about()
        gone = [job.number for job, process in ledger.running() if process.here
                and not process.alive]  # fmt: skip
    lines = [str(about.get("command", "")), verdict(jobs), *undone(jobs, stopped), *notes]
    if gone:
        lines.append(
            f"{len(gone)} of the running jobs have no process any more: calibrate sweep retry "
            f"{folder} does them again"
        )
    return "\n".join(lines)


def _followed(ledger: Ledger) -> list[str]:
    """Bring the ledger up to date with Slurm, unless a process does that already; why not."""
    if not ledger.under_way():
        return []
    try:
        ledger.drive(resume=False)
    except StorageError as error:
        return [f"as far as its driver has told: {error}"]
    try:
        carry_over(ledger)
    except StorageError as error:
        return [f"not up to date: {error}"]
    finally:
        ledger.release()
    return []


def cancel(folder: str) -> str:
    """Start no further job; those in Slurm are ended."""
    with Ledger(Path(folder)) as ledger:
        ledger.stop("cancelled")
        ended = withdraw(ledger)
        running = ledger.counts()[RUNNING]
    told = f"{len(ended)} jobs were cancelled in Slurm, " if ended else ""
    return (
        f"no further job is started, {told}{running} still run; calibrate sweep retry {folder} "
        "goes on"
    )
