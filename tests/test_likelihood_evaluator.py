"""The evaluator of likelihoods on the angle toy: what it measures, tells and refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.known_scores import Known
from calibrate.context import Context
from calibrate.data.angle import Angle, AngleEvents
from calibrate.errors import ConfigurationError, FitError
from calibrate.evaluators.likelihood import LikelihoodEvaluator, reference_of
from calibrate.figures import figures_for
from calibrate.records import (
    Findings,
    LikelihoodMap,
    ProfileCurve,
    Repetitions,
    TemplateCurve,
    WorkspaceFile,
)
from calibrate.storage import load_records, save_records
from calibrate.task import InferenceTask, Nuisance, Point

QUARTER, HALF = math.pi / 4, math.pi / 2
AT_QUARTER, AT_HALF = "likelihood/mu1_nuisance0.7854", "likelihood/mu1_nuisance1.571"
FAST = {"experiments": 0, "values": 11, "workspaces": False}


FITS = {"aware": Known(), "oracle": Known(0.0, oracle=True), "frozen": Known(QUARTER)}


def task_of(*points: tuple[float, float], **options: Any) -> InferenceTask:
    given = {"n": 200, "n_test": 20_000, "points": [list(p) for p in points], **options}
    return Angle(**given).inference(Context())


def run(task: InferenceTask, fits: Mapping[str, Known] = FITS, **options: Any) -> Findings:
    evaluator = LikelihoodEvaluator(**{**FAST, **options})
    return evaluator(fits, task, lambda task, label: fits[label], Context())


@pytest.fixture(scope="module")
def both() -> Findings:
    return run(task_of((1, QUARTER), (1, HALF)), experiments=40, workspaces=True)


def test_the_aware_score_measures_as_well_as_the_oracle(both: Findings):
    for at in (AT_QUARTER, AT_HALF):
        found = both.scalars["aware"][f"{at}/width_ratio"]
        assert found.value == pytest.approx(1.0, abs=max(0.03, 3 * found.error))
    frozen = both.scalars["frozen"][f"{AT_HALF}/width_ratio"]
    assert frozen.value - 3 * frozen.error > 1.3
    assert f"{AT_HALF}/width_ratio" not in both.scalars["oracle"]


def test_numbers_of_one_point_fit_together(both: Findings):
    for label in FITS:
        found = {k.rpartition("/")[2]: v for k, v in both.scalars[label].items() if AT_HALF in k}
        assert found["mu_low"].value < found["mu_hat"].value < found["mu_high"].value
        assert found["mu_low_95"].value < found["mu_low"].value
        assert found["width"].value == pytest.approx(found["mu_hat"].error)
        assert found["width_statistical"].value <= found["width_exact_templates"].value * 1.001
        assert found["width_exact_templates"].value < found["width"].value
        assert found["over_constraint"].value == pytest.approx(found["nuisance_hat"].error / 0.5)
        assert found["nuisance_hat"].unit == "rad"
        assert 0 < found["over_constraint"].value < 1
        assert abs(found["bias"].value) < found["spread"].value


def test_records_are_stored_and_drawn(both: Findings, tmp_path: Path):
    save_records(tmp_path / "findings.h5", both.records)
    records = load_records(tmp_path / "findings.h5")
    kinds = [type(record) for record in records]
    assert kinds.count(ProfileCurve) == kinds.count(LikelihoodMap) == kinds.count(Repetitions) == 6
    assert kinds.count(TemplateCurve) == 3
    drawn = figures_for(records, list(FITS))
    assert {f"likelihood_{p}" for p in ("mu1_nuisance0.7854", "mu1_nuisance1.571")} <= set(drawn)
    assert {"pseudo_experiments", "templates_aware", "likelihood_map_mu1_nuisance1.571"} <= set(
        drawn
    )
    curve = next(r for r in records if isinstance(r, ProfileCurve) and r.method == "aware")
    lines = {line.get_gid(): line for line in drawn["likelihood_mu1_nuisance0.7854"].axes[1].lines}
    shown = np.asarray(lines["aware"].get_ydata(), float)
    known = np.isfinite(shown)
    assert shown[known] == pytest.approx(curve.nll[known])
    rise = np.interp([curve.low, curve.high], curve.strengths, curve.nll)
    assert rise == pytest.approx([0.5, 0.5], abs=0.02)


def test_workspaces_are_those_of_the_nominal_score(both: Findings):
    files = [record for record in both.records if isinstance(record, WorkspaceFile)]
    assert len(files) == 6
    frozen, oracle = (
        json.loads(next(f.document for f in files if f.method == m and f.point.endswith("0.7854")))
        for m in ("frozen", "oracle")
    )
    assert frozen == oracle
    found = both.scalars["frozen"][f"{AT_QUARTER}/workspace_mu_hat"].value
    assert found == pytest.approx(1.0, abs=1e-4)


def test_tables_hold_the_metrics(both: Findings):
    table = both.tables["aware"]["likelihood"]
    row = dict(zip(table.columns, table.rows[1], strict=True))
    assert row["mu_hat"] == both.scalars["aware"][f"{AT_HALF}/mu_hat"].value
    assert row["width_ratio_error"] == both.scalars["aware"][f"{AT_HALF}/width_ratio"].error
    impacts = both.tables["frozen"]["impacts"]
    row = dict(zip(impacts.columns, impacts.rows[0], strict=True))
    assert (row["nuisance"], row["constraint_width"]) == ("angle", 0.5)
    assert row["post_fit_low"] < row["best"] < row["post_fit_high"]


def test_the_same_seed_gives_the_same_numbers():
    task = task_of((1, QUARTER))
    options = {"experiments": 5, "observed": "poisson"}
    first, second = (run(task, {"aware": Known()}, **options) for _ in range(2))
    assert first.scalars == second.scalars


def test_poisson_data_scatter_about_the_truth():
    found = run(task_of((1, QUARTER)), observed="poisson").scalars["aware"]
    best, width = found[f"{AT_QUARTER}/mu_hat"].value, found[f"{AT_QUARTER}/width"].value
    assert best != pytest.approx(1.0, abs=1e-4)
    assert abs(best - 1) < 4 * width


def test_an_auxiliary_measurement_narrows_the_nuisance():
    widths = []
    for events in (None, 20_000.0):
        options = {} if events is None else {"auxiliary": True, "control_events": events}
        found = run(task_of((1, QUARTER), **options), {"frozen": Known(QUARTER)})
        widths.append(found.scalars["frozen"][f"{AT_QUARTER}/nuisance_hat"].error)
    assert widths[1] < 0.3 * widths[0]


def test_a_control_sample_alone_may_constrain():
    found = run(task_of((1, QUARTER), auxiliary=True, width=None), {"aware": Known()})
    assert f"{AT_QUARTER}/over_constraint" not in found.scalars["aware"]
    best = found.scalars["aware"][f"{AT_QUARTER}/mu_hat"]
    assert best.value == pytest.approx(1.0, abs=0.5 * best.error)


def test_a_workspace_that_cannot_be_written_is_refused_before_anything_is_fitted():
    unconstrained = task_of((1, QUARTER), auxiliary=True, width=None)
    with pytest.raises(ConfigurationError, match=r"use evaluator\.likelihood\.workspaces=false"):
        LikelihoodEvaluator().check(unconstrained)
    LikelihoodEvaluator(workspaces=False).check(unconstrained)


def test_pyhf_that_is_not_there_is_missed_before_anything_is_fitted(monkeypatch):
    monkeypatch.setattr("calibrate.inference.histfactory.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="needs pyhf: pip install"):
        LikelihoodEvaluator(pyhf=True).check(task_of((1, QUARTER)))


def test_bounds_of_the_strength_are_told():
    found = run(task_of((1, QUARTER)), {"frozen": Known(QUARTER)}, strengths=[0.98, 1.5])
    assert found.scalars["frozen"][f"{AT_QUARTER}/mu_low"].value == 0.98
    assert any("ends at its bound 0.98" in warning for warning in found.warnings)
    with pytest.raises(ConfigurationError, match=r"leaves out the point with mu=1"):
        run(task_of((1, QUARTER)), strengths=[2, 3])


def test_a_nuisance_outside_the_training_is_told_or_left_out():
    ranges = {"angle": (0.3, 1.2)}
    task = task_of((1, QUARTER), (1, HALF))
    found = run(task, {"aware": Known(ranges=ranges), "frozen": Known(QUARTER, ranges=ranges)})
    assert f"{AT_HALF}/mu_hat" in found.scalars["frozen"]
    assert f"{AT_HALF}/mu_hat" not in found.scalars["aware"]
    said = "outside the range of the nuisances that the score was trained in"
    assert f"aware, mu1_nuisance1.571: {said}; left out" in found.warnings
    assert f"frozen, mu1_nuisance1.571: {said}" in found.warnings
    with pytest.raises(FitError, match=r"no likelihood could be fitted: .*left out"):
        run(task_of((1, HALF)), {"aware": Known(ranges=ranges)})


def test_an_untrained_nuisance_shifts_the_templates():
    """A score that does not know of the nuisance has templates that do."""

    @dataclass(frozen=True)
    class Scaled:
        """The toy at π/4 with features scaled by a second nuisance."""

        events: AngleEvents

        def __len__(self) -> int:
            return len(self.events)

        def at(self, values: Mapping[str, Any]) -> Any:
            sample = self.events.at({"angle": values["angle"]})
            return replace(sample, x=sample.x * values["scale"])

    task = task_of((1, QUARTER))
    scaled = replace(
        task, train=Scaled(task.train), test=Scaled(task.test),
        nuisances=(*task.nuisances, Nuisance("scale", 1.0, 0.02, low=0.9, high=1.1)),
        points=(Point(1.0, {"angle": QUARTER, "scale": 1.0}),),
    )  # fmt: skip
    found = run(scaled, {"frozen": Known(QUARTER)}).scalars["frozen"]
    at = "likelihood/mu1_angle0.7854_scale1"
    scale = found[f"{at}/nuisance_hat.scale"]
    assert scale.value == pytest.approx(1.0, abs=0.5 * scale.error)
    assert found[f"{at}/over_constraint.scale"].value < 1.05
    alone = run(task, {"frozen": Known(QUARTER)}).scalars["frozen"][f"{AT_QUARTER}/width"].value
    assert found[f"{at}/width"].value > alone


def test_the_oracle_is_the_reference_and_without_one_the_first():
    points = (Point(1.0, {"angle": HALF}),)
    assert reference_of(FITS, points) == "oracle"
    assert reference_of({"frozen": FITS["frozen"], "aware": FITS["aware"]}, points) == "frozen"


@pytest.mark.parametrize(("options", "message"), [
    ({"bins": 0}, "evaluator.likelihood.bins must be a positive integer"),
    ({"values": 3}, "evaluator.likelihood.values must be at least 4, got 3"),
    ({"experiments": 1}, "evaluator.likelihood.experiments must be at least 2, got 1"),
    ({"observed": "asimow"}, "evaluator.likelihood.observed='asimow': did you mean asimov"),
    ({"strengths": [3, 1]}, r"evaluator.likelihood.strengths takes \[low, high\]"),
    ({"pyhf": True, "workspaces": False}, "evaluator.likelihood.pyhf=true fits the workspaces"),
])  # fmt: skip
def test_wrong_options_are_named(options: dict, message: str):
    with pytest.raises(ConfigurationError, match=message):
        LikelihoodEvaluator(**options)


def test_a_task_without_points_is_refused():
    task = replace(task_of((1, QUARTER)), points=())
    with pytest.raises(ConfigurationError, match="needs observed points"):
        LikelihoodEvaluator().check(task)
