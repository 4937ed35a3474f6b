"""The fit of one network of a score: weighted cross-entropy, minibatches, early stopping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from calibrate.context import Context
from calibrate.coordinates import Coordinates
from calibrate.device import resolve, threads_for
from calibrate.estimate import Domain
from calibrate.methods.score_network import ScoreNetwork, Shape
from calibrate.methods.training_events import Scale
from calibrate.nn.nuisance_series import NuisanceSeries
from calibrate.plateau import Validation
from calibrate.records import FitSummary, TrainingCurve
from calibrate.sample import Sample
from calibrate.seeding import torch_seeded
from calibrate.train import Minimisation, minimise_minibatch


@dataclass(frozen=True)
class Learning:
    """Settings of Adam, and the epochs without a new minimum of the events held out after which
    its learning rate is reduced."""

    epochs: int
    batch: int
    learning_rate: float
    patience: int


class Batch(NamedTuple):
    """Standardised features (n, d), nuisances t (n, k) as they truly are, label and weight (n,)."""

    x: Tensor
    t: Tensor
    label: Tensor
    w: Tensor

    def take(self, rows: Tensor) -> Batch:
        """The selected events."""
        return Batch(*(each[rows] for each in self))


@dataclass(frozen=True)
class Extra:
    """What is minimised beside the cross-entropy: a term of the logit (n,) and the events, and the
    parameters that it brings."""

    term: Callable[[Tensor, Batch], Tensor]
    parameters: Sequence[Tensor] = ()


def cross_entropy(logit: Tensor, batch: Batch) -> Tensor:
    """Mean of w·[-log s] over signal and w·[-log(1 - s)] over background, s = 1/(1 + e^-logit)."""
    return binary_cross_entropy_with_logits(logit, batch.label, batch.w)


@dataclass(frozen=True)
class Fit:
    """What all networks of one score are fitted to: events trained with and held out, weights of
    mean 1; `true` holds the nuisances that vary among them, and a network takes them if its `shape`
    has an order.
    """

    train: Sample
    held_out: Sample
    true: Scale
    shape: Shape
    learning: Learning

    @cached_property
    def coordinates(self) -> Coordinates:
        """The features in units of their spread."""
        train = self.train
        return Coordinates.of(train.x, train.w, train.x_columns, logarithms=False)

    @property
    def inputs(self) -> Scale:
        """The nuisances that the networks take."""
        return self.true if self.shape.order else Scale.of(())

    def network(
        self, context: Context, extra: Extra | None = None
    ) -> tuple[NuisanceSeries, Minimisation]:
        """Minimise the cross-entropy; DivergedError if it is not finite."""
        with torch_seeded(context, "initialisation"):
            module = self.shape.module(self.train.x.shape[1], len(self.inputs.names))
        device = resolve(context.device)
        module.to(device)
        batches = [_batch(each, self, device) for each in (self.train, self.held_out)]
        done = _minimise(module, batches, self.learning, extra, context)
        return module.cpu(), done

    def score(
        self, networks: Sequence[tuple[NuisanceSeries, Minimisation]], summary: FitSummary
    ) -> ScoreNetwork:
        """The fitted networks together, with how the fits went."""
        first = networks[0][1]
        done = replace(
            summary,
            seconds=sum(each.seconds for _, each in networks),
            steps=sum(len(each.loss) for _, each in networks),
            loss=float(np.mean([each.validation[-1] for _, each in networks])),
            curve=TrainingCurve("", first.loss, "weighted cross-entropy"),
            notes=(f"{len(self.train)} events trained with, {len(self.held_out)} held out",),
        )
        modules = tuple(module for module, _ in networks)
        domain = Domain.of(self.train)
        return ScoreNetwork(domain, self.coordinates, self.inputs, self.shape, modules, done)


def _minimise(
    module: NuisanceSeries,
    batches: Sequence[Batch],
    learning: Learning,
    extra: Extra | None,
    context: Context,
) -> Minimisation:
    train, held_out = batches

    def loss(rows: Tensor) -> Tensor:
        batch = train.take(rows.to(train.x.device))
        logit = module(batch.x, batch.t)
        entropy = cross_entropy(logit, batch)
        return entropy if extra is None else entropy + extra.term(logit, batch)

    def held_out_loss() -> float:
        return float(cross_entropy(module(held_out.x, held_out.t), held_out))

    parameters = [*module.parameters(), *(extra.parameters if extra else ())]
    with threads_for(learning.batch * sum(p.shape[0] for p in parameters)):
        return minimise_minibatch(
            loss, parameters, len(train.w), learning.batch, learning.epochs,
            learning.learning_rate, context, Validation(held_out_loss, learning.patience),
        )  # fmt: skip


def _batch(sample: Sample, fit: Fit, device: torch.device) -> Batch:
    t = fit.true.forward(sample.spectators)
    arrays = (
        fit.coordinates.forward(sample.x),
        np.broadcast_to(t, (len(sample), t.shape[1])),
        sample.z[:, 0],
        sample.w / np.mean(sample.w),
    )
    return Batch(*(torch.tensor(a, dtype=torch.float32, device=device) for a in arrays))
