from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid, trapezoid
from scipy.special import ndtr

from calibrate.context import Context
from calibrate.data.asymmetric import Asymmetric
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


# Regions of highest density


def drawn(mixture: GaussianMixture, rng: np.random.Generator) -> np.ndarray:
    """One z of each mixture (n,)."""
    rows, n = np.arange(len(mixture)), len(mixture)
    part = (rng.random(n)[:, None] > np.cumsum(mixture.weights, axis=1)[:, :-1]).sum(axis=1)
    return mixture.means[rows, part] + mixture.widths[rows, part] * rng.normal(size=n)


def test_the_density_level_of_one_gaussian_is_that_of_its_pull():
    pull = np.array([0.0, 1e-9, 0.01, -0.3, 1.0, -3.0, 4.9, -7.0, 60.0])
    one = GaussianMixture.gaussian(np.full(9, 5.0), np.full(9, 2.0))
    expected = 2 * ndtr(np.abs(pull)) - 1
    np.testing.assert_allclose(one.density_level(5.0 + 2 * pull), expected, atol=2e-6)
    for i in range(9):
        alone = one.take(slice(i, i + 1)).density_level(5.0 + 2 * pull[i : i + 1])
        np.testing.assert_allclose(alone, expected[i : i + 1], atol=2e-6)


def test_a_component_without_weight_changes_no_density_level():
    two = GaussianMixture(np.array([[0.0, 1.0]]), np.array([[-3.0, 0.0]]), np.array([[0.1, 1.0]]))
    expected = 2 * ndtr(1.5) - 1
    np.testing.assert_allclose(two.density_level(np.array([1.5])), expected, atol=2e-6)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_density_level_is_the_probability_of_all_that_is_denser(k: int):
    """Components of any weight, width and distance, against a sum over a fine grid."""
    rng = np.random.default_rng(k)
    shape, n, m = (60, k), 60, 20_001
    mixture = GaussianMixture(rng.dirichlet(np.ones(k), n), 2 * rng.normal(size=shape),
                              np.exp(0.7 * rng.normal(size=shape)))  # fmt: skip
    z = drawn(mixture, rng)
    low, high = ((mixture.means + s * 8 * mixture.widths) for s in (-1, 1))
    low, step = low.min(axis=1), (high.max(axis=1) - low.min(axis=1)) / m
    grid = low[:, None] + step[:, None] * (np.arange(m) + 0.5)
    density = np.exp(np.concatenate([mixture.take(slice(i, i + 10)).log_density(grid[i : i + 10])
                                     for i in range(0, n, 10)]))  # fmt: skip
    denser = density > np.exp(mixture.log_density(z))[:, None]
    expected = (density * denser).sum(axis=1) * step
    error = 2 * k * np.exp(mixture.log_density(z)) * step  # of the grid: a cell at each crossing
    assert np.all(np.abs(mixture.density_level(z) - expected) < error + 1e-5)


def test_truths_from_the_mixture_have_uniform_levels_in_any_unit(jets):
    rng = np.random.default_rng(3)
    many = jets.take(rng.integers(0, len(jets), 20_000))
    z = drawn(many, rng)
    level = many.density_level(z)
    counts, _ = np.histogram(level, 20, (0.0, 1.0))
    assert np.sum((counts - 1000) ** 2 / 1000) < 45  # 19 degrees of freedom: p = 7e-4
    scaled = GaussianMixture(many.weights, 7 - 1e3 * many.means, 1e3 * many.widths)
    np.testing.assert_allclose(scaled.density_level(7 - 1e3 * z), level, atol=2e-5)


def test_the_end_of_the_shortest_interval_lies_at_its_probability(jets):
    """Where there is one peak."""
    single = np.array([slope_changes(jets.take(np.array([i]))) == 1 for i in range(len(jets))])
    assert single.sum() > 10
    ends = jets.interval(0.8)
    for end in ends.T:
        np.testing.assert_allclose(jets.density_level(end)[single], 0.8, atol=2e-5)


def slope_changes(one: GaussianMixture) -> int:
    grid = np.linspace(400.0, 1100.0, 5001)
    return np.count_nonzero(np.diff(np.sign(one.slope(grid[None])[0][0])))


def test_levels_of_the_exact_posterior_of_the_asymmetric_toy_are_uniform():
    """The posterior as 61 narrow Gaussians, beside a sum over its own grid; central intervals hold
    other events."""
    data, n = Asymmetric(n=200), 300
    sample = data.regression(Context()).tests["nominal"]
    near = sample.take((sample.x[:, 0] > 480) & (sample.x[:, 0] < 600)).take(slice(0, n))
    x, z = near.x[:, 0], near.z[:, 0]
    grid, posterior = data.response.posterior(x, data.low, data.high)
    at_truth = np.array([np.interp(z[i], grid, p) for i, p in enumerate(posterior)])
    exact = trapezoid(np.where(posterior > at_truth[:, None], posterior, 0.0), grid, axis=1)
    means = np.linspace(data.low, data.high, 61)
    weights = np.stack([np.interp(means, grid, p) for p in posterior])
    weights /= weights.sum(axis=1, keepdims=True)
    mixture = GaussianMixture(weights, np.tile(means, (len(x), 1)), np.full(weights.shape, 8.0))
    found = mixture.density_level(z)
    np.testing.assert_allclose(found, exact, atol=0.06)
    assert np.mean(np.abs(found - exact)) < 0.01
    for level in (0.3, ONE_SIGMA, 0.9):
        assert abs(np.mean(exact <= level) - level) < 4 * np.sqrt(level * (1 - level) / n)
    assert np.mean(np.abs(np.abs(2 * mixture.cdf(z) - 1) - exact)) > 0.05
