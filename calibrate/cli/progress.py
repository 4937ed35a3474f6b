"""Progress bars on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichProgress

from calibrate.context import Advance, Progress, Silent


class Bars:
    """Rich progress bars on stderr that vanish when they are done."""

    @contextmanager
    def track(self, description: str, total: int) -> Iterator[Advance]:
        """Show one bar with `total` steps while the block runs."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        console = Console(stderr=True)
        with RichProgress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
            task = bars.add_task(description, total=total)
            yield lambda steps: bars.advance(task, steps)


def progress() -> Progress:
    """Bars if stderr is a terminal, else silence."""
    return Bars() if sys.stderr.isatty() else Silent()


class Transfers:
    """One bar per file on stderr, in bytes, while files come."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def started(self, name: str, have: int, total: int | None) -> None:
        """Show the file's bar, without an end where the size is not known."""
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total)
        self._bars.update(self._tasks[name], completed=have, total=total)

    def advance(self, name: str, number: int) -> None:
        """Further bytes have come."""
        self._bars.advance(self._tasks[name], number)

    def finished(self, name: str) -> None:
        """Take the bar away, and say that the file is here."""
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        self._bars.console.print(f"{name}: complete, checksum right", highlight=False)


@contextmanager
def transfers() -> Iterator[Transfers]:
    """Bars while the block runs if stderr is a terminal; else a line for each file."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True, soft_wrap=True)
    shown = sys.stderr.isatty()
    with RichProgress(
        *columns, TransferSpeedColumn(), console=console, transient=True, disable=not shown
    ) as bars:
        yield Transfers(bars)
