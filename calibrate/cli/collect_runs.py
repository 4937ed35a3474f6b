"""Tables and page of a sweep of runs."""

from __future__ import annotations

import sys
from pathlib import Path

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
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.page import write_page


def collect(ledger: Ledger) -> Path:
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
