"""What the command lines of the generators share."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chunks import Chunk, Job, make_chunks, open_work, work_folder
from columns import Columns
from pythia_events import GenerationError, require

INTERRUPTED = 130  # exit status after Ctrl-C


def natural(text: str) -> int:
    """A positive whole number."""
    number = int(text)
    if number < 1:
        raise ValueError(f"{number} is not positive")
    return number


def event_count(text: str) -> int:
    """The number in 'n=200000'."""
    key, equals, number = text.partition("=")
    if key != "n" or not equals:
        raise argparse.ArgumentTypeError(f"expected n=NUMBER, got {text!r}")
    return natural(number)


def command_line(description: str | None, events: int, per: str) -> argparse.ArgumentParser:
    """The options that every generator has, under its module's docstring."""
    summary, _, details = (description or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    total = f"events to generate per {per} (n={events})"
    add("n", nargs="?", type=event_count, default=events, metavar="n=NUMBER", help=total)
    add("--output", type=Path, default=Path(), metavar="DIR", help="folder of the files (here)")
    add("--seed", type=natural, default=1, help="any whole number from 1 (1)")
    add("--workers", type=natural, default=os.cpu_count(), help="processes (all cores)")
    add("--force", action="store_true", help="overwrite an existing file")
    return parser


def produce(
    jobs: Sequence[Job],
    make: Callable[[Any, Chunk], Columns],
    finish: Callable[[Any], None],
    options: argparse.Namespace,
) -> None:
    """Make the chunks of each job, and the file from them."""
    for job in jobs:
        if job.target.exists() and not options.force:
            raise GenerationError(f"{job.target} exists: choose another --output, or --force")
    for package in ("pythia8mc", "fastjet"):
        require(package)
    for job in jobs:
        open_work(job)
    for job in jobs:
        make_chunks(job, make, options.workers)
        finish(job)
        print(f"{job.target} written; its chunks in {work_folder(job)} may be removed")


def exit_status(run: Callable[[], None]) -> int:
    """Run a command: 0, or 1 and 130 with one line where it fails or is interrupted."""
    try:
        run()
    except GenerationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from the finished chunks", file=sys.stderr)
        return INTERRUPTED
    return 0
