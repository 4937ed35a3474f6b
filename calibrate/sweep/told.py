"""A sweep in words: how its jobs ended, and what is not done and why."""

from __future__ import annotations

from collections.abc import Sequence

from calibrate.sweep.job import DONE, PLANNED, QUEUED, RUNNING, STATES, Job

MOST_TOLD = 20
"""Jobs that are told one by one; the page has all."""


def verdict(jobs: Sequence[Job]) -> str:
    """`90 jobs: 88 done, 2 failed`."""
    counts = {state: sum(job.state == state for job in jobs) for state in STATES}
    said = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    return f"{len(jobs)} job{'s' if len(jobs) != 1 else ''}: {said}"


def undone(jobs: Sequence[Job], stopped: str | None) -> list[str]:
    """A table of what has begun and is not done: number, state, values, error; what went wrong
    first."""
    begun = [job for job in jobs if job.state not in (DONE, PLANNED)]
    begun.sort(key=lambda job: job.state in (RUNNING, QUEUED))
    width = max((len(job.title) for job in begun[:MOST_TOLD]), default=0)
    lines = [
        f"job {job.number:<5} {job.state:<7}  {job.title:<{width}}  {job.error or ''}".rstrip()
        for job in begun[:MOST_TOLD]
    ]
    if begun[MOST_TOLD:]:
        lines.append(f"… and {len(begun) - MOST_TOLD} more, in the tables of the sweep")
    return [*lines, f"no further job is started: {stopped}"] if stopped else lines
