"""The evaluator of quoted uncertainties, of constructed calibrations whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest

from calibrate.cli.planning import plan
from calibrate.context import Context
from calibrate.data.asymmetric import Asymmetric
from calibrate.data.gaussian import Gaussian
from calibrate.data.training_sample import TrainingSample
from calibrate.errors import ConfigurationError, DataError
from calibrate.estimate import Domain, Estimate
from calibrate.evaluators.uncertainty import Uncertainty
from calibrate.figures import figures_for
from calibrate.methods.none import Uncalibrated
from calibrate.mixture import ONE_SIGMA, GaussianMixture
from calibrate.records import (
    RECORDS,
    CoverageCurve,
    CoverageProfile,
    ErrorBudget,
    Findings,
    FitSummary,
    PITHistogram,
    Quantity,
)
from calibrate.records.uncertainty import CENTRAL, HIGHEST, QUOTED, TRUTH
from calibrate.report.captions import caption
from calibrate.sample import Column, Sample, concatenate
from calibrate.statistics import weighted_mean
from calibrate.storage import load_records, save_records
from calibrate.task import RegressionTask

SIGMA = np.sqrt(0.8)
QUICK = Uncertainty()


@dataclass(frozen=True)
class Quoting:
    """ẑ = slope·x with Σ = sigma + growth·|x|; a share of Σ² may be σ_pred²."""

    domain: Domain
    slope: float = 0.2
    sigma: float = SIGMA
    growth: float = 0.0
    predictive: float | None = None
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "quoting"
    closed_form: ClassVar[str] = "posterior_mean"

    def estimate(self, x: np.ndarray) -> Estimate:
        d_z = len(self.domain.z_columns)
        sigma = self.sigma + self.growth * np.abs(x[:, :d_z])
        found = Estimate(self.slope * x[:, :d_z], sigma[:, :, None] ** 2 * np.eye(d_z),
                         self.domain.inside(x))  # fmt: skip
        if self.predictive is None:
            return found
        parts = np.sqrt(self.predictive) * sigma, np.sqrt(1 - self.predictive) * sigma
        return replace(found, statistical=parts[0], stochastic=parts[1])

    def state(self) -> Mapping[str, float]:
        return {"slope": self.slope}


class Silent(Quoting):
    """The same without Σ."""

    def estimate(self, x: np.ndarray) -> Estimate:
        return replace(super().estimate(x), covariance=None)


class TwoPeaks(Quoting):
    """x + 1 ± 1 with weights 0.7 and 0.3 and widths 0.3 and 0.5, as a mixture."""

    def estimate(self, x: np.ndarray) -> Estimate:
        mixture = peaks(x[:, 0])
        return Estimate(mixture.mean[:, None], mixture.variance[:, None, None],
                        self.domain.inside(x), mixture=mixture)  # fmt: skip


def peaks(x: np.ndarray) -> GaussianMixture:
    n = x.size
    weights, widths = np.tile([0.7, 0.3], (n, 1)), np.tile([0.3, 0.5], (n, 1))
    return GaussianMixture(weights, x[:, None] + [0.0, 2.0], widths)


def refuse(task: RegressionTask, label: str = "") -> Quoting:
    raise AssertionError("nothing is to be fitted again")


def evaluated(task: RegressionTask, evaluator: Uncertainty = QUICK, **fits) -> Findings:
    return evaluator(fits, task, refuse, Context())


def numbers(found: Findings, method: str = "exact", test: str = "nominal") -> dict[str, Quantity]:
    prefix = f"uncertainty/{test}/"
    scalars = found.scalars[method].items()
    return {k.removeprefix(prefix): q for k, q in scalars if k.startswith(prefix)}


def near(found: Quantity, expected: float, errors: float = 4.0) -> bool:
    return abs(found.value - expected) < errors * found.error


def only(kind: type, found: Findings, test: str = "nominal") -> list:
    return [r for r in found.records if isinstance(r, kind) and r.test == test]


@pytest.fixture(scope="module")
def task() -> RegressionTask:
    return Gaussian(n=1000).regression(Context())


@pytest.fixture(scope="module")
def exact(task) -> Quoting:
    return Quoting(Domain.of(task.train))


@pytest.fixture(scope="module")
def found(task, exact) -> Findings:
    return evaluated(task, exact=exact, narrow=replace(exact, sigma=SIGMA / 2))


# Numbers


def test_scores_of_the_exact_posterior_are_the_known_ones(found):
    of = numbers(found)
    assert of["sigma_tot"].value == pytest.approx(SIGMA)
    assert near(of["rmse"], SIGMA)
    assert near(of["pull_mean"], 0.0)
    assert near(of["pull_width"], 1.0)
    assert near(of["coverage_68"], ONE_SIGMA)
    assert near(of["coverage_95"], 0.95)
    assert near(of["crps"], SIGMA / np.sqrt(np.pi))
    assert near(of["nll"], 0.5 * np.log(2 * np.pi * np.e * 0.8))
    assert of["ence"].value < 0.03
    assert "sigma_stoch" not in of


def test_half_the_width_is_seen_everywhere(found):
    of = numbers(found, "narrow")
    assert near(of["pull_width"], 2.0)
    assert of["ence"].value == pytest.approx(1.0, abs=0.03)
    assert near(of["coverage_68"], 0.3829)
    assert of["crps"].value > numbers(found)["crps"].value
    assert of["nll"].value > numbers(found)["nll"].value
    (curve,) = (r for r in only(CoverageCurve, found) if r.method == "narrow")
    assert np.all(curve.coverage < curve.level)
    (pit,) = (r for r in only(PITHistogram, found) if r.method == "narrow")
    assert min(pit.density[[0, -1]]) > 2 > 1 > max(pit.density[8:12])


def test_the_parts_of_the_budget_are_those_that_are_quoted(task, exact):
    of = numbers(evaluated(task, exact=replace(exact, predictive=0.1)))
    assert of["sigma_pred"].value == pytest.approx(SIGMA * np.sqrt(0.1))
    assert of["sigma_stoch"].value == pytest.approx(SIGMA * np.sqrt(0.9))
    assert of["sigma_tot"].value == pytest.approx(SIGMA)


def test_a_mixture_is_judged_as_a_mixture():
    rng = np.random.default_rng(0)
    x = rng.normal(size=6000)
    z = x + np.where(rng.random(6000) < 0.7, 0.3 * rng.normal(size=6000),
                     2 + 0.5 * rng.normal(size=6000))  # fmt: skip
    sample = Sample(x[:, None], z[:, None], np.ones(6000), (Column("x"),), (Column("z"),))
    task = RegressionTask(sample, {"nominal": sample}, ("x",))
    two = TwoPeaks(Domain.of(sample))
    found = evaluated(task, exact=two, one=Quoting(two.domain, slope=1.0, sigma=1.0))
    of = numbers(found)
    assert near(of["coverage_68"], ONE_SIGMA)
    assert near(of["coverage_68_hpd"], ONE_SIGMA)
    assert near(of["coverage_95"], 0.95)
    assert of["nll"].value == pytest.approx(-peaks(x).log_density(z).mean())
    assert of["crps"].value == pytest.approx(peaks(x).crps(z).mean())
    curves = {(c.method, c.regions): c for c in only(CoverageCurve, found)}
    assert curves.keys() == {("exact", CENTRAL), ("exact", HIGHEST), ("one", CENTRAL)}
    densest = curves["exact", HIGHEST]
    assert np.all(np.abs(densest.coverage - densest.level) < 4 * densest.band)
    assert np.any(densest.coverage != curves["exact", CENTRAL].coverage)
    assert found.tables["exact"]["uncertainty/nominal/coverage"].columns == (
        "level", "coverage", "coverage_error", "coverage_hpd", "coverage_hpd_error", "binomial",
    )  # fmt: skip
    figure = figures_for(found.records, ["exact", "one"])["coverage_nominal"]
    (line,) = figure.findobj(lambda a: a.get_gid() == f"exact:{HIGHEST}")
    np.testing.assert_allclose(line.get_ydata(), densest.coverage)


# Curves


def test_coverage_follows_the_diagonal_within_its_binomial_band(found):
    (curve,) = (r for r in only(CoverageCurve, found) if r.method == "exact")
    assert curve.n_effective == 10000
    np.testing.assert_allclose(curve.band, np.sqrt(curve.level * (1 - curve.level) / 1e4))
    assert np.all(np.abs(curve.coverage - curve.level) < 4 * curve.band)
    np.testing.assert_allclose(curve.coverage_error.mean(), curve.band.mean(), rtol=0.3)


def test_the_integral_transform_is_flat_within_its_band(found):
    (pit,) = (r for r in only(PITHistogram, found) if r.method == "exact")
    assert np.sum(pit.density * np.diff(pit.edges)) == pytest.approx(1.0)
    assert np.all(np.abs(pit.density - 1) < 4 * pit.band)
    np.testing.assert_allclose(pit.density_error, pit.band, rtol=0.2)


def test_a_posterior_covers_at_given_feature_and_not_at_given_truth(found):
    profiles = {r.name: r for r in only(CoverageProfile, found) if r.method == "exact"}
    x, z = profiles["x"], profiles["z"]
    assert (x.truth, z.truth) == (False, True)
    assert np.all(np.abs(x.coverage - x.level[:, None]) < 4 * x.band)
    assert z.coverage[0].min() < 0.4
    np.testing.assert_allclose(x.n_effective[1:-1], 10000 / 12, rtol=0.1)


def test_errors_in_bins_of_the_quoted_width_have_that_width(task, exact):
    wider = replace(exact, sigma=0.5, growth=0.2)
    rng = np.random.default_rng(1)
    x = task.tests["nominal"].x
    z = 0.2 * x + (0.5 + 0.2 * np.abs(x)) * rng.normal(size=x.shape)
    test = replace(task.tests["nominal"], z=z)
    found = evaluated(replace(task, tests={"nominal": test}), exact=wider)
    (budget,) = (r for r in only(ErrorBudget, found) if r.by == QUOTED)
    assert np.all(np.abs(budget.rmse - budget.total) < 4 * budget.rmse_error)
    assert budget.total[-1] > 1.4 * budget.total[0]
    assert numbers(found)["ence"].value < 0.05


def test_the_budget_against_truth_contains_the_bias(found):
    (budget,) = (r for r in only(ErrorBudget, found) if r.method == "exact" and r.by == TRUTH)
    noise = 0.2 * 2.0
    expected = np.sqrt(noise**2 + (0.8 * budget.mean) ** 2)
    np.testing.assert_allclose(budget.rmse[2:-2], expected[2:-2], rtol=0.05)
    assert np.isnan(budget.predictive).all()
    table = found.tables["exact"]["uncertainty/nominal"]
    assert table.columns[3:] == ("sigma_tot", "sigma_tot_error", "rmse", "rmse_error")
    assert len(table.rows) == budget.rmse.size


# Weights, groups, samples


def test_an_event_of_weight_two_is_the_event_twice(task, exact):
    sample = task.tests["nominal"]
    twice = concatenate([sample, sample])
    heavy = sample.with_weights(np.full(len(sample), 2.0))
    found = [evaluated(replace(task, tests={"nominal": s}), exact=replace(exact, growth=0.1))
             for s in (heavy, twice)]  # fmt: skip
    one, two = (numbers(each) for each in found)
    for name in one:
        assert one[name].value == pytest.approx(two[name].value), name
        assert one[name].error == pytest.approx(two[name].error), name
    for first, second in zip(found[0].records, found[1].records, strict=True):
        if isinstance(first, CoverageCurve):
            np.testing.assert_allclose(first.band, second.band)
            np.testing.assert_allclose(first.coverage_error, second.coverage_error)


def test_negative_weights_are_exact_in_all_means(task, exact):
    """Events that a negative weight takes away again leave every number as it was."""
    sample = task.tests["nominal"].take(slice(0, 5000))
    extra = replace(sample.take(slice(0, 400)), group=10**6 + np.arange(400))
    w = np.concatenate([sample.w, extra.w, -extra.w])
    both = concatenate([sample, extra, extra]).with_weights(w)
    one, two = (numbers(evaluated(replace(task, tests={"nominal": s}), exact=exact))
                for s in (sample, both))  # fmt: skip
    for name in one.keys() - {"ence"}:
        assert one[name].value == pytest.approx(two[name].value), name


def test_closed_errors_are_the_limit_of_the_bootstrap(task, exact):
    """In the scalars and in every record; the bootstrap's noise is 2.5 %."""
    sample = task.tests["nominal"].take(slice(0, 4000))
    rng = np.random.default_rng(2)
    paired = replace(sample, group=np.arange(4000) // 2, w=rng.exponential(size=4000))
    fit = replace(exact, growth=0.1, predictive=0.2)
    closed, boot = (
        evaluated(replace(task, tests={"nominal": paired}), Uncertainty(replicas=k), exact=fit)
        for k in (0, 800)
    )
    for name, found in numbers(closed).items():
        assert found.value == pytest.approx(numbers(boot)[name].value), name
        assert found.error == pytest.approx(numbers(boot)[name].error, rel=0.12), name
    for one, other in zip(closed.records, boot.records, strict=True):
        for name in (each for each in vars(one) if each.endswith("_error")):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0.12)


def test_so_many_events_are_looked_at(task, exact):
    found = evaluated(task, Uncertainty(events=500), exact=exact)
    assert {curve.n_effective for curve in only(CoverageCurve, found)} == {500}
    again = evaluated(task, Uncertainty(events=500), exact=exact)
    assert numbers(found) == numbers(again)


def test_several_truths_are_looked_at_one_by_one(planar_task):
    both = Quoting(Domain.of(planar_task.train), slope=1.0, sigma=1.0, predictive=0.2)
    found = evaluated(planar_task, exact=both)
    for name, column in (("z0", 0), ("z1", 1)):
        test = planar_task.tests["nominal"]
        rmse = np.sqrt(np.mean((test.x[:, column] - test.z[:, column]) ** 2))
        assert numbers(found, test=f"nominal.{name}")["rmse"].value == pytest.approx(rmse)
    assert {r.test for r in found.records} == {"nominal.z0", "nominal.z1"}


def test_a_slice_has_numbers_of_its_own(task, exact):
    found = evaluated(task, Uncertainty(slices={"x": [1, 2.5]}), exact=exact)
    x, z = (getattr(task.tests["wide"], name)[:, 0] for name in "xz")
    inside = (x >= 1) & (x <= 2.5)
    rmse = np.sqrt(np.mean((0.2 * x - z)[inside] ** 2))
    assert numbers(found, test="wide/x_1-2.5")["rmse"].value == pytest.approx(rmse)
    assert {r.test for r in found.records} == {"nominal", "shifted", "wide"}


# Methods without Σ


def test_a_method_without_sigma_is_told_in_one_line(task, exact):
    silent = Silent(Domain.of(task.train))
    fits = {"mse": silent, "exact": exact, "none": Uncalibrated().fit(task, Context())}
    found = evaluated(task, **fits)
    assert found.warnings == ("mse quotes no Σ(x): no uncertainty to evaluate",)
    assert found.scalars.keys() == {"exact"}
    alone = evaluated(task, none=fits["none"]).warnings
    assert alone == ("none quotes no Σ(x): no uncertainty to evaluate",)
    both = evaluated(task, mse=silent, another=silent)
    assert both.warnings == ("mse, another quote no Σ(x): no uncertainty to evaluate",)
    assert (both.records, both.scalars) == ((), {})


def test_methods_that_split_their_uncertainty_are_evaluated_so_by_default():
    default = ["closure", "curves", "spectra", "prior_stress"]
    for method, extra in (("bayesian", ["uncertainty"]), ("mse", []), ("gaussian_ansatz", [])):
        study = plan(["data=gaussian", f"method={method}"]).study
        assert list(study.evaluators) == [*default, *extra]
    asked = plan(["data=gaussian", "method=bayesian", "evaluator=[closure]"]).study
    assert list(asked.evaluators) == ["closure"]


# Smearing


@dataclass(frozen=True)
class LeastSquares:
    """A line fitted to the training sample, whose σ_stoch is what it leaves."""

    def fit(self, task: RegressionTask, context: Context | None = None) -> Quoting:
        x, z, w = task.train.x[:, 0], task.train.z[:, 0], task.train.w
        slope = float(weighted_mean(x * z, w) / weighted_mean(x**2, w))
        width = float(np.sqrt(weighted_mean((z - slope * x) ** 2, w)))
        return Quoting(Domain.of(task.train), slope, width, predictive=0.0)


@pytest.mark.parametrize("width", [0.04, 0.1])
def test_sigma_cal_is_the_smearing_of_the_labels(width: float):
    data = TrainingSample(Asymmetric(n=20000), label_smearing=width)
    task, line = data.regression(Context()), LeastSquares()
    evaluator = Uncertainty(input_smearing=width, slices={"pt": [600, 620]})
    found = evaluator({"exact": line.fit(task)}, task, lambda t, label: line.fit(t), Context())
    whole, inside = (numbers(found, test=name) for name in ("nominal", "nominal/pt_600-620"))
    expected = width * np.sqrt(np.mean(task.unsmeared.z**2))
    assert whole["sigma_smear"].value == pytest.approx(expected, rel=0.02)
    assert whole["sigma_cal"].value == pytest.approx(expected, rel=0.05)
    slope = line.fit(replace(task, train=task.unsmeared)).slope
    x = task.tests["nominal"].x
    assert whole["sigma_input"].value == pytest.approx(slope * width * np.sqrt(np.mean(x**2)), 0.01)
    rows = (task.train.x[:, 0] >= 600) & (task.train.x[:, 0] <= 620)
    typical = width * np.sqrt(np.mean(task.unsmeared.z[rows] ** 2))
    assert inside["sigma_smear"].value == pytest.approx(typical, rel=0.15)
    assert "sigma_smear" not in numbers(found, test="falling")


def test_labels_that_widen_nothing_are_told(task, exact):
    split = replace(exact, predictive=0.5)
    smeared = replace(task, unsmeared=task.train)
    wider = replace(split, sigma=2.0)
    found = QUICK({"exact": split}, smeared, lambda t, label: wider, Context())
    assert "exact: σ_stoch on nominal is not larger with smeared labels" in found.warnings[0]
    assert "sigma_cal" not in numbers(found)


def test_inputs_are_moved_by_the_width_of_each_feature(planar_task):
    both = Quoting(Domain.of(planar_task.train), slope=1.0, sigma=1.0)
    evaluator = Uncertainty(input_smearing={"x1": 0.2})
    found = evaluated(planar_task, evaluator, exact=both)
    x = planar_task.tests["nominal"].x
    expected = 0.2 * np.sqrt(np.mean(x[:, 1] ** 2))
    assert numbers(found, test="nominal.z1")["sigma_input"].value == pytest.approx(expected)
    assert numbers(found, test="nominal.z0")["sigma_input"].value == 0


def test_without_smearing_nothing_is_fitted_again(found):
    assert not {"sigma_cal", "sigma_smear", "sigma_input"} & numbers(found).keys()


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 0}, "uncertainty.bins must be a positive integer, got 0"),
        ({"replicas": 1}, r"uncertainty.replicas must be at least 2 \(0: errors in closed form\)"),
        ({"replicas": -1}, "uncertainty.replicas must be an integer ≥ 0, got -1"),
        ({"events": 20}, "uncertainty.events must be at least 100, got 20"),
        ({"by": ["x"]}, "uncertainty.by maps a column to edges or to a number"),
        ({"slices": {"x": 3}}, r"uncertainty.slices.x needs a range \[low, high\]: got 3"),
        ({"slices": {"x": [1, 2, 3]}}, "uncertainty.slices.x needs a range"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Uncertainty(**options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"by": {"y": 3}}, DataError, "no column 'y' in the sample"),
        ({"slices": {"pt": [1, 2]}}, DataError, "no column 'pt' in the sample"),
        ({"input_smearing": {"pt": 0.1}}, ConfigurationError, "no feature 'pt': available: x"),
        ({"input_smearing": -0.1}, ConfigurationError, "input_smearing of x must be positive"),
        ({"input_smearing": 2}, ConfigurationError, "input_smearing of x must be < 1, got 2"),
    ],
)
def test_what_is_not_there_is_refused_before_the_fits(task, options, error, message):
    with pytest.raises(error, match=message):
        Uncertainty(**options).check(task)


def test_a_slice_of_too_few_events_is_refused_or_left_out(task, exact):
    with pytest.raises(DataError, match="slices: 0 events of 'nominal' lie in the slice of 'x'"):
        Uncertainty(slices={"x": [90, 91]}).check(task)
    few = {"nominal": task.tests["nominal"], "few": task.tests["wide"].take(slice(0, 200))}
    evaluator = Uncertainty(slices={"x": [0, 0.5]})
    (warning,) = evaluated(replace(task, tests=few), evaluator, exact=exact).warnings
    assert "events of 'few' lie in the slice of 'x', at least 100 are needed: left out" in warning


# Figures


def test_records_are_drawn_captioned_and_kept(found, tmp_path):
    figures = figures_for(found.records, ["exact", "narrow"])
    kinds = ("coverage_{}", "coverage_{}_by_x", "coverage_{}_by_z", "pit_{}", "quoted_{}",
             "uncertainty_{}_exact", "uncertainty_{}_narrow")  # fmt: skip
    tests = ("nominal", "shifted", "wide")
    assert figures.keys() == {kind.format(test) for kind in kinds for test in tests}
    for name in figures:
        title, text = caption(name, found.records)
        assert text
        assert title != name
    path = tmp_path / "findings.h5"
    save_records(path, found.records)
    for kept, record in zip(load_records(path), found.records, strict=True):
        assert type(kept) is type(record) is RECORDS[type(record).__name__]
        np.testing.assert_equal(vars(kept), vars(record))


def test_figures_show_what_the_records_hold(found):
    figures = figures_for(found.records, ["exact", "narrow"])
    (curve,) = (r for r in only(CoverageCurve, found) if r.method == "narrow")
    (line,) = figures["coverage_nominal"].findobj(lambda a: a.get_gid() == "narrow")
    np.testing.assert_allclose(line.get_xydata(), np.column_stack([curve.level, curve.coverage]))
    (pit,) = (r for r in only(PITHistogram, found) if r.method == "exact")
    (steps,) = figures["pit_nominal"].findobj(lambda a: a.get_gid() == "exact")
    np.testing.assert_allclose(steps.get_data().values, pit.density)
