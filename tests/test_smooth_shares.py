"""Shares in smooth bins: the same as sharp ones of smeared values, and their covariance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from calibrate.methods.smooth_shares import BINS, SmoothShares, Weighted
from calibrate.sample import Column, Sample


def weighted(values: np.ndarray, w: np.ndarray | None = None) -> Weighted:
    w = np.ones(values.size) if w is None else w
    return Weighted(values, w, w)


def slow(v: np.ndarray, w: np.ndarray, bounds: np.ndarray, h: float, signs: int) -> np.ndarray:
    """Σ w [Φ((b_k - v)/h) - Φ((b_k-1 - v)/h)]/Σ w; for absolute values of both signs."""
    below = sum(sign * norm.cdf((sign * bounds - v[:, None]) / h) for sign in (1, -1)[:signs])
    return np.diff(np.average(below, axis=0, weights=w), prepend=0.0)


def quantiles(data: np.ndarray) -> np.ndarray:
    return np.quantile(data, np.linspace(0, 1, BINS + 1)[1:-1], method="hazen")


@pytest.mark.parametrize("folded", [False, True])
def test_shares_are_those_of_values_smeared_by_a_gaussian(folded: bool):
    rng = np.random.default_rng(0)
    data, v, w = rng.normal(size=2000), rng.normal(0.3, 1.2, 2000), rng.uniform(0.5, 2, 2000)
    if folded:
        data, v = np.abs(data), np.abs(v)
    found = SmoothShares.of(weighted(data), 0.5, folded).shares(weighted(v, w))
    wanted = slow(v, w, quantiles(data), 0.5, 1 + folded)
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


def test_differences_are_independent_and_of_variance_one():
    rng = np.random.default_rng(2)
    chi2, m = [], 0
    for _ in range(200):
        shares = SmoothShares.of(weighted(rng.normal(size=2000)), 0.5)
        v = weighted(rng.normal(size=1000), rng.choice([1.0, 3.0], 1000))
        white = shares.whitening(v) @ (shares.shares(v) - shares.wanted)
        chi2.append(np.sum(white**2))
        m = white.size
    assert np.mean(chi2) == pytest.approx(m, abs=4 * np.sqrt(2 * m / 200))


def test_rows_of_one_event_fluctuate_together():
    rng = np.random.default_rng(3)
    values, columns = rng.normal(size=500), (Column("x"),)
    w = rng.uniform(1, 2, 500)
    sample = Sample(values[:, None], np.empty((500, 0)), w, columns, ())
    twice = Sample(
        np.tile(values, 2)[:, None], np.empty((1000, 0)), np.tile(w, 2), columns, (),
        group=np.tile(np.arange(500), 2),
    )  # fmt: skip
    one, two = (Weighted.of(s.x[:, 0], s) for s in (sample, twice))
    shares = SmoothShares.of(one, 0.3)
    np.testing.assert_allclose(shares.spread(one), shares.spread(two), atol=1e-15)
    np.testing.assert_allclose(shares.shares(one), shares.shares(two))
