"""`calibrate compare`: finished runs of one dataset side by side."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibrate import provenance
from calibrate.cli.progress import progress
from calibrate.cli.recipe import plain_options
from calibrate.context import Context
from calibrate.report.comparison.comparison import Comparison, compare
from calibrate.report.comparison.files import write
from calibrate.report.comparison.runs import Run
from calibrate.report.files import create_folder, create_run_folder, read
from calibrate.report.html import verdict_of

ROOT, FOLDER = Path("outputs"), "comparisons"


def compare_runs(
    folders: Sequence[str], labels: Sequence[str], output: str | None, figures: bool
) -> int:
    """Compare the runs in these folders; prints verdicts and the page's path.

    Raises StorageError for a folder without a finished run, or an output that exists.
    """
    compared = compare([_run(Path(folder)) for folder in folders], labels)
    folder = _folder(output, next(iter(compared.runs.values())).data)
    about = _about(folders, labels, output, compared)
    page = write(folder, compared, about, figures, Context(progress=progress()))
    for text in compared.warnings:
        print(f"warning: {text}", file=sys.stderr)
    for label in compared.outcome.methods:
        print(verdict_of(label, compared.outcome).sentence)
    print(page)
    return 0


def _run(folder: Path) -> Run:
    outcome = read(folder)
    return Run.of(folder, outcome, plain_options(outcome.configuration, folder))


def _folder(output: str | None, data: str) -> Path:
    """A new folder: the one asked for, or one below `outputs/comparisons/`."""
    if output is None:
        return create_run_folder(ROOT, FOLDER, data)
    return create_folder(Path(output), "the folder", "--output FOLDER")


def _about(
    folders: Sequence[str], labels: Sequence[str], output: str | None, compared: Comparison
) -> dict[str, Any]:
    """What the comparison as a whole is of."""
    first = next(iter(compared.runs.values()))
    given = [part for label in labels for part in ("--label", label)]
    given += [] if output is None else ["--output", output]
    return {
        "command": shlex.join(["calibrate", "compare", *folders, *given]),
        "data": first.data,
        "task": first.kind,
        "data_sha256": first.outcome.run.get("data_sha256", {}),
        "version": provenance.version(),
        "commit": provenance.commit(),
    }
