"""The fit of a score network: weighted cross-entropy on minibatches, with early stopping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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


def fit_score(
    parts: tuple[Sample, Sample],
    true: Scale,
    shape: Shape,
    learning: Learning,
    context: Context,
    extra: Extra | None = None,
) -> tuple[ScoreNetwork, Minimisation]:
    """Minimise the cross-entropy of the first part (weights of mean 1), stop by the second.

    `true` holds the nuisances that vary among the events; the network takes them if its `shape` has
    an order. DivergedError if the loss is not finite.
    """
    train, held_out = parts
    coordinates = Coordinates.of(train.x, train.w, train.x_columns, logarithms=False)
    inputs = true if shape.order else Scale.of(())
    with torch_seeded(context, "initialisation"):
        module = shape.module(train.x.shape[1], len(inputs.names))
    device = resolve(context.device)
    module.to(device)
    batches = [_batch(each, coordinates, true, device) for each in parts]
    done = _minimise(module, batches, learning, extra, context)
    curve = TrainingCurve("", done.loss, "weighted cross-entropy")
    final = float(done.validation[-1]) if done.validation.size else float(done.loss[-1])
    notes = (f"{len(train)} events trained with, {len(held_out)} held out",)
    summary = FitSummary(done.seconds, len(done.loss), final, curve=curve, notes=notes)
    domain = Domain.of(train)
    return ScoreNetwork(domain, coordinates, inputs, shape, module.cpu(), summary), done


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


def _batch(sample: Sample, coordinates: Coordinates, true: Scale, device: torch.device) -> Batch:
    t = true.forward(sample.spectators)
    arrays = (
        coordinates.forward(sample.x),
        np.broadcast_to(t, (len(sample), t.shape[1])),
        sample.z[:, 0],
        sample.w / np.mean(sample.w),
    )
    return Batch(*(torch.tensor(a, dtype=torch.float32, device=device) for a in arrays))


def with_summary(fitted: ScoreNetwork, restarts: int, warnings: Sequence[str]) -> ScoreNetwork:
    """The same fit, with what is said about it."""
    return replace(
        fitted, summary=replace(fitted.summary, restarts=restarts, warnings=tuple(warnings))
    )
