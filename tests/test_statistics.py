"""Against slow twins, closed forms and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from calibrate.errors import DataError
from calibrate.sample import Groups
from calibrate.statistics import (
    Poisson,
    bin_index,
    bootstrap_ratios,
    equal_statistics_edges,
    summarise,
    weighted_covariance,
    weighted_mean,
    weighted_quantile,
    weighted_std,
)
from calibrate.statistics.bootstrap import TABLE
from calibrate.statistics.mode import truncated_gaussian_mode
from calibrate.statistics.prefix import SortedPowers

SEED = np.random.SeedSequence(7)
FIELDS = ("mean", "std", "median", "iqr", "mode", "fit")


def poisson(n: int, replicas: int = 50, group: np.ndarray | None = None) -> Poisson:
    return Poisson(Groups.of(np.arange(n) if group is None else group), replicas, SEED)


def test_moments_equal_numpy_on_repeated_events():
    rng = np.random.default_rng(0)
    v, k = rng.normal(size=(200, 2)), rng.integers(0, 4, 200)
    repeated = np.repeat(v, k, axis=0)
    np.testing.assert_allclose(weighted_mean(v, k.astype(float)), repeated.mean(axis=0))
    np.testing.assert_allclose(weighted_std(v, k.astype(float)), repeated.std(axis=0))
    expected = np.cov(repeated.T, bias=True)
    np.testing.assert_allclose(weighted_covariance(v, v, k.astype(float)), expected)


@given(st.integers(0, 10**6), st.floats(0.001, 0.999), st.sampled_from([1.0, 2.0, 1e-10, 1e10]))
@settings(deadline=None, max_examples=50)
def test_a_weighted_quantile_is_that_of_repeated_events(seed: int, q: float, scale: float):
    rng = np.random.default_rng(seed)
    v, k = rng.normal(size=60).round(1), rng.integers(0, 4, 60)
    k[0] = 1
    repeated = np.quantile(np.repeat(v, k), q, method="inverted_cdf")
    assert weighted_quantile(v, k * scale, q) == repeated


def test_quantiles_refuse_negative_weights():
    with pytest.raises(DataError, match="got 1 negative of 2"):
        weighted_quantile(np.ones(2), np.array([1.0, -1.0]), 0.5)


def test_poisson_table_has_unit_mean_and_variance():
    assert TABLE.mean() == pytest.approx(1.0, abs=1e-4)
    assert TABLE.astype(float).var() == pytest.approx(1.0, abs=1e-3)
    counts = np.bincount(TABLE, minlength=8)[:8] / TABLE.size
    np.testing.assert_allclose(counts, stats.poisson.pmf(np.arange(8), 1), atol=2e-5)


def test_bootstrap_errors_equal_closed_forms():
    rng = np.random.default_rng(1)
    u = rng.normal(size=20000)
    found = summarise(u, np.ones(u.size), np.zeros(u.size, int), 1, poisson(u.size, 400))
    root_n = np.sqrt(u.size)
    expected = {"mean": 1.0, "std": 1 / np.sqrt(2), "median": np.sqrt(np.pi / 2)}
    for name, error in expected.items():
        assert getattr(found, f"{name}_error")[0] * root_n == pytest.approx(error, rel=0.15)


def test_bootstrap_keeps_groups_together():
    rng = np.random.default_rng(2)
    u = np.repeat(rng.normal(size=2000), 4)
    zeros, ones = np.zeros(u.size, int), np.ones(u.size)
    group = np.repeat(np.arange(2000), 4)
    alone = summarise(u, ones, zeros, 1, poisson(u.size, 300))
    grouped = summarise(u, ones, zeros, 1, poisson(u.size, 300, group))
    assert grouped.mean_error[0] / alone.mean_error[0] == pytest.approx(2.0, rel=0.15)


def test_summary_equals_a_slow_twin_bin_by_bin():
    rng = np.random.default_rng(3)
    u, w, index = rng.normal(5, 1, 900), rng.random(900), rng.integers(-1, 4, 900)
    found = summarise(u, w, index, 3, poisson(900))
    for b in range(3):
        v, k = u[index == b], w[index == b]
        low, median, high = weighted_quantile(v, k, [0.15865525393, 0.5, 0.84134474607])
        assert found.mean[b] == pytest.approx(np.average(v, weights=k))
        assert found.std[b] == pytest.approx(weighted_std(v, k))
        assert found.median[b] == pytest.approx(median)
        assert found.iqr[b] == pytest.approx((high - low) / 2)


@pytest.mark.parametrize("scale", [2.0, 1e-10])
def test_a_factor_of_all_weights_changes_nothing(scale: float):
    rng = np.random.default_rng(4)
    u, w, index = rng.normal(size=500), rng.random(500), rng.integers(0, 3, 500)
    one = summarise(u, w, index, 3, poisson(500))
    other = summarise(u, w * scale, index, 3, poisson(500))
    for name in (*FIELDS, *(f"{field}_error" for field in FIELDS)):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9)


def test_weight_two_equals_the_event_twice_in_one_group():
    rng = np.random.default_rng(5)
    u, double = rng.normal(size=400), rng.random(400) < 0.3
    rows = np.repeat(np.arange(400), 1 + double)
    one = summarise(u, 1.0 + double, np.zeros(400, int), 1, poisson(400), mode=True)
    same = poisson(rows.size, group=rows)
    other = summarise(u[rows], np.ones(rows.size), np.zeros(rows.size, int), 1, same, mode=True)
    for name in (*FIELDS, *(f"{field}_error" for field in FIELDS)):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9)


def test_negative_weights_are_exact_in_means_and_absent_from_quantiles():
    u, w = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, -0.5, 1.0, 1.0])
    found = summarise(u, w, np.zeros(4, int), 1, poisson(4))
    assert found.mean[0] == pytest.approx(np.sum(w * u) / np.sum(w))
    assert np.isnan(found.median[0])
    assert np.isnan(found.iqr_error[0])


def test_an_empty_bin_is_not_a_number():
    found = summarise(np.ones(5), np.ones(5), np.zeros(5, int), 2, poisson(5))
    assert np.isnan(found.mean[1])
    assert np.isnan(found.median_error[1])


def mode_of(u: np.ndarray) -> tuple[float, float, bool]:
    u = np.sort(u)
    fit = truncated_gaussian_mode(SortedPowers.of(u, np.ones(u.size)).sums(), 0.2, 1.5)
    return fit.mode, fit.width, fit.converged


def test_the_mode_fit_finds_a_gaussian_core_under_a_tail():
    rng = np.random.default_rng(6)
    core, tail = rng.normal(0, 1, 200000), rng.exponential(8.0, 10000) + 2
    mode, width, converged = mode_of(np.concatenate([core, tail]))
    assert converged
    assert mode == pytest.approx(0.0, abs=0.02)
    assert width == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("n", [500, 5000])
def test_the_mode_fit_finds_the_core_of_small_samples(n: int):
    fits = [mode_of(np.random.default_rng(seed).normal(size=n)) for seed in range(40)]
    assert sum(converged for _, _, converged in fits) >= 38
    modes = np.array([mode for mode, _, converged in fits if converged])
    assert np.std(modes) * np.sqrt(n) < 4.0
    assert np.mean(modes) == pytest.approx(0.0, abs=4 * np.std(modes) / np.sqrt(len(modes)))


def test_the_mode_fit_says_when_there_is_no_core():
    assert not mode_of(np.linspace(-1, 1, 1000) ** 3 * 1e-3 + np.sign(np.linspace(-1, 1, 1000)))[2]


@given(st.integers(0, 10**6), st.integers(1, 15))
@settings(deadline=None, max_examples=25)
def test_bins_have_equal_effective_statistics(seed: int, bins: int):
    rng = np.random.default_rng(seed)
    z, w = rng.exponential(size=6000), rng.choice([1.0, 1e-2], 6000)
    edges = equal_statistics_edges(z, w, np.arange(6000), bins, 50)
    index = bin_index(z, edges)
    sizes = [w[index == b].sum() ** 2 / (w[index == b] ** 2).sum() for b in range(edges.size - 1)]
    assert 1 <= len(sizes) <= bins
    assert np.mean((index >= 0) & (index < edges.size - 1)) > 0.995
    assert min(sizes) >= 50 * 0.99
    assert max(sizes) / min(sizes) < 1.15


def test_bins_treat_a_repeated_event_as_its_weight():
    rng = np.random.default_rng(8)
    z, double = rng.normal(size=3000), rng.random(3000) < 0.5
    rows = np.repeat(np.arange(3000), 1 + double)
    one = equal_statistics_edges(z, 1.0 + double, np.arange(3000), 6, 100)
    other = equal_statistics_edges(z[rows], np.ones(rows.size), rows, 6, 100)
    np.testing.assert_array_equal(one, other)


def test_too_few_events_make_one_bin():
    z = np.arange(30.0)
    np.testing.assert_array_equal(equal_statistics_edges(z, np.ones(30), z, 12, 200), [0, 29])


def test_bin_index_includes_the_last_edge():
    index = bin_index(np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 2.1]), np.array([0.0, 1.0, 2.0]))
    np.testing.assert_array_equal(index, [-1, 0, 0, 1, 1, 2])


def test_bootstrap_ratios_are_weighted_means():
    rng = np.random.default_rng(9)
    columns, w = rng.normal(size=(5000, 2)), rng.random(5000)
    value, replicas = bootstrap_ratios(columns, w, poisson(5000, 333))
    np.testing.assert_allclose(value, weighted_mean(columns, w))
    assert replicas.shape == (333, 2)
    expected = np.sqrt(np.sum((w[:, None] * (columns - value)) ** 2, axis=0)) / w.sum()
    np.testing.assert_allclose(replicas.std(axis=0), expected, rtol=0.15)


@given(st.integers(0, 10**6), st.integers(1, 400))
@settings(deadline=None, max_examples=40)
def test_block_sums_equal_running_sums(seed: int, n: int):
    rng = np.random.default_rng(seed)
    values, w, counts = np.sort(rng.normal(size=n)), rng.random(n), rng.integers(0, 3, n) * 1.0
    sums = SortedPowers.of(values, w).sums(counts)
    slow = np.cumsum(np.stack([w, w * values, w * values**2]) * counts, axis=1)
    slow = np.pad(slow, ((0, 0), (1, 0)))
    rows = np.arange(n + 1)
    np.testing.assert_allclose(sums.before(rows), slow, atol=1e-12)
    target = rng.random(5) * slow[0, -1]
    np.testing.assert_array_equal(sums.row_reaching(target), np.searchsorted(slow[0, 1:], target))
    inside = (values >= -0.5) & (values < 0.5)
    np.testing.assert_allclose(sums.window(-0.5, 0.5)[1], np.sum((w * counts)[inside]), atol=1e-12)
