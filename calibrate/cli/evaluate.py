"""`calibrate evaluate`: the stored calibration of a run on another dataset."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from calibrate.cli.compose import METHOD, Plan, named_groups, plan
from calibrate.cli.run import execute
from calibrate.loading import fitted_file, load_calibration
from calibrate.provenance import sha256
from calibrate.report.files import JSON_FILE
from calibrate.stored import AllEvents, Stored
from calibrate.study import Study

BASELINE = "none"
UNNAMED = "stored"


def evaluate(run: str, overrides: Sequence[str]) -> int:
    """Evaluate a run's calibration; a method in the overrides is compared with it."""
    calibration = load_calibration(run)
    document = _document(run)
    named = METHOD in named_groups(overrides)
    planned = plan(overrides if named else [*overrides, f"{METHOD}={BASELINE}"])
    label = str(document.get("run", {}).get("method", UNNAMED))
    label = UNNAMED if label in planned.study.methods else label
    needs_training = set(planned.study.methods) - {BASELINE, "column"}
    trained_on = document.get("run", {}).get("data_sha256", {}).values()
    data: Any = planned.study.data
    study = Study(
        data if needs_training else AllEvents(data, frozenset(trained_on)),
        {label: Stored(calibration), **planned.study.methods},
        planned.study.evaluators,
    )
    others = (planned.method, *planned.compare_with)
    changed: Plan = replace(planned, study=study, method=label, compare_with=others)
    command = shlex.join(["calibrate", "evaluate", run, *overrides])
    stored = {"stored": {"path": run, "sha256": sha256(fitted_file(run))}}
    return execute(changed, command, stored)


def _document(run: str) -> dict[str, Any]:
    """The `report.json` beside the calibration, if there is one."""
    path = fitted_file(run).with_name(JSON_FILE)
    if not path.is_file():
        return {}
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
