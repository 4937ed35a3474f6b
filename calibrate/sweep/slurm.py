"""What Slurm says of its jobs: asked of the controller, and of the accounts for what it forgot.

The controller forgets a job minutes after its end (MinJobAge); the accounts keep it, where the
cluster has any. A cluster without them is no error: such a job is one of which nothing is known.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from calibrate.errors import StorageError

PLAIN = {"SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0", "LC_ALL": "C"}
"""Times in seconds since 1970, array indices in full."""
PATIENCE = 60.0
"""Seconds in which a command of Slurm's must answer."""
FORGOTTEN = "Invalid job id specified"
ACCOUNTS = ("JobID", "State", "ExitCode", "NodeList", "Timelimit", "ReqMem", "Reason", "End")
VALUE = re.compile(r"([\w/:]+)=(\S*)")
WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "CONFIGURING", "REQUEUE_FED")
ACTIVE = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT")


@dataclass(frozen=True)
class Standing:
    """How one job stands. `exit` and `signal` of its program; `ended` [s since 1970], None before;
    `restarts` after it was requeued."""

    state: str
    reason: str
    node: str
    exit: int
    signal: int
    limit: str
    memory: str
    ended: float | None
    restarts: int = 0

    @property
    def waits(self) -> bool:
        """Whether it has not begun, or begins again."""
        return self.state in WAITING

    @property
    def untouched(self) -> bool:
        """Whether it has never begun."""
        return self.waits and not self.restarts

    @property
    def over(self) -> bool:
        """Whether it has come to an end."""
        return self.state not in (*WAITING, *ACTIVE)


def standings(jobs: Collection[str]) -> dict[str, Standing]:
    """What is known of jobs, by their numbers (`12`, or `12_3` of an array).

    Raises StorageError if Slurm does not answer.
    """
    found: dict[str, Standing] = {}
    for array in dict.fromkeys(job.partition("_")[0] for job in jobs):
        found.update(_of_controller(array))
        if any(job not in found for job in jobs if job.partition("_")[0] == array):
            found = {**_of_accounts(array), **found}
    return {job: found[job] for job in jobs if job in found}


def _of_controller(array: str) -> dict[str, Standing]:
    status, told, complaint = _asked("scontrol", "--oneliner", "show", "job", array)
    if status and FORGOTTEN not in complaint:
        raise StorageError(f"Slurm does not answer: {_line(complaint)}")
    return dict(each for line in told.splitlines() for each in _of_line(line))


def _of_line(line: str) -> Iterator[tuple[str, Standing]]:
    """A line of `scontrol show job`: a job, or those of an array that wait."""
    values = dict(VALUE.findall(line))
    if "JobState" not in values:
        return
    code, _, signal = values["ExitCode"].partition(":")
    memory = re.search(r"mem=([^,]+)", values.get("TRES", ""))
    standing = Standing(
        values["JobState"],
        values["Reason"],
        _given(values.get("NodeList", "")),
        int(code),
        int(signal or 0),
        values["TimeLimit"],
        memory[1] if memory else "",
        _time(values["EndTime"]),
        int(values.get("Restarts", 0)),
    )
    array = values.get("ArrayJobId")
    for index in _indices(values.get("ArrayTaskId", "")):
        yield f"{array}_{index}", standing
    if array is None:
        yield values["JobId"], standing


def _indices(text: str) -> Iterator[int]:
    """The numbers of `1-3,7%4`."""
    for part in filter(None, text.partition("%")[0].split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _of_accounts(array: str) -> dict[str, Standing]:
    wanted = f"--format={','.join(ACCOUNTS)}"
    options = ("--noheader", "--parsable2", "--allocations", f"--jobs={array}", wanted)
    _, told, _ = _asked("sacct", *options)
    return {line.partition("|")[0]: _of_row(line) for line in told.splitlines()}


def _of_row(line: str) -> Standing:
    values = dict(zip(ACCOUNTS, line.split("|"), strict=True))
    code, _, signal = values["ExitCode"].partition(":")
    return Standing(
        values["State"].split()[0],  # CANCELLED by 1000
        values["Reason"],
        _given(values["NodeList"]),
        int(code),
        int(signal or 0),
        values["Timelimit"],
        values["ReqMem"],
        _time(values["End"]),
    )


def _given(text: str) -> str:
    return "" if text in ("(null)", "None assigned") else text


def _time(text: str) -> float | None:
    return float(text) if text.isdigit() else None


def cancel(jobs: Collection[str]) -> None:
    """End jobs, whether they wait or run. Raises StorageError if Slurm does not answer."""
    if jobs:
        _told("scancel", "--quiet", *jobs)


def cancel_named(name: str) -> None:
    """End all jobs of a name."""
    _told("scancel", "--quiet", f"--name={name}")


def largest_array() -> int:
    """The most jobs that one array may have."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _told("scontrol", "show", "config"), re.M)
    return max(int(found[1]) - 1, 1) if found else 1000


def _told(*command: str) -> str:
    status, told, complaint = _asked(*command)
    if status:
        raise StorageError(f"{command[0]}: {_line(complaint)}")
    return told


def _asked(*command: str) -> tuple[int, str, str]:
    """Exit status, output and complaint of a command of Slurm's."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, **PLAIN}
        )
    except FileNotFoundError as error:
        raise StorageError(f"Slurm is not on this machine: there is no {command[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise StorageError(f"{command[0]} does not answer within {PATIENCE:.0f} s") from error
    return done.returncode, done.stdout, done.stderr


def _line(complaint: str) -> str:
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
