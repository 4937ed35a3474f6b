"""A logit that is a polynomial in the nuisances, its coefficients being outputs of one network.

With t the nuisances' distances from their nominal values in units of their range,
logit(x, t) = f(x) + Σ_j b_j(t) g_j(x), b_j = t_k, t_k², … up to an order, and the products t_k t_l.
f and all g are linear maps of x plus linear maps of the same last hidden layer, and start at zero.
At the nominal values the logit is f, whatever g is. The log-likelihood ratio of signal and
background is a smooth function of t wherever detectors respond smoothly, and so every event tells
about the whole range.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from calibrate.nn.networks import SkipMLP


class NuisanceSeries(nn.Module):
    """A network with `hidden` layers; without nuisances, or with order 0, it gives f alone."""

    def __init__(
        self, features: int, nuisances: int, order: int, hidden: Sequence[int], activation: str
    ) -> None:
        super().__init__()
        self.order = order
        terms = series_terms(nuisances, order)
        self.coefficients = SkipMLP(features, 1 + terms, hidden, activation)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """logit (n,) of standardised features x (n, d) at t (n, k) or (1, k)."""
        found: Tensor = self.coefficients(x)
        if found.shape[1] == 1:
            return found[:, 0]
        shift: Tensor = (found[:, 1:] * series(t, self.order)).sum(-1)
        return found[:, 0] + shift


def series_terms(nuisances: int, order: int) -> int:
    """How many terms b_j there are."""
    products = nuisances * (nuisances - 1) // 2 if order > 1 else 0
    return nuisances * order + products


def series(t: Tensor, order: int) -> Tensor:
    """b(t) (n, terms): powers 1 to `order` of each t (n, k); from order 2 also their products."""
    powers = [t**power for power in range(1, order + 1)]
    pairs = itertools.combinations(range(t.shape[1]), 2) if order > 1 else ()
    products = [t[:, i : i + 1] * t[:, j : j + 1] for i, j in pairs]
    return torch.cat([*powers, *products], dim=1)
