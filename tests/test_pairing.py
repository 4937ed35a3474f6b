from __future__ import annotations

import numpy as np
import pytest

from calibrate.errors import DataError
from calibrate.pairing import all_pairs, low_discrepancy_pairs
from tests.conftest import planar_sample


def toy(seed: int, n: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 1))
    return z + 0.3 * rng.normal(size=(n, 1)), z


def expectation(x: np.ndarray, z: np.ndarray, pairs, f) -> float:
    v = np.exp(pairs.log_weight)
    return float(np.sum(v * f(x[pairs.x, 0], z[pairs.z, 0])) / np.sum(v))


def permuted(z: np.ndarray, *seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(z[:, 0])


def narrow(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * ((x - z) / 0.3) ** 2)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_few_pairs_give_the_all_pairs_expectation(weighted: bool):
    x, z = toy(0, 1500)
    w = np.random.default_rng(1).choice([1.0, 0.05], 1500) if weighted else np.ones(1500)
    exact = expectation(x, z, all_pairs(w), narrow)
    few = low_discrepancy_pairs(x, z, w, 8, np.random.default_rng(2))
    assert expectation(x, z, few, narrow) == pytest.approx(exact, rel=0.02)


def test_they_are_less_noisy_than_permutations():
    x, z = toy(3)
    w = np.ones(len(x))
    few = [
        expectation(x, z, low_discrepancy_pairs(x, z, w, 4, np.random.default_rng(k)), narrow)
        for k in range(30)
    ]
    shuffled = [np.mean([narrow(x[:, 0], permuted(z, k, j)) for j in range(4)]) for k in range(30)]
    assert np.std(few) < np.std(shuffled) / 3
    assert np.mean(few) == pytest.approx(np.mean(shuffled), abs=4 * np.std(shuffled) / np.sqrt(30))


def test_an_event_of_no_weight_is_never_drawn():
    x, z = toy(4, 400)
    w = np.where(np.arange(400) % 3 == 0, 0.0, 1.0)
    pairs = low_discrepancy_pairs(x, z, w, 6, np.random.default_rng(0))
    assert np.all(w[pairs.x] > 0)
    assert np.all(w[pairs.z] > 0)


def test_a_heavy_event_is_in_as_many_pairs_as_its_weight_says():
    x, z = toy(7, 500)
    w = np.where(np.arange(500) == 100, 20.0, 1.0)
    pairs = low_discrepancy_pairs(x, z, w, 10, np.random.default_rng(0))
    assert np.sum(pairs.x == 100) == pytest.approx(5000 * 20 / 519, abs=1)


def test_several_truths_are_paired_as_a_whole():
    sample = planar_sample(np.random.default_rng(5), 3000)
    pairs = low_discrepancy_pairs(sample.x, sample.z, sample.w, 8, np.random.default_rng(0))
    v = np.exp(pairs.log_weight)
    means = v @ sample.z[pairs.z] / v.sum()
    np.testing.assert_allclose(means, sample.z.mean(axis=0), atol=0.05)


def test_negative_weights_are_no_probabilities():
    x, z = toy(6, 200)
    with pytest.raises(DataError, match="Donsker-Varadhan bound needs weights"):
        low_discrepancy_pairs(x, z, np.where(x[:, 0] > 0, 1.0, -0.1), 4, np.random.default_rng(0))
