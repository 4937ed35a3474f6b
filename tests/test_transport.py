"""Transport of simulation to data: tasks, distances, evaluator, verdict, figures and reports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibrate.cli.compose import compose
from calibrate.cli.kinds import refuse_misfit
from calibrate.cli.main import guarded
from calibrate.cli.planning import plan
from calibrate.cli.report import redraw
from calibrate.cli.run import run as run_command
from calibrate.context import Context
from calibrate.data.dijet import Dijet
from calibrate.data.gaussian import Gaussian
from calibrate.errors import ConfigurationError, DataError, MisfitError
from calibrate.estimate import TransportMap
from calibrate.evaluators.closure import Closure
from calibrate.evaluators.transport import Transport
from calibrate.figures import figures_for
from calibrate.loading import load
from calibrate.methods.mse import MSE
from calibrate.methods.none import Uncalibrated
from calibrate.methods.ot import OptimalTransport
from calibrate.records import (
    CANNOT_TELL,
    CLOSES,
    FAILS,
    TransportCurve,
    TransportHistogram,
)
from calibrate.report import transport_verdict
from calibrate.report.captions import caption
from calibrate.report.files import read, write
from calibrate.sample import Column, Sample, concatenate, without_truth
from calibrate.statistics import Distances, Poisson, chi_square
from calibrate.storage import save_state
from calibrate.study import Result, Study, run
from calibrate.task import Pair, TransportTask

METHODS = {"ot": OptimalTransport(), "none": Uncalibrated()}
EVALUATOR = Transport(replicas=20, refits=6)
GAUSSIAN = Study(Gaussian(n=20000), METHODS, {"transport": EVALUATOR})


@pytest.fixture(scope="module")
def result() -> Result:
    return run(GAUSSIAN, Context(seed=1), {"data": "gaussian", "seed": 1}, "seed: 1\n")


@pytest.fixture(scope="module")
def dijets() -> Result:
    study = Study(Dijet(resonance_masses=(2200, 2800)), METHODS, {"transport": EVALUATOR})
    return run(study, Context(seed=1), {}, "")


# Tasks


def test_gaussian_pairs_are_independent_and_data_has_no_truth():
    task = Gaussian(n=1000, mu_test=2.0, sigma_test=0.5).transport(Context())
    assert list(task.tests) == ["nominal", "shifted"]
    for pair in (task.train, *task.tests.values()):
        assert pair.simulation.z.shape == (1000, 1)
        assert pair.data.z.shape == (1000, 0)
    x = [s.x[:, 0] for p in (task.train, *task.tests.values()) for s in (p.simulation, p.data)]
    correlations = np.corrcoef(x) - np.eye(6)
    assert np.abs(correlations).max() < 0.15
    assert task.tests["shifted"].simulation.z.std() == pytest.approx(0.5, abs=0.05)


def test_the_closed_forms_of_the_gaussian_example_carry_moments():
    """αx + μ(1-α) takes N(μ, σ²+ε_sim²) to N(μ, σ²+ε²): Eq. 43 and 44 of arXiv:2205.05084."""
    task = Gaussian(mu_test=2.0, sigma_test=0.5).transport(Context())
    for test, mu, sigma in (("nominal", 0.0, 1.0), ("shifted", 2.0, 0.5)):
        exact = task.closed_forms[test]
        moved = exact(np.array([mu, mu + np.hypot(sigma, 1.0)]))
        np.testing.assert_allclose(moved, [mu, mu + np.hypot(sigma, 2.0)])


def test_dijet_pairs_are_fast_and_full_with_resonances_of_their_own_truth():
    task = Dijet().transport(Context())
    assert list(task.tests) == ["nominal", "resonance2200", "resonance2800", "resonance3400"]
    assert [c.name for c in task.train.simulation.z_columns] == ["mjj_true"]
    assert task.train.data.z_columns == ()
    assert set(task.files) == {"dijet_fast.h5", "dijet_full.h5"}
    for mass in (2200, 2800):
        simulation = task.tests[f"resonance{mass}"].simulation
        assert np.average(simulation.z[:, 0], weights=simulation.w) == pytest.approx(mass, abs=3)
    nominal, train = task.tests["nominal"], task.train
    assert not set(nominal.data.group) & set(train.data.group)
    assert not set(nominal.simulation.group) & set(train.simulation.group)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Dijet(simulation="full").transport(Context()), "are the same events: choose"),
        (lambda: Dijet(resonance_masses=(2200, 2200.0)), "takes different masses"),
        (lambda: Dijet(simulation="slow"), "data.simulation='slow'"),
        (lambda: Dijet(resonance_masses=3.0), "takes a list, got 3.0"),
        (lambda: Dijet(resonance_masses=(-1,)), "must be positive, got -1"),
        (lambda: Dijet(resonance_masses=(9000,)).transport(Context()), "data.resonance_masses"),
        (lambda: Gaussian(epsilon_sim=0), "data.epsilon_sim must be positive"),
        (lambda: Gaussian(sigma_test=-1.0), "data.sigma_test must be positive"),
        (lambda: Gaussian(n=50).transport(Context()), "the simulation of the training sample"),
    ],
)
def test_tasks_that_cannot_be_posed_are_refused(build, message: str):
    with pytest.raises((ConfigurationError, DataError), match=message):
        build()


def test_a_pair_needs_the_same_features_and_data_without_truth():
    pair = Gaussian(n=200).transport(Context()).train
    with pytest.raises(DataError, match="data has no truth, got z"):
        Pair(pair.simulation, pair.simulation)
    other = replace(pair.data, x_columns=(Column("y"),))
    with pytest.raises(DataError, match="need the same features, got x and y"):
        Pair(pair.simulation, other)
    with pytest.raises(ConfigurationError, match="a task needs a test sample 'nominal'"):
        TransportTask(pair, {"other": pair})


# Which goes with which


class OnlyRegression:
    def regression(self, context: Context) -> None:
        raise AssertionError("refused before any work")


def test_what_does_not_fit_is_refused_before_any_work():
    with pytest.raises(MisfitError, match="offers regression, but ot need a transport task"):
        Study(OnlyRegression(), {"ot": OptimalTransport()}, {})
    both = {"ot": OptimalTransport(), "mse": MSE()}
    with pytest.raises(MisfitError, match="one kind of task, but ot is for transport, mse is for"):
        Study(Gaussian(), both, {})
    with pytest.raises(MisfitError, match="the study solves a transport task, but closure is for"):
        Study(Gaussian(), METHODS, {"closure": Closure()})
    with pytest.raises(ConfigurationError, match="replicas=3: bootstrap refits are made of regr"):
        replace(GAUSSIAN, replicas=3)


def test_none_serves_both_kinds_of_task():
    assert Study(Gaussian(), {"none": Uncalibrated()}, {}).task == "regression"
    assert Study(Gaussian(), {"none": Uncalibrated()}, {"t": Transport()}).task == "transport"
    assert GAUSSIAN.task == "transport"


def test_the_command_lists_the_data_that_fits():
    fitting = r"data=mine offers regression, but ot need a transport.*fits: cms_dijet, delphes_d"
    with pytest.raises(MisfitError, match=fitting):
        refuse_misfit("mine", "calibrate.stored.AllEvents", {"ot": OptimalTransport()})


def test_the_evaluators_follow_the_method_unless_they_are_named():
    composed = compose(["data=gaussian", "method=ot"])
    assert list(composed.evaluator) == ["prior_stress", "transport"]
    assert "closure" in compose(["data=gaussian", "method=mse"]).evaluator
    composed = compose(["data=gaussian", "method=ot", "evaluator.transport.bins=7"])
    assert composed.evaluator.transport.bins == 7
    with pytest.raises(MisfitError, match="closure is for regression"):
        plan(["data=gaussian", "method=ot", "evaluator=[closure]"])


def test_evaluators_that_cannot_be_used_are_refused():
    for options, message in (
        ({"bins": 1}, "bins must be at least 2"),
        ({"refits": -1}, "refits must be an integer ≥ 0"),
        ({"replicas": 0}, "replicas must be a positive integer"),
        ({"classified": -1}, "classified must be an integer ≥ 0"),
        ({"classified": 99}, "classified must be 0 or at least 100, got 99"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            Transport(**options)


# Distances


def slow_distances(a, w, b, v) -> tuple[float, float]:
    points = sorted({*a, *b})
    gaps = [abs(sum(w[a <= p]) / sum(w) - sum(v[b <= p]) / sum(v)) for p in points]
    return max(gaps), sum(g * (q - p) for g, p, q in zip(gaps, points, points[1:], strict=False))


@pytest.mark.parametrize("seed", range(4))
def test_distances_are_those_of_their_slow_twin(seed: int):
    rng = np.random.default_rng(seed)
    a, b = np.round(rng.normal(size=60), 1), np.round(rng.normal(0.5, 1, 80), 1)
    w, v = rng.exponential(size=60), rng.choice([0.0, 1.0, 5.0], 80)
    np.testing.assert_allclose(Distances.of(a, b)(w, v), slow_distances(a, w, b, v), rtol=1e-12)


def test_a_shift_is_the_wasserstein_distance_and_weights_are_repetitions():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=500), rng.exponential(size=500)
    assert Distances.of(x, x + 3.0)(w, w)[1] == pytest.approx(3.0)
    assert Distances.of(x, x)(w, 7 * w).tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
    twice = Distances.of(np.tile(x, 2), x + 0.3)(np.ones(1000), w)
    np.testing.assert_allclose(twice, Distances.of(x, x + 0.3)(np.full(500, 2.0), w))
    with pytest.raises(DataError, match="a distance between distributions needs weights ≥ 0"):
        Distances.of(x, x)(w, -w)


def test_the_bootstrap_error_of_a_distance_is_that_of_repeated_samples():
    def one(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return rng.normal(size=400), rng.normal(1.0, 1.0, 400)

    ones = np.ones(400)
    scatter = np.std(
        [Distances.of(*one(np.random.default_rng(i)))(ones, ones) for i in range(200)], axis=0
    )
    a, b = one(np.random.default_rng(999))
    groups = Sample(a[:, None], np.empty((400, 0)), ones, (Column("x"),), ()).groups
    poissons = [Poisson(groups, 200, np.random.SeedSequence(i)) for i in range(2)]
    found = Distances.of(a, b).replicas(ones, ones, *poissons).std(axis=0)
    np.testing.assert_allclose(found, scatter, rtol=0.25)


def test_chi_square_follows_its_distribution():
    rng = np.random.default_rng(2)
    probabilities = []
    for _ in range(300):
        p, q = (rng.multinomial(2000, np.full(10, 0.1)) / 2000 for _ in range(2))
        probabilities.append(chi_square(p, q, (p + q) / 2000).probability)
    assert np.mean(probabilities) == pytest.approx(0.5, abs=0.06)
    assert np.mean(np.array(probabilities) < 0.1) == pytest.approx(0.1, abs=0.06)
    empty = chi_square(np.zeros(1), np.zeros(1), np.zeros(1))
    assert np.isnan(empty.per_ndf)
    assert np.isnan(empty.probability)


# The evaluator


def value(result: Result, name: str, method: str = "ot"):
    return result.outcome.metrics[method][f"transport/{name}"]


def test_numbers_of_the_gaussian_example(result: Result):
    """Eq. 43, 44: closes at the training prior, mean 3.16 instead of 2.0 at another."""
    assert value(result, "nominal/chi2_per_bin").value < 1.8
    assert value(result, "nominal/slope").value == pytest.approx(1.581, rel=0.03)
    assert value(result, "nominal/std").value == pytest.approx(np.sqrt(5), rel=0.03)
    mean = value(result, "shifted/mean")
    assert abs(mean.value - 3.162) < 4 * mean.error
    assert value(result, "shifted/data_mean").value == pytest.approx(2.0, abs=0.06)
    assert value(result, "shifted/uncalibrated_std").value == pytest.approx(np.sqrt(2), rel=0.02)
    assert value(result, "shifted/wasserstein").value == pytest.approx(1.162, abs=0.12)
    assert value(result, "shifted/chi2_per_bin").value > 20


def test_untouched_simulation_has_the_uncalibrated_numbers(result: Result):
    for name in ("mean", "std", "iqr", "ks", "wasserstein", "chi2_per_bin", "auc"):
        for test in ("nominal", "shifted"):
            untouched = value(result, f"{test}/{name}", "none").value
            assert untouched == value(result, f"{test}/uncalibrated_{name}").value


def test_chi2_of_a_map_contains_the_error_of_the_map():
    """Over independent data sets the mean χ² per degree of freedom is 1, and 2 without."""
    data = Gaussian(n=2000)
    found = {}
    for refits in (0, 20):
        study = Study(
            data, METHODS, {"t": Transport(bins=10, replicas=2, refits=refits, classified=0)}
        )
        found[refits] = np.mean([
            value(run(study, Context(seed=s), {}, ""), "nominal/chi2_per_bin").value
            for s in range(12)
        ])  # fmt: skip
    assert found[20] == pytest.approx(1.0, abs=0.35)
    assert found[0] > 1.4 * found[20]


def test_dijets_close_on_qcd_and_keep_the_resonances_too_narrow(dijets: Result):
    assert value(dijets, "nominal/chi2_per_bin").value < 1.8
    for mass in (2200, 2800):
        before, after, data = (
            value(dijets, f"resonance{mass}/{name}")
            for name in ("uncalibrated_iqr", "iqr", "data_iqr")
        )
        assert data.value - after.value > 5 * np.hypot(data.error, after.error)
        assert after.value == pytest.approx(before.value, rel=0.1)


def test_the_same_seed_gives_the_same_metrics(result: Result):
    again = run(GAUSSIAN, Context(seed=1), {}, "").outcome.metrics
    found, repeated = (
        {label: {name: q for name, q in each.items() if name != "fit/seconds"}
         for label, each in metrics.items()}
        for metrics in (result.outcome.metrics, again)
    )  # fmt: skip
    assert repeated == found


def test_weight_two_is_the_event_twice_in_the_marginals():
    task = Gaussian(n=400).transport(Context())
    sample = task.train.simulation
    double = np.arange(400) % 2 == 0
    weighted = sample.with_weights(1.0 + double)
    twice = concatenate([sample, sample.take(double)])
    found = []
    for each in (weighted, twice):
        pair = Pair(each, task.train.data)
        other = TransportTask(pair, {"nominal": pair})
        fits = {"none": Uncalibrated().fit(other, Context())}
        evaluated = Transport(replicas=5, refits=0, classified=0)(fits, other, None, Context())
        found.append(evaluated.scalars["none"])
    for name, quantity in found[0].items():
        assert found[1][name].value == pytest.approx(quantity.value, rel=1e-9), name


def test_negative_weights_leave_out_what_needs_positive_ones():
    task = Gaussian(n=400).transport(Context())
    w = np.ones(400)
    w[:20] = -1.0
    pair = Pair(task.train.simulation.with_weights(w), task.train.data)
    other = TransportTask(pair, {"nominal": pair})
    fits = {"none": Uncalibrated().fit(other, Context())}
    scalars = Transport(replicas=5)(fits, other, None, Context()).scalars["none"]
    assert np.isnan(scalars["transport/nominal/ks"].value)
    assert np.isfinite(scalars["transport/nominal/mean"].value)
    assert np.isfinite(scalars["transport/nominal/chi2_per_bin"].value)


def test_events_outside_the_training_range_are_told():
    study = replace(GAUSSIAN, data=Gaussian(n=500, mu_test=8.0))
    outcome = run(study, Context(), {}, "").outcome
    (warning,) = [text for text in outcome.warnings if text.startswith("ot, shifted")]
    assert "lies outside the range of the training sample" in warning
    assert not any(text.startswith("none") for text in outcome.warnings)


def test_the_untouched_simulation_is_stored_and_opened(tmp_path: Path):
    task = Gaussian(n=200).transport(Context())
    fitted = Uncalibrated().fit(task, Context())
    save_state(tmp_path / "fitted.h5", fitted.kind, fitted.state())
    x = task.train.simulation.x
    np.testing.assert_array_equal(load(tmp_path).transport(x, task.train.simulation.z), x)


# Records, figures, verdict, report


def test_records_hold_every_method_and_test(result: Result):
    shapes = [r for r in result.outcome.records if isinstance(r, TransportHistogram)]
    assert {(r.method, r.test) for r in shapes} == {
        (m, t) for m in METHODS for t in ("nominal", "shifted")
    }
    for shape in shapes:
        width = np.diff(shape.edges)
        for density in (shape.data, shape.before):
            assert 0.99 < np.sum(density * width) <= 1 + 1e-9
    curves = [r for r in result.outcome.records if isinstance(r, TransportCurve)]
    assert [(c.method, c.test) for c in curves] == [("ot", "nominal"), ("ot", "shifted")]
    inner = slice(10, -10)
    np.testing.assert_allclose(curves[0].transported[inner], curves[0].exact[inner], atol=0.15)
    assert np.all(curves[1].transported[inner] - curves[1].exact[inner] > 0.6)


def test_figures_have_captions(result: Result):
    figures = figures_for(result.outcome.records, result.outcome.methods)
    tests = ("nominal", "shifted")
    assert set(figures) == {f"{kind}_{t}" for kind in ("transport", "transport_map") for t in tests}
    assert caption("transport_map_nominal")[0] == "Map: nominal"
    assert caption("transport_shifted")[0] == "Simulation and data: shifted"
    upper = figures["transport_nominal"].axes[0], figures["transport_nominal"].axes[1]
    drawn = {artist.get_gid() for axes in upper for artist in axes.get_children()}
    assert {"data", "simulation", "ot", "ot:ratio", "simulation:ratio"} <= drawn


def test_a_falling_spectrum_is_drawn_on_a_logarithmic_scale(dijets: Result):
    figures = figures_for(dijets.outcome.records, dijets.outcome.methods)
    scales = {name: [axes.get_yscale() for axes in figures[name].axes] for name in figures}
    assert "log" in scales["transport_nominal"]
    assert scales["transport_resonance2200"].count("log") <= 1


def test_the_verdict_names_what_fails(result: Result):
    shapes = [r for r in result.outcome.records if isinstance(r, TransportHistogram)]
    ot = [shape for shape in shapes if shape.method == "ot"]
    assert [shape.state for shape in ot] == [CLOSES, FAILS]
    text = transport_verdict.sentence(ot)
    assert text.startswith("ot does not describe data: it fails on shifted (χ²/ndf = ")
    assert "p < 0.0001; mean +1." in text
    assert "it closes on nominal" in text
    assert transport_verdict.overall(ot) == FAILS
    assert transport_verdict.overall(ot[:1]) == CLOSES
    vague = replace(ot[0], mean_error=1.0)
    assert vague.state == CANNOT_TELL
    assert "the statistics cannot tell" in transport_verdict.sentence([vague])
    assert transport_verdict.sentence([]) == "No transport was measured."


def test_what_was_written_is_read_again_and_drawn(result: Result, tmp_path: Path):
    outcome = write(tmp_path, result, figures=False, context=Context())
    again = read(tmp_path)
    assert again.metrics == {method: dict(m) for method, m in outcome.metrics.items()}
    assert [type(r) for r in again.records] == [type(r) for r in outcome.records]
    x = np.linspace(-3, 3, 7)[:, None]
    np.testing.assert_array_equal(load(tmp_path).transport(x, x), result.fits["ot"].transport(x, x))
    redraw(str(tmp_path))
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "ot does not describe data" in page
    assert "mean of data" in page
    assert (tmp_path / "figures" / "transport_map_shifted.pdf").exists()


def test_a_run_from_the_command_line(tmp_path: Path, capsys):
    overrides = ["data=gaussian", "method=ot", "data.n=500", "report.figures=false"]
    assert run_command([*overrides, f"output={tmp_path}", "evaluator.transport.refits=2"]) == 0
    assert "describe" in capsys.readouterr().out
    (path,) = tmp_path.glob("*/*/*/report.json")
    metrics = json.loads(path.read_text("utf-8"))["metrics"]
    assert {"transport/nominal/mean", "none:transport/shifted/ks"} <= metrics.keys()
    assert metrics["transport/nominal/chi2_per_bin"]["error"] is None


def test_a_map_is_refused_where_a_calibration_is_needed(tmp_path: Path, capsys):
    from calibrate.cli.evaluate import evaluate

    task = Gaussian(n=200).transport(Context())
    fitted = OptimalTransport().fit(task, Context())
    save_state(tmp_path / "fitted.h5", fitted.kind, fitted.state())
    assert guarded(lambda: evaluate(str(tmp_path), ["data=gaussian"])) == 2
    assert "holds a 'quantile_map' map of simulation to data" in capsys.readouterr().err


def test_without_truth_keeps_the_events():
    sample = Gaussian(n=200).transport(Context()).train.simulation
    bare = without_truth(sample)
    assert bare.z.shape == (200, 0)
    np.testing.assert_array_equal(bare.x, sample.x)


def test_refits_resample_the_controls_too():
    task = Gaussian(n=500, controls=[[1.0, 0.5]]).transport(Context())
    seen: list[TransportTask] = []

    def refit(other: TransportTask, label: str) -> TransportMap:
        seen.append(other)
        return OptimalTransport().fit(other, Context())

    fits = {"ot": OptimalTransport().fit(task, Context())}
    Transport(refits=3, replicas=2)(fits, task, refit, Context())
    assert len(seen) == 3
    for other in seen:
        control, train = other.controls["control1"], other.train
        assert set(np.unique(control.data.w)) > {0.0, 1.0}
        assert not np.array_equal(control.data.w, train.data.w)
