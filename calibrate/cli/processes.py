"""Processes of this machine that work for a sweep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

GLANCE = 0.05
"""Seconds between two looks at the workers."""
HEARING = 10.0
"""Seconds that an interrupted worker has to put its job back."""

Worker = subprocess.Popen[bytes]


def employed(folder: Path, numbers: Sequence[int] = ()) -> Worker:
    """A worker with one thread: for the jobs of these numbers, all at once, or for any job after
    the other until there are none."""
    program = "side_by_side" if numbers else "worker"
    command = [sys.executable, "-m", f"calibrate.cli.{program}", str(folder), "1"]
    chosen = [",".join(map(str, numbers))] if numbers else []
    return subprocess.Popen([*command, *chosen], env={**os.environ, **ONE_THREAD})


def dismiss(workers: Sequence[Worker]) -> None:
    """Interrupt workers, who put their jobs back; end those that do not listen."""
    for each in workers:
        each.send_signal(signal.SIGINT)
    for each in workers:
        try:
            each.wait(HEARING)
        except subprocess.TimeoutExpired:
            each.kill()
