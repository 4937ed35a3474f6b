"""One job of a sweep of runs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calibrate.cli.planning import built
from calibrate.cli.recipe import Recipe
from calibrate.cli.run import run_in
from calibrate.context import Progress
from calibrate.sweep.job import Job
from calibrate.sweep.ledger import Ledger


def perform(
    ledger: Ledger, job: Job, recipe: Mapping[str, Any], folder: Path, progress: Progress
) -> None:
    """One study, in an ordinary run folder."""
    planned = built(Recipe(**recipe))
    command = shlex.join(["calibrate", "run", *job.overrides])
    run_in(folder, planned, command, planned.context(progress), {"content": job.content})
