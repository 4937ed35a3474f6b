"""Networks of one shape side by side: their parameters along a leading model axis, and Adam.

The parameters of K networks are the rows of one matrix (K, P). One module computes with all of
them, its parameters being views of the matrix; products of its layers are batched ones. The
optimiser works on the matrix, row by row independent: a network that has stopped, or whose loss
is not finite, is taken out, and the others do not notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from calibrate.sample import FloatArray, IntArray

Module = TypeVar("Module", bound=nn.Module)

FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8


class Stack(Generic[Module]):
    """K modules of one shape as one, `module`; `values` (K, P) are their parameters."""

    def __init__(self, modules: Sequence[Module], device: torch.device) -> None:
        self.members = list(modules)
        self.module = deepcopy(modules[0]).to(device)
        self.values = torch.stack([flat(module) for module in modules]).to(device)
        for name, buffer in self.module.named_buffers():
            buffers = [module.get_buffer(name) for module in modules]
            buffer.data = torch.stack(buffers).to(device)
        self._bind()

    def gradient(self, losses: Tensor) -> Tensor:
        """The gradients (K, P) of losses (K,), each that of its own network."""
        parts = torch.autograd.grad(losses.sum(), list(self.module.parameters()))
        return torch.cat([part.flatten(1) for part in parts], 1)

    @torch.no_grad()
    def write_back(self, position: int) -> None:
        """Put the parameters at a position into the module that they came from."""
        member, values = self.members[position], self.values[position].detach()
        start = 0
        for parameter in member.parameters():
            part = values[start : start + parameter.numel()]
            parameter.copy_(part.view_as(parameter))
            start += parameter.numel()

    def keep(self, positions: Tensor) -> None:
        """Go on with the modules at these positions."""
        self.members = [self.members[i] for i in positions.tolist()]
        self.values = self.values[positions]
        for buffer in self.module.buffers():
            buffer.data = buffer.data[positions]
        self._bind()

    def _bind(self) -> None:
        """Make the module's parameters views of the matrix."""
        start, number = 0, len(self.values)
        shapes = [parameter.shape for parameter in self.members[0].parameters()]
        for parameter, shape in zip(self.module.parameters(), shapes, strict=True):
            part = self.values[:, start : start + shape.numel()]
            parameter.data = part.view(number, *shape)
            start += shape.numel()


def flat(module: nn.Module) -> Tensor:
    """A module's parameters as one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


class Adam:
    """Adam (arXiv:1412.6980) on the rows of a matrix (K, P), with a learning rate for each."""

    def __init__(self, values: Tensor) -> None:
        self.first, self.second = torch.zeros_like(values), torch.zeros_like(values)

    def step(self, values: Tensor, gradient: Tensor, rates: Tensor, scales: Tensor) -> None:
        """Move values along the gradient, in place; `rates` and `scales` (K, 1) are the learning
        rates over the first, and the second of the `corrections` at the steps of the rows."""
        self.first.lerp_(gradient, 1 - FIRST_DECAY)
        self.second.mul_(SECOND_DECAY).addcmul_(gradient, gradient, value=1 - SECOND_DECAY)
        root = (self.second / scales).sqrt_().add_(EPSILON)
        move = torch.div(self.first, root, out=root)
        values.sub_(move.mul_(rates))

    def keep(self, positions: Tensor) -> None:
        """Go on with the rows at these positions."""
        self.first, self.second = self.first[positions], self.second[positions]

    def state(self, position: int) -> dict[str, Any]:
        """The moments of a row, to be kept."""
        rows = {"first": self.first[position], "second": self.second[position]}
        return {name: row.cpu().numpy() for name, row in rows.items()}

    def go_on(self, position: int, state: Mapping[str, Any]) -> None:
        """Take up the moments of a row that were kept."""
        self.first[position] = torch.from_numpy(state["first"])
        self.second[position] = torch.from_numpy(state["second"])


def corrections(steps: IntArray) -> tuple[FloatArray, FloatArray]:
    """What Adam's first and second moments, begun at zero, are short by at these steps (≥ 1)."""
    return 1 - np.power(FIRST_DECAY, steps), 1 - np.power(SECOND_DECAY, steps)
