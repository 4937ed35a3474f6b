"""Gradient reversal (arXiv:1505.07818): what follows is trained, what precedes is trained against
it, by one minimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, strength: float) -> Tensor:  # noqa: ANN401 - torch's
        ctx.strength = strength
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's
        return -ctx.strength * gradients[0], None


def reversed_gradient(value: Tensor, strength: float) -> Tensor:
    """The value itself, whose gradient goes back multiplied by -strength."""
    found: Tensor = _Reversal.apply(value, strength)  # type: ignore[no-untyped-call]
    return found
