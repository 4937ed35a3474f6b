"""One job of `calibrate apply` over many files."""

from __future__ import annotations

import json
from pathlib import Path

from calibrate.apply import Options, apply_each
from calibrate.cli.order import Order
from calibrate.cli.shared_calibration import shared_calibration
from calibrate.context import Context, Progress
from calibrate.storage import write_text
from calibrate.sweep.runs import REPORT, attempts


def perform(order: Order, folder: Path, progress: Progress) -> None:
    """One job: the files of a chunk, one after the other."""
    given = order.recipe["configuration"]
    calibration = shared_calibration(given["calibration"])
    pairs = [(Path(source), Path(target)) for source, target in given["files"]]
    earlier = [path for path in attempts(folder) if path != folder]
    done = apply_each(
        calibration,
        pairs,
        folder,
        earlier,
        Options(**given["options"]),
        Context(progress=progress),
    )
    document = {"schema": 1, "run": {"content": order.content}, "files": [d.plain() for d in done]}
    write_text(folder / REPORT, json.dumps(document, indent=1))
