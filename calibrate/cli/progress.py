"""Progress bars on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
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
