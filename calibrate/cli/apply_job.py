"""One job of `calibrate apply` over many files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calibrate.apply import Options, apply_each
from calibrate.cli.apply_table import attempts
from calibrate.context import Context, Progress
from calibrate.errors import CalibrateError
from calibrate.estimate import Calibration
from calibrate.loading import load_calibration
from calibrate.storage import write_text
from calibrate.sweep.job import Job
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.runs import REPORT


def perform(
    ledger: Ledger, job: Job, recipe: Mapping[str, Any], folder: Path, progress: Progress
) -> None:
    """One job: the files of a chunk, one after the other."""
    given = recipe["configuration"]
    calibration = _loaded(given["calibration"], ledger)
    pairs = [(Path(source), Path(target)) for source, target in given["files"]]
    earlier = [path for path in attempts(ledger.folder, job) if path != folder]
    done = apply_each(
        calibration,
        pairs,
        folder,
        earlier,
        Options(**given["options"]),
        Context(progress=progress),
    )
    document = {"schema": 1, "run": {"content": job.content}, "files": [d.plain() for d in done]}
    write_text(folder / REPORT, json.dumps(document, indent=1))


def _loaded(path: str, ledger: Ledger) -> Calibration:
    """The calibration; the other jobs need not try if it cannot be used."""
    try:
        return load_calibration(path)
    except CalibrateError as error:
        ledger.stop(str(error))
        raise
