"""One conformance suite over every method: a newcomer adds one line to METHODS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError
from calibrate.loading import load
from calibrate.methods.bayesian import Bayesian
from calibrate.methods.gaussian_ansatz import GaussianAnsatz
from calibrate.methods.mse import MSE
from calibrate.methods.none import Uncalibrated
from calibrate.methods.numerical_inversion import NumericalInversion
from calibrate.methods.resampled import ResampledEnsemble
from calibrate.sample import concatenate
from calibrate.storage import save_state
from calibrate.task import RegressionTask

SMALL = {"hidden_a": (8,), "hidden_b": (8,), "hidden_c": (4,), "steps": 15}
METHODS = {
    "none": Uncalibrated(),
    "mse_polynomial": MSE(degree=2),
    "mse_network": MSE(hidden=(8, 8), epochs=3, batch=200),
    "gaussian_ansatz": GaussianAnsatz(**SMALL, hidden_d=(4,)),
    "numerical_inversion": NumericalInversion(bins=8),
    "generalised_inversion": NumericalInversion(shape="network", hidden=(4,), steps=60),
    "bayesian": Bayesian(hidden=(8, 8), steps=30, batch=300, samples=5),
    "bayesian_mixture": Bayesian(components=3, hidden=(), steps=30, batch=300, samples=5),
    "ensemble": ResampledEnsemble(MSE(hidden=(8,), epochs=3, batch=200), members=4),
    "ensemble_of_parts": ResampledEnsemble(MSE(degree=1), members=5, samples="parts"),
    "ensemble_of_bayesian": ResampledEnsemble(
        Bayesian(hidden=(), steps=30, batch=300, samples=5), members=3
    ),
    "gaussian_ansatz_without_d": GaussianAnsatz(**SMALL, hidden_d=None, precision="double"),
}
ONE_DIMENSIONAL = ("numerical_inversion",)
"""Methods for one feature and one truth column."""
ONE_TRUTH = ("generalised_inversion", "bayesian", "bayesian_mixture", "ensemble_of_bayesian")
"""Methods for one truth column and any number of features."""
TASKS = ("gaussian_task", "relative_task", "planar_task")


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest):
    return METHODS[request.param]


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> RegressionTask:
    chosen = request.node.callspec.params.get("method")
    if request.param == "planar_task" and chosen in ONE_DIMENSIONAL:
        pytest.skip(f"{chosen} takes one feature and one truth column")
    found = request.getfixturevalue(request.param)
    return first_truth(found) if chosen in ONE_TRUTH else found


def first_truth(task: RegressionTask) -> RegressionTask:
    """The task without the truths beyond the first."""
    train, *tests = (
        replace(sample, z=sample.z[:, :1], z_columns=sample.z_columns[:1])
        for sample in (task.train, *task.tests.values())
    )
    return RegressionTask(train, dict(zip(task.tests, tests, strict=True)), task.uncalibrated[:1])


def test_estimates_have_shape_range_and_positive_covariance(method, task):
    fitted = method.fit(task, Context())
    sample = task.tests["nominal"]
    estimate = fitted.estimate(sample.x)
    assert estimate.z.shape == sample.z.shape
    assert np.isfinite(estimate.z).all()
    assert estimate.inside.mean() > 0.95
    if estimate.covariance is not None:
        assert estimate.covariance.shape == (*sample.z.shape, sample.z.shape[1])
        assert np.linalg.eigvalsh(estimate.covariance).min() > 0


def test_the_same_seed_gives_the_same_calibration_and_the_method_is_untouched(method, task):
    before = repr(method)
    x = task.tests["nominal"].x[:50]
    one, other = (method.fit(task, Context(seed=3)).estimate(x) for _ in range(2))
    np.testing.assert_array_equal(one.z, other.z)
    assert repr(method) == before


def test_a_stored_calibration_is_the_same(method, task, tmp_path: Path):
    fitted = method.fit(task, Context())
    save_state(tmp_path / "fitted.h5", fitted.kind, fitted.state())
    x = task.tests["nominal"].x[:100]
    one, other = fitted.estimate(x), load(tmp_path).estimate(x)
    np.testing.assert_array_equal(one.z, other.z)
    np.testing.assert_array_equal(one.inside, other.inside)
    if one.covariance is not None:
        np.testing.assert_array_equal(one.covariance, other.covariance)
    if one.mixture is not None:
        np.testing.assert_array_equal(one.mixture.interval(), other.mixture.interval())


def test_a_factor_of_all_weights_changes_nothing(method, task):
    x = task.tests["nominal"].x[:100]
    estimates = []
    for scale in (1.0, 2.0, 1e-10):
        train = task.train.with_weights(task.train.w * scale)
        estimates.append(method.fit(replace(task, train=train), Context()).estimate(x).z)
    np.testing.assert_allclose(estimates[0], estimates[1], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(estimates[0], estimates[2], rtol=2e-3, atol=2e-3)


def test_another_number_of_features_is_refused(method, task):
    fitted = method.fit(task, Context())
    with pytest.raises(DataError, match="the calibration takes"):
        fitted.estimate(np.ones((3, 7)))


def test_x_outside_the_training_range_is_flagged(method, task):
    fitted = method.fit(task, Context())
    x = np.vstack([task.train.x.max(axis=0) * 1.5 + 5.0, np.median(task.train.x, axis=0)])
    expected = [True, True] if fitted.kind == "none" else [False, True]
    assert fitted.estimate(x).inside.tolist() == expected


@pytest.mark.parametrize("degree", [1, 2])
def test_weight_two_equals_the_event_twice_for_a_polynomial(degree: int, relative_task):
    train = relative_task.train
    double = np.arange(len(train)) % 3 == 0
    weighted = replace(relative_task, train=train.with_weights(1.0 + double))
    ones = train.with_weights(np.ones(len(train)))
    twice = replace(relative_task, train=concatenate([ones, ones.take(double)]))
    x = relative_task.tests["nominal"].x[:200]
    one, other = (MSE(degree=degree).fit(t, Context()).estimate(x) for t in (weighted, twice))
    np.testing.assert_allclose(one.z, other.z, rtol=1e-9)
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-6)


def test_a_fit_leaves_torch_as_it_was(gaussian_task):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    METHODS["gaussian_ansatz"].fit(gaussian_task, Context())
    METHODS["mse_network"].fit(gaussian_task, Context())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MSE(degree=0), "method.degree must be a positive integer, got 0"),
        (lambda: MSE(hidden=[50, 0]), "method.hidden takes a list"),
        (lambda: MSE(activation="rellu"), "did you mean relu"),
        (lambda: MSE(learning_rate=-1), "method.learning_rate must be positive"),
        (lambda: Bayesian(components=0), "method.components must be a positive integer, got 0"),
        (lambda: Bayesian(prior_width=0.0), "method.prior_width must be positive"),
        (lambda: Bayesian(samples=1), "method.samples must be at least 2"),
        (lambda: Bayesian(validation=1.0), "method.validation must be < 1"),
        (lambda: MSE(dropout=1.0), "method.dropout must be < 1"),
        (lambda: MSE(l2=-1.0), "method.l2 must be ≥ 0, got -1"),
        (lambda: ResampledEnsemble(members=1), "method.members must be at least 2"),
        (lambda: ResampledEnsemble(samples="part"), "did you mean parts"),
        (lambda: ResampledEnsemble(base="mse"), "method.base names a method to be fitted"),
        (lambda: GaussianAnsatz(pairs=0), "method.pairs must be a positive integer"),
        (lambda: GaussianAnsatz(spectrum="flaat"), "did you mean flat"),
        (lambda: GaussianAnsatz(hidden_b="32"), "method.hidden_b takes a list"),
        (lambda: GaussianAnsatz(weight_prior=float("nan")), "must be a finite number"),
    ],
)
def test_hyperparameters_out_of_range_are_refused(build, message: str):
    with pytest.raises(ConfigurationError, match=message):
        build()
