"""The spread over members."""

from __future__ import annotations

import numpy as np

from calibrate.methods.scatter import Scatter, deviation


def test_sums_are_numpys_mean_and_covariance_from_any_origin():
    rng = np.random.default_rng(0)
    z = 1000 + rng.normal(size=(7, 5, 2)) @ [[1.0, 0.5], [0.0, 0.1]]
    for origin in (z[0], z[0] + 3.0):
        scatter = Scatter(origin)
        for each in z:
            scatter.add(each)
        assert scatter.number == 7
        np.testing.assert_allclose(scatter.mean, z.mean(axis=0))
        expected = [np.cov(z[:, i].T) for i in range(5)]
        np.testing.assert_allclose(scatter.covariance, expected, atol=1e-10)
        np.testing.assert_allclose(deviation(scatter.covariance), z.std(axis=0, ddof=1))
