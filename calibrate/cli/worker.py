"""One job of a sweep after the other, from the ledger; also the program of a worker process.

`python -m calibrate.cli.worker FOLDER THREADS` ends when no job is planned any more, when the
sweep is stopped, and when the process that started it is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from calibrate.cli.order import Order, module_for
from calibrate.errors import CalibrateError, NoJobError, StorageError
from calibrate.sweep.job import DONE, FAILED, Job
from calibrate.sweep.ledger import Ledger

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
    module_for(ledger.about())


def do(ledger: Ledger, job: Job, threads: int | None = None) -> None:
    """Do a claimed job, and write down how it ended; a failure is told and goes no further."""
    order = Order.of(ledger, job, threads)
    with interrupts() as pressed:
        try:
            order.run(ledger.folder / str(job.folder))
            ledger.finish(job)
        except (CalibrateError, OSError) as error:
            if pressed.is_set():
                ledger.put_back(job)
                raise KeyboardInterrupt from error
            if isinstance(error, NoJobError):
                ledger.stop(str(error))
            fail(ledger, job, str(error))
        except BaseException:
            ledger.put_back(job)
            raise
        else:
            tell(ledger, job.number)
        if pressed.is_set():
            raise KeyboardInterrupt


@contextmanager
def interrupts() -> Iterator[threading.Event]:
    """Whether Ctrl-C was pressed meanwhile. It raises KeyboardInterrupt as ever, but a library that
    it hits may make an error of its own of it (OmegaConf does), or lose it in a destructor."""
    before, pressed = signal.getsignal(signal.SIGINT), threading.Event()
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield pressed
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        pressed.set()
        before(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def fail(ledger: Ledger, job: Job, error: str) -> None:
    """Write down and tell that a job failed."""
    ledger.fail(job, error)
    if ledger.about()["fail_fast"]:
        ledger.stop(f"a job failed, and sweep.fail_fast=true: {job.title}")
    tell(ledger, job.number)


def tell(ledger: Ledger, number: int) -> None:
    """One line for the user on how a job ended; whole, since many processes write to one
    terminal."""
    job, counts = ledger.job(number), ledger.counts()
    ended, total = counts[DONE] + counts[FAILED], sum(counts.values())
    seconds = f" in {job.finished - job.started:.1f} s" if job.started and job.finished else ""
    line = f"[{ended}/{total}] {job.state}{seconds}: {job.title}"
    sys.stdout.write(f"{line}: {job.error}\n" if job.error else f"{line}\n")
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
