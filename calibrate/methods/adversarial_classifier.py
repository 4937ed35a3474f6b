"""Adversarial training: a score from which the nuisances cannot be guessed (arXiv:1611.01046).

A regressor guesses t and t² of every nuisance (in units of its range) from the score and the class;
the classifier is trained against it through gradient reversal (arXiv:1505.07818). The second moment
is there since a score that is worse on both sides of the nominal value shows no mean of t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from calibrate.checks import layer_sizes, positive_number
from calibrate.context import Context
from calibrate.device import resolve
from calibrate.methods.augmented_classifier import AugmentedClassifier
from calibrate.methods.score_fit import Batch, Extra
from calibrate.methods.score_network import ScoreNetwork
from calibrate.methods.training_events import Scale, training_events
from calibrate.nn.networks import mlp
from calibrate.nn.reversal import reversed_gradient
from calibrate.seeding import torch_seeded
from calibrate.task import InferenceTask


@dataclass(frozen=True)
class AdversarialClassifier(AugmentedClassifier):
    """The augmented classifier against a regressor of the nuisances with layers
    `hidden_adversary`; `strength` is what the regressor's squared error, in units of the variance
    of what it guesses, counts against the cross-entropy."""

    strength: float = 1.0
    hidden_adversary: Sequence[int] = (16, 16)

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_number("method.strength", self.strength)
        layer_sizes("method.hidden_adversary", self.hidden_adversary)

    def fit(self, task: InferenceTask, context: Context) -> ScoreNetwork:
        """Fit the shifted training events; DataError for negative weights."""
        names = [each.name for each in task.nuisances]
        events = training_events(task, names, self.copies, context.stream("nuisances"))
        return self.trained(
            events, Scale.of(task.nuisances), context,
            lambda attempt: self._adversary(len(names), attempt),
        )  # fmt: skip

    def _adversary(self, nuisances: int, context: Context) -> Extra:
        layers = layer_sizes("method.hidden_adversary", self.hidden_adversary)
        with torch_seeded(context, "adversary"):
            regressor = mlp(2, 2 * nuisances, layers, self.activation)
        regressor.to(resolve(context.device))

        def term(logit: Tensor, batch: Batch) -> Tensor:
            score = reversed_gradient(torch.sigmoid(logit), self.strength)
            guess: Tensor = regressor(torch.stack([score, batch.label], dim=1))
            squares = ((guess - _moments(batch.t)) ** 2).mean(-1)
            return (batch.w * squares).mean()

        return Extra(term, list(regressor.parameters()))


def _moments(t: Tensor) -> Tensor:
    """t and t² (n, 2k), standardised within the batch."""
    both = torch.cat([t, t**2], dim=1)
    return (both - both.mean(0)) / both.std(0)
