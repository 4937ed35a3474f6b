"""A regression by networks with Gaussian weight posteriors: its fit, and what it predicts.

With ⟨·⟩_ω a moment of p(z|x, ω) and E, var over the weights ω (arXiv:2003.11099, Eq. 4-7):
ẑ = E⟨z⟩_ω, σ_stoch² = E[⟨z²⟩_ω - ⟨z⟩_ω²], σ_pred² = var⟨z⟩_ω, σ_tot² = σ_stoch² + σ_pred².
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from calibrate.context import Context
from calibrate.coordinates import Coordinates
from calibrate.device import threads_for
from calibrate.estimate import Domain, Estimate, State
from calibrate.learner import Learner, Lesson
from calibrate.member import Member, Schedule, single
from calibrate.mixture import GaussianMixture
from calibrate.nn.bayesian import STARTING_PRIOR, BayesianSkipMLP, DrawnNetworks
from calibrate.nn.mixture import NARROWEST, MixtureOutputs
from calibrate.nn.networks import load_weights, weights_of
from calibrate.nn.objectives import EvidenceBound
from calibrate.records import FitSummary, TrainingCurve
from calibrate.sample import FloatArray, Sample
from calibrate.seeding import generator, stream_seed, torch_seeded
from calibrate.train import Minimisation

BLOCK = 256
"""Events predicted at a time, few enough for 50 networks to stay in the cache."""
PATIENT_EPOCHS = 3
"""Epochs without a new minimum that are waited for at least."""


@dataclass(frozen=True)
class Architecture:
    """Hidden layers, their activation, and the number of Gaussians."""

    hidden: tuple[int, ...]
    activation: str
    components: int

    def module(self, d_x: int, width: float, scaled: bool = False) -> BayesianSkipMLP:
        """A network of d_x features whose weights' posteriors start with this width; `scaled`:
        with prior widths that are learned."""
        outputs = 3 * self.components
        return BayesianSkipMLP(d_x, outputs, self.hidden, self.activation, width, scaled)


@dataclass(frozen=True)
class Learning:
    """Prior width (None: learned), settings of Adam and of early stopping; `steps` and `patience`
    count minibatches."""

    prior_width: float | None
    steps: int
    batch: int
    learning_rate: float
    patience: int

    def schedule(self, events: int) -> Schedule:
        """The same, counted in passes over a number of events."""
        minibatches = math.ceil(events / self.batch)
        epochs, patience = (math.ceil(n / minibatches) for n in (self.steps, self.patience))
        return Schedule(self.batch, epochs, self.learning_rate, max(PATIENT_EPOCHS, patience))


@dataclass(frozen=True)
class BayesianNetwork:
    """Networks between standardised features and target. `samples` networks are drawn once from
    the weight posteriors by `seed`, and evaluated in single precision.
    """

    domain: Domain
    x_coordinates: Coordinates
    z_coordinates: Coordinates
    architecture: Architecture
    samples: int
    seed: int
    module: BayesianSkipMLP
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "bayesian"
    closed_form: ClassVar[str] = "posterior_mean"

    @torch.no_grad()
    def estimate(self, x: FloatArray) -> Estimate:
        """ẑ, σ_stoch, σ_pred (`statistical`), σ_tot² (`covariance`), and the mixture of Gaussians
        of the averaged parameters, which has mean ẑ and variance σ_tot², for x (n, d_x)."""
        x = self.domain.checked(x)
        t = torch.from_numpy(self.x_coordinates.forward(x).astype(np.float32))
        with threads_for(BLOCK * self.samples * sum(self.architecture.hidden)):
            blocks = [_predicted(self._networks(block)) for block in torch.split(t, BLOCK)]
        found = np.concatenate([np.empty((0, 2 + 3 * self.architecture.components)), *blocks])
        scale, shift = self.z_coordinates.scale[0], self.z_coordinates.shift[0]
        stochastic, predictive = (np.sqrt(column)[:, None] * scale for column in found.T[:2])
        weights, means, variances = np.split(found[:, 2:], 3, axis=1)
        mixture = GaussianMixture(weights, means * scale + shift, np.sqrt(variances) * scale)
        return Estimate(
            mixture.mean[:, None], (stochastic**2 + predictive**2)[:, :, None],
            self.domain.inside(x), predictive, stochastic, mixture,
        )  # fmt: skip

    @torch.no_grad()
    def estimates(self, x: FloatArray) -> Iterator[FloatArray]:
        """ẑ (n, 1) of one drawn network after the other, for x (n, d_x)."""
        t = torch.from_numpy(self.x_coordinates.forward(self.domain.checked(x)).astype(np.float32))
        scale, shift = self.z_coordinates.scale[0], self.z_coordinates.shift[0]
        for network in self._networks.each():
            log_weights, means, _ = MixtureOutputs.of(network(t))
            mean = (log_weights.exp() * means).sum(-1)[0].double().numpy()
            yield mean[:, None] * scale + shift

    @cached_property
    def _networks(self) -> DrawnNetworks:
        return self.module.drawn(self.samples, generator(self.seed))

    def state(self) -> State:
        """Everything but the summary of the fit."""
        return {
            "domain": self.domain.state(),
            "x_coordinates": self.x_coordinates.state(),
            "z_coordinates": self.z_coordinates.state(),
            "hidden": list(self.architecture.hidden),
            "activation": self.architecture.activation,
            "components": self.architecture.components,
            "samples": self.samples,
            "seed": str(self.seed),
            "posteriors": weights_of(self.module),
        }

    @classmethod
    def from_state(cls, state: State) -> BayesianNetwork:
        """Rebuild from `state`."""
        domain = Domain.from_state(state["domain"])
        shape = Architecture(tuple(state["hidden"]), state["activation"], int(state["components"]))
        module = shape.module(len(domain.x_columns), width=1.0)
        load_weights(module, state["posteriors"])
        x, z = (Coordinates.from_state(state[f"{v}_coordinates"]) for v in "xz")
        return cls(domain, x, z, shape, int(state["samples"]), int(state["seed"]), module)


def _predicted(outputs: Tensor) -> FloatArray:
    """σ_stoch², σ_pred² and α, μ, σ² of the averaged mixture (n, 2 + 3k) from outputs (S, n, 3k).

    Component by component the average keeps weight, mean and variance over all networks.
    """
    log_weights, means, widths = MixtureOutputs.of(outputs)
    weights = log_weights.exp()
    mean = (weights * means).sum(-1)
    spread = widths**2 + (means - mean.unsqueeze(-1)) ** 2
    stochastic = (weights * spread).sum(-1).mean(0)
    predictive = ((mean - mean.mean(0)) ** 2).mean(0)
    weight = weights.mean(0)
    centre = (weights * means).mean(0) / weight
    variance = (weights * (widths**2 + (means - centre) ** 2)).mean(0) / weight
    columns = [stochastic[:, None], predictive[:, None], weight, centre, variance]
    return torch.cat(columns, 1).double().numpy()


def bayesian_learner(
    train: Sample, validation: Sample, architecture: Architecture, learning: Learning,
    samples: int, restarts: int, context: Context,
) -> Learner[tuple[BayesianNetwork, Minimisation]]:  # fmt: skip
    """What minimises KL/N + Σw(-log p(z|x, ω))/Σw, N being the effective number of training events.

    The weights' posteriors start at the width 1/√N of a weight that the events determine: those
    that they do not determine grow fast, since nothing but the KL acts on them, while too wide
    ones shrink slowly in the noise that they make themselves.
    """
    x = Coordinates.of(train.x, train.w, train.x_columns, logarithms=False)
    z = Coordinates.of(train.z, train.w, train.z_columns, logarithms=False)

    def begin(attempt: Context) -> Member:
        with torch_seeded(attempt, "initialisation"):
            width, learned = 1 / math.sqrt(train.effective_size), learning.prior_width is None
            module = architecture.module(train.x.shape[1], width, learned)
        trained, held_out = (
            (x.forward(each.x), z.forward(each.z)[:, 0], each.w / np.mean(each.w))
            for each in (train, validation)
        )
        _start_linear(module, *trained)
        prior_width = learning.prior_width or STARTING_PRIOR
        objective = EvidenceBound(module, prior_width, train.effective_size)
        schedule = learning.schedule(len(train))
        return Member(objective, single(trained), schedule, attempt, single(held_out))

    def finish(lesson: Lesson) -> tuple[BayesianNetwork, Minimisation]:
        module, done = cast(EvidenceBound, lesson.member.objective).network, lesson.done
        module.absorb_scales()
        curve = TrainingCurve("", done.loss, "KL/N − mean log-density")
        steps, loss = len(done.loss), float(done.validation[-1])
        summary = FitSummary(done.seconds, steps, loss, lesson.restarts, curve=curve)
        seed = stream_seed(lesson.member.context, "weights")
        fitted = BayesianNetwork(
            Domain.of(train), x, z, architecture, samples, seed, module, summary
        )
        return fitted, done

    return Learner(begin, finish, restarts, context)


def _start_linear(module: BayesianSkipMLP, x: FloatArray, t: FloatArray, w: FloatArray) -> None:
    """The means of all Gaussians at the least-squares line, moved apart by parts of the
    residuals' standard deviation, which is the width of each."""
    root = np.sqrt(w)
    slope = np.linalg.lstsq(x * root[:, None], t * root, rcond=None)[0]
    width = max(float(np.sqrt(np.mean(w * (t - x @ slope) ** 2))), NARROWEST)
    k = len(module.linear.bias) // 3
    weight = np.zeros((3 * k, x.shape[1]))
    weight[k : 2 * k] = slope
    apart = 0.5 * width * (np.arange(k) - 0.5 * (k - 1))
    widths = np.full(k, np.log(np.expm1(width)))
    bias = np.concatenate([np.zeros(k), apart, widths])
    with torch.no_grad():
        module.linear.weight.copy_(torch.as_tensor(weight))
        module.linear.bias.copy_(torch.as_tensor(bias))
