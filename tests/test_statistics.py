"""Against slow twins, closed forms and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from calibrate.errors import DataError
from calibrate.sample import Groups
from calibrate.statistics import (
    Poisson,
    bin_index,
    binned_means,
    bootstrap_binned,
    core_goodness,
    equal_statistics_edges,
    grouped_squares,
    normalised_error,
    root,
    shares_below,
    summarise,
    weighted_covariance,
    weighted_mean,
    weighted_quantile,
    weighted_std,
)
from calibrate.statistics.bootstrap import TABLE
from calibrate.statistics.hashes import row_keys
from calibrate.statistics.mode import truncated_gaussian_modes
from calibrate.statistics.nsc import fit_noise_stochastic_constant
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
    sums, guess = SortedPowers.of(u, np.ones(u.size)).once(), np.array([[0.2], [1.5]])
    fit = truncated_gaussian_modes(sums, np.array([0, u.size]), guess[:1], guess[1:])
    return fit.mode.item(), fit.width.item(), fit.converged.item()


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


def test_a_bootstrap_in_bins_is_the_sum_over_the_counts_of_each_replica():
    rng = np.random.default_rng(10)
    columns, w = rng.normal(size=(3000, 2)), rng.random(3000)
    index = rng.integers(-1, 4, 3000)
    value, replicas = bootstrap_binned(columns, w, index, 3, poisson(3000, 40))
    inside = (index == np.arange(3)[:, None]) * w
    np.testing.assert_allclose(value, inside @ columns)
    drawn = [(inside * counts) @ columns for counts in poisson(3000, 40).each()]
    np.testing.assert_allclose(replicas, drawn)


@given(st.integers(0, 10**6), st.integers(1, 400))
@settings(deadline=None, max_examples=40)
def test_block_sums_equal_running_sums(seed: int, n: int):
    rng = np.random.default_rng(seed)
    values, w = np.sort(rng.normal(size=n)), rng.random(n)
    counts = rng.integers(0, 3, (n, 2)).astype(np.uint8)
    sums = SortedPowers.of(values, w).sums(counts)
    powers = np.stack([w, w * values, w * values**2])
    slow = np.pad(np.cumsum(powers[..., None] * counts, axis=1), ((0, 0), (1, 0), (0, 0)))
    plain = SortedPowers.of(values, w).once().before(np.arange(n + 1))
    np.testing.assert_allclose(plain[:, 1:, 0], np.cumsum(powers, axis=1), atol=1e-12)
    rows = np.arange(n + 1)
    np.testing.assert_allclose(sums.before(rows), slow, atol=1e-12)
    replica = rng.integers(0, 2, n + 1)
    np.testing.assert_allclose(sums.at(rows, replica), slow[:, rows, replica], atol=1e-12)
    target = rng.random((5, 2)) * slow[0, -1]
    found = sums.row_reaching(target)
    for r in range(2):
        np.testing.assert_array_equal(found[:, r], np.searchsorted(slow[0, 1:, r], target[:, r]))


# Cores per bin, their errors and their χ²


def likelihood_core(u: np.ndarray) -> tuple[float, float]:
    """Slow twin: the truncated normal of largest likelihood in a window that follows it."""
    mode, width = float(np.median(u)), float(np.std(u))
    for _ in range(60):
        low, high = mode - 1.5 * width, mode + 1.5 * width
        inside = u[(u >= low) & (u < high)]

        def cost(p: np.ndarray, inside=inside, low=low, high=high) -> float:
            if p[1] <= 0:
                return np.inf
            area = np.diff(stats.norm.cdf([low, high], *p))[0]
            return -np.mean(stats.norm.logpdf(inside, *p)) + np.log(area)

        found = optimize.minimize(cost, [mode, width], method="Nelder-Mead",
                                  options={"xatol": 1e-9, "fatol": 1e-14})  # fmt: skip
        before, (mode, width) = (mode, width), found.x
        if abs(mode - before[0]) + abs(width - before[1]) < 1e-8:
            break
    return mode, width


def skewed(rng: np.random.Generator, n: int) -> np.ndarray:
    """A Gaussian core with a tail to the left, as of a calorimeter response."""
    return rng.normal(1.0, 0.1, n) - np.where(rng.random(n) < 0.2, rng.exponential(0.15, n), 0.0)


def test_the_mode_of_each_bin_is_that_of_a_likelihood_fit():
    rng = np.random.default_rng(20)
    index = rng.integers(0, 3, 30_000)
    u = skewed(rng, index.size) * (1 + 0.3 * index)
    found = summarise(u, np.ones(u.size), index, 3, poisson(u.size, 10), mode=True)
    for b in range(3):
        mode, width = likelihood_core(u[index == b])
        # both follow the events in their windows until they stand still: a few of them may differ
        assert found.mode[b] == pytest.approx(mode, abs=0.2 * found.mode_error[b])
        assert found.fit[b] == pytest.approx(width, abs=0.3 * found.fit_error[b])


def test_the_modes_of_bins_together_are_those_of_each_bin_alone():
    rng = np.random.default_rng(21)
    u, w, index = skewed(rng, 9000), rng.random(9000), rng.integers(-1, 4, 9000)
    found = summarise(u, w, index, 3, poisson(9000), mode=True)
    for b in range(3):
        alone = summarise(u, w, np.where(index == b, 0, 9), 1, poisson(9000), mode=True)
        for name in FIELDS:
            value, twin = getattr(found, name)[b], getattr(alone, name)[0]
            assert value == pytest.approx(twin, rel=1e-3)
            error = getattr(found, f"{name}_error")[b]
            assert error == pytest.approx(getattr(alone, f"{name}_error")[0], rel=1e-2)


def test_the_error_of_the_mode_is_its_spread_over_samples():
    modes, errors = [], []
    for seed in range(60):
        u = np.random.default_rng(1000 + seed).normal(size=3000)
        found = summarise(u, np.ones(3000), np.zeros(3000, int), 1, poisson(3000), mode=True)
        modes.append(found.mode[0])
        errors.append(found.mode_error[0])
    assert np.mean(errors) == pytest.approx(np.std(modes), rel=0.3)


def test_rows_that_are_known_to_be_sorted_give_the_same():
    rng = np.random.default_rng(22)
    u, index = rng.normal(size=900), rng.integers(-1, 4, 900)
    one = summarise(u, np.ones(900), index, 3, poisson(900), mode=True)
    rows = np.argsort(u, kind="stable")
    other = summarise(u, np.ones(900), index, 3, poisson(900), mode=True, ascending=rows)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert weighted_quantile(u, np.ones(900), 0.3) == weighted_quantile(u, np.ones(900), 0.3, rows)


def test_replicas_in_several_portions_are_the_same_replicas(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(23)
    u, group = rng.normal(size=700), np.arange(700) // 2
    whole = summarise(u, np.ones(700), np.zeros(700, int), 1, poisson(700, group=group), mode=True)
    monkeypatch.setattr("calibrate.statistics.bootstrap.LARGEST_DRAWN", 350 * 7)
    monkeypatch.setattr("calibrate.statistics.bootstrap.LARGEST_KEPT", 0)
    parts = poisson(700, group=group)
    assert [counts.shape for counts in parts.counts()] == [(700, 7)] * 7 + [(700, 1)]
    found = summarise(u, np.ones(700), np.zeros(700, int), 1, parts, mode=True)
    for name in FIELDS:
        error = f"{name}_error"
        np.testing.assert_allclose(getattr(whole, error), getattr(found, error), rtol=1e-9)


# Errors in closed form

ERRORS = tuple(f"{field}_error" for field in FIELDS)


def errors_both_ways(u, w, index, bins, group=None, replicas=2000):
    """Errors (6, n_b) in closed form and from a bootstrap; of the latter with a relative noise of
    1/√(2·replicas)."""
    groups = Groups.of(np.arange(u.size) if group is None else group)
    both = groups, Poisson(groups, replicas, SEED)
    found = [summarise(u, w, index, bins, each, mode=True) for each in both]
    return [np.stack([getattr(each, name) for name in ERRORS]) for each in found]


def test_closed_errors_of_moments_and_quantiles_are_the_limit_of_the_bootstrap():
    rng = np.random.default_rng(40)
    u, w = skewed(rng, 6000), rng.exponential(size=6000)
    closed, boot = errors_both_ways(u, w, rng.integers(-1, 3, 6000), 3)
    np.testing.assert_allclose(closed[:4], boot[:4], rtol=0.07)  # 4 σ of the bootstrap's noise


def test_closed_errors_keep_groups_together():
    rng = np.random.default_rng(41)
    group = rng.permutation(np.repeat(np.arange(1500), 4))
    u = rng.normal(size=group.size) + rng.normal(size=1500)[group]
    closed, boot = errors_both_ways(u, np.ones(u.size), np.zeros(u.size, int), 1, group)
    alone, _ = errors_both_ways(u, np.ones(u.size), np.zeros(u.size, int), 1, replicas=2)
    np.testing.assert_allclose(closed[:4], boot[:4], rtol=0.07)
    assert np.all(closed[[0, 2]] > 1.3 * alone[[0, 2]])


def test_closed_errors_of_weight_two_are_those_of_the_event_twice():
    rng = np.random.default_rng(42)
    u, double = rng.normal(size=900), rng.random(900) < 0.3
    rows = np.repeat(np.arange(900), 1 + double)
    one = summarise(u, 1.0 + double, np.zeros(900, int), 1, Groups.of(np.arange(900)), mode=True)
    zeros, ones = np.zeros(rows.size, int), np.ones(rows.size)
    other = summarise(u[rows], ones, zeros, 1, Groups.of(rows), mode=True)
    for name in ERRORS:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9)


@pytest.mark.parametrize("scale", [3.0, 1e-10])
def test_closed_errors_do_not_depend_on_a_factor_of_the_weights_and_follow_the_scale(scale: float):
    rng = np.random.default_rng(43)
    u, w, index = rng.normal(size=900), rng.random(900), rng.integers(0, 3, 900)
    groups = Groups.of(np.arange(900))
    one = summarise(u, w, index, 3, groups, mode=True)
    other = summarise(7 + 2 * u, scale * w, index, 3, groups, mode=True)
    for name in ERRORS:
        np.testing.assert_allclose(2 * getattr(one, name), getattr(other, name), rtol=1e-6)


@pytest.mark.parametrize("n", [200, 2000])
def test_closed_errors_are_the_spread_over_samples(n: int):
    values, errors = [], []
    for seed in range(150):
        u = skewed(np.random.default_rng(seed), n)
        found = summarise(u, np.ones(n), np.zeros(n, int), 1, Groups.of(np.arange(n)), mode=True)
        values.append([getattr(found, name)[0] for name in FIELDS])
        errors.append([getattr(found, name)[0] for name in ERRORS])
    # the spread is known to 6 %; that of the standard deviation of a tail less well
    spread = np.std(values, axis=0)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(errors), axis=0)), spread, rtol=0.25)


def test_closed_errors_of_degenerate_bins():
    u, w, index = np.array([1.0, 1.0, 1.0, 5.0]), np.ones(4), np.array([0, 0, 0, 2])
    found = summarise(u, w, index, 3, Groups.of(np.arange(4)), mode=True)
    np.testing.assert_array_equal(found.mean_error, [0.0, np.nan, 0.0])
    np.testing.assert_array_equal(found.std_error, [0.0, np.nan, 0.0])
    np.testing.assert_allclose(found.median_error, [0.0, np.nan, 0.0], atol=1e-12)
    assert np.isnan(found.mode_error[1])
    negative = summarise(u, np.array([1, -0.5, 1, 1.0]), index, 3, Groups.of(np.arange(4)))
    assert np.isnan(negative.median_error).all()
    one_group = summarise(u, w, np.zeros(4, int), 1, Groups.of(np.zeros(4, int)), mode=True)
    np.testing.assert_allclose([one_group.mean_error, one_group.std_error], 0.0, atol=1e-12)
    assert np.isfinite(one_group.median_error).all()


def in_pairs(rng: np.random.Generator, n: int) -> tuple[np.ndarray, Groups]:
    """A column whose values are alike within groups of two rows, and the groups."""
    group = rng.permutation(np.repeat(np.arange(n // 2), 2))
    return rng.normal(size=n) + 2 * rng.normal(size=n // 2)[group], Groups.of(group)


def test_closed_errors_of_means_are_the_limit_of_the_bootstrap():
    rng = np.random.default_rng(44)
    u, groups = in_pairs(rng, 4000)
    w, index = rng.exponential(size=4000) - 0.1, rng.integers(-1, 3, 4000)
    replicas = Poisson(groups, 2000, SEED)
    closed, boot = (binned_means([u, u**2], w, index, 3, each) for each in (groups, replicas))
    for b in range(3):
        expected = np.average(np.column_stack([u, u**2])[index == b], 0, w[index == b])
        np.testing.assert_allclose(closed[0][:, b], expected)
    np.testing.assert_allclose(closed[0], boot[0])
    np.testing.assert_allclose(closed[1], boot[1], rtol=0.07)  # 4 σ of the bootstrap's noise
    drawn = np.array([c * w @ u**2 / (c @ w) for c in replicas.each()])
    value, error = root(*binned_means([u**2], w, np.zeros(4000, int), 1, groups))
    assert value[0, 0] == pytest.approx(np.sqrt(np.average(u**2, weights=w)))
    assert error[0, 0] == pytest.approx(np.std(np.sqrt(drawn)), rel=0.07)


def test_means_of_bins_without_weight_do_not_exist():
    found = binned_means([np.ones(3)], np.ones(3), np.array([0, 0, 2]), 3, Groups.of(np.arange(3)))
    np.testing.assert_array_equal(found, [[[1, np.nan, 1]], [[0, np.nan, 0]]])
    np.testing.assert_array_equal(
        root(np.array([-1.0, 4]), np.array([1.0, 1])), [[0, 2], [np.nan, 0.25]]
    )


def test_squares_of_groups_are_those_of_each_column_and_none_where_no_row_is():
    rng = np.random.default_rng(47)
    values, index = rng.normal(size=(2, 40)), rng.integers(-1, 3, 40)
    groups = Groups.of(np.arange(40) // 2)
    found = grouped_squares(values, index, 3, groups)
    for column, squares in zip(values, found, strict=True):
        for b in range(3):
            inside = index == b
            sums = np.bincount(groups.row[inside], column[inside])
            assert squares[b] == pytest.approx(np.sum(sums**2))
    for each in (values, values[0]):
        nowhere = grouped_squares(each, index - 9, 3, groups)
        np.testing.assert_array_equal(nowhere, np.zeros((*each.shape[:-1], 3)))


def test_closed_errors_of_shares_are_the_limit_of_the_bootstrap():
    rng = np.random.default_rng(45)
    u, groups = in_pairs(rng, 4000)
    w, levels = rng.exponential(size=4000), np.array([-9.0, -2.0, 0.3, 2.0, 9.0])
    closed, boot = (shares_below(u, w, levels, each)
                    for each in (groups, Poisson(groups, 2000, SEED)))  # fmt: skip
    np.testing.assert_allclose(closed[0], [np.average(u <= level, weights=w) for level in levels])
    np.testing.assert_allclose(closed[0], boot[0])
    np.testing.assert_allclose(closed[1], boot[1], rtol=0.07, atol=1e-9)
    slow = [binned_means([u <= level], w, np.zeros(4000, int), 1, groups)[1].item()
            for level in levels]  # fmt: skip
    np.testing.assert_allclose(closed[1], slow, atol=1e-9)


@pytest.mark.parametrize(("off", "apart"), [(0.0, False), (0.02, False), (0.2, False), (0.2, True)])
def test_the_closed_error_of_ence_is_the_limit_of_the_bootstrap(off: float, apart: bool):
    """Bins that are off by nothing, by about their error, and by much more; the two rows of a
    group in any bins, or always apart in two bins of four."""
    rng = np.random.default_rng(46)
    n, bins = 8000, 4
    quoted = rng.uniform(1, 2, n)
    shared, groups = in_pairs(rng, n)
    actual = quoted * (1 + off) * shared / np.sqrt(5)
    w, index = rng.random(n), rng.integers(-1, 5, n)
    if apart:
        index[np.argsort(groups.row)] = np.arange(n) % bins
    squares = actual**2, quoted**2

    def ence(weights: np.ndarray) -> float:
        found = np.array([np.bincount(index + 1, weights * s, 6)[1:5] for s in squares])
        return np.mean(np.abs(1 - np.sqrt(found[0] / found[1])))

    value, error = normalised_error(*squares, w, index, bins, groups)
    assert value == pytest.approx(ence(w))
    boot = np.std([ence(c * w) for c in Poisson(groups, 2000, SEED).each()])
    assert error == pytest.approx(boot, rel=0.08)


def ence_of(actual: np.ndarray, quoted: np.ndarray, w: np.ndarray | None = None):
    """ENCE of squares in four bins of a hundred."""
    w, index = np.ones(400) if w is None else w, np.repeat(np.arange(4), 100)
    return normalised_error(actual, quoted, w, index, 4, Groups.of(np.arange(400)))


@pytest.mark.parametrize("missing", ["actual", "quoted", "w"])
def test_a_bin_that_tells_no_ratio_is_left_out_of_ence(missing: str):
    """One of exact estimates, without quoted errors, without weight."""
    columns = {"actual": np.random.default_rng(47).normal(size=400) ** 2,
               "quoted": np.ones(400), "w": np.ones(400)}  # fmt: skip
    rows = slice(100, 400)
    index, groups = np.repeat(np.arange(3), 100), Groups.of(np.arange(300))
    others = [column[rows] for column in columns.values()]
    columns[missing][:100] = 0
    assert ence_of(**columns) == pytest.approx(normalised_error(*others, index, 3, groups))
    columns[missing][:] = 0
    assert np.isnan(ence_of(**columns)).all()


def test_ence_has_no_error_where_nothing_fluctuates():
    ones = np.ones(400)
    assert ence_of(ones, ones) == (0.0, 0.0)
    assert ence_of(4 * ones, ones) == pytest.approx((1.0, 0.0))
    fluctuating = np.where(np.arange(400) < 100, np.random.default_rng(48).exponential(size=400), 1)
    one = np.zeros(100, int)
    alone = normalised_error(fluctuating[:100], ones[:100], ones[:100], one, 1,
                             Groups.of(np.arange(100)))  # fmt: skip
    assert ence_of(fluctuating, ones) == pytest.approx([number / 4 for number in alone])


def goodness_of(u: np.ndarray, w: np.ndarray | None = None, group: np.ndarray | None = None):
    w, groups = np.ones(u.size) if w is None else w, Groups.of(np.arange(u.size))
    groups = groups if group is None else Groups.of(group)
    zeros = np.zeros(u.size, int)
    found = summarise(u, w, zeros, 1, Poisson(groups, 2, SEED), mode=True)
    return core_goodness(u, w, zeros, found.mode, found.fit, groups), found


def test_the_chi2_of_a_core_equals_its_slow_twin():
    rng = np.random.default_rng(24)
    u, w = skewed(rng, 5000), rng.random(5000)
    found, core = goodness_of(u, w)
    low, high = core.mode[0] - 1.5 * core.fit[0], core.mode[0] + 1.5 * core.fit[0]
    bins = int(found.ndf[0]) + 3
    counts, edges = np.histogram(u, np.linspace(low, high, bins + 1), weights=w)
    squares, _ = np.histogram(u, edges, weights=w**2)
    share = np.diff(stats.norm.cdf(edges, core.mode[0], core.fit[0]))
    expected = counts.sum() * share / share.sum()
    chi2 = np.sum((counts - expected) ** 2 / squares)
    assert (found.low[0], found.high[0]) == (low, high)
    assert found.chi2[0] == pytest.approx(chi2)
    assert found.inside[0] == pytest.approx(counts.sum() / w.sum())
    assert found.probability[0] == pytest.approx(stats.chi2.sf(chi2, bins - 3))


@pytest.mark.parametrize("n", [250, 1000, 20_000])
def test_a_gaussian_core_is_seldom_called_poor(n: int):
    rng = np.random.default_rng(n)
    found = [goodness_of(rng.normal(size=n))[0].probability[0] for _ in range(200)]
    known = np.array(found)[np.isfinite(found)]
    assert known.size > 190
    assert np.mean(known < 1e-3) < 0.025
    assert 0.3 < np.mean(known) < 0.7


def test_a_core_that_is_no_gaussian_is_improbable():
    rng = np.random.default_rng(25)
    u = rng.exponential(size=20_000) * np.where(rng.random(20_000) < 0.5, 1.0, -1.0)
    found, core = goodness_of(u)
    assert core.mode[0] == pytest.approx(0.0, abs=0.1)
    assert found.probability[0] < 1e-6


def test_the_chi2_knows_groups_and_no_common_factor():
    rng = np.random.default_rng(26)
    u, double = rng.normal(size=2000), rng.random(2000) < 0.4
    rows = np.repeat(np.arange(2000), 1 + double)
    found = [
        goodness_of(u, 1.0 + double)[0],
        goodness_of(u, 1e-9 * (1.0 + double))[0],
        goodness_of(u[rows], np.ones(rows.size), rows)[0],
    ]
    for other in found[1:]:
        assert other.chi2[0] == pytest.approx(found[0].chi2[0], rel=1e-6)
        assert other.ndf[0] == found[0].ndf[0]


def test_no_fit_has_no_chi2():
    unknown = np.array([np.nan, 0.0])
    found = core_goodness(
        np.zeros(50), np.ones(50), np.zeros(50, int), unknown, unknown + 1, Groups.of(np.arange(50))
    )
    assert np.isnan([found.chi2[0], found.ndf[0], found.probability[0], found.low[0]]).all()


# Noise, stochastic and constant term


def resolution_at(pt: np.ndarray, noise: float, stochastic: float, constant: float) -> np.ndarray:
    return np.sqrt(noise * abs(noise) / pt**2 + stochastic**2 / pt + constant**2)


@pytest.mark.parametrize("terms", [(5.0, 1.0, 0.05), (-3.0, 0.8, 0.04), (8.0, 0.6, 0.02)])
def test_the_terms_of_the_resolution_are_found_again(terms: tuple[float, float, float]):
    pt = np.geomspace(15, 1500, 12)
    exact = resolution_at(pt, *terms)
    found = fit_noise_stochastic_constant(pt, exact, 0.01 * exact)
    np.testing.assert_allclose(found.terms, terms, rtol=1e-4)
    pulls = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        measured = exact * (1 + 0.01 * rng.normal(size=12))
        found = fit_noise_stochastic_constant(pt, measured, 0.01 * exact)
        pulls.append((found.terms - terms) / found.errors)
    assert found.ndf == 9
    np.testing.assert_allclose(np.mean(pulls, axis=0), 0.0, atol=0.5)
    np.testing.assert_allclose(np.std(pulls, axis=0), 1.0, atol=0.35)


def test_a_term_that_is_not_there_is_compatible_with_zero():
    pt = np.geomspace(20, 2000, 10)
    exact = resolution_at(pt, 0.0, 1.0, 0.0)
    compatible = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        measured = exact * (1 + 0.02 * rng.normal(size=10))
        found = fit_noise_stochastic_constant(pt, measured, 0.02 * exact)
        assert np.isfinite(found.errors).all()
        of_squares = np.maximum(2 * np.abs(found.terms) * found.errors, found.errors**2)
        compatible.append(found.terms[[0, 2]] ** 2 < 2 * of_squares[[0, 2]])
    assert (np.mean(compatible, axis=0) > 0.85).all()


def test_the_unit_of_pt_changes_the_terms_as_it_should():
    pt = np.geomspace(20, 2000, 10)
    sigma = resolution_at(pt, 4.0, 1.0, 0.03)
    one = fit_noise_stochastic_constant(pt, sigma, 0.01 * sigma)
    other = fit_noise_stochastic_constant(1000 * pt, sigma, 0.01 * sigma)
    np.testing.assert_allclose(other.terms, one.terms * [1000, 1000**0.5, 1], rtol=1e-5)
    np.testing.assert_allclose(other.errors, one.errors * [1000, 1000**0.5, 1], rtol=1e-4)


# Rows known again


def test_a_key_tells_rows_apart_and_knows_them_again_in_any_order():
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=1000).round(1), rng.integers(0, 5, 1000), rng.normal(size=1000)]
    keys, order = row_keys(columns), rng.permutation(1000)
    np.testing.assert_array_equal(row_keys([c[order] for c in columns]), keys[order])
    assert len(np.unique(keys)) == 1000
    pairs = {*zip(columns[0].tolist(), columns[1].tolist(), strict=True)}
    assert len(np.unique(row_keys(columns[:2]))) == len(pairs) < 1000
    np.testing.assert_array_equal(row_keys([np.array([-0.0])]), row_keys([np.array([0.0])]))
    shares = np.bincount((row_keys([np.arange(4000.0)]) >> np.uint64(62)).astype(int)) / 4000
    assert shares == pytest.approx([0.25] * 4, abs=4 * np.sqrt(0.25 * 0.75 / 4000))
