"""Jets with a one-sided tail: densities against draws, closed forms against the test samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import trapezoid

from calibrate.context import Context
from calibrate.data.asymmetric import Asymmetric
from calibrate.errors import ConfigurationError
from calibrate.evaluators.closure import Closure
from calibrate.methods.none import Uncalibrated
from calibrate.records import ClosureCurve
from calibrate.sample import Sample
from calibrate.statistics import weighted_quantile
from calibrate.task import RegressionTask

DATA = Asymmetric(n=20000)
V = np.linspace(-4.0, 0.5, 20001)


@pytest.fixture(scope="module")
def task() -> RegressionTask:
    return DATA.regression(Context(seed=2))


def columns(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    return sample.x[:, 0], sample.z[:, 0]


def test_the_density_of_the_response_is_that_of_its_draws(task):
    x, z = columns(task.tests["nominal"])
    q = np.exp(DATA.response.log_q(V))
    cdf = np.cumsum(q) * (V[1] - V[0])
    levels = np.array([0.01, 0.05, 0.16, 0.5, 0.84, 0.99])
    drawn = weighted_quantile(np.log(x / z), np.ones(x.size), levels)
    error = np.sqrt(levels * (1 - levels) / x.size)
    np.testing.assert_allclose(np.interp(drawn, V, cdf), levels, atol=4 * error.max())


def test_moments_mode_and_curvature_are_those_of_the_density():
    response = DATA.response
    q = np.exp(response.log_q(V))
    for m in (0, 1, 2):
        assert trapezoid(q * np.exp(m * V), V) == pytest.approx(response.moment(m), rel=1e-9)
    h = 1e-4
    below, at, above = response.log_q(response.mode + np.array([-h, 0.0, h]))
    assert above == pytest.approx(below, abs=1e-7)
    assert -(above + below - 2 * at) / h**2 == pytest.approx(response.curvature, rel=1e-4)
    x, z = np.array([500.0]), np.linspace(300.0, 900.0, 6001)
    assert z[np.argmax(response.density(x, z))] == pytest.approx(
        500.0 * np.exp(-response.mode), abs=0.1
    )


@pytest.mark.parametrize("test", ["nominal", "falling"])
def test_the_closed_forms_at_fixed_truth_hold_for_any_spectrum(task, test: str):
    x, z = columns(task.tests[test])
    near = np.abs(z - 600.0) < 10.0
    for form in task.closed_forms.values():
        difference = (form.estimate(x) - z)[near]
        error = difference.std() / np.sqrt(near.sum())
        assert difference.mean() == pytest.approx(form.bias(z[near]).mean(), abs=4 * error)
        width = form.resolution(np.array([600.0]))[0]
        assert difference.std() == pytest.approx(width, rel=0.03)


def test_the_posterior_has_the_mean_and_the_width_of_the_truths_at_fixed_x(task):
    x, z = columns(task.tests["nominal"])
    exact = task.closed_forms["posterior_mean"]
    for low, high in ((450, 470), (600, 620), (900, 930), (1020, 1060)):
        rows = (x > low) & (x < high)
        pull = (z - exact.estimate(x))[rows] / exact.point_resolution(x[rows])
        assert pull.mean() == pytest.approx(0.0, abs=4 / np.sqrt(rows.sum()))
        assert pull.std() == pytest.approx(1.0, abs=0.06)


def test_far_from_the_spectrum_the_posterior_is_its_limit(task):
    """Below, p(z|x) is a power of z whatever x; above, everything sits at the upper end."""
    estimate = task.closed_forms["posterior_mean"].estimate(np.array([1.0, 100.0, 1e6]))
    assert estimate[0] == pytest.approx(estimate[1], rel=1e-6)
    grid = np.linspace(400.0, 1000.0, 60001)
    power = grid ** (-1 / DATA.tail_mean)
    expected = trapezoid(grid * power, grid) / trapezoid(power, grid)
    assert estimate[0] == pytest.approx(expected, rel=1e-4)
    assert 950.0 < estimate[2] <= 1000.0


def test_the_falling_spectrum_falls_as_asked(task):
    _, z = columns(task.tests["falling"])
    expected = (400**-3 - 1000**-3) / 3 / ((400**-4 - 1000**-4) / 4)
    assert z.mean() == pytest.approx(expected, abs=4 * z.std() / np.sqrt(z.size))
    steady = Asymmetric(n=2000, falling=1.0).regression(Context()).tests["falling"]
    assert np.log(steady.z).mean() == pytest.approx(np.log(np.sqrt(4e5)), abs=0.01)


def test_closure_compares_the_response_with_the_closed_form(task):
    """Relative, since a transverse momentum is positive by nature."""
    fits = {"none": Uncalibrated().fit(task, Context())}
    findings = Closure(replicas=2)(fits, task, lambda other: fits["none"], Context())
    (curve,) = (r for r in findings.records if isinstance(r, ClosureCurve) and r.test == "falling")
    expected = DATA.response.moment(1) - 1
    np.testing.assert_allclose(curve.exact_bias, expected)
    np.testing.assert_allclose(curve.mean - 1, expected, atol=0.006)
    np.testing.assert_allclose(curve.exact_resolution, curve.std, rtol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 1000.0}, "data.low must be below data.high, got 1000 and 1000"),
        ({"core": 0.0}, "data.core must be positive"),
        ({"tail_fraction": 1.0}, "data.tail_fraction must be < 1"),
        ({"n": 0}, "data.n must be a positive integer"),
    ],
)
def test_options_out_of_range_are_refused(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        Asymmetric(**options)
