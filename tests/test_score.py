"""The evaluator of scores, its figures and verdicts, and runs of inference tasks as a user makes
them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from calibrate.apply import Options
from calibrate.cli.apply import apply_run
from calibrate.cli.compare import compare_runs
from calibrate.cli.evaluate import evaluate
from calibrate.cli.planning import plan
from calibrate.cli.run import run
from calibrate.context import Context
from calibrate.data.angle import Angle, AngleScore
from calibrate.errors import ConfigurationError, DataError, MisfitError
from calibrate.evaluators.score import ScoreEvaluator
from calibrate.figures import figures_for
from calibrate.methods.exact_classifier import ExactClassifier, ExactScore
from calibrate.methods.oracle_classifier import OracleClassifier
from calibrate.records import (
    CANNOT_TELL,
    CLOSES,
    FAILS,
    DecisionMap,
    Findings,
    FitSummary,
    Outcome,
    Quantity,
    SeparationCurve,
)
from calibrate.report.inference_verdict import sentence_and_state
from calibrate.sample import concatenate
from calibrate.task import InferenceTask, LabelledEvents
from tests.test_classifiers import QUICK, Reweighted

TURNED = math.pi / 2


@pytest.fixture(scope="module")
def task() -> InferenceTask:
    return Angle(n=500, n_test=20_000).inference(Context())


class Frozen(ExactScore):
    """The score that is right for π/4, whatever is assumed."""

    def score(self, x, values):
        return self.exact(x, {"angle": math.pi / 4})


@pytest.fixture(scope="module")
def findings(task: InferenceTask) -> Findings:
    exact = ExactClassifier().fit(task, Context())
    frozen = Frozen(exact.domain, exact.exact)
    oracle = OracleClassifier(**QUICK).fit(task, Context())
    fits = {"exact": exact, "frozen": frozen, "oracle": oracle}
    return ScoreEvaluator(values=7)(fits, task, lambda task, label: exact, Context())


def test_areas_are_those_of_the_closed_form(findings):
    for curve in findings.records:
        if isinstance(curve, SeparationCurve) and curve.method == "frozen":
            expected = norm.cdf(math.sqrt(2) * np.cos(curve.values - math.pi / 4) / 0.7)
            np.testing.assert_array_less(np.abs(curve.auc - expected), 4 * curve.error)
            assert curve.values.size == 8
            np.testing.assert_allclose(curve.observed, [math.pi / 4, TURNED])


def test_metrics_are_quoted_at_the_nominal_value_and_at_the_points(findings):
    names = {name for name in findings.scalars["frozen"] if name.endswith("/auc")}
    assert names == {"score/0.7854/auc", "score/1.571/auc"}
    assert findings.scalars["frozen"]["score/1.571/auc"].value < 0.94
    assert findings.scalars["exact"]["score/max_mean_abs_difference"].value == 0
    far = findings.scalars["frozen"]["score/1.571/mean_abs_difference"]
    assert 0.05 < far.value < findings.scalars["frozen"]["score/max_mean_abs_difference"].value


def test_the_distance_counts_both_classes_the_same(task):
    exact = ExactClassifier().fit(task, Context())
    frozen = Frozen(exact.domain, exact.exact)
    found = ScoreEvaluator(values=2)({"frozen": frozen}, task, lambda t, label: exact, Context())
    events = task.test.at({"angle": TURNED})
    away = np.abs(frozen.score(events.x, {}) - task.exact(events.x, {"angle": TURNED}))
    means = [away[events.z[:, 0] == label].mean() for label in (0, 1)]
    quoted = found.scalars["frozen"]["score/1.571/mean_abs_difference"].value
    assert quoted == pytest.approx(np.mean(means))


@dataclass(frozen=True)
class Twice:
    """Each event twice, with half the weight each."""

    events: LabelledEvents

    def __len__(self) -> int:
        return 2 * len(self.events)

    def at(self, values):
        sample = self.events.at(values)
        return concatenate([sample, sample]).with_weights(0.5 * np.tile(sample.w, 2))


def test_events_of_one_group_count_as_one(task):
    exact = ExactClassifier().fit(task, Context())
    frozen = Frozen(exact.domain, exact.exact)
    one, other = (
        ScoreEvaluator(values=2)({"frozen": frozen}, t, lambda t, label: exact, Context())
        .scalars["frozen"]["score/1.571/mean_abs_difference"]
        for t in (task, replace(task, test=Twice(task.test)))
    )  # fmt: skip
    assert (other.value, other.error) == pytest.approx((one.value, one.error))


def test_the_oracle_is_judged_where_it_has_a_network(findings):
    (curve,) = [r for r in findings.records
                if isinstance(r, SeparationCurve) and r.method == "oracle"]  # fmt: skip
    known = curve.values[np.isfinite(curve.auc)]
    np.testing.assert_allclose(known, [math.pi / 4, TURNED])
    assert len(findings.tables["oracle"]["score"].rows) == 2


def test_maps_of_two_features_show_the_score_at_two_angles(findings):
    maps = [r for r in findings.records if isinstance(r, DecisionMap) and r.method == "exact"]
    assert [each.value for each in maps] == [math.pi / 4, TURNED]
    x = np.stack([np.full_like(maps[1].y, maps[1].x[3]), maps[1].y], axis=1)
    np.testing.assert_allclose(maps[1].score[3], AngleScore(0.7)(x, {"angle": TURNED}))


def test_fewer_events_give_the_same_within_errors(task, findings):
    exact = ExactClassifier().fit(task, Context())
    few = ScoreEvaluator(values=2, events=4000)
    found = few({"exact": exact}, task, lambda t, label: exact, Context()).scalars["exact"]
    one, other = found["score/1.571/auc"], findings.scalars["exact"]["score/1.571/auc"]
    assert one.error > 2 * other.error
    assert abs(one.value - other.value) < 4 * one.error


def test_negative_weights_are_refused(task):
    exact = ExactClassifier().fit(task, Context())
    negative = replace(
        task, test=Reweighted(task.test, lambda s: np.where(s.x[:, 0] > 3, -s.w, s.w))
    )
    with pytest.raises(DataError, match="weights"):
        ScoreEvaluator(values=2)({"exact": exact}, negative, lambda t, label: exact, Context())


def test_figures_show_every_method(findings):
    figures = figures_for(findings.records, ("exact", "frozen", "oracle"))
    assert set(figures) == {"score", "decision"}
    drawn = {artist.get_gid() for axes in figures["score"].axes for artist in axes.get_children()}
    assert {"exact:auc", "frozen:auc", "oracle:auc", "frozen:difference"} <= drawn
    assert [axes.get_title() for axes in figures["decision"].axes] == ["", ""]


@pytest.mark.parametrize("options", [{"values": 1}, {"events": 0}])
def test_wrong_options_are_refused(options):
    with pytest.raises(ConfigurationError, match=r"evaluator\.score\."):
        ScoreEvaluator(**options)


# Verdicts


def outcome(metrics: dict[str, dict[str, Quantity]]) -> Outcome:
    summaries = {label: FitSummary() for label in metrics}
    return Outcome(tuple(metrics), metrics, {}, (), summaries, (), (), {}, "")


def areas(value: float, error: float = 0.001, **more: float) -> dict[str, Quantity]:
    quoted = {f"score/1.571/{name}": Quantity(each) for name, each in more.items()}
    return {"score/1.571/auc": Quantity(value, error), **quoted}


def interval(low: float, high: float) -> dict[str, Quantity]:
    where = "likelihood/mu1_nuisance1.571"
    return {f"{where}/mu_low": Quantity(low), f"{where}/mu_high": Quantity(high)}


@pytest.mark.parametrize(
    ("metrics", "state", "said"),
    [
        ({"a": areas(0.92, exact_auc=0.978)}, FAILS, "a separates less well than the exact score"),
        ({"a": areas(0.977, exact_auc=0.978)}, CLOSES, "a separates as well as the exact score"),
        ({"a": areas(0.97)}, CANNOT_TELL, "with AUC 0.9700 ± 0.0010 at 1.571"),
        (
            {"a": areas(0.97), "oracle_classifier": areas(0.98)},
            FAILS,
            "less well than oracle_classifier: AUC 0.9700 ± 0.0010 at 1.571, 0.01 below it at most",
        ),
        (
            {"a": interval(0.9, 1.1), "oracle_classifier": interval(0.901, 1.1)},
            CLOSES,
            "a measures μ as well as oracle_classifier: intervals of 1.01 to 1.01 times the width",
        ),
        (
            {"a": interval(0.8, 1.2), "exact_classifier": interval(0.9, 1.1)},
            FAILS,
            "less well than exact_classifier: intervals of 2 to 2 times the width, the widest at",
        ),
        ({"a": interval(0.9, 1.1)}, CANNOT_TELL, "a measures μ with half intervals ±0.1"),
    ],
)
def test_a_verdict_compares_with_what_knows_the_truth(metrics, state: str, said: str):
    sentence, found = sentence_and_state("a", outcome(metrics))
    assert found == state
    assert said in sentence


# Runs


SMALL = ("data.n=500", "data.n_test=500", "evaluator=[score]")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    for method in ("exact_classifier", "baseline_classifier"):
        assert run(["data=angle", f"method={method}", f"output={folder}", *SMALL]) == 0
    return [path.parent for path in sorted(folder.glob("*/*/*/report.json"), reverse=True)]


def test_a_run_leaves_metrics_page_and_score(runs):
    report = json.loads((runs[0] / "report.json").read_text("utf-8"))
    assert report["run"]["method"] == "exact_classifier"
    assert report["metrics"]["score/1.571/auc"]["value"] > 0.97
    assert report["metrics"]["baseline_classifier:score/1.571/auc"]["value"] < 0.95
    page = (runs[0] / "report.html").read_text("utf-8")
    assert "baseline_classifier separates less well than the exact score" in page
    assert "Decision functions" in page


def test_runs_of_scores_are_compared(runs, tmp_path: Path, capsys):
    folders = [str(path) for path in runs]
    assert compare_runs(folders, (), str(tmp_path / "compared"), figures=False) == 0
    compared = json.loads((tmp_path / "compared/comparison.json").read_text("utf-8"))
    assert compared["task"] == "inference"
    assert compared["metrics"]["score/1.571/auc"]["exact_classifier"]["best"]
    assert "separates as well as the exact score" in capsys.readouterr().out


def test_a_score_is_neither_applied_nor_evaluated_elsewhere(runs, tmp_path: Path):
    for refused in (
        lambda: evaluate(str(runs[0]), ["data=angle"]),
        lambda: apply_run(str(runs[0]), ["a.csv", str(tmp_path / "b.csv")], Options()),
    ):
        with pytest.raises(
            MisfitError, match=r"score of signal over background.*score\(x, values\)"
        ):
            refused()


def test_inference_has_no_replicas_and_no_regressors():
    with pytest.raises(ConfigurationError, match="replicas=3: bootstrap refits are made of regr"):
        plan(["data=angle", "method=baseline_classifier", "replicas=3"])
    with pytest.raises(MisfitError, match="data=angle offers inference, but mse"):
        plan(["data=angle", "method=mse"])
    with pytest.raises(MisfitError, match="none is for regression and transport"):
        plan(["data=angle", "method=baseline_classifier", "compare_with=[none]"])
    with pytest.raises(MisfitError, match="closure is for regression"):
        plan(["data=angle", "method=baseline_classifier", "evaluator=[closure]"])
