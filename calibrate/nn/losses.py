"""Losses over weighted events."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

ROUNDING = 0.05
"""Over how much of a standardised target the kink of the pinball loss is rounded."""
WINDOW = 1.5
"""Half the window of a mode, in spreads: the convention of the field."""


def weighted_squares(prediction: Tensor, target: Tensor, w: Tensor) -> Tensor:
    """Mean of w|f-z|² over prediction and target (…, n, d), for weights (…, n) of mean 1."""
    return (w * ((prediction - target) ** 2).sum(-1)).mean(-1)


def truncated_squares(prediction: Tensor, target: Tensor, w: Tensor) -> Tensor:
    """Half the mean of w·min((v - prediction)²/s², 1.5²) over prediction (n, 1) and target (n, 2),
    the values v and their spreads s, for weights (n,) of mean 1.

    Its stationary points are the centres of windows of ±1.5 s whose mean is their centre.
    """
    pull = (target[:, :1] - prediction) / target[:, 1:]
    return 0.5 * (w * (pull**2).clamp(max=WINDOW**2).sum(-1)).mean()


def donsker_varadhan(joint: Tensor, w: Tensor, product: Tensor, log_w: Tensor) -> Tensor:
    """The bound of the mutual information, L = Σwf - log Σ v e^f [nat].

    `joint` (n,) is f on the events with weights w (n,); `product` (m,) is f on pairs drawn
    from p(x)p(z) with weights v = exp(`log_w`) (m,), both of sum 1. Source: arXiv:2205.05084,
    Eq. 14, with the weights in both terms and a log-sum-exp for the second.
    """
    return (w * joint).sum() - torch.logsumexp(product + log_w, 0)


def smooth_pinball(prediction: Tensor, target: Tensor, w: Tensor, level: float) -> Tensor:
    """Mean of w·ρ(target - prediction) over (n, 1), for weights (n,) ≥ 0 of mean 1: its minimum
    is the quantile at `level`.

    ρ(r) = level·r + h·softplus(-r/h): the pinball loss with its kink rounded over h = 0.05 (in
    units of standardised targets), so that a second-order minimiser can follow it. The quantile
    moves by less than h² times the relative slope of the density there (arXiv:2012.05187).
    """
    residual = target - prediction
    rounded = level * residual + ROUNDING * softplus(-residual / ROUNDING)
    return (w * rounded.sum(-1)).mean()
