"""What a job of a sweep does, by the kind that its recipe names; without one, it is a run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from calibrate.cli.apply_job import apply_chunk
from calibrate.cli.evaluate_job import evaluate_chunk
from calibrate.cli.planning import built
from calibrate.cli.recipe import Recipe
from calibrate.cli.run import run_in
from calibrate.context import Progress
from calibrate.sweep.job import APPLY, EVALUATE, RUN, Job
from calibrate.sweep.ledger import Ledger

Perform = Callable[[Ledger, Job, Mapping[str, Any], Path, Progress], None]


def run_study(
    ledger: Ledger, job: Job, recipe: Mapping[str, Any], folder: Path, progress: Progress
) -> None:
    """One study, in an ordinary run folder."""
    planned = built(Recipe(**recipe))
    command = shlex.join(["calibrate", "run", *job.overrides])
    run_in(folder, planned, command, planned.context(progress), {"content": job.content})


PERFORM: Mapping[str, Perform] = {
    RUN: run_study,
    APPLY: apply_chunk,
    EVALUATE: evaluate_chunk,
}
"""Each takes the ledger, the claimed job, its recipe, a new folder of its own, and progress; it
leaves `report.json` with the job's content hash, written last."""
