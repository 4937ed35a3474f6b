"""The binned likelihood against slow loops, numerical derivatives, closed forms, MINOS and pyhf."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from iminuit import Minuit
from scipy.optimize import brentq
from scipy.stats import chi2

from benchmarks.slow_likelihood import loop
from calibrate.errors import ConfigurationError, DataError, FitError
from calibrate.inference.contents import Axes, Constant, Spline
from calibrate.inference.descent import descend
from calibrate.inference.likelihood import Likelihood, poisson_terms
from calibrate.inference.profile import Profile
from calibrate.inference.significance import ams1, best_ams1
from calibrate.task import Auxiliary, Nuisance
from tests.inference_models import (
    AXES,
    BACKGROUND,
    SCALE,
    SIGNAL,
    SLOPES,
    expectation,
    observation,
    profile,
    shifted,
)

COUNTS = np.array([910.0, 330.0, 151.0])
CONTROL = Auxiliary(
    lambda values: np.stack([50 * values["scale"], 80 / values["scale"]], axis=1), "control"
)


def moving() -> object:
    """Counts that depend on the tested nuisance."""
    return AXES.sum(shifted(COUNTS, -0.5 * SLOPES))


@pytest.mark.parametrize("variance", [0.0, 0.01])
@pytest.mark.parametrize("auxiliary", [None, CONTROL])
@pytest.mark.parametrize("moves", [False, True])
def test_the_scan_is_the_slow_loop(variance: float, auxiliary: Auxiliary | None, moves: bool):
    expected = expectation(variance, auxiliary=auxiliary)
    likelihood = Likelihood(expected, observation(moving() if moves else COUNTS, expected))
    mu, z = np.linspace(0.2, 3, 7), np.linspace(0.55, 1.45, 9)[:, None]
    slow = loop(likelihood, mu, z)
    assert np.max(np.abs(likelihood.scan(mu, z) - slow)) < 1e-10
    each = likelihood(np.repeat(mu, 9), np.tile(z, (7, 1)))
    assert np.max(np.abs(each.reshape(7, 9) - slow)) < 1e-10


def test_poisson_terms_do_not_round():
    n = np.array([0.0, 0.3, 19.99, 20.01, 2e5])
    nu = np.array([2.0, 0.5, 18.0, 22.0, 2.0004e5])
    direct = [v - k * math.log(v) + math.lgamma(k + 1) for v, k in zip(nu, n, strict=True)]
    assert poisson_terms(nu, n) == pytest.approx(direct, rel=1e-9, abs=1e-9)
    close = poisson_terms(np.array([2e5 + 1e-3]), np.array([2e5]))
    assert close[0] - poisson_terms(np.array([2e5]), np.array([2e5]))[0] == pytest.approx(
        1e-6 / (2 * 2e5), rel=1e-3
    )


@pytest.mark.parametrize("variance", [0.0, 0.02])
def test_gradients_are_those_of_the_value(variance: float):
    expected = expectation(variance, auxiliary=CONTROL)
    likelihood = Likelihood(expected, observation(moving(), expected))
    theta, step = np.array([1.3, 0.93]), 1e-6
    found = likelihood.derivatives(theta[:1], theta[None, 1:])
    for k in range(2):
        up, down = theta.copy(), theta.copy()
        up[k] += step
        down[k] -= step
        rise = likelihood(up[:1], up[None, 1:]) - likelihood(down[:1], down[None, 1:])
        assert found.gradient[0, k] == pytest.approx(rise[0] / (2 * step), rel=1e-5)


def test_one_bin_is_a_counting_experiment():
    """μ̂ = (n-b)/s, and the interval is that of the Poisson likelihood."""
    s, b, n = 10.0, 50.0, 70.0
    axes = Axes({"scale": 1.0}, {"scale": np.linspace(0.5, 1.5, 5)})
    signal, background = (axes.product(np.full((5, 1), each)) for each in (s, b))
    expected = replace(
        expectation(), signal=signal, background=background, variance=np.zeros((2, 1))
    )
    found = profile(np.array([n]), expected)
    assert found.best.parameters[0] == pytest.approx((n - b) / s, abs=1e-5)
    interval = found.interval()

    def excess(mu: float) -> float:
        nu = mu * s + b
        return nu - n * math.log(nu) - (n - n * math.log(n)) - 0.5 * chi2.ppf(0.6827, 1)

    assert interval.high == pytest.approx(brentq(excess, 2.0, 5.0), rel=1e-4)
    assert interval.low == pytest.approx(brentq(excess, -1.0, 2.0), rel=1e-4)


def test_intervals_agree_with_minos():
    found = profile(COUNTS, expectation(0.001))
    minuit = Minuit(
        lambda mu, z: float(found.likelihood(np.array([mu]), np.array([[z]]))[0]), mu=1.0, z=1.0
    )
    minuit.errordef, minuit.tol = Minuit.LIKELIHOOD, 1e-5
    minuit.migrad()
    minuit.minos()
    for k, name in enumerate(("mu", "z")):
        best, error = minuit.values[name], minuit.merrors[name]
        interval = found.interval(k)
        assert interval.low == pytest.approx(best + error.lower, abs=2e-3 * abs(error.lower))
        assert interval.high == pytest.approx(best + error.upper, abs=2e-3 * error.upper)


def test_the_curve_is_the_profile_and_the_interval_its_crossing():
    found = profile(COUNTS, expectation(0.001))
    interval = found.interval(level=0.95)
    ends = np.array([interval.low, found.best.parameters[0], interval.high])
    assert found.curve(0, ends) == pytest.approx([1.9207, 0.0, 1.9207], abs=2e-3)
    narrow = found.holding({1: float(found.best.parameters[1])}).interval()
    assert narrow.width < found.interval().width


def test_simulation_error_widens_the_interval():
    widths = [profile(COUNTS, expectation(v)).interval().width for v in (0.0, 0.001, 0.01)]
    assert widths[0] < widths[1] < widths[2]


def test_the_interval_of_a_linear_model_adds_variances():
    """Large numbers, small slopes: Var μ̂ = V_stat/S² + (σ_Z ∂μ̂/∂Z)²."""
    axes = Axes({"scale": 1.0}, {"scale": np.linspace(0.5, 1.5, 9)})
    away = axes.knots["scale"][:, None] - 1.0
    expected = replace(
        expectation(),
        signal=axes.product(np.full((9, 1), 1e6)),
        background=axes.product(1e7 * np.exp(0.01 * away)),
        variance=np.zeros((2, 1)),
    )
    width = profile(np.array([1.1e7]), expected).interval().width
    assert width == pytest.approx(math.sqrt(1.1e7 / 1e12 + (0.1 * 0.01 * 10) ** 2), rel=5e-3)


def folded() -> Profile:
    """Templates that are even in Z - 1: data at 1.3 looks like data at 0.7."""
    knots = AXES.knots["scale"][:, None]
    even = 1 + 2 * (knots - 1) ** 2 * np.array([1.0, -0.5, 0.8])
    signal, background = (AXES.product(each * even) for each in (SIGNAL, 10 * BACKGROUND))
    expected = replace(expectation(), signal=signal, background=background)
    at = expected.total(np.ones(1), np.array([[1.3]]))[0]
    return profile(at, expected)


def test_both_of_two_minima_are_found_and_told():
    found = folded()
    (other,) = found.ties
    values = sorted([found.best.parameters[1], other.parameters[1]])
    assert values == pytest.approx([0.7, 1.3], abs=0.02)
    assert other.nll == pytest.approx(found.best.nll, abs=1e-3)


def test_a_best_strength_at_its_bound_is_told():
    few = np.array([850.0, 280.0, 60.0])
    found = profile(few, expectation(), low=0.0)
    assert found.at_bound() == ("mu",)
    interval = found.interval()
    assert interval.low == 0.0
    assert interval.closed == (False, True)


def test_a_fit_that_does_not_converge_says_why():
    class Undefined:
        def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            values, *slopes = AXES.product(shifted(BACKGROUND))(z)
            hole = np.where(np.abs(z[:, :1] - 1) > 1e-9, np.nan, 1.0)
            return values * hole, *slopes

    found = profile(COUNTS, replace(expectation(), background=Undefined()))
    with pytest.raises(FitError, match=r"no minimum that iminuit finds: .*edm"):
        _ = found.best


def test_data_where_nothing_is_expected_is_refused():
    class Empty:
        def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            none = np.zeros((len(z), 1, 3))
            return np.tile([1.0, 0.0, 1.0], (len(z), 1)), none, none

    expected = replace(expectation(), signal=Empty(), background=Empty())
    with pytest.raises(DataError, match="bin 1 holds data and expects none"):
        Likelihood(expected, observation(COUNTS, expected))


def test_descent_ends_where_iminuit_does():
    rng = np.random.default_rng(3)
    expected = expectation(0.002)
    drawn = rng.poisson(expected.total(np.ones(1), np.ones((1, 1)))[0], (6, 3)).astype(float)
    many = Likelihood(expected, observation(drawn, expected))
    bounds = np.vstack([[-1, 20], expected.bounds])
    ended = descend(many, np.ones((6, 2)), bounds, [0, 1])
    assert ended.found.all()
    for row, counts in enumerate(drawn):
        best = profile(counts, expected).best
        assert ended.nll[row] == pytest.approx(best.nll, abs=1e-6)
        assert ended.parameters[row] == pytest.approx(best.parameters, abs=1e-4)


def test_templates_are_not_extrapolated():
    found = profile(COUNTS, expectation())
    said = r"'scale' lie between 0.5 and 1.5, asked for 1.6"
    with pytest.raises(ConfigurationError, match=said):
        found.likelihood.scan(np.ones(1), np.array([[1.0], [1.6]]))
    with pytest.raises(ConfigurationError, match=said):
        Profile(found.likelihood, np.array([[0.0, 5.0], [0.5, 1.6]]), found.start)


def test_a_sum_keeps_the_number_of_events_and_a_product_stays_positive():
    axes = Axes({"a": 0.0, "b": 0.0}, {"a": np.linspace(-1, 1, 5), "b": np.linspace(-1, 1, 7)})
    rng = np.random.default_rng(2)
    counts = rng.multinomial(1000, [0.2, 0.3, 0.5], 12).astype(float)
    counts[[2, 8]] = [200.0, 300.0, 500.0]
    z = rng.uniform(-1, 1, (50, 2))
    assert axes.sum(counts)(z)[0].sum(axis=1) == pytest.approx(np.full(50, 1000.0))
    product = axes.product(counts / 1e4)
    assert np.all(product(z)[0] > 0)
    on_axis = np.stack([[each["a"], each["b"]] for each in axes.settings()])
    assert product(on_axis)[0] == pytest.approx(counts / 1e4)


def test_few_pieces_are_smooth_and_keep_what_is_smooth():
    """A spline of few pieces averages noise, and reproduces any cubic."""
    z = np.linspace(0.0, 2.0, 41)
    cubic = np.stack([1 + z - 0.3 * z**3, 2 - z**2], axis=1)
    noise = np.random.default_rng(1).normal(0, 0.1, cubic.shape)
    tried = np.linspace(0, 2, 200)
    exact = np.stack([1 + tried - 0.3 * tried**3, 2 - tried**2], axis=1)
    for pieces in (1, 4):
        assert Spline.of(z, cubic, pieces)(tried)[0] == pytest.approx(exact, abs=1e-12)
        values, slopes, _ = Spline.of(z, cubic + noise, pieces)(tried)
        assert np.std(values - exact) < 0.06
        assert slopes[:-1] == pytest.approx(np.diff(values, axis=0) / 0.01005, abs=0.05)
    many = np.stack([cubic, 2 * cubic], axis=1)
    both = Spline.of(z, many, 4)
    assert both(np.array([0.7, 0.7]))[0][1] == pytest.approx(2 * both(np.array([0.7, 0.7]))[0][0])
    few = Spline.of(z[::10], cubic[::10], 4)
    assert few(z[::10])[0] == pytest.approx(cubic[::10])


def test_interpolation_has_the_slopes_that_it_says():
    z, step = np.array([[0.83], [1.21]]), 1e-6
    for contents in (AXES.product(shifted(SIGNAL)), moving(), Constant(SIGNAL)):
        _, slopes, curvatures = contents(z)
        up, down = contents(z + step), contents(z - step)
        assert slopes[:, 0] == pytest.approx((up[0] - down[0]) / (2 * step), rel=1e-6, abs=1e-6)
        assert curvatures == pytest.approx((up[1] - down[1]) / (2 * step), rel=1e-5, abs=1e-4)


def test_ams1_without_an_error_is_the_asymptotic_significance():
    s, b = np.array([5.0, 50.0]), np.array([100.0, 400.0])
    plain = np.sqrt(2 * ((s + b) * np.log(1 + s / b) - s))
    assert ams1(s, b, np.zeros(2)) == pytest.approx(plain)
    assert ams1(s, b, np.full(2, 1e-6)) == pytest.approx(plain, rel=1e-6)
    large = np.full(2, 1e3)
    assert ams1(s, b, large) == pytest.approx(s / np.sqrt(b + large**2), rel=0.05)


def test_ams1_is_that_of_the_best_cut():
    exact = expectation(nuisance=Nuisance("scale", 1.0, None, low=0.5, high=1.5))
    signal, background = SIGNAL[::-1].cumsum(), BACKGROUND[::-1].cumsum()
    best = ams1(signal, background, np.zeros(3)).max()
    assert best_ams1(exact, np.ones(1)) == pytest.approx(best)
    assert best_ams1(expectation(nuisance=SCALE), np.ones(1)) < best
