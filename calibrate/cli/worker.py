"""One job of a sweep after the other, from the ledger; also the program of a worker process.

`python -m calibrate.cli.worker FOLDER THREADS` ends when no job is planned any more, when the
sweep is stopped, and when the process that started it is gone.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from calibrate.errors import CalibrateError, StorageError
from calibrate.sweep.job import APPLY, DONE, EVALUATE, FAILED, KIND, RUN, Job
from calibrate.sweep.ledger import Ledger

PERFORM = {
    RUN: "calibrate.cli.run_job",
    APPLY: "calibrate.cli.apply_job",
    EVALUATE: "calibrate.cli.evaluate_job",
}
"""By the kind of job, the module whose `perform(ledger, job, recipe, folder, progress)` does it in
a folder of its own: it writes `report.json` there, with the job's content hash, last."""

WATCH = 0.5
"""Seconds between two looks at the parent process."""


def work(folder: Path, threads: int | None = None) -> None:
    """Do planned jobs until there are none. `threads` of torch; None leaves them as they are."""
    with Ledger(folder) as ledger:
        load_libraries(ledger)
        while job := ledger.claim():
            do(ledger, job, threads)


def load_libraries(ledger: Ledger) -> None:
    """Import what every job needs, before the clock of the first one runs."""
    importlib.import_module(PERFORM[ledger.about().get(KIND, RUN)])


def do(ledger: Ledger, job: Job, threads: int | None = None) -> None:
    """Do a claimed job, and write down how it ended; a failure is told and goes no further."""
    folder = ledger.folder / str(job.folder)
    try:
        _run(ledger, job, created(folder), threads)
        ledger.finish(job)
    except (CalibrateError, OSError) as error:
        fail(ledger, job, str(error))
    except BaseException:
        ledger.put_back(job)
        raise
    else:
        tell(ledger, job, "done")


def created(folder: Path) -> Path:
    """The run folder of one attempt, which nobody else has."""
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"cannot create {folder}: {error.strerror}") from error
    return folder


def _run(ledger: Ledger, job: Job, folder: Path, threads: int | None) -> None:
    import torch

    from calibrate.cli.progress import progress
    from calibrate.context import Silent

    if threads is not None:
        torch.set_num_threads(threads)
    recipe = ledger.recipe(job.number)
    shown = progress() if threads is None else Silent()
    module = importlib.import_module(PERFORM[recipe.get(KIND, RUN)])
    module.perform(ledger, job, recipe, folder, shown)


def fail(ledger: Ledger, job: Job, error: str) -> None:
    """Write down and tell that a job failed."""
    ledger.fail(job, error)
    if ledger.about()["fail_fast"]:
        ledger.stop(f"a job failed, and sweep.fail_fast=true: {job.title}")
    tell(ledger, job, "failed", error)


def tell(ledger: Ledger, job: Job, how: str, error: str = "") -> None:
    """One line for the user; whole, since many processes write to one terminal."""
    counts, seconds = ledger.counts(), time.time() - (job.started or 0.0)
    ended, total = counts[DONE] + counts[FAILED], sum(counts.values())
    line = f"[{ended}/{total}] {how} in {seconds:.1f} s: {job.title}"
    sys.stdout.write(f"{line}: {error}\n" if error else f"{line}\n")
    sys.stdout.flush()


def _leave_with(parent: int) -> None:
    """End this process, as it stands, when its parent is gone: the job is found out as lost."""
    while os.getppid() == parent:
        time.sleep(WATCH)
    os._exit(1)


def program(work: Callable[[], None]) -> int:
    """The work of a process, which ends with its parent; its exit status."""
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    try:
        work()
    except StorageError as error:
        print(f"calibrate: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    return 0


def main(folder: str, threads: str) -> int:
    """The program of a worker process; its exit status."""
    return program(lambda: work(Path(folder), int(threads)))


if __name__ == "__main__":
    os._exit(main(*sys.argv[1:]))
