"""Numbers of trained scores, beside what is known of them.

python benchmarks/score_numbers.py toy higgsml=PATH

`toy`: areas under ROC curves and distances to the exact score. `higgsml`: areas beside those of
boosted trees on the same split; and how much the logit of one test event changes when its tau
energy is scaled and the score is told so. Both classes are moved by the same invertible map, so
that nothing changes for the best score. Times are CPU seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

import numpy as np
from scipy.special import logit
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingClassifier

from calibrate.cli.planning import plan
from calibrate.context import Context
from calibrate.data.higgsml import HiggsML
from calibrate.estimate import Score
from calibrate.evaluators.score import ScoreEvaluator
from calibrate.methods.training_events import balanced
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import area_under_curve
from calibrate.task import InferenceTask

SCALES = (0.8, 0.9, 1.0, 1.1, 1.14)
SEEDS = 3
TREES = {"max_iter": 150, "learning_rate": 0.05, "max_leaf_nodes": 15, "min_samples_leaf": 50}


def main() -> None:
    """Run the parts that are named."""
    for part in sys.argv[1:] or ("toy",):
        name, _, path = part.partition("=")
        toy() if name == "toy" else higgsml(path)


def toy() -> None:
    """All methods as `experiment=angle` has them."""
    study = plan(["experiment=angle"]).study
    task: InferenceTask = study.data.inference(Context())
    fits: dict[str, Score] = {}
    for label, method in study.methods.items():
        start = time.process_time()
        fits[label] = method.fit(task, Context().child(label))
        print(f"{label:24} {time.process_time() - start:5.1f} s")
    found = ScoreEvaluator()(fits, task, lambda other, label: fits[label], Context())
    expected = norm.cdf(np.sqrt(2) * np.cos([0, np.pi / 4]) / 0.7)
    there, away = (f"{area:.5f}" for area in expected)
    print(f"{'closed form':24} AUC {there} at its angle, {away} at π/4 from it")
    for label, scalars in found.scalars.items():
        areas = [scalars[f"score/{place}/auc"] for place in ("0.7854", "1.571")]
        said = "   ".join(f"{area.value:.5f} ± {area.error:.5f}" for area in areas)
        worst = scalars["score/max_mean_abs_difference"].value
        print(f"{label:24} AUC {said}   largest mean |Δscore| {worst:.4f}")


def higgsml(path: str) -> None:
    """All methods as `experiment=higgsml` has them, on the rows of a file."""
    task = HiggsML(path).inference(Context())
    _trees(task)
    methods = plan(["experiment=higgsml", f"data.path={path}"]).study.methods
    for label, method in methods.items():
        start = time.process_time()
        fits = [method.fit(task, Context(seed)) for seed in range(SEEDS)]
        seconds = (time.process_time() - start) / SEEDS
        print(f"{label:24} {seconds:5.1f} s   AUC {_areas(fits, task)}")
        if label != "oracle_classifier":
            print(f"{'':24} change of the logit (mean, rms) {_changes(fits, task)}")


def _trees(task: InferenceTask) -> None:
    found = []
    for scale in SCALES:
        train, test = (balanced(part.at({"tau": scale})) for part in (task.train, task.test))
        trees = HistGradientBoostingClassifier(**TREES).fit(train.x, train.z[:, 0], train.w)
        found.append(_area(trees.predict_proba(test.x)[:, 1], test))
    said = "  ".join(f"{s:g}: {area:.4f}" for s, area in zip(SCALES, found, strict=True))
    print(f"{'boosted trees, each scale':24}         AUC {said}")


def _areas(fits: list[Score], task: InferenceTask) -> str:
    said = []
    for scale in SCALES:
        values, events = {"tau": scale}, task.test.at({"tau": scale})
        if hasattr(fits[0], "knows") and not fits[0].knows(values):
            continue
        areas = [_area(fit.knowing(values).score(events.x, values), events) for fit in fits]
        said.append(f"{scale:g}: {np.mean(areas):.4f}")
    return "  ".join(said)


def _changes(fits: list[Score], task: InferenceTask) -> str:
    said = []
    for scale in SCALES:
        changes = [_change(fit, task, scale) for fit in fits]
        if scale != 1:
            mean, rms = np.mean([[c.mean(), np.sqrt(np.mean(c**2))] for c in changes], axis=0)
            said.append(f"{scale:g}: {mean:+.2f}, {rms:.2f}")
    return "  ".join(said)


def _change(fit: Score, task: InferenceTask, scale: float) -> FloatArray:
    """Of the events above the threshold at both scales."""
    one, other = (_logits(fit, task, {"tau": value}) for value in (1.0, scale))
    return np.array([other[number] - one[number] for number in sorted(one.keys() & other.keys())])


def _logits(fit: Score, task: InferenceTask, values: Mapping[str, float]) -> dict[int, float]:
    events = task.test.at(values)
    score = np.clip(fit.score(events.x, values), 1e-7, 1 - 1e-7)
    return dict(zip(events.group.tolist(), logit(score).tolist(), strict=True))


def _area(score: FloatArray, events: Sample) -> float:
    signal = events.z[:, 0] == 1
    parts = [(each[~signal], each[signal]) for each in (score, events.w, events.group)]
    return area_under_curve(*parts[0], *parts[1], *parts[2])[0]


if __name__ == "__main__":
    main()
