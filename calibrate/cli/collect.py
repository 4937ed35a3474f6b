"""The end of a sweep: what its jobs leave together is written, and what is not done is told."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path

from calibrate.sweep.job import APPLY, DONE, EVALUATE, KIND, RUN
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.told import undone, verdict

COLLECT: Mapping[str, str] = {
    RUN: "calibrate.cli.collect_runs",
    APPLY: "calibrate.cli.apply_table",
    EVALUATE: "calibrate.cli.evaluate_merge",
}
"""By the kind of the jobs, the module whose `collect(ledger)` writes what is done so far and gives
its path; imported when it is needed, since it may bring figures and torch."""


def end(ledger: Ledger, seconds: float) -> int:
    """Collect, and say how it ended: exit status 1 unless every job is done."""
    jobs, stopped = ledger.jobs(), ledger.stopped()
    for line in undone(jobs, stopped):
        print(line, file=sys.stderr)
    print(f"{verdict(jobs)} in {seconds:.1f} s", flush=True)
    done = all(job.state == DONE for job in jobs)
    if not done and ledger.about().get(KIND) == EVALUATE:
        print(f"no report of a part of the files: calibrate sweep collect {ledger.folder} makes it")
    else:
        print(collect(ledger))
    return 0 if done else 1


def collect_folder(folder: str) -> Path:
    """`calibrate sweep collect`: the page's path; StorageError if the folder holds no sweep."""
    with Ledger(Path(folder)) as ledger:
        return collect(ledger)


def collect(ledger: Ledger) -> Path:
    """Write what the jobs of this kind leave together, of what is done so far; returns its path."""
    module = importlib.import_module(COLLECT[ledger.about().get(KIND, RUN)])
    path: Path = module.collect(ledger)
    return path
