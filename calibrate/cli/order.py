"""One attempt at one job, with all that it needs: for a worker, or to be sent elsewhere."""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibrate.checkpoints import CheckpointFolder
from calibrate.cli.run_log import logged
from calibrate.errors import CalibrateError, NoJobError, StorageError
from calibrate.sweep.job import APPLY, EVALUATE, KIND, RUN, Job
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.outcome import Outcome, requeued
from calibrate.sweep.process import hostname
from calibrate.sweep.runs import checkpoints

JOBS = {
    RUN: "calibrate.cli.run_job",
    APPLY: "calibrate.cli.apply_job",
    EVALUATE: "calibrate.cli.evaluate_job",
}
"""By the kind of job, the module whose `perform(order, folder, progress)` does it in a folder of
its own: it writes `report.json` there, with the job's content hash, last."""


@dataclass(frozen=True)
class Order:
    """A job's run `folder`, content hash, command and recipe; `threads` of torch, None leaves them
    as they are; `checkpoints` of its trainings, None: begun anew. Called, on a node of Slurm's, it
    does the job and writes down how it ended."""

    folder: Path
    content: str
    command: str
    recipe: Mapping[str, Any]
    threads: int | None
    checkpoints: CheckpointFolder | None

    @classmethod
    def of(cls, ledger: Ledger, job: Job, threads: int | None) -> Order:
        """The order of a job that has been claimed or queued."""
        folder = ledger.folder.absolute() / str(job.folder)
        about, recipe = ledger.about(), ledger.recipe(job.number)
        alone = shlex.join(["calibrate", "run", *job.overrides])
        command = alone if recipe.get(KIND, RUN) == RUN else about["command"]
        every = about.get("checkpoint")
        kept = every and CheckpointFolder(checkpoints(ledger.folder.absolute(), job), every)
        return cls(folder, job.content, command, recipe, threads, kept)

    def __call__(self) -> None:
        """Do the job. Raises StorageError if even its failure cannot be written down."""
        started, error, of_all = time.time(), None, False
        folder = requeued(self.folder, int(os.environ.get("SLURM_RESTART_COUNT", 0)))
        try:
            self.run(folder)
        except (CalibrateError, OSError) as failure:
            error, of_all = " ".join(str(failure).split()), isinstance(failure, NoJobError)
        Outcome(self.content, hostname(), started, time.time(), error, of_all).write(folder)

    def run(self, folder: Path) -> None:
        """Do the job in a new run folder; whatever fails leaves its traceback in the log there."""
        import torch

        from calibrate.cli.progress import progress
        from calibrate.context import Silent

        created(folder)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        shown = progress() if self.threads is None else Silent()
        with logged(folder, self.command):
            module_for(self.recipe).perform(self, folder, shown)
        self.over()

    def over(self) -> None:
        """Remove the checkpoints of a job that is done."""
        if self.checkpoints:
            shutil.rmtree(self.checkpoints.path, ignore_errors=True)


def module_for(told: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a module
    """The module that does jobs of the kind that a recipe, or what is known of a sweep, tells."""
    return importlib.import_module(JOBS[told.get(KIND, RUN)])


def created(folder: Path) -> Path:
    """The run folder of one attempt, which nobody else has; the sweep's folder must be there."""
    try:
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir()
    except OSError as error:
        raise StorageError(f"cannot create {folder}: {error.strerror}") from error
    return folder
