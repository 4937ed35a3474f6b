"""Closure, curves and spectra of constructed calibrations, whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from statistics import NormalDist
from typing import ClassVar

import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.errors import ConfigurationError, DataError
from calibrate.estimate import Calibration, Domain, Estimate
from calibrate.evaluators.closure import Closure
from calibrate.evaluators.curves import Curves
from calibrate.evaluators.resolution import resolution_fit, term_table
from calibrate.evaluators.spectra import Spectra
from calibrate.methods.ensemble import Ensemble
from calibrate.methods.mse import MSE
from calibrate.methods.none import Uncalibrated
from calibrate.records import (
    RECORDS,
    CalibrationCurve,
    ClosureCurve,
    Findings,
    FitSummary,
    JointHistogram,
    PullHistogram,
    Quantity,
    ResolutionFit,
    ResponseHistogram,
    SlicedClosure,
    SpectrumHistogram,
    Table,
    TailHistogram,
    fit_state,
)
from calibrate.sample import Column, Sample, concatenate
from calibrate.task import RegressionTask
from tests.conftest import RESOLUTION, relative_sample

MU, SIGMA, NOISE = 0.4, 1.2, 0.7
QUICK = Closure(replicas=20)


@dataclass(frozen=True)
class Line:
    """ẑ = slope·x + offset, plus `bump` between two x, with a constant Σ if it is given."""

    domain: Domain
    slope: float = 1.0
    offset: float = 0.0
    sigma: float | None = None
    bump: tuple[float, float, float] = (0.0, 0.0, 0.0)
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "line"
    closed_form: ClassVar[str] = "line"

    def estimate(self, x: np.ndarray) -> Estimate:
        d_z = len(self.domain.z_columns)
        low, high, height = self.bump
        inside_bump = (x[:, :d_z] >= low) & (x[:, :d_z] < high)
        z = self.slope * x[:, :d_z] + self.offset + height * inside_bump
        covariance = None
        if self.sigma is not None:
            covariance = np.broadcast_to(self.sigma**2 * np.eye(d_z), (len(x), d_z, d_z))
        return Estimate(z, covariance, self.domain.inside(x))

    def state(self) -> Mapping[str, float]:
        return {"slope": self.slope}


class Widening(Line):
    """The same with a Σ that grows with |x|."""

    def estimate(self, x: np.ndarray) -> Estimate:
        estimate = super().estimate(x)
        return replace(estimate, covariance=estimate.covariance * (1 + x[:, :1, None] ** 2))


class PosteriorMean(Line):
    closed_form: ClassVar[str] = "posterior_mean"


class MaximumLikelihood(Line):
    closed_form: ClassVar[str] = "maximum_likelihood"


def everywhere(sample: Sample) -> Domain:
    domain = Domain.of(sample)
    return replace(domain, x_range=np.array([[-np.inf], [np.inf]]) * np.ones(sample.x.shape[1]))


def toy(n: int, seed: int = 0, noise: float = NOISE, w: np.ndarray | None = None) -> RegressionTask:
    """z ~ N(MU, SIGMA²), x given z ~ N(z, noise²), as training and as nominal test sample."""
    rng = np.random.default_rng(seed)
    z = rng.normal(MU, SIGMA, n)
    x = z + rng.normal(0.0, noise, n)
    columns = (Column("x", "GeV"),), (Column("z", "GeV"),)
    sample = Sample(x[:, None], z[:, None], np.ones(n) if w is None else w, *columns)
    return RegressionTask(sample, {"nominal": sample}, ("x",))


def refuse(task: RegressionTask) -> Calibration:
    raise AssertionError("closure does not fit anything again")


def evaluated(
    fit: Calibration, task: RegressionTask, closure: Closure = QUICK, seed: int = 0
) -> Findings:
    return closure({"main": fit}, task, refuse, Context(seed=seed))


def scalars(findings: Findings) -> Mapping[str, Quantity]:
    return findings.scalars["main"]


def closure_curve(findings: Findings, test: str = "nominal") -> ClosureCurve:
    (found,) = (r for r in findings.records if isinstance(r, ClosureCurve) and r.test == test)
    return found


def assert_within_errors(found: Quantity, expected: float, errors: float = 4.0) -> None:
    assert found.error is not None
    assert found.error > 0
    assert found.value == pytest.approx(expected, abs=errors * found.error)


# Closed forms


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.8, 0.1), (1.3, -0.5)])
def test_the_metrics_of_a_line_have_their_closed_forms(slope: float, offset: float):
    quoted = 0.9
    task = toy(20_000, seed=1)
    fit = Line(everywhere(task.train), slope, offset, quoted)
    found = scalars(evaluated(fit, task, Closure(replicas=100)))
    mean = (slope - 1) * MU + offset
    width = np.hypot((slope - 1) * SIGMA, slope * NOISE)
    pull = NormalDist(mean / quoted, width / quoted)
    expected = {
        "closure/nominal/mean": mean,
        "closure/nominal/median": mean,
        "closure/nominal/bias_slope": slope - 1,
        "resolution/nominal/std": width,
        "resolution/nominal/iqr": width,
        "point_resolution/nominal/pull_mean": mean / quoted,
        "point_resolution/nominal/pull_width": width / quoted,
        "point_resolution/nominal/coverage_68": pull.cdf(1) - pull.cdf(-1),
        "point_resolution/nominal/coverage_95": pull.cdf(1.96) - pull.cdf(-1.96),
    }
    for name, value in expected.items():
        assert_within_errors(found[name], value)
    assert found["point_resolution/nominal/mean_sigma"].value == pytest.approx(quoted)


def test_the_mode_and_its_width_are_those_of_the_gaussian_core():
    task = toy(200_000, seed=1)
    found = scalars(evaluated(Line(everywhere(task.train), offset=0.3), task))
    assert_within_errors(found["closure/nominal/mode"], 0.3)
    assert_within_errors(found["resolution/nominal/fit"], NOISE)


def test_the_errors_of_the_metrics_have_their_closed_forms():
    task = toy(20_000, seed=2)
    found = scalars(evaluated(Line(everywhere(task.train)), task, Closure(replicas=300)))
    root_n = np.sqrt(20_000)
    expected = {
        "closure/nominal/mean": NOISE / root_n,
        "closure/nominal/median": NOISE * np.sqrt(np.pi / 2) / root_n,
        "closure/nominal/bias_slope": NOISE / SIGMA / root_n,
        "resolution/nominal/std": NOISE / np.sqrt(2) / root_n,
    }
    for name, error in expected.items():
        assert found[name].error == pytest.approx(error, rel=0.15)


def test_positive_truths_are_judged_by_their_response():
    rng = np.random.default_rng(3)
    sample = relative_sample(rng, 20_000)
    task = RegressionTask(sample, {"nominal": sample}, ("pt_reco",))
    findings = evaluated(Line(everywhere(sample), slope=1 / 0.95), task)
    found, curve = scalars(findings), closure_curve(findings)
    assert curve.relative
    assert curve.reference == 1.0
    assert curve.tolerance == 0.01
    assert found["closure/nominal/mean"].unit == ""
    assert_within_errors(found["closure/nominal/mean"], 1.0)
    assert_within_errors(found["resolution/nominal/std"], RESOLUTION)
    assert (np.abs(curve.mean - 1) < 4.5 * curve.mean_error).all()


def test_the_unit_of_a_difference_is_that_of_the_truth():
    task = toy(2000)
    found = scalars(evaluated(Line(everywhere(task.train), sigma=0.7), task))
    units = {name: quantity.unit for name, quantity in found.items()}
    assert units["closure/nominal/mean"] == "GeV"
    assert units["resolution/nominal/std"] == "GeV"
    assert units["closure/nominal/max_abs_bias"] == "GeV"
    assert units["point_resolution/nominal/mean_sigma"] == "GeV"
    assert units["closure/nominal/bias_slope"] == ""
    assert units["point_resolution/nominal/pull_width"] == ""


def test_chi2_per_bin_of_an_unbiased_calibration_is_about_one():
    found = []
    for seed in range(20):
        task = toy(6000, seed=100 + seed)
        fit = Line(everywhere(task.train))
        findings = scalars(evaluated(fit, task, Closure(replicas=60), seed=seed))
        found.append(findings["closure/nominal/chi2_per_bin"].value)
        assert findings["closure/nominal/chi2_per_bin"].error is None
    assert np.mean(found) == pytest.approx(1.0, abs=0.3)


def test_the_bias_slope_has_pulls_of_unit_width():
    pulls = []
    for seed in range(40):
        task = toy(1000, seed=300 + seed)
        found = scalars(evaluated(Line(everywhere(task.train), slope=0.9), task, seed=seed))
        slope = found["closure/nominal/bias_slope"]
        pulls.append((slope.value + 0.1) / slope.error)
    assert 0.7 < np.std(pulls) < 1.3
    assert np.mean(pulls) == pytest.approx(0.0, abs=0.6)


# Bins and verdicts


def test_an_injected_bias_is_found_in_its_bin():
    edges = [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    task = toy(20_000, seed=4, noise=0.01)
    fit = Line(everywhere(task.train), bump=(1.0, 2.0, -0.5))
    findings = evaluated(fit, task, Closure(edges=edges, replicas=20, tolerance=0.05))
    found = scalars(findings)["closure/nominal/max_abs_bias"]
    curve = closure_curve(findings)
    worst = int(np.argmax(np.abs(curve.mean)))
    assert edges[worst] == 1.0
    assert curve.mean[worst] == pytest.approx(-0.5, abs=0.02)
    assert found.value == abs(curve.mean[worst])
    assert found.error == curve.mean_error[worst]
    assert curve.states == ("closes", "closes", "closes", "fails", "closes")


def test_the_table_holds_the_curve_and_the_state_of_every_bin():
    task = toy(6000, seed=5)
    findings = evaluated(Line(everywhere(task.train), offset=1.0), task)
    table, curve = findings.tables["main"]["closure/nominal"], closure_curve(findings)
    assert table.columns[:3] == ("z_low", "z_high", "n_effective")
    assert table.columns[-1] == "state"
    assert len(table.columns) == len(table.units) == len(table.rows[0])
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["z_low"] for row in rows] == curve.edges[:-1].tolist()
    assert [row["mean"] for row in rows] == curve.mean.tolist()
    assert [row["median_error"] for row in rows] == curve.median_error.tolist()
    assert [row["sigma"] for row in rows] == [None] * len(rows)
    assert [row["state"] for row in rows] == ["fails"] * len(rows) == list(curve.states)


def test_bins_hold_equal_effective_statistics_and_their_own_events():
    task = toy(6000, seed=6)
    sample = task.tests["nominal"]
    curve = closure_curve(evaluated(Line(everywhere(sample)), task, Closure(bins=6, replicas=20)))
    assert curve.edges.size == 7
    assert curve.n_effective.max() / curve.n_effective.min() < 1.1
    z = sample.z[:, 0]
    for b, (low, high) in enumerate(zip(curve.edges, curve.edges[1:], strict=False)):
        rows = (z >= low) & (z < high)
        u = sample.x[rows, 0] - z[rows]
        assert curve.mean[b] == pytest.approx(u.mean(), abs=2e-3)
        assert curve.std[b] == pytest.approx(u.std(), rel=5e-3)
        assert curve.z_mean[b] == pytest.approx(z[rows].mean(), abs=2e-3)


def test_given_edges_are_taken_as_they_are():
    task = toy(3000, seed=7)
    closure = Closure(edges=[-1.0, 0.5, 9.0], replicas=20)
    findings = evaluated(Line(everywhere(task.train)), task, closure)
    z, table = task.train.z[:, 0], findings.tables["main"]["closure/nominal"]
    assert closure_curve(findings).edges.tolist() == [-1.0, 0.5, 9.0]
    inside = [np.count_nonzero((z >= -1) & (z < 0.5)), np.count_nonzero(z >= 0.5)]
    assert [row[2] for row in table.rows] == pytest.approx(inside)


def test_bins_with_few_events_do_not_enter_the_verdict():
    task = toy(3000, seed=8, noise=0.01)
    fit = Line(everywhere(task.train), bump=(3.0, 9.0, 5.0))
    findings = evaluated(fit, task, Closure(edges=[-1.0, 1.0, 3.0, 9.0], replicas=20))
    assert closure_curve(findings).states == ("closes", "closes", "too few events")
    assert scalars(findings)["closure/nominal/max_abs_bias"].value < 0.05


def test_an_empty_bin_has_no_numbers():
    task = toy(1000)
    closure = Closure(edges=[-2.0, 2.0, 90.0, 91.0], replicas=20)
    row = (
        evaluated(Line(everywhere(task.train)), task, closure)
        .tables["main"]["closure/nominal"]
        .rows[-1]
    )
    assert row[2] == 0.0
    assert row[3:] == (*[None] * (len(row) - 5), "too few events", "too few events")


@pytest.mark.parametrize(
    ("n", "bins", "message"),
    [
        (150, 1, "nominal: 150 effective events fill no bin of 200 or more"),
        (350, 1, "nominal: 350 effective events fill only 1 bin of 200 or more"),
        (500, 2, "nominal: 500 effective events fill only 2 bins of 200 or more"),
    ],
)
def test_few_events_give_few_bins_and_a_warning(n: int, bins: int, message: str):
    task = toy(n, seed=9)
    findings = evaluated(Line(everywhere(task.train)), task)
    assert closure_curve(findings).mean.size == bins
    assert findings.warnings == (message,)
    assert ("closure/nominal/max_abs_bias" in scalars(findings)) == (n >= 200)
    assert np.isfinite(closure_curve(findings).mean).all()


def test_events_outside_the_derived_range_are_warned_of():
    task = toy(2000, seed=10)
    domain = Domain.of(task.train)
    fit = Line(replace(domain, x_range=np.array([[-9.0], [MU]])))
    (message,) = evaluated(fit, task).warnings
    assert "of nominal lies outside the range it was derived in" in message
    share = 100 * np.mean(task.train.x > MU)
    assert message.startswith(f"main: {share:.2g} %")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 0}, "evaluator.closure.bins must be a positive integer, got 0"),
        ({"replicas": 1}, "evaluator.closure.replicas must be at least 2"),
        ({"tolerance": 0}, "evaluator.closure.tolerance must be positive"),
        ({"edges": [1.0]}, "evaluator.closure.edges takes at least two edges that rise"),
        ({"edges": [0.0, 2.0, 1.0]}, "evaluator.closure.edges takes at least two edges that rise"),
        ({"edges": [0.0, float("nan")]}, "edges must be a finite number, got nan"),
        ({"edges": 5}, "evaluator.closure.edges takes at least two edges that rise"),
        ({"edges": ["a", "b"]}, "edges must be a finite number, got 'a'"),
    ],
)
def test_wrong_options_of_closure_are_named(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        Closure(**options)


# Weights


def assert_same_findings(one: Findings, other: Findings, records: tuple[type, ...]) -> None:
    """Equal within 1e-9 in scalars, tables, warnings and the records of the given kinds."""
    assert one.scalars["main"].keys() == other.scalars["main"].keys()
    for name, quantity in one.scalars["main"].items():
        twin = other.scalars["main"][name]
        assert quantity.value == pytest.approx(twin.value, rel=1e-9, abs=1e-12), name
        assert (quantity.error or 0) == pytest.approx(twin.error or 0, rel=1e-9, abs=1e-12), name
    for name, table in one.tables["main"].items():
        assert_same_table(table, other.tables["main"][name])
    pairs = [(r, s) for r, s in zip(one.records, other.records, strict=True)]
    for record, twin in pairs:
        if isinstance(record, records):
            for f in fields(record):
                assert_same_value(getattr(record, f.name), getattr(twin, f.name))
    assert one.warnings == other.warnings


def assert_same_table(one: Table, other: Table) -> None:
    assert (one.columns, one.units, len(one.rows)) == (other.columns, other.units, len(other.rows))
    for row, twin in zip(one.rows, other.rows, strict=True):
        for cell, same in zip(row, twin, strict=True):
            assert_same_value(cell, same)


def assert_same_value(one: object, other: object) -> None:
    if isinstance(one, np.ndarray | float):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    else:
        assert one == other


def weighted_toy(n: int = 4000) -> RegressionTask:
    return toy(n, seed=11, w=np.random.default_rng(12).choice([1.0, 0.3, 0.02], n))


@pytest.mark.parametrize("scale", [2.0, 1e-10])
def test_a_factor_of_all_test_weights_changes_nothing(scale: float):
    task = weighted_toy()
    nominal = task.tests["nominal"]
    scaled = replace(task, tests={"nominal": nominal.with_weights(nominal.w * scale)})
    fit = Widening(everywhere(task.train), 0.95, sigma=0.7)
    one, other = (evaluated(fit, t) for t in (task, scaled))
    assert_same_findings(one, other, (ClosureCurve, ResponseHistogram, PullHistogram))


def test_weight_two_equals_the_event_twice_in_one_group():
    task = toy(4000, seed=13)
    sample = task.tests["nominal"]
    double = np.arange(len(sample)) % 3 == 0
    weighted = sample.with_weights(1.0 + double)
    twice = concatenate([sample, sample.take(double)])
    fit = Widening(everywhere(sample), 0.95, sigma=0.7)
    one, other = (evaluated(fit, replace(task, tests={"nominal": s})) for s in (weighted, twice))
    assert_same_findings(one, other, (ClosureCurve,))


def test_events_without_weight_do_not_count():
    task = toy(4000, seed=14)
    sample = task.tests["nominal"]
    kept = np.arange(len(sample)) % 4 != 0
    fit = Line(everywhere(sample), 0.95, sigma=0.7)
    one = evaluated(fit, replace(task, tests={"nominal": sample.with_weights(kept * 1.0)}))
    other = evaluated(fit, replace(task, tests={"nominal": sample.take(kept)}))
    depends_on_errors = {"closure/nominal/chi2_per_bin"}
    for name in scalars(one).keys() - depends_on_errors:
        assert scalars(one)[name].value == pytest.approx(scalars(other)[name].value, rel=1e-9), name
    curves = closure_curve(one), closure_curve(other)
    np.testing.assert_allclose(curves[0].n_effective, curves[1].n_effective)
    np.testing.assert_allclose(curves[0].mean, curves[1].mean)


def test_negative_weights_leave_means_and_take_medians_away():
    rng = np.random.default_rng(15)
    w = np.where(rng.random(6000) < 0.1, -1.0, 1.0)
    task = toy(6000, seed=15, w=w)
    sample = task.tests["nominal"]
    findings = evaluated(Line(everywhere(sample), sigma=0.7), task)
    found = scalars(findings)
    u = (sample.x - sample.z)[:, 0]
    assert found["closure/nominal/mean"].value == pytest.approx(np.average(u, weights=w))
    assert_within_errors(found["resolution/nominal/std"], NOISE, 5)
    absent = {"closure/nominal/median", "closure/nominal/mode"}
    absent |= {"resolution/nominal/iqr", "resolution/nominal/fit"}
    assert absent.isdisjoint(found)
    assert "nominal has negative weights: no medians, intervals and modes" in findings.warnings
    table = findings.tables["main"]["closure/nominal"]
    column = dict(zip(table.columns, zip(*table.rows, strict=True), strict=True))
    assert set(column["median"]) == set(column["iqr_error"]) == {None}
    assert None not in column["mean"]


# What is there and what is not


def test_without_sigma_there_is_no_point_resolution():
    task = toy(2000)
    findings = evaluated(Line(everywhere(task.train)), task)
    assert not any(name.startswith("point_resolution") for name in scalars(findings))
    assert not any(isinstance(record, PullHistogram) for record in findings.records)
    assert np.isnan(closure_curve(findings).sigma).all()


def test_the_quoted_sigma_stands_beside_the_actual_spread():
    task = toy(6000, seed=16)
    curve = closure_curve(evaluated(Line(everywhere(task.train), sigma=0.7), task))
    np.testing.assert_allclose(curve.sigma, 0.7)
    np.testing.assert_allclose(curve.sigma_error, 0.0, atol=1e-6)
    assert (np.abs(curve.std - 0.7) < 5 * curve.std_error).all()


def test_several_truths_are_labelled_by_their_columns(planar_task):
    findings = evaluated(Line(everywhere(planar_task.train), sigma=1.0), planar_task)
    labels = {name.split("/")[1] for name in scalars(findings)}
    assert labels == {"nominal.z0", "nominal.z1"}
    tests = {"closure/nominal.z0", "closure/nominal.z1"}
    assert set(findings.tables["main"]) == tests | {"closure/failing"}
    sample = planar_task.tests["nominal"]
    for column in (0, 1):
        found = scalars(findings)[f"closure/nominal.z{column}/mean"].value
        assert found == pytest.approx(
            (sample.x - np.pad(sample.z, ((0, 0), (0, 1))))[:, column].mean()
        )


def test_all_methods_and_test_samples_are_evaluated_on_common_bins():
    task = Gaussian(n=300).regression(Context())
    fits = {name: Line(everywhere(task.train), slope) for name, slope in (("a", 1), ("b", 0.5))}
    findings = QUICK(fits, task, refuse, Context())
    assert set(findings.scalars) == set(findings.tables) == {"a", "b"}
    tests = {f"closure/{t}" for t in ("nominal", "shifted", "wide")}
    assert set(findings.tables["b"]) == tests | {"closure/failing"}
    for kind in (ClosureCurve, ResponseHistogram):
        for test in task.tests:
            edges = [r.edges for r in findings.records if isinstance(r, kind) and r.test == test]
            assert len(edges) == 2
            np.testing.assert_array_equal(*edges)


def test_the_same_seed_gives_the_same_findings():
    task = toy(2000, seed=17)
    one, other = (evaluated(Line(everywhere(task.train), sigma=1.0), task) for _ in range(2))
    assert one.scalars == other.scalars
    assert one.tables == other.tables


@pytest.mark.parametrize(("kind", "slope"), [(PosteriorMean, 0.2), (MaximumLikelihood, 1.0)])
def test_closed_forms_stand_beside_the_curves(kind: type[Line], slope: float):
    task = Gaussian(n=2000).regression(Context(seed=6))
    form = task.closed_forms[kind.closed_form]
    findings = evaluated(kind(everywhere(task.train), slope), task)
    for test in task.tests:
        curve = closure_curve(findings, test)
        np.testing.assert_allclose(curve.exact_bias, form.bias(curve.z_mean))
        assert (np.abs(curve.mean - curve.exact_bias) < 5 * curve.mean_error).all()
        assert (np.abs(curve.std - curve.exact_resolution) < 5 * curve.std_error).all()


def test_without_a_closed_form_there_is_none():
    task = Gaussian(n=500).regression(Context())
    curve = closure_curve(evaluated(Line(everywhere(task.train)), task))
    assert np.isnan(curve.exact_bias).all()
    assert np.isnan(curve.exact_resolution).all()


def test_the_response_histogram_is_a_density():
    task = weighted_toy()
    fit = Line(everywhere(task.train), 0.95, sigma=0.7)
    findings = evaluated(fit, task)
    for kind in (ResponseHistogram, PullHistogram):
        (found,) = (r for r in findings.records if isinstance(r, kind))
        inside = np.sum(found.density * np.diff(found.edges))
        assert inside + found.underflow + found.overflow == pytest.approx(1.0)
        assert inside > 0.99
        assert (found.density_error[found.density > 0] > 0).all()
    (response,) = (r for r in findings.records if isinstance(r, ResponseHistogram))
    assert response.mean == pytest.approx(scalars(findings)["closure/nominal/mean"].value)
    assert response.mean_error == pytest.approx(
        scalars(findings)["closure/nominal/mean"].error, rel=0.6
    )


# Curves and spectra


def test_curves_follow_the_calibration_on_the_range_of_x():
    task = Gaussian(n=2000).regression(Context(seed=7))
    fits = {
        "line": Line(everywhere(task.train), 0.9, 0.1, 0.5),
        "mse": PosteriorMean(everywhere(task.train), 0.2),
    }
    joint, line, mse = Curves(points=11)(fits, task, refuse, Context()).records
    assert isinstance(line, CalibrationCurve)
    assert (line.method, line.x.size, line.x_name, line.z_name) == ("line", 11, "x", "z")
    np.testing.assert_allclose(line.estimate, 0.9 * line.x + 0.1)
    np.testing.assert_allclose(line.sigma, 0.5)
    assert np.isnan(line.exact_estimate).all()
    np.testing.assert_allclose(mse.exact_estimate, 0.2 * mse.x)
    np.testing.assert_allclose(mse.exact_sigma, 2 / np.sqrt(5))
    assert np.isnan(mse.sigma).all()
    assert isinstance(joint, JointHistogram)
    assert 0.97 * 2000 < joint.counts.sum() <= 2000
    assert np.quantile(task.train.x, 0.001) < line.x[0] < np.quantile(task.train.x, 0.01)


def test_there_are_no_curves_of_several_features(planar_task):
    fits = {"line": Line(everywhere(planar_task.train))}
    assert Curves()(fits, planar_task, refuse, Context()) == Findings()


def test_spectra_are_densities_of_truth_and_detector_level():
    task = Gaussian(n=2000).regression(Context(seed=8))
    others = {"other": Gaussian(n=2000, epsilon=0.5)}
    records = Spectra(bins=30, others=others)({}, task, refuse, Context()).records
    assert all(isinstance(record, SpectrumHistogram) for record in records)
    levels = ("truth", "detector", "detector (other)")
    assert {(r.sample, r.level) for r in records} == {(t, k) for t in task.tests for k in levels}
    for record in records:
        centres = 0.5 * (record.edges[1:] + record.edges[:-1])
        mass = record.density * np.diff(record.edges)
        assert record.edges.size == 31
        assert mass.sum() + record.underflow + record.overflow == pytest.approx(1.0)
        if record.sample == "nominal":
            width = {"truth": 1.0, "detector": 5**0.5, "detector (other)": 1.25**0.5}
            spread = np.sqrt(np.sum(mass * centres**2))
            assert spread == pytest.approx(width[record.level], rel=0.05)


def test_other_spectra_have_streams_of_their_own():
    """The same dataset shown beside itself is another sample of it."""
    task = Gaussian(n=500).regression(Context())
    records = Spectra(others={"twin": Gaussian(n=500)})({}, task, refuse, Context()).records
    nominal = {r.level: r.density for r in records if r.sample == "nominal"}
    assert not np.array_equal(nominal["detector"], nominal["detector (twin)"])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Curves(points=0), "evaluator.curves.points must be a positive integer, got 0"),
        (lambda: Spectra(bins=-1), "evaluator.spectra.bins must be a positive integer, got -1"),
    ],
)
def test_wrong_options_of_curves_and_spectra_are_named(build, message: str):
    with pytest.raises(ConfigurationError, match=message):
        build()


# Modes per bin


def test_the_mode_of_every_bin_stands_in_curve_and_table():
    task = toy(20_000, seed=30)
    findings = evaluated(Line(everywhere(task.train), offset=0.3), task)
    curve, table = closure_curve(findings), findings.tables["main"]["closure/nominal"]
    assert (np.abs(curve.mode - 0.3) < 5 * curve.mode_error).all()
    assert (np.abs(curve.fit - NOISE) < 5 * curve.fit_error).all()
    np.testing.assert_allclose(curve.fit_high - curve.fit_low, 3 * curve.fit)
    assert set(curve.fit_states) == {"fitted"}
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["mode"] for row in rows] == curve.mode.tolist()
    assert [row["fit_low"] for row in rows] == curve.fit_low.tolist()
    ratios = (curve.fit_chi2 / curve.fit_ndf).tolist()
    assert [row["fit_chi2_per_ndf"] for row in rows] == ratios
    assert [row["fit_state"] for row in rows] == ["fitted"] * 12
    units = dict(zip(table.columns, table.units, strict=True))
    assert (units["mode_error"], units["fit_high"], units["fit_state"]) == ("GeV", "GeV", "")


def test_the_fit_of_the_whole_sample_is_in_the_record_of_the_response():
    task = toy(20_000, seed=31)
    findings = evaluated(Line(everywhere(task.train)), task)
    (response,) = (r for r in findings.records if isinstance(r, ResponseHistogram))
    assert response.mode == scalars(findings)["closure/nominal/mode"].value
    assert response.fit == scalars(findings)["resolution/nominal/fit"].value
    assert response.fit_low == pytest.approx(response.mode - 1.5 * response.fit)
    assert response.fit_inside == pytest.approx(0.8664, abs=0.01)
    assert 0.4 < response.fit_chi2 / response.fit_ndf < 2
    assert response.fit_state == "fitted"


class Cusp(Line):
    """ẑ = z with errors of a two-sided exponential: a mode, but no Gaussian core."""

    def estimate(self, x: np.ndarray) -> Estimate:
        estimate = super().estimate(x)
        noise = np.random.default_rng(1).laplace(0.0, 1.0, (len(x), 1))
        return replace(estimate, z=estimate.z + noise)


def test_a_core_that_is_no_gaussian_is_flagged():
    task = toy(60_000, seed=32, noise=0.01)
    findings = evaluated(Cusp(everywhere(task.train)), task, Closure(bins=3, replicas=20))
    curve, table = closure_curve(findings), findings.tables["main"]["closure/nominal"]
    assert set(curve.fit_states) == {"poor"}
    assert np.isfinite(curve.mode).all()
    column = table.columns.index("fit_state")
    assert {row[column] for row in table.rows} == {"poor"}
    (response,) = (r for r in findings.records if isinstance(r, ResponseHistogram))
    assert response.fit_state == "poor"


@pytest.mark.parametrize(
    ("arguments", "state"),
    [
        ((199.0, 1.0, 0.5), "too few events"),
        ((np.nan, 1.0, 0.5), "too few events"),
        ((200.0, np.nan, np.nan), "failed"),
        ((200.0, 1.0, 0.9e-3), "poor"),
        ((200.0, 1.0, 1e-3), "fitted"),
    ],
)
def test_the_states_of_a_fit(arguments: tuple[float, float, float], state: str):
    assert fit_state(*arguments) == state


def test_records_of_versions_without_modes_still_load():
    task = toy(2000, seed=33)
    findings = evaluated(Line(everywhere(task.train)), task)
    for record in findings.records:
        state = {f.name: getattr(record, f.name) for f in fields(record)}
        new = {n for n in state if n.startswith(("mode", "fit")) or n == "n_effective"}
        new -= {"n_effective"} if isinstance(record, ClosureCurve) else set()
        old = RECORDS[type(record).__name__](**{k: v for k, v in state.items() if k not in new})
        if isinstance(record, ClosureCurve):
            assert np.isnan(old.mode).all()
            assert old.mode.shape == old.mean.shape
            assert old.states == record.states
        if isinstance(record, ResponseHistogram):
            assert old.fit_state == ""


# Slices of another column


def jets(n: int = 40_000, seed: int = 40) -> RegressionTask:
    """Positive pT with 5 % resolution, and η and a detector region beside it."""
    rng = np.random.default_rng(seed)
    z = 100.0 * (1 + rng.pareto(6.0, n))
    x = np.column_stack([z * (1 + RESOLUTION * rng.normal(size=n)), rng.uniform(-2.5, 2.5, n)])
    columns = (Column("pt_reco", "GeV", positive=True), Column("eta_reco"))
    truth = (Column("pt_true", "GeV", positive=True),)
    region = {"npv": rng.poisson(20, n).astype(float)}
    sample = Sample(x, z[:, None], np.ones(n), columns, truth, spectators=region)
    return RegressionTask(sample, {"nominal": sample}, ("pt_reco",))


@dataclass(frozen=True)
class OffInOneSlice(Line):
    """5 % too high where 1.3 ≤ |η| < 2.5."""

    def estimate(self, x: np.ndarray) -> Estimate:
        estimate = super().estimate(x)
        off = (np.abs(x[:, 1:2]) >= 1.3) & (np.abs(x[:, 1:2]) < 2.5)
        return replace(estimate, z=estimate.z * np.where(off, 1.05, 1.0))


ETA = {"abs(eta_reco)": [0.0, 0.8, 1.3, 2.5]}


def sliced(findings: Findings) -> SlicedClosure:
    (found,) = (r for r in findings.records if isinstance(r, SlicedClosure))
    return found


def test_a_calibration_that_is_off_in_one_slice_is_found_there():
    task = jets()
    closure = Closure(bins=4, by=ETA, replicas=20, tolerance=0.02)
    findings = evaluated(OffInOneSlice(everywhere(task.train)), task, closure)
    curve = sliced(findings)
    assert curve.states == (("closes",) * 4, ("closes",) * 4, ("fails",) * 4)
    assert (np.abs(curve.mean[2] - 1.05) < 5 * curve.mean_error[2]).all()
    assert "main: 4 of 12 bins of pt_true × abs(eta_reco) fail on nominal" in findings.warnings
    table = findings.tables["main"]["closure/nominal/by_abs(eta_reco)"]
    assert [row[:2] for row in table.rows[::4]] == [(0.0, 0.8), (0.8, 1.3), (1.3, 2.5)]
    assert [row[-1] for row in table.rows] == ["closes"] * 8 + ["fails"] * 4
    failing = findings.tables["main"]["closure/failing"]
    cells = [row for row in failing.rows if row[3] == "abs(eta_reco)"]
    assert [row[4:6] for row in cells] == [(1.3, 2.5)] * 4
    assert [row[7] for row in cells] == pytest.approx((curve.mean[2] - 1).tolist())


def test_failing_cells_do_not_enter_the_headline():
    task = jets()
    fit = OffInOneSlice(everywhere(task.train))
    alone = evaluated(fit, task, Closure(replicas=20))
    cut = evaluated(fit, task, Closure(replicas=20, by=ETA))
    assert scalars(alone) == scalars(cut)


def test_slices_equal_the_closure_of_the_events_in_them():
    task = jets(8000)
    sample = task.tests["nominal"]
    edges = [100.0, 110.0, 130.0, 300.0]
    fit = Line(everywhere(sample), 1.01)
    found = sliced(evaluated(fit, task, Closure(edges=edges, by=ETA, replicas=20)))
    eta = np.abs(sample.column("eta_reco"))
    for s, (low, high) in enumerate(((0, 0.8), (0.8, 1.3), (1.3, 2.5))):
        inside = sample.take((eta >= low) & (eta < high))
        alone = closure_curve(
            evaluated(fit, replace(task, tests={"nominal": inside}), Closure(edges=edges))
        )
        for name in ("n_effective", "z_mean", "mean", "std", "iqr"):
            np.testing.assert_allclose(getattr(found, name)[s], getattr(alone, name), rtol=1e-9)
        np.testing.assert_allclose(found.mean_error[s], alone.mean_error, rtol=0.6)


def test_slices_by_number_have_equal_statistics():
    task = jets()
    closure = Closure(bins=3, by={"npv": 4, "pt_true": 2}, replicas=10)
    findings = evaluated(Line(everywhere(task.train)), task, closure)
    by_npv, by_truth = (r for r in findings.records if isinstance(r, SlicedClosure))
    assert by_npv.by_edges.size == 5
    sizes = by_npv.n_effective.sum(axis=1)
    assert sizes.max() / sizes.min() < 1.4  # a column of whole numbers
    assert (by_npv.by_unit, by_truth.by_unit) == ("", "GeV")
    empty = by_truth.n_effective == 0
    assert empty.any()
    assert np.isnan(by_truth.mean[empty]).all()
    table = findings.tables["main"]["closure/nominal/by_pt_true"]
    assert len(table.rows) == np.count_nonzero(~empty)


def test_the_absolute_value_may_be_written_with_bars():
    one, other = (Closure(by={name: [0.0, 1.0]}).slicings() for name in ("|eta|", "abs(eta)"))
    assert one == other
    assert one[0].name == "abs(eta)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": {"eta": 0}}, "evaluator.closure.by.eta must be a positive integer, got 0"),
        ({"by": {"eta": [0, 2, 1]}}, r"evaluator.closure.by.eta: the edges must rise, got \[0"),
        ({"by": {"eta": [1.0]}}, "evaluator.closure.by.eta: the edges must rise"),
        ({"by": {"eta": ["a", 1]}}, "each edge of evaluator.closure.by.eta must be a finite num"),
        ({"by": {"eta": "wide"}}, "evaluator.closure.by.eta must be a positive integer"),
        ({"by": "eta"}, "evaluator.closure.by maps a column to edges or to a number of slices"),
        ({"nsc": "maybe"}, "evaluator.closure.nsc must be true, false or null .* got 'maybe'"),
        ({"nsc": 1.5}, "evaluator.closure.nsc must be true, false or null"),
    ],
)
def test_wrong_options_of_slices_and_terms_are_named(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        Closure(**options)


def test_a_column_that_is_not_there_is_refused_before_any_work():
    task = jets(500)
    for by in ("eta_rec", "|eta_rec|"):
        with pytest.raises(DataError, match="no column 'eta_rec' in the sample: did you mean eta"):
            Closure(by={by: 3}).check(task)
        with pytest.raises(DataError, match="no column 'eta_rec'"):
            Closure(by={by: 3})({"main": None}, task, refuse, Context())
    with pytest.raises(
        ConfigurationError, match=r"nsc=true needs a truth that is positive .* z is"
    ):
        Closure(nsc=True).check(toy(500))


def test_slices_know_weights_and_groups():
    task = jets(6000)
    sample = task.tests["nominal"]
    double = np.arange(len(sample)) % 3 == 0
    closure = Closure(bins=3, by=ETA, replicas=20)
    weighted = sample.with_weights(1e-9 * (1.0 + double))
    twice = concatenate([sample, sample.take(double)])
    fit = Line(everywhere(sample), 1.01)
    one, other = (
        evaluated(fit, replace(task, tests={"nominal": s}), closure) for s in (weighted, twice)
    )
    assert_same_findings(one, other, (ClosureCurve, SlicedClosure))


# Noise, stochastic and constant term


def smeared(n: int = 60_000, name: str = "gen_pt", positive: bool = True) -> RegressionTask:
    """pT from 20 GeV to 1 TeV, flat in its logarithm, with N = 4, S = 0.9, C = 0.05."""
    rng = np.random.default_rng(50)
    z = np.exp(rng.uniform(np.log(20), np.log(1000), n))
    width = np.sqrt(4.0**2 / z**2 + 0.9**2 / z + 0.05**2)
    x = z * (1 + width * rng.normal(size=n))
    columns = (Column("pt", "GeV"),), (Column(name, "GeV", positive),)
    sample = Sample(x[:, None], z[:, None], np.ones(n), *columns)
    return RegressionTask(sample, {"nominal": sample}, ("pt",))


def test_the_terms_of_a_momentum_resolution_are_found():
    task = smeared()
    findings = evaluated(Line(everywhere(task.train)), task, Closure(bins=20, replicas=50))
    (fit,) = (r for r in findings.records if isinstance(r, ResolutionFit))
    for name, term in (("noise", 4.0), ("stochastic", 0.9), ("constant", 0.05)):
        found = scalars(findings)[f"resolution/nominal/{name}"]
        assert_within_errors(found, term)
        assert (found.value, found.error) == (getattr(fit, name), getattr(fit, f"{name}_error"))
    assert scalars(findings)["resolution/nominal/noise"].unit == "GeV"
    assert scalars(findings)["resolution/nominal/stochastic"].unit == "√GeV"
    assert fit.probability > 1e-3
    table = findings.tables["main"]["resolution/nominal/terms"]
    assert [row[:2] for row in table.rows] == [
        ("noise", "GeV"), ("stochastic", "√GeV"), ("constant", "")
    ]  # fmt: skip
    columns = ("z_low", "z_high", "chi2", "ndf", "fit_state")
    assert table.columns[4:] == columns
    assert table.rows[0][4:] == (fit.low, fit.high, fit.chi2, 17, "fitted")


@pytest.mark.parametrize(
    ("name", "positive", "nsc", "expected"),
    [
        ("pt_true", True, None, True),
        ("GenJet_pt", True, None, True),
        ("pT", True, None, True),
        ("pt_true", True, False, False),
        ("pt_true", False, None, False),
        ("optical", True, None, False),
        ("mass", True, None, False),
        ("mass", True, True, True),
    ],
)
def test_terms_are_fitted_where_the_truth_is_a_transverse_momentum(
    name: str, positive: bool, nsc: bool | None, expected: bool
):
    task = smeared(4000, name, positive)
    findings = evaluated(Line(everywhere(task.train)), task, Closure(bins=6, replicas=10, nsc=nsc))
    assert ("resolution/nominal/constant" in scalars(findings)) == expected


def test_terms_that_do_not_describe_the_resolution_are_called_poor():
    task = smeared()
    findings = evaluated(Line(everywhere(task.train)), task, Closure(bins=20, replicas=50))
    curve = closure_curve(findings)
    stepped = np.where(curve.edges[1:] > 150, 1.5, 1.0) * curve.iqr
    found, warning = resolution_fit(replace(curve, iqr=stepped))
    assert found.poor
    assert warning.startswith("main: poor N-S-C fit on nominal: χ²/ndf = ")
    assert "poor" in term_table(found).rows[0]


def test_too_few_bins_for_the_terms_are_warned_of():
    task = smeared(700)
    findings = evaluated(Line(everywhere(task.train)), task)
    assert "resolution/nominal/constant" not in scalars(findings)
    assert any(
        "no N-S-C fit of the resolution on nominal: 3 of 3 bins of gen_pt" in text
        and "at least 4 are needed" in text
        for text in findings.warnings
    )


# All bins that fail


def test_no_table_of_failing_bins_where_none_fails():
    task = toy(20_000, seed=60, noise=0.1)
    good = evaluated(Line(everywhere(task.train)), task)
    assert "closure/failing" not in good.tables["main"]
    bad = evaluated(Line(everywhere(task.train), bump=(1.0, 9.0, 1.0)), task)
    table, curve = bad.tables["main"]["closure/failing"], closure_curve(bad)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    failing = [b for b, state in enumerate(curve.states) if state == "fails"]
    assert [row["z_low"] for row in rows] == curve.edges[failing].tolist()
    assert [row["bias"] for row in rows] == curve.mean[failing].tolist()
    assert [row["bias_error"] for row in rows] == curve.mean_error[failing].tolist()
    assert {row["tolerance"] for row in rows} == {curve.tolerance}
    assert {(row["test"], row["by"], row["by_low"]) for row in rows} == {("nominal", None, None)}
    units = dict(zip(table.columns, table.units, strict=True))
    assert (units["z_low"], units["bias"], units["by_low"]) == ("GeV", "GeV", "")


# Tails, and the calibration's own statistical error


def tailed_task(fraction: float) -> RegressionTask:
    """x/z ~ N(1, 0.02²), but for a fraction that lies at 0.7."""
    rng = np.random.default_rng(5)
    z = rng.uniform(100, 200, 40_000)
    u = np.where(rng.random(z.size) < fraction, 0.7, rng.normal(1, 0.02, z.size))
    columns = (Column("pt", "GeV", positive=True),), (Column("pt_true", "GeV", positive=True),)
    sample = Sample((u * z)[:, None], z[:, None], np.ones(z.size), *columns)
    return RegressionTask(sample, {"nominal": sample}, ("pt",))


def findings_of(task: RegressionTask, fit: Calibration | None = None) -> Findings:
    fit = fit or Uncalibrated().fit(task, Context())
    return Closure(bins=4, replicas=10)({"none": fit}, task, lambda other: fit, Context())


def test_tails_are_recorded_with_their_share():
    found = findings_of(tailed_task(0.01)).records
    (tails,) = [record for record in found if isinstance(record, TailHistogram)]
    assert tails.below == pytest.approx(0.01, abs=4 * tails.below_error)
    assert tails.below_error == pytest.approx(np.sqrt(0.01 * 0.99 / 40_000), rel=0.1)
    assert tails.above < 1e-4
    assert tails.edges[0] <= 0.7
    assert np.sum(tails.density * np.diff(tails.edges)) == pytest.approx(1, abs=1e-3)


def test_a_gaussian_response_has_no_tails():
    found = findings_of(tailed_task(0.0)).records
    assert not [record for record in found if isinstance(record, TailHistogram)]


def test_the_error_that_refits_share_is_told_per_bin(monkeypatch: pytest.MonkeyPatch):
    task = tailed_task(0.0)
    nominal = MSE(degree=1).fit(task, Context())
    fits = [
        MSE(degree=1).fit(replace(task, train=task.train.take(slice(i, None, 4))), Context())
        for i in range(4)
    ]
    ensemble = Ensemble(nominal, tuple(fits))
    (curve,) = [r for r in findings_of(task, ensemble).records if isinstance(r, ClosureCurve)]
    sample = task.tests["nominal"]
    z, estimate = sample.z[:, 0], np.stack([fit.estimate(sample.x).z[:, 0] for fit in fits])
    index = np.digitize(z, curve.edges[1:-1])
    inside = (z >= curve.edges[0]) & (z <= curve.edges[-1])
    bins = [inside & (index == b) for b in range(len(curve.mean))]
    expected = [np.std((estimate / z)[:, rows].mean(axis=1), ddof=1) for rows in bins]
    np.testing.assert_allclose(curve.calibration_error, expected, rtol=0.01)
    monkeypatch.setattr("calibrate.evaluators.shared_error.SHARED_EVENTS", 40_000)
    (curve,) = [r for r in findings_of(task, ensemble).records if isinstance(r, ClosureCurve)]
    np.testing.assert_allclose(curve.calibration_error, expected, rtol=1e-9)


def test_without_refits_there_is_no_such_error():
    (curve,) = [r for r in findings_of(tailed_task(0.0)).records if isinstance(r, ClosureCurve)]
    assert np.isnan(curve.calibration_error).all()
