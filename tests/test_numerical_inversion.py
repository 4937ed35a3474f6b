"""Numerical inversion against closed forms: lines, curves, folds, spectra."""

from __future__ import annotations

import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.errors import ConfigurationError, DataError, FitError
from calibrate.methods.numerical_inversion import CENTRES, POLYNOMIAL, SPLINE, NumericalInversion
from calibrate.prior import GaussianPrior, reweight
from calibrate.sample import Column, Sample, concatenate
from calibrate.task import RegressionTask

CURVES = (SPLINE, POLYNOMIAL)


def task_of(sample: Sample) -> RegressionTask:
    return RegressionTask(sample, {"nominal": sample}, (sample.x_columns[0].name,))


def sample_of(x, z, positive: bool = False, w=None) -> Sample:
    w = np.ones(len(z)) if w is None else w
    return Sample(
        x[:, None], z[:, None], w, (Column("x", "", positive),), (Column("z", "", positive),)
    )


def relative(n: int, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    z = 100 * (1 + rng.pareto(5, n))
    return sample_of(0.9 * z * rng.normal(1, 0.05, n), z, positive=True)


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("shape", CURVES)
def test_a_linear_response_is_inverted_whatever_the_spectrum(centre: str, shape: str):
    method = NumericalInversion(centre=centre, shape=shape, degree=2)
    for mu, sigma in ((0.0, 1.0), (1.0, 2.0)):
        task = Gaussian(mu=mu, sigma=sigma, epsilon=0.5, n=40000).regression(Context(4))
        x = mu + sigma * np.linspace(-1.5, 1.5, 7)
        found = method.fit(task, Context()).estimate(x[:, None])
        np.testing.assert_allclose(found.z[:, 0], x, atol=0.06)
        np.testing.assert_allclose(found.sigma[:, 0], 0.5, rtol=0.1)


@pytest.mark.parametrize("shape", CURVES)
def test_a_relative_response_is_inverted(shape: str):
    fitted = NumericalInversion(shape=shape).fit(task_of(relative(60000)), Context())
    x = np.array([100.0, 120.0, 200.0])
    found = fitted.estimate(x[:, None])
    np.testing.assert_allclose(found.z[:, 0], x / 0.9, rtol=4e-3)
    np.testing.assert_allclose(found.sigma[:, 0] / found.z[:, 0], 0.05, rtol=0.05)


def test_a_curved_response_has_the_bias_of_the_formula():
    """b(z) = -½ g''/g'³ Var(x given z) for g = z + 0.1 z² and noise of 0.3."""
    rng = np.random.default_rng(1)
    z = rng.uniform(0.5, 6, 400_000)
    g = z + 0.1 * z**2
    fitted = NumericalInversion(bins=40).fit(task_of(sample_of(g + rng.normal(0, 0.3, z.size), z)),
                                             Context())  # fmt: skip
    for truth in (1.5, 3.0, 4.5):
        x = truth + 0.1 * truth**2 + rng.normal(0, 0.3, 400_000)
        bias = float(np.mean(fitted.estimate(x[:, None]).z)) - truth
        formula = -0.5 * 0.2 / (1 + 0.2 * truth) ** 3 * 0.3**2
        assert bias == pytest.approx(formula, abs=0.004)


def test_the_spectrum_of_the_training_sample_does_not_matter():
    sample = relative(60000)
    narrow = reweight(sample, GaussianPrior(130.0, 15.0))
    one, other = (NumericalInversion().fit(task_of(s), Context()) for s in (sample, narrow))
    x = np.linspace(105, 130, 6)[:, None]
    np.testing.assert_allclose(one.estimate(x).z, other.estimate(x).z, rtol=5e-3)


def test_a_fold_is_an_error_that_names_the_range():
    rng = np.random.default_rng(2)
    z = rng.uniform(0, 4, 20000)
    x = z - 1.2 * np.exp(-(((z - 2) / 0.4) ** 2)) * (z > 2) + rng.normal(0, 0.05, z.size)
    with pytest.raises(FitError, match=r"does not rise with z between z = [12]\.\d+ and 2\.\d+"):
        NumericalInversion(shape="spline").fit(task_of(sample_of(x, z)), Context())
    falling = sample_of(-z + rng.normal(0, 0.05, z.size), z)
    with pytest.raises(FitError, match="does not rise with z"):
        NumericalInversion(shape="polynomial").fit(task_of(falling), Context())


def test_statistical_folds_are_smoothed_away():
    """Twenty samples of the Gaussian example whose bins scatter by more than their distance."""
    for seed in range(20):
        task = Gaussian(n=3000, sigma=0.5).regression(Context(seed))
        assert np.all(np.diff(NumericalInversion().fit(task, Context()).curve.g) > 0)


def test_beyond_the_range_it_goes_on_is_clamped_or_raises():
    sample = relative(20000)
    fits = {o: NumericalInversion(outside=o).fit(task_of(sample), Context()) for o in
            ("linear", "clamp", "raise")}  # fmt: skip
    x = np.array([[50.0], [120.0]])
    linear, clamped = (fits[name].estimate(x) for name in ("linear", "clamp"))
    assert linear.z[0, 0] == pytest.approx(50 / 0.9, rel=0.1)
    assert clamped.z[0, 0] == fits["clamp"].curve.z[0]
    assert list(linear.inside) == [False, True]
    with pytest.raises(DataError, match="1 of 2 values of x lie outside"):
        fits["raise"].estimate(x)


def test_a_weight_of_two_is_the_event_twice():
    sample = relative(4000)
    w = np.where(np.arange(4000) < 2000, 2.0, 1.0)
    double = concatenate([sample, sample.take(slice(0, 2000))])
    fits = [
        NumericalInversion(shape="polynomial", degree=1).fit(task_of(s), Context())
        for s in (sample.with_weights(w), double)
    ]
    x = np.array([[110.0], [150.0]])
    np.testing.assert_allclose(fits[0].estimate(x).z, fits[1].estimate(x).z, rtol=1e-9)


def test_negative_weights_are_exact_for_the_mean_and_refused_by_the_median():
    sample = relative(20000)
    mixed = sample.with_weights(np.where(np.arange(20000) % 10 == 0, -1.0, 1.0))
    x = np.array([[120.0]])
    found = NumericalInversion(centre="mean").fit(task_of(mixed), Context()).estimate(x)
    assert found.z[0, 0] == pytest.approx(120 / 0.9, rel=0.01)
    with pytest.raises(DataError, match="negative weights have no median"):
        NumericalInversion(centre="median").fit(task_of(mixed), Context())


def test_several_truths_are_refused(planar_task: RegressionTask):
    with pytest.raises(ConfigurationError, match="one truth column, got z0, z1"):
        NumericalInversion().fit(planar_task, Context())


@pytest.mark.parametrize(
    "options",
    [{"centre": "midpoint"}, {"shape": "line"}, {"bins": 3}, {"hidden": 3}, {"outside": "ignore"}],
)
def test_bad_options_are_named(options):
    with pytest.raises(ConfigurationError, match=f"method.{next(iter(options))}"):
        NumericalInversion(**options)
