"""`calibrate report`: the figures and the page of a finished run, from its findings."""

from __future__ import annotations

from pathlib import Path

from calibrate.cli.progress import progress
from calibrate.context import Context
from calibrate.report.files import HTML_FILE, read, write_page


def redraw(folder: str) -> Path:
    """Draw all figures of a run and write its page; returns the page's path.

    Raises StorageError if the folder holds no finished run.
    """
    run = Path(folder)
    write_page(run, read(run), figures=True, context=Context(progress=progress()))
    return run / HTML_FILE
