"""What networks are trained to minimise, on a minibatch.

Everything here is written in the last dimensions of its tensors, so that the parameters of K
networks may lie along a leading model axis: columns are then (K, n, …) and the objective is (K,),
one number for each network. The weights of the events, always the last column, have mean 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from calibrate.nn.bayesian import BayesianSkipMLP
from calibrate.nn.losses import weighted_squares
from calibrate.nn.mixture import MixtureOutputs
from calibrate.nn.networks import Dense


class Objective(nn.Module):
    """A loss with the network whose parameters it depends on."""

    def noise(self, rows: int, generator: torch.Generator) -> list[Tensor]:
        """Random numbers (rows, …) of one network for a minibatch."""
        return []

    def forward(self, columns: Sequence[Tensor], noise: Sequence[Tensor]) -> Tensor:
        """The loss; the mean over the minibatch."""
        raise NotImplementedError

    def judged(self, columns: Sequence[Tensor], noise: Sequence[Tensor]) -> Tensor:
        """What is looked at on events that are held out: the loss, where nothing else is said."""
        return self.forward(columns, noise)


class SquaredError(Objective):
    """Mean of w|f(x) - z|² over columns x, z, w, plus l2·Σω²/N over the network's weights ω.

    `dropout` is the share of the nodes of each inner layer that an event does without, the others
    standing for them. λ = 1/(2σN) of arXiv:2003.11099, Eq. 15, is l2 = 1/(2σ).
    """

    def __init__(
        self, network: nn.Sequential, events: float, l2: float = 0.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.network, self.l2, self.dropout = network, l2, dropout
        self.register_buffer("events", torch.tensor(events))

    def noise(self, rows: int, generator: torch.Generator) -> list[Tensor]:
        """Uniform numbers (rows, nodes) for every inner layer, where nodes drop out."""
        if not self.dropout:
            return []
        inner = [layer.out_features for layer in self.network if isinstance(layer, Dense)][:-1]
        device = generator.device
        return [torch.rand((rows, n), generator=generator, device=device) for n in inner]

    def forward(self, columns: Sequence[Tensor], noise: Sequence[Tensor]) -> Tensor:
        """The loss."""
        x, z, w = columns
        loss = weighted_squares(self._predicted(x, noise), z, w)
        return loss + self.l2 / cast(Tensor, self.events) * self._squares() if self.l2 else loss

    def _predicted(self, x: Tensor, noise: Sequence[Tensor]) -> Tensor:
        if not noise:
            return cast(Tensor, self.network(x))
        *inner, last = (self.network[i : i + 2] for i in range(0, len(self.network), 2))
        for layer, uniform in zip(inner, noise, strict=True):
            x = layer(x) * (uniform >= self.dropout) / (1 - self.dropout)
        return cast(Tensor, last(x))

    def _squares(self) -> Tensor:
        dense = [layer for layer in self.network if isinstance(layer, Dense)]
        return torch.stack([(layer.weight**2).sum((-2, -1)) for layer in dense]).sum(0)

    def extra_repr(self) -> str:
        """What must be the same for networks that are trained together."""
        return f"l2={self.l2}, dropout={self.dropout}"


class EvidenceBound(Objective):
    """KL/N - Σw log p(z|x, ω)/Σw over columns x (n, d), z (n,), w: the negative evidence bound per
    event, N being the effective number of training events (arXiv:2003.11099, Eq. 8-10)."""

    def __init__(self, network: BayesianSkipMLP, prior_width: float, events: float) -> None:
        super().__init__()
        self.network, self.prior_width = network, prior_width
        self.register_buffer("events", torch.tensor(events))

    def noise(self, rows: int, generator: torch.Generator) -> list[Tensor]:
        """Those of the network's layers."""
        return self.network.noise(rows, generator)

    def forward(self, columns: Sequence[Tensor], noise: Sequence[Tensor]) -> Tensor:
        """The bound [nat per event]."""
        x, z, w = columns
        log_density = MixtureOutputs.of(self.network(x, noise)).log_density(z)
        complexity = self.network.divergence(self.prior_width) / cast(Tensor, self.events)
        return complexity - (w * log_density).mean(-1)

    def extra_repr(self) -> str:
        """What must be the same for networks that are trained together."""
        return f"prior_width={self.prior_width}"
