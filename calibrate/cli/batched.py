"""`hydra/launcher=batched`: jobs whose networks have one shape are trained side by side.

A batch is a process that claims all its jobs, loads them, trains their networks along the model
axis and then evaluates one after the other, each in its ordinary run folder. What gains nothing
from company is done one by one on all cores, as by the launcher `local`: closed forms, full-batch
fits, shapes that no other job has, and jobs that were lost or failed before, so that one that
takes its process down does so alone; it goes on from its own checkpoint of the common training.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from calibrate.checks import positive_integer
from calibrate.cli.compose import METHOD
from calibrate.cli.instances import instantiated
from calibrate.cli.processes import GLANCE, Worker, dismiss, employed
from calibrate.cli.recipe import Recipe
from calibrate.cli.side_by_side import work_together
from calibrate.cores import available
from calibrate.sweep.job import KIND, PLANNED, RUN, Job
from calibrate.sweep.ledger import Ledger

NO_GAIN = "no company for closed forms, full-batch fits, single shapes, jobs that died or failed"


class Rest(Protocol):
    """What has jobs done one by one."""

    def launch(self, folder: Path) -> None: ...


@dataclass(frozen=True)
class Batched:
    """Batches of at most `together` jobs, in `workers` processes at a time (None: one for each
    core); all other jobs are left to the `rest`."""

    rest: Rest
    workers: int | None = None
    together: int = 64
    here: ClassVar[bool] = True

    def __post_init__(self) -> None:
        positive_integer("hydra.launcher.together", self.together)
        if self.workers is not None:
            positive_integer("hydra.launcher.workers", self.workers)

    def launch(self, folder: Path) -> None:
        """Have all planned jobs done."""
        workers = self.workers or available()
        with Ledger(folder) as ledger:
            planned = [job for job in ledger.jobs() if job.state == PLANNED]
            batches = _batches(ledger, planned, self.together, workers)
        _tell(len(planned), batches, workers)
        if workers == 1 or len(batches) == 1:
            for batch in batches:
                work_together(folder, batch)
        else:
            _in_processes(folder, batches, workers)
        with Ledger(folder) as ledger:
            left = ledger.counts()[PLANNED]
        if left:
            self.rest.launch(folder)


def _batches(
    ledger: Ledger, planned: Sequence[Job], together: int, workers: int
) -> list[list[int]]:
    """The numbers of the jobs that are done together; every core gets its share."""
    families: dict[Hashable, list[int]] = defaultdict(list)
    for job in planned:
        shape = None if job.error else _shape(ledger, job)
        if shape is not None:
            families[shape].append(job.number)
    return [
        numbers[start : start + size]
        for numbers in families.values()
        if len(numbers) > 1
        for size in [min(together, math.ceil(len(numbers) / workers))]
        for start in range(0, len(numbers), size)
    ]


def _shape(ledger: Ledger, job: Job) -> Hashable | None:
    """What the networks of jobs have in common that are trained side by side, as far as it is
    known before their data is."""
    given = ledger.recipe(job.number)
    if given.get(KIND, RUN) != RUN:
        return None
    from calibrate.methods.together import network_shape  # brings torch

    recipe = Recipe.of(given)
    shape = network_shape(instantiated(recipe.configuration[METHOD], METHOD))
    return None if shape is None else (recipe.data, tuple(recipe.compared), shape)


def _tell(planned: int, batches: Sequence[Sequence[int]], workers: int) -> None:
    number = sum(map(len, batches))
    alone = f"one by one on {workers} {'core' if workers == 1 else 'cores'} ({NO_GAIN})"
    if not batches:
        print(f"batched: {planned} jobs {alone}", flush=True)
        return
    rest = f"; {planned - number} {alone}" if planned > number else ""
    many = "1 batch" if len(batches) == 1 else f"{len(batches)} batches"
    print(f"batched: {number} jobs trained side by side, {many}{rest}", flush=True)


def _in_processes(folder: Path, batches: Sequence[list[int]], workers: int) -> None:
    """A process for each batch, so many at a time."""
    waiting, working = list(batches), list[Worker]()
    try:
        while waiting or working:
            while waiting and len(working) < workers:
                working.append(employed(folder, waiting.pop(0)))
            time.sleep(GLANCE)
            working = [each for each in working if each.poll() is None]
    finally:
        dismiss(working)
