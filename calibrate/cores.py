"""How many cores there are to work on, and how many of them numerical work may use."""

from __future__ import annotations

import os


def available() -> int:
    """The cores that this process may use, which on a shared node are not all that it has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """As many as numerical libraries are told to use, as in the workers of a sweep; else one for
    each core."""
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(told) if told.isdigit() and int(told) else available()
