"""Optimal transport in one dimension: closed form, a slow twin, invariances, what is refused."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.errors import ConfigurationError, DataError, MisfitError
from calibrate.loading import load, load_calibration
from calibrate.methods.monotone import Distribution, QuantileMap, Table
from calibrate.methods.ot import OptimalTransport
from calibrate.sample import Column, Sample, concatenate
from calibrate.storage import save_state
from calibrate.task import Pair, TransportTask

X = (Column("x", "GeV"),)


def measured(x, w) -> Sample:
    x = np.asarray(x, float)
    return Sample(x[:, None], np.empty((x.size, 0)), np.asarray(w, float), X, ())


def task_of(simulation: Sample, data: Sample) -> TransportTask:
    pair = Pair(simulation, data)
    return TransportTask(pair, {"nominal": pair})


def fitted(simulation: Sample, data: Sample, **options) -> QuantileMap:
    return OptimalTransport(**options).fit(task_of(simulation, data), Context())


def moved(found: QuantileMap, x) -> np.ndarray:
    x = np.asarray(x, float)[:, None]
    return found.transport(x, np.empty((len(x), 0)))[:, 0]


def tied(rng: np.random.Generator, n: int, shift: float) -> Sample:
    """Values on a coarse grid, so that many are equal; weights over two decades, some zero."""
    return measured(np.round(rng.normal(shift, 1, n), 1), rng.choice([0.0, 0.01, 1.0, 3.0], n))


def slow_map(x: float, simulation: Sample, data: Sample) -> float:
    """The same by definition, one event at a time: F(x) = (weight below + half of that at x),
    then the point of data's polygon through (F, y) at that level."""

    def level(value: float, sample: Sample) -> float:
        below = sum(w for v, w in zip(sample.x[:, 0], sample.w, strict=True) if v < value)
        equal = sum(w for v, w in zip(sample.x[:, 0], sample.w, strict=True) if v == value)
        return (below + equal / 2) / sum(sample.w)

    seen = sorted({v for v, w in zip(data.x[:, 0], data.w, strict=True) if w > 0})
    levels = [level(v, data) for v in seen]
    wanted = level(x, simulation)
    if wanted <= levels[0]:
        return seen[0]
    for i in range(1, len(seen)):
        if wanted <= levels[i]:
            share = (wanted - levels[i - 1]) / (levels[i] - levels[i - 1])
            return seen[i - 1] + share * (seen[i] - seen[i - 1])
    return seen[-1]


@pytest.mark.parametrize("seed", range(5))
def test_the_map_is_that_of_its_slow_twin_on_weighted_events_with_ties(seed: int):
    rng = np.random.default_rng(seed)
    simulation, data = tied(rng, 190, 0.0), tied(rng, 180, 0.7)
    found = fitted(simulation, data)
    used = np.unique(simulation.x[simulation.w > 0, 0])[1:-1]
    slow = [slow_map(x, simulation, data) for x in used]
    np.testing.assert_allclose(moved(found, used), slow, rtol=1e-9, atol=1e-9)


def test_the_closed_form_of_the_gaussian_example():
    """Eq. 43 of arXiv:2205.05084: a line of slope √5/√2 = 1.581, within 1 %."""
    task = Gaussian(n=100000).transport(Context())
    found = OptimalTransport().fit(task, Context())
    x = np.linspace(-2.5, 2.5, 51)
    slope, offset = np.polyfit(x, moved(found, x), 1)
    assert slope == pytest.approx(np.sqrt(5 / 2), rel=0.01)
    assert offset == pytest.approx(0.0, abs=0.03)


def test_trained_at_one_prior_it_is_biased_at_another():
    """Eq. 44: at μ = 2 the transported mean is 2√5/√2 = 3.162 where data has 2.0."""
    task = Gaussian(n=100000).transport(Context())
    found = OptimalTransport().fit(task, Context())
    pair = task.tests["shifted"]
    transported = found.transport(pair.simulation.x, pair.simulation.z)
    assert transported.mean() == pytest.approx(3.162, abs=0.06)
    assert pair.data.x.mean() == pytest.approx(2.0, abs=0.02)


def test_transported_training_simulation_is_data():
    rng = np.random.default_rng(3)
    simulation = measured(rng.normal(size=4000), rng.exponential(size=4000))
    data = measured(rng.gamma(4.0, size=5000), rng.exponential(size=5000))
    found = fitted(simulation, data)
    carried = Distribution.of(moved(found, simulation.x[:, 0]), simulation.w)
    reference = Distribution.of(data.x[:, 0], data.w)
    level = np.linspace(0.01, 0.99, 99)
    one, other = (np.interp(level, d.level, d.values) for d in (carried, reference))
    np.testing.assert_allclose(one, other, atol=0.02)


def test_weight_two_is_the_event_twice():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=300), rng.normal(1, 2, 300)
    double = np.arange(300) % 3 == 0
    weighted = [measured(v, 1.0 + double) for v in (x, y)]
    ones = [measured(v, np.ones(300)) for v in (x, y)]
    twice = [concatenate([s, s.take(double)]) for s in ones]
    grid = np.linspace(-4, 4, 101)
    one, other = (moved(fitted(*pair), grid) for pair in (weighted, twice))
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("factor", [2.0, 1e-10])
def test_a_factor_of_the_weights_of_one_side_changes_nothing(factor: float):
    rng = np.random.default_rng(5)
    simulation, data = tied(rng, 500, 0.0), tied(rng, 500, 1.0)
    grid = np.linspace(-4, 4, 101)
    one = moved(fitted(simulation, data), grid)
    other = moved(fitted(simulation.with_weights(factor * simulation.w), data), grid)
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_events_of_weight_zero_do_not_matter():
    rng = np.random.default_rng(6)
    simulation, data = tied(rng, 500, 0.0), tied(rng, 500, 1.0)
    used = simulation.take(simulation.w > 0)
    grid = np.linspace(-4, 4, 101)
    np.testing.assert_array_equal(
        moved(fitted(simulation, data), grid), moved(fitted(used, data), grid)
    )


def test_the_map_rises_and_goes_on_straight_outside_where_it_is_flagged():
    rng = np.random.default_rng(7)
    simulation, data = tied(rng, 2000, 0.0), tied(rng, 2000, 1.0)
    found = fitted(simulation, data)
    assert np.all(np.diff(moved(found, np.linspace(-9, 9, 2001))) >= 0)
    low, high = found.x[0], found.x[-1]
    np.testing.assert_allclose(np.diff(moved(found, [high, high + 1, high + 2]), 2), 0, atol=1e-9)
    assert np.diff(moved(found, [low - 1, low]))[0] == pytest.approx(found.slopes[0])
    assert found.domain.inside(np.array([[low - 1], [0.0], [high + 1]])).tolist() == [0, 1, 0]
    assert "outside the training range the map goes on straight" in found.summary.notes


def test_a_thinned_map_differs_by_less_than_the_statistical_error():
    rng = np.random.default_rng(8)
    n = 200_000
    simulation, data = (measured(rng.normal(m, s, n), rng.choice([1.0, 1e-3], n))
                        for m, s in ((0, 1), (1, 2)))  # fmt: skip
    thin, full = (fitted(simulation, data, knots=k) for k in (4000, 10**6))
    assert thin.x.size <= 4000 < 300_000 < full.x.size
    assert "exact" in full.summary.notes[0]
    assert "of the statistical error" in thin.summary.notes[0]
    assert float(thin.summary.notes[0].split("at most ")[1].split()[0]) < 1
    d = Distribution.of(simulation.x[:, 0], simulation.w)
    inner = slice(20, -20)
    change = np.abs(moved(thin, d.values) - moved(full, d.values))[inner]
    error = 2.0 * (d.error(slice(None)) / np.exp(-(d.values**2) / 2) * np.sqrt(2 * np.pi))[inner]
    assert np.median(change / error) < 0.1


def test_errors_of_the_distribution_function_are_those_of_repeated_samples():
    rng = np.random.default_rng(9)
    found = []
    for _ in range(400):
        d = Distribution.of(rng.normal(size=500), rng.exponential(size=500))
        row = slice(100, 101)
        found.append((np.interp(-0.8, d.values, d.level), d.error(row)[0]))
    levels, errors = np.array(found).T
    assert errors.mean() == pytest.approx(levels.std(), rel=0.12)


def test_a_million_points_on_each_side_take_a_second_or_so():
    rng = np.random.default_rng(10)
    n = 1_000_000
    simulation, data = (measured(rng.normal(0, s, n), rng.exponential(size=n)) for s in (1, 2))
    start = time.perf_counter()
    y = moved(fitted(simulation, data), simulation.x[:, 0])
    assert time.perf_counter() - start < 5
    assert y.std() == pytest.approx(2, rel=0.02)


def test_a_stored_map_is_the_same(tmp_path: Path):
    rng = np.random.default_rng(11)
    found = fitted(tied(rng, 300, 0.0), tied(rng, 300, 1.0))
    save_state(tmp_path / "fitted.h5", found.kind, found.state())
    again = load(tmp_path)
    x = np.linspace(-9, 9, 101)
    np.testing.assert_array_equal(moved(found, x), moved(again, x))
    assert again.domain.x_columns == X
    with pytest.raises(MisfitError, match="'quantile_map' map of simulation to data"):
        load_calibration(tmp_path)


def test_negative_weights_are_refused():
    rng = np.random.default_rng(12)
    simulation, data = tied(rng, 300, 0.0), tied(rng, 300, 1.0)
    w = data.w.copy()
    w[0] = -0.1
    with pytest.raises(DataError, match="optimal transport needs weights ≥ 0, got 1 negative"):
        fitted(simulation, data.with_weights(w))


def test_disjoint_ranges_are_refused():
    rng = np.random.default_rng(13)
    simulation, data = tied(rng, 300, 0.0), tied(rng, 300, 1000.0)
    with pytest.raises(DataError, match=r"do not overlap in x \[GeV\]: simulation lies in -"):
        fitted(simulation, data)


@pytest.mark.parametrize("knots", [0, 999, 2.5, "all"])
def test_too_few_knots_are_refused(knots):
    with pytest.raises(ConfigurationError, match=r"method\.knots must be"):
        OptimalTransport(knots=knots)


def test_a_map_of_one_point_has_slope_one():
    one = Distribution.of(np.array([2.0, 2.0]), np.array([1.0, 3.0]))
    table = Table.of(one, one, 1000)
    assert table.end_slopes().tolist() == [1.0, 1.0]


def test_the_method_is_left_as_it_was_and_the_same_fit_gives_the_same_map():
    method, task = OptimalTransport(), Gaussian(n=500).transport(Context())
    one, other = (method.fit(task, Context(seed=s)) for s in (0, 1))
    np.testing.assert_array_equal(one.y, other.y)
    assert method == replace(OptimalTransport())
