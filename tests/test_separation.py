"""Telling two samples apart: the area under the curve and its error, the classifier, and what the
transport evaluator makes of them for one and several features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from calibrate.context import Context
from calibrate.errors import DataError
from calibrate.evaluators.separation import Separation
from calibrate.evaluators.transport import Transport
from calibrate.figures import figures_for
from calibrate.loading import load
from calibrate.methods.none import Uncalibrated
from calibrate.methods.ot import OptimalTransport
from calibrate.records import CANNOT_TELL, CLOSES, FAILS, TransportCurve, TwoSample
from calibrate.report import transport_verdict
from calibrate.report.files import read, write
from calibrate.sample import Column, Sample, concatenate
from calibrate.statistics import area_under_curve
from calibrate.study import Result, Study, run
from calibrate.task import Pair, TransportTask


def sample_of(x, w=None, group=None) -> Sample:
    x = np.asarray(x, float)
    columns = tuple(Column(name, "GeV") for name in ("pt", "mass")[: x.shape[1]])
    weights = np.ones(len(x)) if w is None else w
    groups = np.arange(len(x)) if group is None else group
    return Sample(x, np.empty((len(x), 0)), weights, columns, (), groups)


def told(simulation: Sample, data: Sample, seed: int = 0, largest: int = 10**6):
    found = Separation.of(Pair(simulation, data), largest, Context(seed))
    assert found is not None
    return found.untouched()


# The area under the curve


def test_the_area_is_that_of_its_slow_twin_on_weighted_scores_with_ties():
    rng = np.random.default_rng(0)
    a, b = np.round(rng.normal(size=40), 1), np.round(rng.normal(0.5, 1, 50), 1)
    w, v = rng.exponential(size=40), rng.choice([0.0, 1.0, 3.0], 50)
    pairs = sum(
        wi * vj * (1.0 if y > x else 0.5 if y == x else 0.0)
        for x, wi in zip(a, w, strict=True)
        for y, vj in zip(b, v, strict=True)
    )
    found, _ = area_under_curve(a, b, w, v, np.arange(40), np.arange(50))
    assert found == pytest.approx(pairs / w.sum() / v.sum(), rel=1e-12)


def test_its_error_is_that_of_repeated_samples_with_weights_and_groups():
    def one(seed: int) -> tuple[float, float]:
        rng = np.random.default_rng(seed)
        scores = [np.repeat(rng.normal(m, 1, 150), 2) + rng.normal(0, 0.3, 300) for m in (0, 0.7)]
        weights = [np.repeat(rng.exponential(size=150), 2) for _ in range(2)]
        return area_under_curve(*scores, *weights, *[np.arange(300) // 2] * 2)

    found = np.array([one(seed) for seed in range(300)])
    assert found[:, 0].mean() == pytest.approx(norm.cdf(0.7 / np.sqrt(2 * 1.09)), abs=0.006)
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.12)


def test_weight_two_is_the_score_twice_and_negative_weights_are_refused():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=60), rng.normal(0.5, 1, 60)
    double = 1.0 + (np.arange(60) % 2)
    ones, rows = np.ones(60), np.arange(60)
    again = np.repeat(rows, double.astype(int))
    one = area_under_curve(a, b, double, ones, rows, rows)
    twice = area_under_curve(a[again], b, np.ones(again.size), ones, again, rows)
    np.testing.assert_allclose(one, twice, rtol=1e-12)
    with pytest.raises(DataError, match="the area under a ROC curve needs weights ≥ 0"):
        area_under_curve(a, b, -ones, ones, rows, rows)


# The classifier


def test_a_shift_is_told_as_well_as_possible():
    """The best score of N(0, 1) and N(δ, 1) is x itself: AUC = Φ(δ/√2)."""
    for seed, shift in enumerate((0.5, 1.0)):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(5000, 1)), rng.normal(shift, 1, (5000, 1))
        found = told(sample_of(x), sample_of(y))
        assert abs(found.value - norm.cdf(shift / np.sqrt(2))) < 3 * found.error
        assert found.error < 0.01


def test_samples_of_one_distribution_are_not_told_apart_and_the_error_is_honest():
    """Pulls over seeds: without the covariance of the folds they would be 1.4 wide."""
    pulls = []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(2, 250, 2))
        found = told(sample_of(x), sample_of(y), seed)
        pulls.append((found.value - 0.5) / found.error)
    assert abs(np.mean(pulls)) < 3 * np.std(pulls) / 4
    assert 0.6 < np.std(pulls) < 1.3


def test_weights_stand_for_repetition_and_their_scale_for_nothing():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(3000, 1)), rng.normal(0.8, 1, (3000, 1))
    double = np.arange(3000) % 2 == 0
    one = told(sample_of(x, 1.0 + double), sample_of(y))
    once = sample_of(x)
    twice = told(concatenate([once, once.take(double)]), sample_of(y))
    assert one.value == pytest.approx(twice.value, abs=0.003)
    assert one.error == pytest.approx(twice.error, rel=0.05)
    assert told(sample_of(x, 1e-9 * (1.0 + double)), sample_of(y)).value == pytest.approx(one.value)


def test_events_are_not_parted_and_about_as_many_are_seen_as_asked_for():
    rng = np.random.default_rng(3)
    sample = sample_of(rng.normal(size=(1000, 1)), group=np.arange(1000) // 2)
    found = Separation.of(Pair(sample, sample), 300, Context())
    assert found is not None
    side = found.simulation
    assert 300 <= side.rows.size <= 301
    folds = {group: set(side.fold[side.group == group]) for group in side.group}
    assert all(len(each) == 1 for each in folds.values())


def test_what_is_told_apart_without_exception_fails_and_too_few_groups_are_left_out():
    rng = np.random.default_rng(5)
    x = rng.uniform(size=(400, 1))
    assert told(sample_of(x), sample_of(x + 2.0)).value > 0.999
    assert TwoSample("none", "nominal", 2, 1.0, 0.0, 1.0, 0.0).state == FAILS
    few = sample_of(x, group=np.arange(400) % 3)
    assert Separation.of(Pair(few, sample_of(x)), 1000, Context()) is None


# Several features in the evaluator


def correlated(rng: np.random.Generator, n: int, rho: float) -> Sample:
    return sample_of(rng.multivariate_normal([50, 10], [[4, 2 * rho], [2 * rho, 1]], n))


@pytest.fixture(scope="module")
def task() -> TransportTask:
    """The same two marginals, another correlation."""
    rng = np.random.default_rng(4)
    train, test = (Pair(correlated(rng, 4000, 0.0), correlated(rng, 4000, 0.6)) for _ in range(2))
    return TransportTask(train, {"nominal": test})


@pytest.fixture(scope="module")
def result(task: TransportTask) -> Result:
    methods = {"ot": OptimalTransport(), "none": Uncalibrated()}

    class Given:
        def transport(self, context: Context) -> TransportTask:
            return task

    study = Study(Given(), methods, {"transport": Transport(replicas=10, refits=4)})
    return run(study, Context(), {"data": "given", "seed": 0}, "seed: 0\n")


def evidence(result: Result, method: str):
    known = [r for r in result.outcome.records if getattr(r, "method", "") == method]
    return [r for r in known if not isinstance(r, TransportCurve)]


def test_every_feature_has_its_metrics_and_the_classifier_sees_the_correlation(result: Result):
    ot, none = (result.outcome.metrics[name] for name in ("ot", "none"))
    for column in ("pt", "mass"):
        assert ot[f"transport/nominal.{column}/mean"].unit == "GeV"
        assert none[f"transport/nominal.{column}/chi2_per_bin"].value < 2
        assert ot[f"transport/nominal.{column}/chi2_per_bin"].value < 2
    before, after = ot["transport/nominal/uncalibrated_auc"], ot["transport/nominal/auc"]
    assert before == none["transport/nominal/auc"]
    assert before.value - 0.5 > 10 * before.error
    assert abs(after.value - 0.5) < 3 * after.error


def test_the_verdict_needs_the_classifier_where_marginals_agree(result: Result):
    ot, none = evidence(result, "ot"), evidence(result, "none")
    assert transport_verdict.overall(none) == FAILS
    assert transport_verdict.overall(none[:2]) != FAILS
    assert transport_verdict.overall(ot) != FAILS
    alike = TwoSample("ot", "nominal", 2, 0.505, 0.005, 0.6, 0.005)
    assert alike.state == CLOSES
    assert transport_verdict.overall([*ot[:2], alike]) == transport_verdict.overall(ot[:2])
    text = transport_verdict.sentence(none)
    assert text.startswith("none does not describe data: it fails on nominal (pt: χ²/ndf = ")
    assert "; mass: χ²/ndf = " in text
    assert "; AUC of a classifier 0.6" in text
    vague = TwoSample("ot", "nominal", 2, 0.51, 0.05, 0.6, 0.05)
    assert vague.state == CANNOT_TELL
    assert transport_verdict.overall([*ot[:2], vague]) == CANNOT_TELL


def test_for_one_feature_chi_square_alone_decides(result: Result):
    one = replace(evidence(result, "ot")[0])
    told_apart = TwoSample("ot", "nominal", 1, 0.6, 0.001, 0.7, 0.001)
    assert transport_verdict.overall([one, told_apart]) == one.state
    assert told_apart.state == FAILS


def test_there_is_a_figure_for_each_feature_and_no_map(result: Result):
    figures = figures_for(result.outcome.records, result.outcome.methods)
    assert set(figures) == {"transport_nominal_pt", "transport_nominal_mass"}


def test_the_report_is_read_again(result: Result, tmp_path: Path):
    write(tmp_path, result, figures=False, context=Context())
    again = read(tmp_path)
    assert [r for r in again.records if isinstance(r, TwoSample)] == [
        r for r in result.outcome.records if isinstance(r, TwoSample)
    ]
    x = np.array([[50.0, 10.0], [48.0, 11.0]])
    np.testing.assert_array_equal(load(tmp_path).transport(x, x), result.fits["ot"].transport(x, x))
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "AUC of a classifier against data" in page
    assert "on nominal.mass" in page


def test_negative_weights_and_zero_events_leave_the_classifier_out(task: TransportTask):
    pair = task.train
    w = np.ones(4000)
    w[:20] = -1.0
    negative = Pair(pair.simulation.with_weights(w), pair.data)
    for other, options in ((negative, {}), (pair, {"classified": 0})):
        posed = TransportTask(other, {"nominal": other})
        fits = {"none": Uncalibrated().fit(posed, Context())}
        found = Transport(replicas=2, refits=0, **options)(fits, posed, None, Context())
        assert not any(name.endswith("auc") for name in found.scalars["none"])
