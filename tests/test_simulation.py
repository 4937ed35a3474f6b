"""γ of the templates in closed form: against a minimiser, ratios of counts, exact templates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from calibrate.inference.contents import Axes, Constant
from calibrate.inference.coverage import PseudoExperiments, fitted
from calibrate.inference.likelihood import Expectation, Likelihood, Observation
from calibrate.inference.simulation import adjusted
from calibrate.task import Nuisance, Point


def cost(logarithms: np.ndarray, p: np.ndarray, n: float, delta2: np.ndarray) -> float:
    """-log L as it is written, of log γ."""
    gammas = np.exp(logarithms)
    nu = float(p @ gammas)
    if nu < -1e-9 or (n and nu <= 0):
        return math.inf
    rest = float(np.sum((gammas - 1 - logarithms) / delta2))
    return nu - (n * math.log(nu) if n else 0.0) + rest


@pytest.mark.parametrize(("background", "signal", "n"), [
    (100.0, 10.0, 120.0), (100.0, 10.0, 60.0), (3.0, 0.5, 0.0), (1e4, 30.0, 9e3), (2.0, 50.0, 70.0),
    (100.0, -20.0, 130.0), (100.0, -20.0, 40.0), (100.0, -20.0, 0.0),
])  # fmt: skip
@pytest.mark.parametrize("delta2", [(0.01, 0.02), (0.2, 1e-4), (1e-6, 0.3), (0.5, 0.5)])
def test_gammas_are_the_best_ones(background: float, signal: float, n: float, delta2: tuple):
    p, variance = np.array([background, signal]), np.array(delta2)
    found = adjusted(p[:1], p[1:], np.array([n]), variance[:, None])
    gammas = np.array([float(gamma[0]) for gamma in found.gammas])
    assert (gammas > 0).all()
    assert float(found.total[0]) == pytest.approx(float(p @ gammas))
    ours = cost(np.log(gammas), p, n, variance)
    value = float(found.total[0]) - (n * math.log(found.total[0]) if n else 0.0)
    assert value + float(found.cost[0]) == pytest.approx(ours, abs=1e-9)
    best = minimize(cost, np.log(gammas) + 0.1, (p, n, variance), "Nelder-Mead",
                    options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000})  # fmt: skip
    assert ours <= best.fun + 1e-9
    if n:
        assert float(found.t[0]) == pytest.approx(1 - n / found.total[0], abs=1e-9)


def test_one_template_is_a_ratio_of_two_poisson_numbers():
    """γ = (n+m)/(p+m) of a single template with m effective events."""
    n, p, m = np.array([130.0, 0.0, 80.0]), np.array([100.0, 4.0, 90.0]), np.array([25.0, 8.0, 1e6])
    found = adjusted(p, np.zeros(3), n, np.stack([1 / m, np.zeros(3)]))
    assert found.gammas[0] == pytest.approx((n + m) / (p + m))
    assert found.gammas[1] == pytest.approx(1.0)


def test_exact_templates_are_left_alone():
    p, n = np.array([[50.0, 70.0]]), np.array([[40.0, 90.0]])
    found = adjusted(p, 0.1 * p, n, np.zeros((2, 2)))
    assert found.total == pytest.approx(1.1 * p)
    assert found.t == pytest.approx(1 - n / (1.1 * p))
    assert not found.cost.any()


def test_templates_that_expect_less_than_nothing_are_left_alone():
    p, n = np.array([-5.0, 10.0, -5.0]), np.array([3.0, 3.0, 0.0])
    found = adjusted(p, np.array([4.0, -11.0, 6.0]), n, np.full((2, 3), 0.3))
    assert found.total[:2] == pytest.approx([-1.0, -1.0])
    assert (found.gammas[0][:2] == 1).all()
    assert -1e-9 < found.total[2] < 1


def test_intervals_cover_where_every_experiment_has_few_simulated_events():
    """Ten bins with 12 to 120 simulated background events of weight 25, 3000 experiments with a
    simulation of their own."""
    number, weight, rng = 3000, 25.0, np.random.default_rng(1)
    background = 25.0 * np.geomspace(120, 12, 10)
    signal = 40.0 * np.geomspace(0.2, 3, 10)
    simulated = weight * rng.poisson(background / weight, (number, 10))
    generous = rng.poisson(100 * signal, (number, 10)) / 100
    variance = np.stack([weight / simulated, 0.01 / generous])
    nuisance = Nuisance("none", 0.0, 1.0, low=-5, high=5)
    bounds = np.array([[-60.0, 60.0], [-5.0, 5.0]])
    axes = Axes({"none": 0.0}, {"none": np.linspace(-5, 5, 5)})
    templates = (axes.product(np.tile(each, (5, 1, 1))) for each in (generous, simulated))
    expected = Expectation(*templates, variance, (nuisance,), bounds[1:])
    counts = rng.poisson(signal + background, (number, 10)).astype(float)
    observed = Observation(Constant(counts), rng.normal(size=(number, 1)), np.zeros(0))
    point = Point(1.0, {"none": 0.0})
    tried = PseudoExperiments(point, *fitted(Likelihood(expected, observed), point, bounds))
    share, error = tried.coverage()
    assert tried.found.all()
    assert share == pytest.approx(0.6827, abs=4 * error)
    assert abs(tried.bias[0]) < 0.15 * tried.spread[0]
