from __future__ import annotations

import numpy as np
import pytest

from calibrate.errors import ConfigurationError, DataError
from calibrate.prior import FlatPrior, GaussianPrior, SampleDensity, flatten, reweight
from calibrate.sample import Column, Sample
from tests.conftest import planar_sample, relative_sample


def power_law(n: int = 200_000) -> Sample:
    return relative_sample(np.random.default_rng(0), n, weighted=False)


def test_reweighting_gives_the_new_spectrum():
    sample = reweight(power_law(), GaussianPrior(150.0, 10.0))
    z = sample.z[:, 0]
    mean = np.average(z, weights=sample.w)
    assert mean == pytest.approx(150.0, abs=0.3)
    assert np.sqrt(np.average((z - mean) ** 2, weights=sample.w)) == pytest.approx(10.0, rel=0.03)


def test_reweighting_keeps_the_mixture_of_weights_at_given_z():
    sample = relative_sample(np.random.default_rng(1), 200_000)
    heavy = sample.w > sample.w.min() * 2
    narrow = reweight(sample, GaussianPrior(120.0, 1.0))
    inside = np.abs(sample.z[:, 0] - 120.0) < 1.0
    before = sample.w[inside & heavy].sum() / sample.w[inside].sum()
    after = narrow.w[inside & heavy].sum() / narrow.w[inside].sum()
    assert after == pytest.approx(before, abs=0.01)


def test_the_density_is_the_samples():
    sample = power_law()
    density = SampleDensity.of(sample)
    at = np.array([120.0, 150.0, 200.0])
    expected = (at / 100.0) ** -7.0
    ratio = density.density(at) / expected
    np.testing.assert_allclose(ratio / ratio[0], 1.0, rtol=0.05)


def test_no_overlap_is_refused():
    with pytest.raises(DataError, match="no overlap"):
        reweight(power_law(1000), GaussianPrior(1e6, 1.0))


def test_flat_prior_is_flat():
    sample = reweight(power_law(), FlatPrior(110.0, 200.0))
    counts, _ = np.histogram(sample.z[:, 0], np.linspace(112, 198, 9), weights=sample.w)
    np.testing.assert_allclose(counts / counts.mean(), 1.0, atol=0.06)


def test_flatten_is_flat_in_log_z_where_the_sample_is_dense():
    flat = flatten(power_law())
    assert flat.low == pytest.approx(100.0, rel=0.1)
    log_z = np.log(flat.sample.z[:, 0])
    edges = np.linspace(np.log(flat.low * 1.1), np.log(flat.high), 9)
    counts, _ = np.histogram(log_z, edges, weights=flat.sample.w)
    np.testing.assert_allclose(counts / counts.mean(), 1.0, atol=0.1)


def test_flatten_ignores_a_common_factor():
    sample = relative_sample(np.random.default_rng(2), 50_000)
    one, other = flatten(sample), flatten(sample.with_weights(sample.w * 1e-10))
    np.testing.assert_allclose(one.sample.w / one.sample.w[0], other.sample.w / other.sample.w[0])


def test_flatten_says_when_the_sample_is_too_thin():
    with pytest.raises(DataError, match="are needed to reshape it"):
        flatten(power_law(100))


def test_a_spectrum_has_one_truth_column():
    with pytest.raises(ConfigurationError, match="got \\['z0', 'z1'\\]"):
        flatten(planar_sample(np.random.default_rng(3), 500))


def test_a_narrow_sample_can_be_reweighted():
    z = np.full(300, 5.0) + np.linspace(0, 1e-6, 300)
    sample = Sample(z, z, np.ones(300), (Column("x"),), (Column("z"),))
    assert np.isfinite(reweight(sample, FlatPrior(0.0, 10.0)).w).all()
