"""From what jobs in Slurm left in their folders, and from what Slurm says of them, to the ledger.

**What a job says itself comes first**: a whole report is done, whatever Slurm thinks of it. Slurm
is asked before the folders are looked at, so that a job that ends in between is not taken for lost.
**What failed and what was lost.** A job that would end the same way again (time, memory, a program
that cannot start, cancelled by somebody) has failed, and is done again if asked; one that was hit
from outside (its node, a signal, preemption without requeueing) is lost, and done again by itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from calibrate.errors import StorageError
from calibrate.sweep import slurm
from calibrate.sweep.job import FAILED, LOST, QUEUED, RUNNING, Job
from calibrate.sweep.ledger import RUNS, Ledger
from calibrate.sweep.outcome import folders, outcome
from calibrate.sweep.runs import checkpoints
from calibrate.sweep.slurm import Standing

LOGS = "slurm"
"""The folder below the sweep's for what Slurm and submitit write."""
LAG = 90.0
"""Seconds after which a finished job's files must be seen by other machines of a shared folder."""
MEMORY = re.compile(r"oom.?kill|out.of.memory|exceeded .*memory limit", re.IGNORECASE)
CANNOT_OPEN = 53
"""The signal by which Slurm says that a job's log could not be opened."""
TAIL = 8000
"""Bytes at the end of a log that are searched for the reason."""


def carry_over(ledger: Ledger) -> list[Job]:
    """Bring the ledger up to date with Slurm; returns the jobs whose end was found. Where the sweep
    is stopped, what waits is cancelled.

    Raises StorageError if Slurm does not answer; what jobs said themselves is carried over before.
    """
    under_way = ledger.under_way()
    if not under_way:
        return []
    try:
        known = slurm.standings([str(job.slurm) for job in under_way])
    except StorageError:
        for job in under_way:
            _has_said(ledger, job)
        raise
    for job in under_way:
        standing = known.get(str(job.slurm))
        if (standing and standing.untouched) or not _has_said(ledger, job):
            _place(ledger, job, standing)
    ended = {job.number for job in under_way} - {job.number for job in ledger.under_way()}
    found = [job for job in ledger.jobs() if job.number in ended]
    for job in found:
        if job.state == FAILED and ledger.about().get("fail_fast"):
            ledger.stop(f"a job failed, and sweep.fail_fast=true: {job.title}")
    if ledger.stopped():
        withdraw(ledger, waiting=True)
    return found


def recover(ledger: Ledger) -> None:
    """Jobs that are said to be lost or to have failed, and whose report came late, are done."""
    for job in ledger.jobs():
        if job.slurm and job.state in (FAILED, LOST):
            _has_said(ledger, job, late=True)


def withdraw(ledger: Ledger, *, waiting: bool = False) -> list[Job]:
    """Cancel in Slurm all jobs under way, or those that are `waiting`; they are planned again."""
    chosen = [job for job in ledger.under_way() if job.state == QUEUED or not waiting]
    slurm.cancel([str(job.slurm) for job in chosen])
    for job in chosen:
        ledger.put_back(job)
    return chosen


def _has_said(ledger: Ledger, job: Job, late: bool = False) -> bool:
    """Carry over what a job says of its end; of a `late` one only that it is done."""
    for folder in folders(ledger.folder, job):
        said = outcome(folder, job)
        if said and said.error is None:
            known = {"host": said.host, "started": said.started, "finished": said.finished}
            given = {name: value for name, value in known.items() if value is not None}
            ledger.found(job, f"{RUNS}/{folder.name}", **given)
            return True
        if said and said.error and not late:
            ledger.stands(job, RUNNING, said.host, None)
            ledger.fail(job, f"{said.error} (Slurm job {job.slurm})")
            if said.of_all:
                ledger.stop(said.error)
            return True
    return False


def _place(ledger: Ledger, job: Job, standing: Standing | None) -> None:
    """Write down where a job stands that has said nothing itself."""
    if standing is None:
        gone = f"Slurm knows nothing of job {job.slurm} any more, and it left no report"
        return ledger.lose(job, gone)
    if not standing.over:
        state = QUEUED if standing.waits else RUNNING
        why = " ".join(_waiting(job, standing))
        if (state, standing.node, why) != (job.state, job.host, job.error):
            ledger.stands(job, state, standing.node, why)
        return None
    if standing.state == "COMPLETED" and time.time() - (standing.ended or 0.0) < LAG:
        return None
    log = _log(ledger.folder, str(job.slurm))
    state, reason = _ending(standing, log)
    if checkpoints(ledger.folder, job).is_dir():
        reason += "; done again it goes on from its checkpoint"
    where = f"Slurm job {job.slurm}" + (f" on {standing.node}" if standing.node else "")
    (ledger.lose if state == LOST else ledger.fail)(job, f"{reason} ({where})")
    return None


def _waiting(job: Job, standing: Standing) -> Iterator[str]:
    yield f"Slurm job {job.slurm}" + (f" on {standing.node}" if standing.node else "")
    if standing.waits:
        yield "waits" if standing.reason == "None" else f"waits: {standing.reason}"
    if standing.restarts:
        yield f"(requeued, start {standing.restarts + 1})"


def _ending(standing: Standing, log: str) -> tuple[str, str]:
    """The state of a job that ended without a word, and why it did."""
    name = standing.state
    if name == "TIMEOUT":
        limit = f"at the limit of {standing.limit}"
        return FAILED, f"timed out {limit}: more time with hydra.launcher.timeout_min=…"
    killed = standing.exit or standing.signal
    if name == "OUT_OF_MEMORY" or (killed and MEMORY.search(log)):
        limit = f" at the limit of {standing.memory}" if standing.memory else ""
        return FAILED, f"out of memory{limit}: more with hydra.launcher.mem_gb=…"
    if name in ("NODE_FAIL", "BOOT_FAIL"):
        return LOST, "the node failed"
    if name in ("PREEMPTED", "REVOKED"):
        return LOST, "preempted and not requeued"
    if name == "CANCELLED":
        return FAILED, "cancelled in Slurm"
    if name == "DEADLINE":
        return FAILED, "Slurm's deadline passed"
    if name == "COMPLETED":
        return FAILED, "ended without a report: is the sweep's folder shared with the node?"
    return _failure(standing, log)


def _failure(standing: Standing, log: str) -> tuple[str, str]:
    if standing.signal == CANNOT_OPEN:
        return FAILED, "the node cannot write to the sweep's folder: is it shared with it?"
    if standing.signal:
        return LOST, f"killed by signal {standing.signal}"
    lines = [line for line in log.splitlines() if line.strip()]
    told = f": {lines[-1].strip()}" if lines else f": {standing.reason}"
    return FAILED, f"could not run, exit status {standing.exit}{told}"


def _log(folder: Path, number: str) -> str:
    """The end of what a job wrote on its standard error, or on its output if that is one."""
    for path in sorted((folder / LOGS).glob(f"{number}_0_log.*")):
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - TAIL, 0))
            return file.read().decode(errors="replace")
    return ""
