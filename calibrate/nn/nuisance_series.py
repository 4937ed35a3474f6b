"""A logit that is a polynomial in the nuisances, with networks of the features as coefficients.

With t the nuisances' distances from their nominal values in units of their range,
logit(x, t) = f(x) + Σ_j b_j(t) g_j(x), b_j = t_k, t_k², … up to an order, and the products t_k t_l.
At the nominal values it is f, whatever g is. A network that takes t as one more input has to find a
small dependence beside the large one on x, and overtrains before it does; here the dependence has
outputs of its own, which start at zero, and so few shapes in t that every event tells about all of
the range. The log-likelihood ratio of signal and background is a smooth function of t wherever
detectors respond smoothly.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from calibrate.nn.networks import SkipMLP


class NuisanceSeries(nn.Module):
    """f: `hidden` layers; g: `hidden_shift` layers. Without nuisances, or with order 0, f alone."""

    def __init__(
        self,
        features: int,
        nuisances: int,
        order: int,
        hidden: Sequence[int],
        hidden_shift: Sequence[int],
        activation: str,
    ) -> None:
        super().__init__()
        self.order = order
        self.nominal = SkipMLP(features, 1, hidden, activation)
        terms = series_terms(nuisances, order)
        self.shift = SkipMLP(features, terms, hidden_shift, activation) if terms else None

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """logit (n,) of standardised features x (n, d) at t (n, k) or (1, k)."""
        logit: Tensor = self.nominal(x)[:, 0]
        if self.shift is None:
            return logit
        shift: Tensor = (self.shift(x) * series(t, self.order)).sum(-1)
        return logit + shift


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
