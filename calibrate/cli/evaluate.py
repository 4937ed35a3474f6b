"""`calibrate evaluate`: the stored calibration of a run on another dataset."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from omegaconf import OmegaConf

from calibrate.cli.compose import METHOD, named_groups
from calibrate.cli.planning import Plan, plan
from calibrate.cli.run import execute
from calibrate.errors import ConfigurationError
from calibrate.loading import fitted_file, load_calibration
from calibrate.provenance import sha256
from calibrate.report.files import CONFIGURATION_FILE, JSON_FILE
from calibrate.stored import AllEvents, Stored
from calibrate.study import Study

BASELINE = "none"
UNNAMED = "stored"
HARMLESS = ("spectators", "units", "uncalibrated", "positive", "tests")
"""Options of a dataset that leave the events, and their split, as they are."""


def evaluate(run: str, overrides: Sequence[str]) -> int:
    """Evaluate a run's calibration; a method in the overrides is compared with it."""
    calibration = load_calibration(run)
    document, trained = _document(run), _configuration(run)
    named = named_groups(overrides)
    added = [] if METHOD in named else [f"{METHOD}={BASELINE}"]
    added += [f"seed={trained['seed']}"] if "seed" in trained and "seed" not in named else []
    planned = plan([*overrides, *added])
    if planned.study.replicas:
        raise ConfigurationError("replicas are refits: give them to calibrate run, not to evaluate")
    label = str(document.get("run", {}).get("method", UNNAMED))
    label = UNNAMED if label in planned.study.methods else label
    needs_training = set(planned.study.methods) - {BASELINE, "column"}
    trained_on = document.get("run", {}).get("data_sha256", {}).values()
    data: Any = planned.study.data
    study = Study(
        AllEvents(
            data,
            frozenset(trained_on),
            _same_split(trained, planned.configuration),
            [column.name for column in calibration.domain.z_columns],
            keep_split=bool(needs_training),
        ),
        {label: Stored(calibration), **planned.study.methods},
        planned.study.evaluators,
    )
    others = (planned.method, *planned.compare_with)
    changed: Plan = replace(planned, study=study, method=label, compare_with=others)
    command = shlex.join(["calibrate", "evaluate", run, *overrides])
    stored = {"stored": {"path": run, "sha256": sha256(fitted_file(run))}}
    return execute(changed, command, stored)


def _configuration(run: str) -> dict[str, Any]:
    """The configuration that the run was composed to, if it is there."""
    path = fitted_file(run).with_name(CONFIGURATION_FILE)
    return _plain(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _same_split(trained: Mapping[str, Any], configuration: str) -> bool:
    """Whether seed and data options are the same, but for those that do not change the split."""
    asked = _plain(configuration)
    options = [{k: v for k, v in (c.get("data") or {}).items() if k not in HARMLESS}
               for c in (trained, asked)]  # fmt: skip
    return trained.get("seed") == asked.get("seed") and options[0] == options[1]


def _plain(text: str) -> dict[str, Any]:
    found = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    return {str(k): v for k, v in found.items()} if isinstance(found, dict) else {}


def _document(run: str) -> dict[str, Any]:
    """The `report.json` beside the calibration, if there is one."""
    path = fitted_file(run).with_name(JSON_FILE)
    if not path.is_file():
        return {}
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
