"""Outputs of a network as a mixture of Gaussians (arXiv:2003.11099, Eq. 16, 17).

Of 3k outputs the first k are the logarithms of the weights (softmax), the next k the means, the
last k the widths (softplus). One Gaussian is k = 1, its weight output without effect.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softplus

NARROWEST = 1e-4
"""Smallest width, in standard deviations of the target: the density stays finite."""
LEAST_LOG_WEIGHT = -20.0
"""A component that is not used keeps a mean and a width."""


class MixtureOutputs(NamedTuple):
    """log α, μ and σ (…, k)."""

    log_weights: Tensor
    means: Tensor
    widths: Tensor

    @classmethod
    def of(cls, outputs: Tensor) -> MixtureOutputs:
        """From outputs (…, 3k)."""
        logits, means, widths = outputs.chunk(3, dim=-1)
        return cls(
            log_softmax(logits, -1).clamp(min=LEAST_LOG_WEIGHT), means, softplus(widths) + NARROWEST
        )

    def log_density(self, t: Tensor) -> Tensor:
        """log Σ_i α_i N(t; μ_i, σ_i²) (…,) at t (…,)."""
        standard = (t.unsqueeze(-1) - self.means) / self.widths
        gaussians = -0.5 * (standard**2 + math.log(2 * math.pi)) - self.widths.log()
        return torch.logsumexp(self.log_weights + gaussians, -1)
