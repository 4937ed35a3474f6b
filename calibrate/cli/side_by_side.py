"""A batch of a sweep's jobs: loaded and evaluated one after the other, fitted together.

Also the program of a process: `python -m calibrate.cli.side_by_side FOLDER THREADS NUMBERS`, the
numbers of the jobs separated by commas.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from calibrate.cli.order import Order, created
from calibrate.cli.run_log import logged
from calibrate.cli.worker import do, fail, interrupts, load_libraries, program, tell
from calibrate.context import Silent
from calibrate.errors import CalibrateError
from calibrate.sweep.job import Job
from calibrate.sweep.ledger import Ledger

if TYPE_CHECKING:
    from calibrate.cli.planning import Plan
    from calibrate.study import Fits, Loaded

Result = TypeVar("Result")


@dataclass(frozen=True)
class Begun:
    """A job whose task is loaded."""

    job: Job
    order: Order
    planned: Plan
    loaded: Loaded


def work_together(folder: Path, numbers: Sequence[int], threads: int | None = None) -> None:
    """Do the jobs of these numbers, their networks trained side by side. `threads` of torch; None
    leaves them as they are."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    with Ledger(folder) as ledger:
        load_libraries(ledger)
        with interrupts() as pressed:
            batch = Batch(ledger, [job for n in numbers if (job := ledger.claim(n))], pressed)
            try:
                batch.work()
            except BaseException:
                batch.put_back()
                raise


class Batch:
    """Claimed jobs; those that have ended, well or badly, are no longer among the `open` ones."""

    def __init__(self, ledger: Ledger, jobs: Sequence[Job], pressed: Event) -> None:
        self.ledger, self.open, self.pressed = ledger, list(jobs), pressed

    def work(self) -> None:
        """Do all jobs. One that fails does so alone; if the common training itself breaks, because
        of whichever, they are done one by one."""
        from calibrate.study import fit

        begun = [
            each for job in list(self.open) if (each := self._tried(job, partial(self._begin, job)))
        ]
        try:
            fits = fit([each.loaded for each in begun])
        except Exception as error:
            print(f"batched: the common training broke ({type(error).__name__}: {error}): "
                  f"{len(begun)} jobs one by one", flush=True)  # fmt: skip
            return self._one_by_one()
        for each, own in zip(begun, fits, strict=True):
            if self._tried(each.job, partial(_conclude, each, own)):
                self.ledger.finish(each.job)
                self.open.remove(each.job)
                tell(self.ledger, each.job.number)
        return None

    def put_back(self) -> None:
        """The jobs that have not ended are planned again."""
        for job in self.open:
            self.ledger.put_back(job)

    def _one_by_one(self) -> None:
        self.put_back()
        numbers = [job.number for job in self.open]
        self.open = []
        for job in filter(None, map(self.ledger.claim, numbers)):
            do(self.ledger, job)

    def _tried(self, job: Job, work: Callable[[], Result]) -> Result | None:
        """What becomes of a part of a job; None if it fails, which is written down."""
        try:
            return work()
        except (CalibrateError, OSError) as error:
            if self.pressed.is_set():
                raise KeyboardInterrupt from error
            self.open.remove(job)
            fail(self.ledger, job, str(error))
            return None

    def _begin(self, job: Job) -> Begun:
        from calibrate.cli.run_job import made
        from calibrate.study import load

        order = Order.of(self.ledger, job, None)
        with logged(created(order.folder), order.command):
            planned, context = made(order, Silent())
            return Begun(job, order, planned, load(planned.study, context))


def _conclude(begun: Begun, fits: Fits) -> bool:
    """Evaluate a job's fits and write its report."""
    from calibrate.cli.run import conclude_in

    order, about = begun.order, {"content": begun.order.content}
    conclude_in(order.folder, begun.planned, order.command, begun.loaded, fits, about)
    order.over()
    return True


def main(folder: str, threads: str, numbers: str) -> int:
    """The program of a process; its exit status."""
    chosen = [int(number) for number in numbers.split(",")]
    return program(lambda: work_together(Path(folder), chosen, int(threads)))


if __name__ == "__main__":
    os._exit(main(*sys.argv[1:]))
