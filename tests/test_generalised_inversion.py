"""Numerical inversion by a network: responses known in closed form, folds, spectra, weights."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.errors import ConfigurationError, DataError, FitError
from calibrate.loading import load
from calibrate.methods.generalised_inversion import GeneralisedInversion
from calibrate.methods.numerical_inversion import NumericalInversion
from calibrate.nn.losses import ROUNDING, smooth_pinball
from calibrate.prior import GaussianPrior, reweight
from calibrate.sample import Column, Groups, Sample, concatenate
from calibrate.statistics import summarise
from calibrate.storage import save_state
from calibrate.task import RegressionTask

LINE = NumericalInversion(shape="network", hidden=())
SLICES = (-1.0, -0.5, 0.0, 0.5, 1.0)


def central(z: np.ndarray, theta: np.ndarray) -> np.ndarray:
    return z * (0.9 + 0.05 * theta + 0.02 * np.log(z / 100))


def width(theta: np.ndarray) -> np.ndarray:
    return 0.05 + 0.015 * (theta + 1)


def sample_of(x, theta, z, w=None, positive: bool = True) -> Sample:
    """Features θ and x, in this order, so that x is not the first."""
    columns = Column("eta"), Column("pt", "GeV" if positive else "", positive)
    w = np.ones(len(z)) if w is None else w
    truth = (Column("pt_true", columns[1].unit, positive),)
    return Sample(np.column_stack([theta, x]), z[:, None], w, columns, truth)


def jets(n: int, seed: int, power: float = 5.0) -> Sample:
    """x ~ N(z (0.9 + 0.05 θ + 0.02 log z/100), width(θ)² z²), θ uniform, z falling steeply."""
    rng = np.random.default_rng(seed)
    z, theta = 100 * (1 + rng.pareto(power, n)), rng.uniform(-1, 1, n)
    x = central(z, theta) + z * width(theta) * rng.normal(size=n)
    return sample_of(x, theta, z)


def task_of(sample: Sample) -> RegressionTask:
    return RegressionTask(sample, {"nominal": sample}, ("pt",))


@pytest.fixture(scope="module")
def fitted() -> GeneralisedInversion:
    found = NumericalInversion().fit(task_of(jets(40_000, 1)), Context())
    assert isinstance(found, GeneralisedInversion)
    return found


# The inverse


def test_the_inverse_undoes_the_network_at_every_theta(fitted):
    rng = np.random.default_rng(0)
    z, theta = rng.uniform(*fitted.z_range, 1000), rng.uniform(-1, 1, 1000)
    x = fitted.network.g(z, theta[:, None])
    found = fitted.estimate(np.column_stack([theta, x]))
    np.testing.assert_allclose(found.z[:, 0], z, rtol=1e-8)


def test_the_slope_is_the_derivative(fitted):
    z, theta = np.linspace(110, 300, 20), np.linspace(-1, 1, 20)[:, None]
    step = 1e-4 * z
    low, high = (fitted.network.g(z + sign * step, theta) for sign in (-1, 1))
    np.testing.assert_allclose(fitted.network.slope(z, theta), (high - low) / (2 * step), rtol=1e-6)


def test_the_estimate_does_not_depend_on_the_company_of_an_event(fitted):
    """Chunks, and events beyond the range, change nothing."""
    x = jets(300, 5).x
    together = fitted.estimate(x)
    alone = [fitted.estimate(row[None]) for row in x[:20]]
    np.testing.assert_allclose([e.z[0] for e in alone], together.z[:20], rtol=1e-9)
    assert fitted.estimate(x[:0]).z.shape == (0, 1)


# Closed forms


@pytest.mark.parametrize("centre", ["mean", "median"])
def test_a_response_that_depends_on_theta_closes_in_its_slices_and_the_spline_does_not(centre):
    train, test = jets(40_000, 1), jets(100_000, 2)
    fits = {
        shape: NumericalInversion(centre=centre, shape=shape).fit(task_of(train), Context())
        for shape in ("network", "spline")
    }
    response = {name: fit.estimate(test.x).z / test.z for name, fit in fits.items()}
    for low, high in pairwise(SLICES):
        chosen = (test.x[:, 0] >= low) & (test.x[:, 0] < high)
        bias = {name: float(u[chosen].mean()) - 1 for name, u in response.items()}
        # a fit of few parameters to 40 000 events, and 25 000 test events, of a width below 0.09
        error = 0.09 * np.sqrt(8 / 40_000 + 1 / 25_000)
        assert abs(bias["network"]) < 3 * error
        assert bias["spline"] == pytest.approx(0.053 * 0.5 * (low + high), abs=4 * error)
    assert any("eta not used" in note for note in fits["spline"].summary.notes)


def test_the_quoted_resolution_is_the_spread_over_the_slope(fitted):
    theta = np.repeat([-0.8, 0.0, 0.8], 3)
    z = np.tile([110.0, 130.0, 160.0], 3)
    found = fitted.estimate(np.column_stack([theta, central(z, theta)]))
    slope = central(z, theta) / z + 0.02
    np.testing.assert_allclose(found.sigma[:, 0], width(theta) * z / slope, rtol=0.05)


def test_the_mode_is_that_of_the_truncated_fit_at_every_theta():
    """A core with a long lower tail whose share depends on θ: the mode stays with the core."""
    rng = np.random.default_rng(12)
    n = 40_000
    z, theta = np.exp(rng.uniform(np.log(100), np.log(300), n)), rng.uniform(-1, 1, n)
    tail = rng.random(n) < 0.1 * (1 + theta)
    x = z * (0.9 + rng.normal(0, 0.05, n) - tail * rng.gamma(3.0, 0.04, n))
    fits = {
        centre: NumericalInversion(centre=centre).fit(task_of(sample_of(x, theta, z)), Context())
        for centre in ("mean", "mode")
    }
    for low, high in pairwise(SLICES):
        u = (x / z)[(theta >= low) & (theta < high)]
        groups = Groups.of(np.arange(u.size))
        one_bin = np.zeros(u.size, np.int64)
        core = summarise(u, np.ones(u.size), one_bin, 1, groups, mode=True)
        at, truth = np.full(1, 0.5 * (low + high)), np.full(1, 150.0)
        response = {name: fit.network.g(truth, at[:, None]) / truth for name, fit in fits.items()}
        assert response["mode"] == pytest.approx(core.mode[0], abs=4 * core.mode_error[0])
        expected = 0.9 - 0.12 * 0.1 * (1 + at)
        assert response["mean"] == pytest.approx(expected, abs=4 * core.mode_error[0])


def test_a_difference_is_learnt_where_z_may_be_negative():
    rng = np.random.default_rng(3)
    z, theta = rng.normal(0, 2, 20_000), rng.uniform(-1, 1, 20_000)
    x = z + 0.5 * theta * z - theta + rng.normal(0, 0.5, z.size)
    fit = NumericalInversion().fit(task_of(sample_of(x, theta, z, positive=False)), Context())
    for at in (-0.8, 0.8):
        truth = np.array([-2.0, 0.0, 2.0])
        x = truth + 0.5 * at * truth - at
        found = fit.estimate(np.column_stack([np.full(3, at), x]))
        np.testing.assert_allclose(found.z[:, 0], truth, atol=0.12)
        np.testing.assert_allclose(found.sigma[:, 0], 0.5 / (1 + 0.5 * at), rtol=0.12)


def test_one_feature_is_inverted_like_a_spline():
    task = Gaussian(epsilon=0.5, n=20_000).regression(Context(4))
    found = NumericalInversion(shape="network").fit(task, Context())
    x = np.linspace(-1.5, 1.5, 7)
    estimate = found.estimate(x[:, None])
    np.testing.assert_allclose(estimate.z[:, 0], x, atol=0.03)
    np.testing.assert_allclose(estimate.sigma[:, 0], 0.5, rtol=0.05)


def test_the_bias_of_a_curved_response_is_that_of_the_formula_and_of_the_integral():
    """b(z) = ∫ f(g(z) + εt) φ(t) dt - z of the fit, of g⁻¹, and -½ g''/g'³ ε²."""
    n, epsilon, c = 100_000, 1.5, 0.1
    task = Gaussian(mu=5.0, mu_test=5.0, epsilon=epsilon, n=n, curvature=c).regression(Context(1))
    form = task.closed_forms["maximum_likelihood"]
    fit = NumericalInversion(shape="network").fit(task, Context())
    nodes, shares = np.polynomial.hermite_e.hermegauss(12)
    z = np.array([4.5, 5.0, 5.5, 6.0])
    x = (z + c * z**2)[:, None] + epsilon * nodes
    shares = shares / shares.sum()
    bias = fit.estimate(x.reshape(-1, 1)).z.reshape(x.shape) @ shares - z
    integral = form.estimate(x) @ shares - z
    slope = 1 + 2 * c * z
    error = epsilon * np.sqrt(6 / n) / slope  # of a least-squares fit of some six parameters
    assert np.all(np.abs(bias - integral) < 3 * error)
    assert np.all(np.abs(bias - form.bias(z)) < 3 * error + 30 * c**3 * epsilon**4 / slope**7)
    assert float(np.mean(bias)) < -3 * float(np.mean(error))


# Spectra and weights


def test_the_spectrum_of_the_training_sample_does_not_matter(fitted):
    """Another steepness, and the same events under a narrow spectrum in weights."""
    flatter = NumericalInversion().fit(task_of(jets(40_000, 7, power=2.5)), Context())
    narrow = reweight(jets(40_000, 1), GaussianPrior(125.0, 15.0))
    narrow_fit = NumericalInversion().fit(task_of(narrow), Context())
    theta = np.tile([-0.7, 0.0, 0.7], 3)
    z = np.repeat([112.0, 125.0, 140.0], 3)
    x = np.column_stack([theta, central(z, theta)])
    for other, size in ((flatter, 40_000), (narrow_fit, narrow.effective_size)):
        error = 0.08 * np.sqrt(8 / 40_000 + 8 / size)
        np.testing.assert_allclose(other.estimate(x).z, fitted.estimate(x).z, rtol=3 * error)


def test_weights_that_fall_by_decades_leave_the_end_of_the_spectrum_as_well_fitted():
    """A flat spectrum with weights z⁻⁶: raw weights would leave the upper end to chance."""
    rng = np.random.default_rng(4)
    n = 20_000
    z, theta = np.exp(rng.uniform(np.log(100), np.log(1000), n)), rng.uniform(-1, 1, n)
    x = central(z, theta) + z * width(theta) * rng.normal(size=n)
    fit = NumericalInversion().fit(task_of(sample_of(x, theta, z, (z / 100) ** -6.0)), Context())
    at = np.array([-0.5, 0.5])
    for truth in (120.0, 800.0):
        x = np.column_stack([at, central(np.full(2, truth), at)])
        np.testing.assert_allclose(fit.estimate(x).z[:, 0], truth, rtol=6e-3)


@pytest.mark.parametrize("centre", ["mean", "median"])
def test_a_weight_of_two_is_the_event_twice(centre: str):
    sample = jets(4000, 6)
    w = np.where(np.arange(4000) < 2000, 2.0, 1.0)
    double = concatenate([sample, sample.take(slice(0, 2000))])
    method = NumericalInversion(centre=centre, hidden=(), steps=300)
    fits = [method.fit(task_of(s), Context()) for s in (sample.with_weights(w), double)]
    one, other = (fit.estimate(sample.x[:200]) for fit in fits)
    np.testing.assert_allclose(one.z, other.z, rtol=2e-4)
    np.testing.assert_allclose(one.sigma, other.sigma, rtol=5e-3)


def test_negative_weights_are_exact_for_the_mean_and_refused_by_the_median():
    """An event of weight -1 beside its copies of weight 1 takes one of them away."""
    sample = jets(6000, 8)
    cancelled = concatenate([sample, sample.take(slice(0, 1000)), sample.take(slice(0, 1000))])
    w = np.ones(8000)
    w[6000:7000] = -1.0
    one, other = (LINE.fit(task_of(s), Context()) for s in (cancelled.with_weights(w), sample))
    x = sample.x[:100]
    np.testing.assert_allclose(one.estimate(x).z, other.estimate(x).z, rtol=2e-3)
    np.testing.assert_allclose(one.estimate(x).sigma, other.estimate(x).sigma, rtol=0.1)
    with pytest.raises(DataError, match=r"method.centre=median needs weights ≥ 0, got 1000"):
        NumericalInversion(centre="median").fit(task_of(cancelled.with_weights(w)), Context())


# Folds, and beyond the range


def folding(at: float, n: int = 20_000) -> Sample:
    """x rises with z where θ is below `at`, and falls between z = 200 and 300 above it."""
    rng = np.random.default_rng(9)
    z, theta = rng.uniform(100, 400, n), rng.uniform(-1, 1, n)
    dip = np.interp(z, [200, 300], [0, 160])
    x = z - np.where(theta > at, dip, 0.0) + rng.normal(0, 5, n)
    return sample_of(x, theta, z)


def test_a_fold_at_some_theta_is_an_error_that_names_z_and_theta():
    with pytest.raises(FitError) as error:
        NumericalInversion().fit(task_of(folding(0.3)), Context())
    text = str(error.value)
    assert "the central value of pt does not rise with z at" in text
    low, high = (float(v) for v in text.split("pt_true = ")[1].split(", eta")[0].split(" to "))
    assert 170 < low < 230
    assert 270 < high < 330
    assert float(text.split("eta = ")[1].split(" to ")[0]) == pytest.approx(0.3, abs=0.1)


def test_a_fold_of_a_few_events_is_a_warning():
    rare = folding(0.0).take(slice(0, 600))
    rare = rare.take(rare.x[:, 0] > 0.0)
    theta, x = rare.x.T
    sample = concatenate(
        [folding(2.0), sample_of(x, theta + 2.0, rare.z[:, 0], np.full(len(rare), 0.06))]
    )
    fit = NumericalInversion().fit(task_of(sample), Context())
    (warning,) = fit.summary.warnings
    assert "does not rise with z at" in warning
    assert "eta = 2." in warning
    assert np.isfinite(fit.estimate(sample.x).z).all()


def test_beyond_the_range_it_goes_on_is_clamped_or_raises():
    sample = jets(5000, 10)
    fits = {
        outside: NumericalInversion(outside=outside, hidden=()).fit(task_of(sample), Context())
        for outside in ("linear", "clamp", "raise")
    }
    x = np.array([[0.0, 50.0], [0.0, 120.0], [0.0, 9000.0]])
    linear, clamped = (fits[name].estimate(x) for name in ("linear", "clamp"))
    low, high = fits["clamp"].z_range
    assert linear.z[0, 0] == pytest.approx(50 / 0.9, rel=0.1)
    np.testing.assert_array_equal(clamped.z[[0, 2], 0], [low, high])
    np.testing.assert_array_equal(clamped.z[1], linear.z[1])
    assert list(linear.inside) == list(clamped.inside) == [False, True, False]
    with pytest.raises(DataError, match=r"2 of 3 values of pt lie outside the response to pt_true"):
        fits["raise"].estimate(x)


def test_theta_beyond_its_range_is_taken_at_the_end_of_it(fitted):
    """Such as -999 for a value that is not there."""
    low = fitted.domain.x_range[0, 0]
    beyond, end = (fitted.estimate(np.array([[theta, 120.0]])) for theta in (-999.0, low))
    np.testing.assert_array_equal(beyond.z, end.z)
    np.testing.assert_array_equal(beyond.sigma, end.sigma)
    assert (beyond.inside[0], end.inside[0]) == (False, True)


# Options, files, the loss


def test_a_feature_that_does_not_exist_cannot_measure_z():
    task = RegressionTask(jets(500, 0), {"nominal": jets(500, 0)}, ("ptt",))
    with pytest.raises(ConfigurationError, match="no feature 'ptt': did you mean pt"):
        NumericalInversion().fit(task, Context())


def test_a_stored_inversion_with_theta_is_the_same(fitted, tmp_path):
    save_state(tmp_path / "fitted.h5", fitted.kind, fitted.state())
    x = jets(200, 11).x
    one, other = fitted.estimate(x), load(tmp_path).estimate(x)
    np.testing.assert_array_equal(one.z, other.z)
    np.testing.assert_array_equal(one.sigma, other.sigma)


@pytest.mark.parametrize("level", [0.5, 0.6827])
def test_the_minimum_of_the_pinball_loss_is_the_quantile(level: float):
    target = torch.from_numpy(np.random.default_rng(0).normal(size=(20_001, 1)))
    w = torch.ones(len(target), dtype=torch.float64)
    grid = np.linspace(-1, 1, 401)
    losses = [smooth_pinball(torch.full((1, 1), v), target, w, level).item() for v in grid]
    expected = float(np.quantile(target.numpy(), level))
    assert grid[np.argmin(losses)] == pytest.approx(expected, abs=0.005 + 2 * ROUNDING**2)
