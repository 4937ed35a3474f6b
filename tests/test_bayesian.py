"""Bayesian regression against closed forms: the Gaussian example, and linear regression with
known posteriors of slope and offset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

import calibrate.methods.bayesian_network as bayesian_network
from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.errors import ConfigurationError, DataError
from calibrate.methods.bayesian import Bayesian
from calibrate.methods.components import supported
from calibrate.mixture import GaussianMixture
from calibrate.nn.bayesian import LINEAR_PRIOR, BayesianSkipMLP, GaussianLinear
from calibrate.nn.mixture import MixtureOutputs
from calibrate.sample import concatenate
from calibrate.seeding import generator
from calibrate.task import RegressionTask

LINEAR = Bayesian(hidden=(), samples=400, batch=200, learning_rate=1e-2)
SIGMA, SLOPE = np.sqrt(0.8), 0.2


@pytest.fixture(scope="module")
def task() -> RegressionTask:
    return Gaussian(n=3000).regression(Context())


@pytest.fixture(scope="module")
def linear(task):
    return LINEAR.fit(task, Context())


def test_the_estimate_is_the_posterior_mean_and_sigma_stoch_its_width(linear, task):
    test = task.tests["nominal"]
    found, exact = linear.estimate(test.x), task.closed_forms["posterior_mean"]
    error = SIGMA / np.sqrt(len(task.train))
    x = test.x[:, 0]
    assert np.polyfit(x, found.z[:, 0], 1)[0] == pytest.approx(SLOPE, abs=3 * error / np.sqrt(5))
    np.testing.assert_allclose(found.z[:, 0], exact.estimate(x), atol=20 * error)
    assert np.sqrt(np.mean(found.stochastic**2)) == pytest.approx(SIGMA, rel=0.04)
    assert np.mean(np.abs(found.z - test.z) < found.sigma) == pytest.approx(0.683, abs=0.02)
    assert linear.summary.warnings == ()
    assert linear.closed_form == "posterior_mean"


def test_sigma_pred_is_the_error_of_a_least_squares_line(linear, task):
    """σ²(1 + t²)/N with t the standardised feature: slope and offset are uncorrelated there."""
    n, x = 0.9 * len(task.train), task.tests["nominal"].x[:2000]
    t = (x - task.train.x.mean()) / task.train.x.std()
    expected = SIGMA * np.sqrt((1 + t**2) / n)
    found = linear.estimate(x).statistical
    assert np.sqrt(np.mean(found**2) / np.mean(expected**2)) == pytest.approx(1.0, abs=0.2)
    np.testing.assert_allclose(found, expected, rtol=0.35)


def test_the_networks_one_by_one_have_the_estimate_as_mean_and_sigma_pred_as_spread(linear):
    x = np.linspace(-4, 4, 9)[:, None]
    found, networks = linear.estimate(x), np.stack([*linear.estimates(x)])
    assert networks.shape == (linear.samples, 9, 1)
    np.testing.assert_allclose(networks.mean(axis=0), found.z, atol=1e-5)
    np.testing.assert_allclose(networks.std(axis=0), found.statistical, rtol=1e-3)


def test_a_perceptron_that_the_data_do_not_need_adds_little_to_sigma_pred(task):
    """With learned prior widths; with 0.1 for all it is twice that of the line."""
    method = replace(LINEAR, hidden=(40, 40), batch=250, samples=100)
    t = (task.tests["nominal"].x[:2000] - task.train.x.mean()) / task.train.x.std()
    line = SIGMA * np.sqrt(np.mean(1 + t**2) / (0.9 * len(task.train)))
    found = method.fit(task, Context()).estimate(task.tests["nominal"].x[:2000]).statistical
    assert 1 / 1.5 < np.sqrt(np.mean(found**2)) / line < 1.5


def test_one_that_they_need_stays(task):
    """z = |x| + noise, of which no line tells anything."""
    noise = np.random.default_rng(0).normal(scale=0.5, size=task.train.z.shape)
    kinked = replace(task.train, z=np.abs(task.train.x) + noise)
    method = replace(LINEAR, hidden=(20,), patience=50, learning_rate=2e-2, samples=100)
    x = np.linspace(-3, 3, 41)[:, None]
    found = method.fit(replace(task, train=kinked), Context()).estimate(x)
    assert np.sqrt(np.mean((found.z - np.abs(x)) ** 2)) < 0.06
    assert np.sqrt(np.mean(found.stochastic**2)) == pytest.approx(0.5, rel=0.05)


def test_sigma_pred_falls_with_the_training_sample_and_sigma_stoch_stays():
    rms = {}
    for n in (500, 8000):
        small = Gaussian(n=n).regression(Context())
        found = LINEAR.fit(small, Context()).estimate(small.tests["nominal"].x[:2000])
        rms[n] = [np.sqrt(np.mean(v**2)) for v in (found.statistical, found.stochastic)]
    assert rms[500][0] / rms[8000][0] == pytest.approx(4.0, rel=0.25)
    assert rms[500][1] == pytest.approx(rms[8000][1], rel=0.1)


def test_the_split_adds_up_to_the_total_and_the_mixture_has_its_moments(task):
    fitted = replace(LINEAR, components=3, steps=100, hidden=(8,)).fit(task, Context())
    found = fitted.estimate(task.tests["nominal"].x[:500])
    total = found.stochastic**2 + found.statistical**2
    np.testing.assert_allclose(found.covariance[:, :, 0], total)
    np.testing.assert_allclose(found.mixture.mean, found.z[:, 0])
    np.testing.assert_allclose(found.mixture.variance, total[:, 0], rtol=1e-4)
    np.testing.assert_allclose(found.mixture.weights.sum(axis=1), 1.0, rtol=1e-6)


def test_the_estimate_does_not_depend_on_how_events_are_cut_into_blocks(
    linear, task, monkeypatch: pytest.MonkeyPatch
):
    x = task.tests["nominal"].x[:700]
    whole = linear.estimate(x)
    monkeypatch.setattr(bayesian_network, "BLOCK", 33)
    np.testing.assert_allclose(linear.estimate(x).z, whole.z, rtol=1e-5, atol=1e-6)
    parts = [linear.estimate(x[rows]) for rows in (slice(0, 1), slice(1, 700))]
    joined = np.concatenate([part.statistical for part in parts])
    np.testing.assert_allclose(joined, whole.statistical, rtol=1e-3)
    assert len(linear.estimate(x[:0]).z) == 0


def test_weights_move_the_spectrum_that_is_learned(task):
    """Weights that turn N(0, 1) into N(1/2, 1): the posterior mean becomes 0.4 + 0.2 x."""
    train = task.train
    moved = train.with_weights(1e-9 * np.exp(0.5 * train.z[:, 0] - 0.125))
    found = LINEAR.fit(replace(task, train=moved), Context()).estimate(np.array([[-2.0], [3.0]]))
    np.testing.assert_allclose(found.z[:, 0], [0.0, 1.0], atol=0.1)


def test_events_of_weight_zero_are_as_if_they_were_not_there(task):
    train, rng = task.train, np.random.default_rng(0)
    ghosts = train.take(rng.random(len(train)) < 0.3)
    both = concatenate([train, replace(ghosts, z=ghosts.z + 100.0)])
    both = both.with_weights(np.arange(len(both)) < len(train))
    method = replace(LINEAR, steps=40)
    x = task.tests["nominal"].x[:50]
    one = method.fit(task, Context()).estimate(x)
    other = method.fit(replace(task, train=both), Context()).estimate(x)
    np.testing.assert_array_equal(one.z, other.z)


# The layers


def scaled_network() -> BayesianSkipMLP:
    """With scales that differ from node to node."""
    torch.manual_seed(0)
    network = BayesianSkipMLP(3, 2, (5,), "relu", 0.02, scaled=True)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, -0.5)
    return network


def test_learned_scales_multiply_the_prior_widths_of_a_nodes_weights_and_of_the_biases():
    network = scaled_network()
    scales = [(layer.log_scale.exp(), layer.log_bias_scale.exp()) for layer in network.layers]
    found = network.divergence(0.1)
    network.absorb_scales()
    expected = network.linear.divergence(LINEAR_PRIOR)
    for layer, (scale, bias_scale) in zip(network.layers, scales, strict=True):
        weights, biases = (
            kl_divergence(Normal(mean, log_width.exp()), Normal(0.0, 0.1 * c.expand_as(mean))).sum()
            for mean, log_width, c in (
                (layer.weight, layer.log_width, scale),
                (layer.bias, layer.log_bias_width, bias_scale),
            )
        )
        expected = expected + weights + biases
    torch.testing.assert_close(found, expected)


def test_scales_that_are_absorbed_leave_an_ordinary_network_with_the_same_posterior():
    network, x = scaled_network(), torch.randn(7, 3)
    noise, drawn = network.noise(7, generator(1)), network.drawn(5, generator(2))
    before = network(x, noise)
    network.absorb_scales()
    torch.testing.assert_close(network(x, noise), before)
    torch.testing.assert_close(network.drawn(5, generator(2))(x), drawn(x))
    plain = BayesianSkipMLP(3, 2, (5,), "relu", 0.02)
    assert network.state_dict().keys() == plain.state_dict().keys()


def test_the_divergence_is_that_of_torchs_gaussians():
    torch.manual_seed(0)
    network = BayesianSkipMLP(3, 2, (5,), "relu", 0.02)
    expected = torch.zeros(())
    for layer, prior in zip((network.linear, *network.deep), (LINEAR_PRIOR, 0.1, 0.1), strict=True):
        for mean, width in ((layer.weight, layer.log_width), (layer.bias, layer.log_bias_width)):
            expected = expected + kl_divergence(Normal(mean, width.exp()), Normal(0, prior)).sum()
    torch.testing.assert_close(network.divergence(0.1), expected)


def test_drawn_activations_are_distributed_as_those_of_drawn_weights():
    """Local reparametrisation: the same means and variances at given inputs."""
    torch.manual_seed(0)
    layer, x, n = GaussianLinear(4, 3, 0.3), torch.tensor([[1.0, -2.0, 0.5, 3.0]]), 40000
    with torch.no_grad():
        activations = layer(x.expand(n, 4), torch.randn((n, 3), generator=generator(1)))
        weight, bias = layer.drawn(n, generator(2))
        by_weights = (x @ weight + bias)[:, 0]
        exact = (0.3**2 * (1 + (x**2).sum())).sqrt()
        mean = (x @ layer.weight.T + layer.bias)[0]
    for drawn in (activations, by_weights):
        torch.testing.assert_close(drawn.mean(0), mean, atol=0.04, rtol=0)
        torch.testing.assert_close(drawn.std(0), exact.expand(3), rtol=0.02, atol=0)


def test_drawn_networks_are_evaluated_in_one_pass_as_one_by_one():
    torch.manual_seed(0)
    network = BayesianSkipMLP(2, 3, (6, 4), "tanh", 0.5)
    drawn, x = network.drawn(5, generator(1)), torch.randn(7, 2)
    for s, outputs in enumerate(drawn(x)):
        deep = x
        for i, (weight, bias) in enumerate(drawn.deep):
            deep = (deep if i == 0 else torch.tanh(deep)) @ weight[s] + bias[s]
        torch.testing.assert_close(outputs, x @ drawn.linear[0][s] + drawn.linear[1][s] + deep)


def test_a_component_without_weight_does_no_harm():
    outputs = torch.tensor([[0.0, -500.0, 1.0, 7.0, 0.5, 0.5]])
    found = MixtureOutputs.of(outputs.requires_grad_())
    log_density = found.log_density(torch.tensor([1.2]))
    log_density.sum().backward()
    width = found.widths[0, 0].item()
    expected = Normal(1.0, width).log_prob(torch.tensor([1.2]))
    torch.testing.assert_close(log_density.detach(), expected, atol=1e-5, rtol=1e-5)
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()
    assert found.log_weights.detach().exp().sum().item() == pytest.approx(1.0)


# What is reported, and refused


def two_gaussians(rng: np.random.Generator, n: int) -> tuple[GaussianMixture, np.ndarray]:
    """The mixture 0.7 N(0, 1) + 0.3 N(4, 2²), written as three Gaussians, and draws from it."""
    z = np.where(rng.random(n) < 0.7, rng.normal(0.0, 1.0, n), rng.normal(4.0, 2.0, n))
    parameters = (np.array(p) for p in ([0.35, 0.35, 0.3], [0.0, 0.0, 4.0], [1.0, 1.0, 2.0]))
    return GaussianMixture(*(np.broadcast_to(p, (n, 3)) for p in parameters)), z


def test_components_that_the_data_do_not_need_are_counted():
    mixture, z = two_gaussians(np.random.default_rng(0), 3000)
    assert supported(mixture, z, np.ones(3000)).components == 2
    assert supported(mixture.merged(0, 1), z, np.ones(3000)).components == 2


def test_more_components_than_the_data_support_are_reported(task):
    fitted = replace(LINEAR, components=2).fit(task, Context())
    (warning,) = fitted.summary.warnings
    assert "the data support 1 of 2 Gaussians" in warning
    assert "use method.components=1" in warning


def test_early_stopping_that_never_triggers_is_reported(task):
    (warning,) = replace(LINEAR, steps=30).fit(task, Context()).summary.warnings
    assert "early stopping never triggered in 30 steps" in warning


def test_a_training_sample_smaller_than_a_batch_is_reported(task):
    few = replace(task, train=task.train.take(slice(0, 200)))
    warnings = replace(LINEAR, batch=1000, steps=20).fit(few, Context()).summary.warnings
    assert "180 training events are fewer than one batch of 1000" in warnings[0]


def test_several_truths_and_negative_weights_are_refused(task, planar_task):
    with pytest.raises(ConfigurationError, match=r"one truth column, got \['z0', 'z1'\]"):
        LINEAR.fit(planar_task, Context())
    w = np.where(np.arange(len(task.train)) < 3, -1.0, 1.0)
    with pytest.raises(DataError, match="needs weights ≥ 0, 3 of 3000 are negative"):
        LINEAR.fit(replace(task, train=task.train.with_weights(w)), Context())


def test_a_validation_share_of_too_few_events_is_refused(task):
    with pytest.raises(ConfigurationError, match=r"validation=0.001 holds out 3 of 3000 events"):
        replace(LINEAR, validation=0.001).fit(task, Context())
