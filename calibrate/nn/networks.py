"""Networks of the size that calibrations need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from calibrate.sample import FloatArray

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """xWᵀ + b (…, outputs) for x (…, inputs), W (outputs, inputs), b (outputs,); of K networks at
    once for x (K, n, inputs), W (K, outputs, inputs), b (K, outputs)."""
    if weight.ndim == 2:
        return linear(x, weight, bias)
    return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)


class Dense(nn.Linear):
    """A dense layer, whose weights may have a leading model axis."""

    def forward(self, x: Tensor) -> Tensor:
        """y (…, outputs) for x (…, inputs)."""
        return affine(x, self.weight, self.bias)


class SkipMLP(nn.Module):
    """Linear map plus multilayer perceptron: y = Wx + b + MLP(x), (…, inputs) → (…, outputs).

    The linear part and the last layer of the perceptron start at zero, so that a fit can start
    from a linear closed form (`set_linear`) and the perceptron learns what is left. Without
    hidden layers the network is linear.
    """

    def __init__(
        self, inputs: int, outputs: int, hidden: Sequence[int], activation: str = "silu"
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.deep = mlp(inputs, outputs, hidden, activation) if hidden else None
        if self.deep is not None:
            last = self.deep[-1]
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """y (…, outputs)."""
        y: Tensor = self.linear(x)
        return y if self.deep is None else y + self.deep(x)

    @torch.no_grad()
    def set_linear(self, weight: FloatArray, bias: FloatArray) -> None:
        """Start at y = weight · x + bias; weight (outputs, inputs), bias (outputs,)."""
        self.linear.weight.copy_(torch.as_tensor(weight))
        self.linear.bias.copy_(torch.as_tensor(bias))

    def deep_parameters(self) -> list[Tensor]:
        """The parameters of the perceptron, without those of the linear part."""
        return [] if self.deep is None else list(self.deep.parameters())


def mlp(inputs: int, outputs: int, hidden: Sequence[int], activation: str) -> nn.Sequential:
    """A plain perceptron with the given hidden layers and a linear output."""
    act = ACTIVATIONS[activation]
    layers: list[nn.Module] = []
    width = inputs
    for size in hidden:
        layers += [Dense(width, size), act()]
        width = size
    return nn.Sequential(*layers, Dense(width, outputs))


def weights_of(module: nn.Module) -> dict[str, FloatArray]:
    """Parameters and buffers by name, as arrays in their own precision."""
    return {name.replace(".", "/"): t.detach().cpu().numpy() for name, t in _items(module)}


def load_weights(module: nn.Module, weights: Mapping[str, FloatArray]) -> None:
    """Put back what `weights_of` gave."""
    state = {name: torch.as_tensor(np.asarray(array)) for name, array in _flat(weights)}
    module.load_state_dict({name.replace("/", "."): t for name, t in state.items()})


def _items(module: nn.Module) -> list[tuple[str, Tensor]]:
    return list(module.state_dict().items())


def _flat(weights: Mapping[str, object], prefix: str = "") -> list[tuple[str, FloatArray]]:
    flat: list[tuple[str, FloatArray]] = []
    for name, value in weights.items():
        if isinstance(value, Mapping):
            flat += _flat(value, f"{prefix}{name}/")
        else:
            flat.append((prefix + name, np.asarray(value)))
    return flat
