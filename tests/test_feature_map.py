"""Optimal transport of several features: closed forms, agreement with one dimension, invariances,
what is said of the outside, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.errors import ConfigurationError, DataError, FitError
from calibrate.loading import load
from calibrate.methods import plans
from calibrate.methods.feature_map import FeatureMap
from calibrate.methods.moments import Cloud, Linear
from calibrate.methods.ot import OptimalTransport
from calibrate.methods.plans import Entropic, Neighbours, entropic, exact
from calibrate.methods.slices import Slices
from calibrate.sample import Column, Sample, concatenate
from calibrate.storage import save_state
from calibrate.task import Pair, TransportTask

PLANS = {"exact": 600, "entropic": 600, "sliced": 20000}
"""Events on each side for every plan."""
UNITS = np.array([1.0, 50.0])
BEFORE = np.array([[1.0, 0.6], [0.6, 1.0]])
AFTER = np.array([[1.3, -0.4], [-0.4, 0.7]])
SHIFT = np.array([0.5, -0.3])


def sample_of(x, w=None, positive: bool = False) -> Sample:
    x = np.asarray(x, float)
    columns = tuple(Column(f"x{i}", "GeV", positive) for i in range(x.shape[1]))
    weights = np.ones(len(x)) if w is None else np.asarray(w, float)
    return Sample(x, np.empty((len(x), 0)), weights, columns, ())


def fitted(simulation: Sample, data: Sample, plan: str, **options) -> FeatureMap:
    pair = Pair(simulation, data)
    found = OptimalTransport(plan=plan, **options).fit(TransportTask(pair, {"nominal": pair}),
                                                       Context())  # fmt: skip
    assert isinstance(found, FeatureMap)
    return found


def moved(found: FeatureMap, x) -> np.ndarray:
    return found.transport(np.asarray(x, float), np.empty((len(x), 0)))


def gaussians(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    x = rng.multivariate_normal([0, 0], BEFORE, n)
    return x * UNITS, (SHIFT + rng.multivariate_normal([0, 0], AFTER, n)) * UNITS


def root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values)) @ vectors.T


def exact_between_gaussians(x: np.ndarray) -> np.ndarray:
    """m₂ + A(x - m₁), A = Σ₁^-½(Σ₁^½Σ₂Σ₁^½)^½Σ₁^-½, with features in widths of data."""
    unit = UNITS * np.sqrt(np.diag(AFTER))
    before, after = (c * np.outer(UNITS, UNITS) / np.outer(unit, unit) for c in (BEFORE, AFTER))
    half = root(before)
    inverse = np.linalg.inv(half)
    matrix = inverse @ root(half @ after @ half) @ inverse
    return unit * (SHIFT * UNITS / unit + (x / unit) @ matrix.T)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Root mean square, in widths of the second."""
    return float(np.sqrt(np.mean(((one - other) / other.std(axis=0)) ** 2)))


@pytest.mark.parametrize(("plan", "tolerance"), [("exact", 0.15), ("entropic", 0.15),
                                                 ("sliced", 0.03)])  # fmt: skip
def test_between_gaussians_the_map_is_linear(plan: str, tolerance: float):
    simulation, data = gaussians(np.random.default_rng(0), PLANS[plan])
    found = fitted(sample_of(simulation), sample_of(data), plan)
    x, _ = gaussians(np.random.default_rng(1), 4000)
    right = exact_between_gaussians(x)
    assert distance(moved(found, x), right) < tolerance
    widths = moved(found, simulation).std(axis=0) / data.std(axis=0)
    np.testing.assert_allclose(widths, 1, atol=0.04)
    assert distance(x, right) > 4 * tolerance


def test_the_distance_to_the_closed_form_falls_with_the_number_of_events():
    x, _ = gaussians(np.random.default_rng(2), 4000)
    right = exact_between_gaussians(x)
    for plan, sizes in (("entropic", (150, 1200)), ("sliced", (500, 50000))):
        samples = [map(sample_of, gaussians(np.random.default_rng(n), n)) for n in sizes]
        few, many = (distance(moved(fitted(*pair, plan), x), right) for pair in samples)
        assert many < 0.6 * few


@pytest.mark.parametrize("plan", ["exact", "entropic"])
def test_a_plan_follows_a_gradient_that_is_not_linear(plan: str):
    """T = ∇φ of a convex φ, the same in both features: better than the linear map."""
    turn = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)

    def gradient(x: np.ndarray) -> np.ndarray:
        return 0.8 * x + 1.5 * np.tanh(2 * x @ turn.T) @ turn

    rng = np.random.default_rng(3)
    x, y, test = (rng.normal(size=(n, 2)) for n in (900, 900, 3000))
    found = fitted(sample_of(x), sample_of(gradient(y)), plan)
    line = replace(found, start=found.linear, slices=Slices.none(2))
    right = gradient(test)
    assert distance(moved(found, test), right) < 0.7 * distance(moved(line, test), right)
    np.testing.assert_allclose(moved(found, test).std(axis=0) / right.std(axis=0), 1, atol=0.1)


@pytest.mark.parametrize(("plan", "n"), [("entropic", 800), ("sliced", 20000)])
def test_one_feature_agrees_with_the_exact_monotone_map(plan: str, n: int):
    rng = np.random.default_rng(4)
    simulation, data = sample_of(rng.normal(size=(n, 1))), sample_of(rng.gamma(9, 1, (n, 1)))
    pair = Pair(simulation, data)
    task = TransportTask(pair, {"nominal": pair})
    x = np.linspace(-2, 2, 101)[:, None]
    one, other = (OptimalTransport(plan=p).fit(task, Context()).transport(x, x)
                  for p in ("auto", plan))  # fmt: skip
    assert np.sqrt(np.mean((one - other) ** 2)) < 0.1 * data.x.std()


def test_the_exact_plan_of_one_feature_matches_in_order():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(200, 1)), rng.gamma(4, 1, (200, 1))
    simulation, data = (Cloud.of(v, np.ones(200)) for v in (x, y))
    plan = exact(simulation, data, Linear.of_moments(simulation, data))
    order = np.argsort(plan.points[:, 0])
    line = Linear.of_images(simulation, np.sort(y, axis=0)[np.argsort(np.argsort(x[:, 0]))])
    images = plan.displacements + line(plan.points)
    np.testing.assert_allclose(images[order, 0], np.sort(y[:, 0]), rtol=1e-9)


def test_independent_features_get_each_its_own_monotone_map():
    rng = np.random.default_rng(6)
    n = 20000
    x = np.column_stack([rng.normal(size=n), rng.uniform(-2, 2, n)])
    y = np.column_stack([np.sinh(rng.normal(0.2, 0.8, n)), rng.triangular(0, 1, 4, n)])
    found = fitted(sample_of(x), sample_of(y), "sliced")
    for feature in range(2):
        alone = [sample_of(v[:, [feature]]) for v in (x, y)]
        pair = Pair(*alone)
        monotone = OptimalTransport().fit(TransportTask(pair, {"nominal": pair}), Context())
        right = monotone.transport(x[:, [feature]], np.empty((n, 0)))[:, 0]
        error = np.sqrt(np.mean((moved(found, x)[:, feature] - right) ** 2)) / right.std()
        assert error < 0.06


@pytest.mark.parametrize("plan", PLANS)
def test_weight_two_is_the_event_twice(plan: str):
    rng = np.random.default_rng(7)
    x, y = gaussians(rng, 300)
    double = np.arange(300) % 3 == 0
    ones = [sample_of(v) for v in (x, y)]
    weighted = [s.with_weights(1.0 + double) for s in ones]
    twice = [concatenate([s, s.take(double)]) for s in ones]
    one, other = (moved(fitted(*pair, plan), x) for pair in (weighted, twice))
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("plan", PLANS)
def test_units_and_factors_of_the_weights_change_nothing(plan: str):
    rng = np.random.default_rng(8)
    x, y = gaussians(rng, 300)
    w = rng.choice([0.0, 0.1, 1.0], 300)
    scale, shift = np.array([1e3, 1e-3]), np.array([7.0, -1.0])
    one = moved(fitted(sample_of(x, w), sample_of(y, w), plan), x)
    other = moved(
        fitted(sample_of(x * scale + shift, 1e-9 * w), sample_of(y * scale + shift, 7 * w), plan),
        x * scale + shift,
    )
    np.testing.assert_allclose((other - shift) / scale, one, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("plan", PLANS)
def test_outside_the_map_goes_on_straight_and_is_flagged(plan: str):
    x, y = gaussians(np.random.default_rng(9), 500)
    found = fitted(sample_of(x), sample_of(y), plan)
    ray = np.linspace(6, 9, 7)[:, None] * UNITS
    np.testing.assert_allclose(np.diff(moved(found, ray), 2, axis=0) / UNITS, 0, atol=1e-9)
    assert found.domain.inside(np.array([[0.0, 0.0], [9.0, 0.0]])).tolist() == [True, False]
    assert "outside the training range the map goes on straight" in found.summary.notes[1]


def test_quantities_that_are_positive_by_nature_stay_positive():
    rng = np.random.default_rng(10)
    x, y = (np.exp(s * rng.normal(size=(800, 2))) for s in (0.5, 1.0))
    found = fitted(sample_of(x, positive=True), sample_of(y, positive=True), "entropic")
    ray = np.geomspace(1e-4, 1e4, 50)[:, None] * np.ones(2)
    assert np.all(moved(found, ray) > 0)


def test_slices_leave_alone_what_agrees_and_find_a_correlation():
    rng = np.random.default_rng(11)
    alike = [Cloud.of(rng.normal(size=(5000, 3)), np.ones(5000)) for _ in range(2)]
    few = Slices.of(*alike, 8, 2500.0, np.random.default_rng(0))
    assert len(few.directions) <= 6
    correlated = rng.normal(size=(5000, 3))
    correlated[:, 1] = 0.8 * correlated[:, 0] + 0.6 * correlated[:, 1]
    data = Cloud.of(correlated, np.ones(5000))
    found = Slices.of(alike[0], data, 30, 2500.0, np.random.default_rng(0))
    assert np.corrcoef(found(alike[0].t).T)[0, 1] == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("plan", PLANS)
def test_a_stored_map_is_the_same(plan: str, tmp_path: Path):
    x, y = gaussians(np.random.default_rng(12), 300)
    found = fitted(sample_of(x), sample_of(y + 0.2 * y**2 / UNITS), plan)
    save_state(tmp_path / "fitted.h5", found.kind, found.state())
    np.testing.assert_array_equal(moved(load(tmp_path), x), moved(found, x))


def test_auto_chooses_by_the_number_of_events_and_the_same_seed_gives_the_same_map():
    small, large = (tuple(map(sample_of, gaussians(np.random.default_rng(n), n)))
                    for n in (300, 1500))  # fmt: skip
    assert isinstance(fitted(*small, "auto").start, Entropic)
    assert isinstance(fitted(*large, "auto").start, Linear)
    assert isinstance(fitted(*small, "exact").start, Neighbours)
    one, other = (moved(fitted(*large, "auto"), large[0].x) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_more_events_than_a_matrix_can_hold_are_refused_with_a_remedy():
    pair = [sample_of(np.random.default_rng(i).normal(size=(6000, 2))) for i in range(2)]
    with pytest.raises(ConfigurationError, match=r"matrix of 6000 × 6000 .*method\.plan=sliced"):
        fitted(*pair, "exact")


def test_what_cannot_be_transported_is_refused():
    rng = np.random.default_rng(13)
    x, y = gaussians(rng, 300)
    w = np.ones(300)
    w[3] = -1.0
    with pytest.raises(DataError, match="optimal transport needs weights ≥ 0, got 1 negative"):
        fitted(sample_of(x), sample_of(y, w), "sliced")
    with pytest.raises(DataError, match=r"do not overlap in x1 \[GeV\]: simulation lies in"):
        fitted(sample_of(x), sample_of(y + np.array([0.0, 1e4])), "sliced")
    with pytest.raises(DataError, match="one of them is a linear combination of the others"):
        fitted(sample_of(np.column_stack([x, x.sum(axis=1)])),
               sample_of(np.column_stack([y, y.sum(axis=1)])), "sliced")  # fmt: skip
    with pytest.raises(DataError, match="column 'x1' does not vary"):
        fitted(sample_of(x), sample_of(y * [1.0, 0.0]), "sliced")


def test_a_plan_that_does_not_converge_is_a_failed_fit(monkeypatch):
    monkeypatch.setattr(plans, "ITERATIONS", 1)
    x, y = gaussians(np.random.default_rng(14), 300)
    simulation, data = (Cloud.of(v / UNITS, np.ones(300)) for v in (x, y))
    with pytest.raises(FitError, match=r"did not converge at method\.regularisation=0.01"):
        entropic(simulation, data, Linear.of_moments(simulation, data), 0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"plan": "exakt"}, r"method\.plan='exakt': did you mean exact"),
        ({"regularisation": 0.0}, r"method\.regularisation must be positive"),
        ({"slices": 0}, r"method\.slices must be a positive integer"),
    ],
)
def test_options_out_of_range_are_refused(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        OptimalTransport(**options)


def test_the_gaussian_example_needs_no_slices():
    """Its two sides differ by a line, which the moments give: nothing is left to correct."""
    task = Gaussian(n=20000).transport(Context())
    found = OptimalTransport(plan="sliced").fit(task, Context())
    assert isinstance(found, FeatureMap)
    assert len(found.slices.directions) <= 1
    x = np.array([[0.0], [1.0]])
    assert np.diff(found.transport(x, x)[:, 0])[0] == pytest.approx(np.sqrt(5 / 2), rel=0.02)
