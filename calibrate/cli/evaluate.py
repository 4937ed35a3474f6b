"""`calibrate evaluate`: the stored calibration of a run on another dataset."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from calibrate.cli.compose import METHOD, named_groups
from calibrate.cli.planning import Plan, plan
from calibrate.cli.recipe import plain_options
from calibrate.cli.run import execute
from calibrate.data.training_sample import OPTIONS, TrainingSample
from calibrate.errors import ConfigurationError
from calibrate.estimate import Calibration
from calibrate.evaluators.prior_stress import PriorStress
from calibrate.loading import load_calibration
from calibrate.provenance import sha256
from calibrate.report.files import CONFIGURATION_FILE, JSON_FILE
from calibrate.storage import fitted_file
from calibrate.stored import AllEvents, Stored
from calibrate.study import Study

BASELINE = "none"
UNNAMED = "stored"
UNTRAINED = (BASELINE, "column")
"""Methods that nothing is derived for."""
HARMLESS = (
    *("spectators", "units", "uncalibrated", "positive", "tests", "resonance_masses"),
    *OPTIONS,
)
DATA_SIDE = "target_"
"""Options of a dataset that leave the events of a regression, and their split, as they are; those
that begin so are about the data of a transport."""


@dataclass(frozen=True)
class Asked:
    """An evaluation that is asked for: the calibration of a run and its label, the plan of what it
    is evaluated on and beside, the overrides completed; `trained_on` are the sha256 of the files of
    its training."""

    run: str
    calibration: Calibration
    label: str
    planned: Plan
    overrides: tuple[str, ...]
    trained: Mapping[str, Any]
    trained_on: frozenset[str]

    @classmethod
    def of(cls, run: str, overrides: Sequence[str]) -> Asked:
        """Load the calibration and compose the rest; a method in the overrides is compared with it.

        Raises ConfigurationError for options that derive a calibration again.
        """
        calibration = load_calibration(run)
        document, trained = _document(run), _configuration(run)
        named = named_groups(overrides)
        added = [] if METHOD in named else [f"{METHOD}={BASELINE}"]
        added += [f"seed={trained['seed']}"] if "seed" in trained and "seed" not in named else []
        planned = plan([*overrides, *added])
        _refuse_fits(planned)
        label = str(document.get("run", {}).get("method", UNNAMED))
        label = UNNAMED if label in planned.study.methods else label
        trained_on = frozenset(document.get("run", {}).get("data_sha256", {}).values())
        complete = (*overrides, *added)
        return cls(run, calibration, label, planned, complete, trained, trained_on)

    @property
    def fitted_beside(self) -> list[str]:
        """The methods beside it that are trained on the data."""
        return [name for name in self.planned.study.methods if name not in UNTRAINED]

    @property
    def truths(self) -> list[str]:
        """The truth columns that it estimates."""
        return [column.name for column in self.calibration.domain.z_columns]

    def plan(self, data: Any) -> Plan:  # noqa: ANN401 - any dataset
        """The plan with the calibration as the studied method, on this dataset."""
        study = self.planned.study
        methods = {self.label: Stored(self.calibration), **study.methods}
        others = (self.planned.method, *self.planned.compare_with)
        changed = Study(data, methods, study.evaluators)
        return replace(self.planned, study=changed, method=self.label, compare_with=others)

    @property
    def stored(self) -> dict[str, str]:
        """Which calibration it is, for the report."""
        return {"path": self.run, "sha256": sha256(fitted_file(self.run))}


def evaluate(run: str, overrides: Sequence[str]) -> int:
    """Evaluate a run's calibration; a method in the overrides is compared with it."""
    asked = Asked.of(run, overrides)
    data: Any = asked.planned.study.data
    events = AllEvents(
        data,
        asked.trained_on,
        _same_split(asked.trained, asked.planned.configuration),
        asked.truths,
        keep_split=bool(asked.fitted_beside),
    )
    command = shlex.join(["calibrate", "evaluate", run, *overrides])
    return execute(asked.plan(events), command, {"stored": asked.stored})


def _refuse_fits(planned: Plan) -> None:
    """A stored calibration cannot be derived again: each refit would be itself, hence universal."""
    study = planned.study
    if isinstance(study.data, TrainingSample):
        raise ConfigurationError(
            f"{' and '.join(f'data.{option}' for option in OPTIONS)} change the training sample: "
            "give them to calibrate run, not to evaluate"
        )
    derived = [each for each in study.evaluators.values()
               if isinstance(each, PriorStress) and each.refits]  # fmt: skip
    for option, asked in (("replicas", study.replicas), ("evaluator.prior_stress.refits", derived)):
        if asked:
            raise ConfigurationError(
                f"{option} are refits: give them to calibrate run, not to evaluate"
            )


def _configuration(run: str) -> dict[str, Any]:
    """The configuration that the run was composed to, if it is there."""
    path = fitted_file(run).with_name(CONFIGURATION_FILE)
    return plain_options(path.read_text(encoding="utf-8"), path) if path.is_file() else {}


def _same_split(trained: Mapping[str, Any], configuration: str) -> bool:
    """Whether seed and data options are the same, but for those that do not change the split."""
    asked = plain_options(configuration, "the configuration")
    options = [{k: v for k, v in (c.get("data") or {}).items()
                if k not in HARMLESS and not k.startswith(DATA_SIDE)}
               for c in (trained, asked)]  # fmt: skip
    return trained.get("seed") == asked.get("seed") and options[0] == options[1]


def _document(run: str) -> dict[str, Any]:
    """The `report.json` beside the calibration, if there is one."""
    path = fitted_file(run).with_name(JSON_FILE)
    if not path.is_file():
        return {}
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
