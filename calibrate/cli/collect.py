"""The end of a sweep: tables and page are written, and what is not done is told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from calibrate.cli.apply_job import collect_files
from calibrate.cli.evaluate_merge import collect_evaluation
from calibrate.errors import nearest
from calibrate.sweep.collect import (
    AVERAGES,
    JOBS,
    averaged,
    job_columns,
    measured,
    point_columns,
    write_tables,
)
from calibrate.sweep.gallery import figures
from calibrate.sweep.job import APPLY, DONE, EVALUATE, KIND, RUN
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.page import write_page
from calibrate.sweep.told import undone, verdict


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
    return COLLECT[ledger.about().get(KIND, RUN)](ledger)


def _collect_runs(ledger: Ledger) -> Path:
    """Write the tables and the page; returns the page's path."""
    about = ledger.about()
    runs = measured(ledger)
    points = averaged(runs)
    known = {key: about[key] for key in ("command", "version")}
    write_tables(ledger.folder, JOBS, job_columns(runs), known)
    write_tables(ledger.folder, AVERAGES, point_columns(points), known)
    asked = about.get("metrics")
    names = {name for point in points for name in point.metrics}
    for name in asked or ():
        if points and name not in names:
            told = f"sweep.metrics: no metric '{name}': {nearest(name, names)}"
            print(f"warning: {told}", file=sys.stderr)
    drawn = list(figures(points, ledger.folder, _studied(ledger), asked))
    return write_page(ledger, points, drawn, asked)


def _studied(ledger: Ledger) -> str:
    """The studied method, whose metrics have no prefix: of the first job, if it is swept."""
    method: str = ledger.recipe(0)["method"]
    return method


COLLECT: Mapping[str, Callable[[Ledger], Path]] = {
    RUN: _collect_runs,
    APPLY: collect_files,
    EVALUATE: collect_evaluation,
}
