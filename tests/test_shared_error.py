"""The events that tell a calibration's own error: alike ones, weights, order, parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from calibrate.evaluators.shared_error import SHARED_EVENTS, Chosen
from calibrate.sample import FloatArray
from calibrate.statistics.hashes import row_keys

BINS = 2


@dataclass(frozen=True)
class Refitted:
    """A table of what each replica says of x = 0, 1, …"""

    tables: FloatArray

    def estimates(self, x: FloatArray) -> Iterator[FloatArray]:
        for table in self.tables:
            yield table[x.astype(int)]


def events(values: int, n: int = 20_000) -> Chosen:
    """Events of x with so many different values, in two bins that share them."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, values, (n, 1)).astype(float)
    w, index = rng.uniform(0.5, 1.5, n), rng.integers(0, BINS, n)
    return Chosen(x, np.ones(n), w, index, row_keys([x[:, 0]]))


def refitted(values: int) -> Refitted:
    return Refitted(np.random.default_rng(1).normal(size=(50, values)))


def same(one: Chosen, other: Chosen) -> None:
    for name in ("x", "unit", "index", "key"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_allclose(one.w, other.w, rtol=1e-12)


@pytest.mark.parametrize("values", [3, SHARED_EVENTS])
def test_all_of_few_different_values_are_looked_at(values: int):
    """Whose error is then that of all events, of which there are ten times as many and more."""
    every, fit = events(values), refitted(values)
    chosen = every.thinned(BINS)
    for index in range(BINS):
        assert len(set(chosen.x[chosen.index == index, 0])) == len(
            set(every.x[every.index == index, 0])
        )
    assert chosen.error(fit, 0, BINS) == pytest.approx(every.error(fit, 0, BINS), rel=1e-12)


def test_of_many_different_values_so_many_are_looked_at():
    chosen = events(20 * SHARED_EVENTS, 80 * SHARED_EVENTS).thinned(BINS)
    assert np.bincount(chosen.index).tolist() == [SHARED_EVENTS] * BINS
    assert len({*zip(chosen.index, chosen.key, strict=True)}) == BINS * SHARED_EVENTS
    low = np.mean(chosen.x < 10 * SHARED_EVENTS)
    assert low == pytest.approx(0.5, abs=4 * 0.5 / SHARED_EVENTS**0.5)


@pytest.mark.parametrize("values", [3, 9000])
def test_order_and_parts_do_not_matter(values: int):
    every = events(values)
    whole, order = every.thinned(BINS), np.random.default_rng(2).permutation(every.w.size)
    same(every.take(order).thinned(BINS), whole)
    first, *others = (every.take(rows).thinned(BINS) for rows in np.array_split(order, 3))
    for other in others:
        first = first.joined(other, BINS)
    same(first, whole)


def test_an_event_of_weight_two_is_the_event_twice():
    every = events(9000)
    twice = every.take(np.repeat(np.arange(every.w.size), 2))
    same(twice.thinned(BINS), replace(every, w=2 * every.w).thinned(BINS))
