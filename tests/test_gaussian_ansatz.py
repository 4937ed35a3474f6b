"""The fit against closed forms and against the exact answer of its own training sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.errors import DataError
from calibrate.methods import gaussian_ansatz
from calibrate.methods.gaussian_ansatz import GaussianAnsatz
from calibrate.nn.ansatz import AnsatzShape, GaussianAnsatzNetwork, LinearResponse
from calibrate.sample import concatenate
from calibrate.task import RegressionTask
from tests.conftest import PLANAR_NOISE, PLANAR_RESPONSE, RESOLUTION, relative_sample

TOY = GaussianAnsatz((16, 16, 16), (), (), None, pairs=16, precision="double")


def slope_of_b(fitted) -> float:
    grid = np.linspace(-3, 3, 31)
    return float(np.polyfit(grid, fitted.estimate(grid[:, None]).z[:, 0], 1)[0])


@pytest.mark.parametrize(
    ("mu", "sigma", "seed"), [(0.0, 1.0, 0), (0.0, 1.0, 1), (1.0, 1.0, 2), (0.0, 0.5, 3)]
)
def test_the_gaussian_example_is_solved_as_well_as_its_sample_allows(mu, sigma, seed):
    task = Gaussian(mu=mu, sigma=sigma).regression(Context(seed))
    fitted = TOY.fit(task, Context(seed))
    x, z = task.train.x[:, 0], task.train.z[:, 0]
    rho2 = np.corrcoef(x, z)[0, 1] ** 2
    exact_slope = z.var() / np.cov(x, z, bias=True)[0, 1]
    exact_sigma = exact_slope * np.sqrt(x.var() * (1 - rho2))
    assert slope_of_b(fitted) == pytest.approx(exact_slope, abs=0.02)
    sigma = fitted.estimate(task.tests["nominal"].x).sigma
    assert sigma.mean() == pytest.approx(exact_sigma, rel=0.01)
    np.testing.assert_allclose(sigma, exact_sigma, rtol=0.1)
    assert fitted.summary.mutual_information == pytest.approx(-0.5 * np.log(1 - rho2), abs=0.005)


@pytest.mark.parametrize("seed", [5, 26])
def test_a_fit_in_single_precision_does_not_end_before_its_minimum(seed):
    """Of these seeds a loss summed in single precision ended at slopes that are off by 0.1."""
    task = Gaussian().regression(Context(seed))
    x, z = task.train.x[:, 0], task.train.z[:, 0]
    exact_slope = z.var() / np.cov(x, z, bias=True)[0, 1]
    single = replace(TOY, pairs=4, precision="single")
    fitted = single.fit(task, Context(seed).child("gaussian_ansatz"))
    assert slope_of_b(fitted) == pytest.approx(exact_slope, abs=0.02)


def test_the_spectrum_does_not_enter(relative_task):
    method = GaussianAnsatz((8, 8), (8,), (4,), None)
    x = np.linspace(100, 180, 9)[:, None]
    own = method.fit(relative_task, Context()).estimate(x).z
    flat = replace(method, spectrum="flat").fit(relative_task, Context()).estimate(x).z
    np.testing.assert_allclose(own, flat, rtol=0.01)


def test_a_relative_response_gives_the_exact_maximum():
    rng = np.random.default_rng(5)
    train = relative_sample(rng, 20000, weighted=False)
    fitted = GaussianAnsatz((16, 16), (), (), None, steps=150, precision="double").fit(
        RegressionTask(train, {"nominal": train}, ("pt_reco",)), Context()
    )
    x = np.array([110.0, 130.0, 160.0])
    # of N(mz, (sz)²) with m = 0.95 and s = 0.05 m: d/dz log p = 0 is r² - mr = s² for r = x/z
    ratio = 0.475 + np.sqrt(0.475**2 + (0.95 * RESOLUTION) ** 2)
    estimate = fitted.estimate(x[:, None])
    np.testing.assert_allclose(estimate.z[:, 0], x / ratio, rtol=0.004)
    np.testing.assert_allclose(estimate.sigma / estimate.z, RESOLUTION, rtol=0.06)


def test_two_correlated_truths_have_the_exact_covariance(planar_task):
    method = GaussianAnsatz((16, 16), (), (), None, pairs=32, precision="double", steps=100)
    fitted = method.fit(planar_task, Context())
    information = PLANAR_RESPONSE.T @ np.linalg.inv(PLANAR_NOISE) @ PLANAR_RESPONSE
    estimate = fitted.estimate(planar_task.tests["nominal"].x)
    covariance = estimate.covariance.mean(axis=0)
    np.testing.assert_allclose(covariance, np.linalg.inv(information), atol=0.06)
    pulls = (estimate.z - planar_task.tests["nominal"].z) / estimate.sigma
    np.testing.assert_allclose(pulls.std(axis=0), 1.0, atol=0.06)


def test_weight_two_equals_the_event_twice_with_all_pairs():
    task = Gaussian(n=150).regression(Context())
    method = GaussianAnsatz((4,), (), (), None, pairs="all", precision="double", steps=200)
    double = np.arange(150) % 3 == 0
    group = np.concatenate([np.arange(150), np.flatnonzero(double)])
    weighted = replace(task, train=task.train.with_weights(1.0 + double))
    twice = concatenate([task.train, task.train.take(double)])
    twice = replace(task, train=replace(twice, group=group))
    grid = np.linspace(-3, 3, 7)[:, None]
    one, other = (method.fit(t, Context()).estimate(grid) for t in (weighted, twice))
    np.testing.assert_allclose(one.z, other.z, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(one.sigma, other.sigma, rtol=1e-5)


def test_a_large_sample_starts_from_the_solution_of_some_of_its_events(monkeypatch):
    """The same maximum, after fewer steps over all events; and pairs within their limit."""
    task = Gaussian(n=20_000).regression(Context(3))
    cold = TOY.fit(task, Context(3))
    monkeypatch.setattr(gaussian_ansatz, "FIRST_EVENTS", 5000)
    warm = TOY.fit(task, Context(3))
    assert warm.summary.steps < cold.summary.steps
    assert warm.summary.loss == pytest.approx(cold.summary.loss, abs=2e-6)
    grid = np.linspace(-3, 3, 7)[:, None]
    np.testing.assert_allclose(warm.estimate(grid).z, cold.estimate(grid).z, atol=0.01)
    monkeypatch.setattr(gaussian_ansatz, "LARGEST_PAIRS", 80_000)
    few = TOY.fit(task, Context(3))
    assert any(note.startswith("4 pairs per event instead of 16") for note in few.summary.notes)
    np.testing.assert_allclose(few.estimate(grid).z, cold.estimate(grid).z, atol=0.05)


def test_all_pairs_of_many_events_are_refused(gaussian_task):
    large = replace(gaussian_task, train=concatenate([gaussian_task.train] * 2))
    with pytest.raises(DataError, match=r"n² = 1\.6e\+07 pairs"):
        GaussianAnsatz(pairs="all").fit(large, Context())


def test_negative_weights_are_refused(gaussian_task):
    w = np.where(np.arange(len(gaussian_task.train)) % 10 == 0, -1.0, 1.0)
    task = replace(gaussian_task, train=gaussian_task.train.with_weights(w))
    with pytest.raises(DataError, match="needs weights ≥ 0"):
        TOY.fit(task, Context())


def network(hidden_d: tuple[int, ...] | None = (6,)) -> GaussianAnsatzNetwork:
    torch.manual_seed(0)
    built = GaussianAnsatzNetwork(2, 2, AnsatzShape((6,), (6,), (6,), hidden_d, "tanh")).double()
    for parameter in built.parameters():
        parameter.data = 0.2 * torch.randn_like(parameter)
    return built


def test_the_maximum_is_where_the_gradient_vanishes():
    f, x = network(), torch.randn(40, 2, dtype=torch.float64)
    found = f.maximum(x)
    t = found.t.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(f(x, t).sum(), t)
    assert found.converged.float().mean() >= 0.9
    assert gradient[found.converged].abs().max() < 1e-6
    assert found.first_step.max() > 0.01
    with torch.no_grad():
        assert (f(x, found.t) >= f(x, f.b(x)) - 1e-12)[found.converged].all()


def test_the_precision_is_positive_definite_whatever_the_network_says():
    f, x = network(), 100 * torch.randn(50, 2, dtype=torch.float64)
    assert torch.linalg.eigvalsh(f.precision(x, 100 * torch.randn(50, 2).double())).min() > 0


def test_the_closed_form_start_is_exact_for_a_linear_gaussian_response():
    rng = np.random.default_rng(0)
    t = rng.normal(size=(200_000, 1))
    x = t * [[1.0, 0.5]] + rng.normal(size=(200_000, 2)) * [[0.5, 1.0]]
    x -= x.mean(axis=0)
    start = LinearResponse.of(x, (t - t.mean()) / t.std(), np.ones(len(t)))
    assert start.precision[0, 0] == pytest.approx(1 / 0.25 + 0.25 / 1.0, rel=0.02)
    np.testing.assert_allclose(start.slope, [[4 / 4.25, 0.5 / 4.25]], atol=0.01)
