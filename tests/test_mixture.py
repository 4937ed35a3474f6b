from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid, trapezoid
from scipy.special import ndtr

from calibrate.mixture import ONE_SIGMA, GaussianMixture


@pytest.fixture
def jets() -> GaussianMixture:
    """A narrow core and two wider, shifted Gaussians, as of Table 2 of arXiv:2003.11099."""
    rng = np.random.default_rng(0)
    means = 600.0 + np.array([0.0, 40.0, 120.0]) + rng.normal(0.0, 10.0, (60, 3))
    widths = np.array([17.0, 34.0, 79.0]) * rng.uniform(0.8, 1.2, (60, 3))
    return GaussianMixture(rng.dirichlet([3.0, 2.0, 1.0], 60), means, widths)


def test_one_gaussian_has_the_known_mode_and_interval():
    one = GaussianMixture(np.ones((2, 1)), np.array([[1.0], [-3.0]]), np.array([[2.0], [0.5]]))
    np.testing.assert_allclose(one.mode(), [1.0, -3.0])
    np.testing.assert_allclose(one.interval(), [[-1.0, 3.0], [-3.5, -2.5]])
    np.testing.assert_allclose(one.interval(0.95), [[-2.92, 4.92], [-3.98, -2.02]], atol=1e-3)
    np.testing.assert_allclose(one.cdf(np.array([1.0, -2.5])), [0.5, 0.8413], atol=1e-4)


def test_density_and_distribution_function_agree_with_a_sum_over_a_grid(jets):
    z = np.broadcast_to(np.linspace(100.0, 1300.0, 6001), (len(jets), 6001))
    density = np.exp(jets.log_density(z))
    np.testing.assert_allclose(trapezoid(density, z), 1.0, atol=1e-8)
    np.testing.assert_allclose(jets.mean, trapezoid(z * density, z), rtol=1e-8)
    spread = trapezoid((z - jets.mean[:, None]) ** 2 * density, z)
    np.testing.assert_allclose(jets.variance, spread, rtol=1e-6)
    np.testing.assert_allclose(
        jets.cdf(z), cumulative_trapezoid(density, z, initial=0.0), atol=1e-5
    )
    np.testing.assert_array_less(z[0, density.argmax(axis=1)] - jets.mode(), 0.2)


def test_the_interval_is_the_shortest_and_has_equal_densities_at_its_ends(jets):
    ends = jets.interval()
    held = np.diff(jets.cdf(ends), axis=1)[:, 0]
    np.testing.assert_allclose(held, ONE_SIGMA, atol=1e-9)
    log_p = jets.log_density(ends)
    np.testing.assert_allclose(log_p[:, 0], log_p[:, 1], atol=1e-6)
    grid = np.broadcast_to(np.linspace(300.0, 900.0, 2401), (len(jets), 2401))
    for row, (low, high) in enumerate(ends[:20]):
        cdf = jets.cdf(grid)[row]
        widths = np.interp(cdf + ONE_SIGMA, cdf, grid[row], right=np.inf) - grid[row]
        assert high - low <= widths.min() + 1e-3


def test_with_two_peaks_the_shortest_interval_may_hold_one_only():
    two = GaussianMixture(np.array([[0.8, 0.2]]), np.array([[0.0, 30.0]]), np.array([[1.0, 1.0]]))
    low, high = two.interval()[0]
    assert low == pytest.approx(-high, abs=1e-6)
    assert two.cdf(np.array([high]))[0] - two.cdf(np.array([low]))[0] == pytest.approx(ONE_SIGMA)
    assert two.mode()[0] == pytest.approx(0.0, abs=1e-9)


def test_merging_keeps_mean_and_variance(jets):
    merged = jets.merged(0, 2)
    assert merged.weights.shape == (len(jets), 2)
    np.testing.assert_allclose(merged.mean, jets.mean)
    np.testing.assert_allclose(merged.variance, jets.variance)
    np.testing.assert_allclose(merged.weights.sum(axis=1), 1.0)
    np.testing.assert_allclose(jets.merged(0, 1).merged(0, 1).widths[:, 0] ** 2, jets.variance)


def test_no_events_have_no_modes():
    none = GaussianMixture(np.empty((0, 2)), np.empty((0, 2)), np.empty((0, 2)))
    assert none.mode().shape == (0,)
    assert none.interval().shape == (0, 2)


def test_the_crps_is_the_integral_of_the_squared_distance_to_a_step(jets):
    grid = np.broadcast_to(np.linspace(100.0, 1300.0, 24001), (len(jets), 24001))
    truth = 600.0 + np.linspace(-80.0, 150.0, len(jets))
    step = grid >= truth[:, None]
    np.testing.assert_allclose(
        jets.crps(truth), trapezoid((jets.cdf(grid) - step) ** 2, grid), rtol=2e-3
    )


def test_the_crps_of_one_gaussian_is_the_known_one():
    one = GaussianMixture.gaussian(np.array([1.0, 1.0]), np.array([2.0, 2.0]))
    t = np.array([0.0, 1.5])
    density = np.exp(-0.5 * t**2) / np.sqrt(2 * np.pi)
    expected = 2.0 * (t * (2 * ndtr(t) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    np.testing.assert_allclose(one.crps(1.0 + 2.0 * t), expected)
