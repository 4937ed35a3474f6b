"""What score networks are trained to minimise: cross-entropy, alone or against an adversary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from calibrate.nn.nuisance_series import NuisanceSeries
from calibrate.nn.objectives import Objective
from calibrate.nn.reversal import reversed_gradient


class CrossEntropy(Objective):
    """Mean of w·[-log s] over signal and w·[-log(1 - s)] over background, s = 1/(1 + e^-logit).

    Columns: standardised features x (n, d), nuisances t (n, k) as they truly are, label and weight
    (n,).
    """

    def __init__(self, network: NuisanceSeries) -> None:
        super().__init__()
        self.network = network

    def forward(self, columns: Sequence[Tensor], noise: Sequence[Tensor]) -> Tensor:
        """The cross-entropy."""
        x, t, label, w = columns
        return cross_entropy(self.network(x, t), label, w)

    def extra_repr(self) -> str:
        """What must be the same for networks that are trained together."""
        return f"order={self.network.order}"


class AgainstAdversary(CrossEntropy):
    """Cross-entropy, and the squared error with which a `regressor` guesses t and t² of every
    nuisance from score and label, in units of their variance; what goes back from it to the
    network is multiplied by -`strength`. `t` (n, k) are the nuisances that are to be guessed."""

    def __init__(
        self, network: NuisanceSeries, regressor: nn.Module, strength: float, t: Tensor
    ) -> None:
        super().__init__(network)
        self.regressor, self.strength = regressor, strength
        moments = _moments(t)
        self.register_buffer("mean", moments.mean(0))
        self.register_buffer("spread", moments.std(0))

    def forward(self, columns: Sequence[Tensor], noise: Sequence[Tensor]) -> Tensor:
        """The cross-entropy, and the adversary's error."""
        x, t, label, w = columns
        logit = self.network(x, t)
        score = reversed_gradient(torch.sigmoid(logit), self.strength)
        guess: Tensor = self.regressor(torch.stack([score, label], dim=-1))
        mean, spread = (cast(Tensor, each).unsqueeze(-2) for each in (self.mean, self.spread))
        squares = ((guess - (_moments(t) - mean) / spread) ** 2).mean(-1)
        return cross_entropy(logit, label, w) + (w * squares).mean(-1)

    def judged(self, columns: Sequence[Tensor], noise: Sequence[Tensor]) -> Tensor:
        """The cross-entropy alone: the adversary's error has its minimum where the score is bad."""
        return super().forward(columns, noise)

    def extra_repr(self) -> str:
        """What must be the same for networks that are trained together."""
        return f"{super().extra_repr()}, strength={self.strength}"


def cross_entropy(logit: Tensor, label: Tensor, w: Tensor) -> Tensor:
    """The mean over events (…, n)."""
    losses = binary_cross_entropy_with_logits(logit, label, reduction="none")
    return (w * losses).mean(-1)


def _moments(t: Tensor) -> Tensor:
    """t and t² (…, 2k)."""
    return torch.cat([t, t**2], dim=-1)
