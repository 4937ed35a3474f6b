"""One attempt at one job, with all that it needs: for a worker, or to be sent elsewhere."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from calibrate.checkpoints import CheckpointFolder
from calibrate.errors import CalibrateError, StorageError
from calibrate.sweep.job import Job
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.outcome import Outcome, requeued
from calibrate.sweep.process import hostname
from calibrate.sweep.runs import checkpoints


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
        command = shlex.join(["calibrate", "run", *job.overrides])
        every = ledger.about().get("checkpoint")
        kept = every and CheckpointFolder(checkpoints(ledger.folder.absolute(), job), every)
        return cls(folder, job.content, command, ledger.recipe(job.number), threads, kept)

    def __call__(self) -> None:
        """Do the job. Raises StorageError if even its failure cannot be written down."""
        started, error = time.time(), None
        folder = requeued(self.folder, int(os.environ.get("SLURM_RESTART_COUNT", 0)))
        try:
            self.run(folder)
        except (CalibrateError, OSError) as failure:
            error = " ".join(str(failure).split())
        Outcome(self.content, hostname(), started, time.time(), error).write(folder)

    def run(self, folder: Path) -> None:
        """Do the job in a new run folder."""
        import torch

        from calibrate.cli.planning import built
        from calibrate.cli.progress import progress
        from calibrate.cli.recipe import Recipe
        from calibrate.cli.run import run_in
        from calibrate.context import Silent

        created(folder)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        planned = built(Recipe(**self.recipe))
        shown = progress() if self.threads is None else Silent()
        context = planned.context(shown)
        if self.checkpoints:
            context = replace(context, checkpoints=self.checkpoints)
        run_in(folder, planned, self.command, context, {"content": self.content})
        if self.checkpoints:
            shutil.rmtree(self.checkpoints.path, ignore_errors=True)


def created(folder: Path) -> Path:
    """The run folder of one attempt, which nobody else has; the sweep's folder must be there."""
    try:
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir()
    except OSError as error:
        raise StorageError(f"cannot create {folder}: {error.strerror}") from error
    return folder
