"""One job of `calibrate evaluate -m`: the calibration on a chunk of files, stored as a part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from calibrate.cli.order import Order
from calibrate.cli.planning import Plan, built
from calibrate.cli.recipe import Recipe
from calibrate.cli.shared_calibration import shared_calibration
from calibrate.context import Progress
from calibrate.errors import DataError
from calibrate.evaluators.parts import MergingEvaluator, StoredPart
from calibrate.provenance import file_state
from calibrate.storage import atomic, write_text
from calibrate.stored import Stored, other_names
from calibrate.sweep.runs import REPORT
from calibrate.task import NOMINAL, RegressionTask

GROUPS = "groups.npy"


class Chunk(NamedTuple):
    """What a job is given besides the recipe of its evaluation."""

    number: int
    calibration: str
    label: str
    trained_on: list[str]


def perform(order: Order, folder: Path, progress: Progress) -> None:
    """One job: what is left of it is a part, and what a report says of its files."""
    planned, chunk = plan_of(order.recipe), Chunk(**order.recipe["chunk"])
    context = planned.context(progress)
    data: Any = planned.study.data
    calibration = shared_calibration(chunk.calibration)
    task, keys = data.whole(context)
    _refuse_trained(task, chunk)
    methods: Mapping[str, Any] = {chunk.label: Stored(calibration), **planned.study.methods}
    fits = {label: each.fit(task, context.child(label)) for label, each in methods.items()}
    merging = evaluators(planned).values()
    for evaluator in merging:
        evaluator.check(task)
    kept = {name for evaluator in merging for name in evaluator.columns}
    StoredPart.written(folder, chunk.number, task.tests[NOMINAL], fits, kept)
    if keys is not None:
        with atomic(folder / GROUPS) as temporary, temporary.open("wb") as file:
            np.save(file, keys)
    names = [column.name for column in calibration.domain.z_columns]
    document = {
        "schema": 1,
        "run": {"content": order.content},
        "data_sha256": dict(task.files),
        "states": {path: file_state(Path(path)) for path in task.files},
        "notes": list(task.notes),
        "warnings": [*task.warnings, *other_names(names, task)],
    }
    write_text(folder / REPORT, json.dumps(document, indent=1))


def plan_of(recipe: Mapping[str, Any]) -> Plan:
    """The plan of a recipe that may hold more than a run's."""
    return built(Recipe.of(recipe))


def evaluators(planned: Plan) -> dict[str, MergingEvaluator]:
    """The evaluators that can merge parts, by name."""
    named = planned.study.evaluators.items()
    return {name: each for name, each in named if isinstance(each, MergingEvaluator)}


def _refuse_trained(task: RegressionTask, chunk: Chunk) -> None:
    """Raise DataError for a file that the calibration was derived from."""
    for path, digest in task.files.items():
        if digest in chunk.trained_on:
            raise DataError(
                f"{path} holds events that the calibration was derived from: leave it out, or "
                "evaluate without -m, which tests on what the training left"
            )
