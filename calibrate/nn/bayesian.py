"""Networks whose weights have independent Gaussian posteriors (Bayes by backprop).

q(ω) = Π N(ω; m, s²), prior p(ω) = Π N(ω; 0, p²), for weights and biases alike. Minimised is the
negative evidence bound per event, KL[q, p]/N + E_q[-log p(z|x, ω)] (arXiv:2003.11099, Eq. 8-10).

In training the weights are not drawn. At given inputs a dense layer's pre-activations are
Gaussian with means x·m and variances x²·s², and these are drawn, independently for every event
(local reparametrisation, arXiv:1506.02557): the noise of the gradient averages out over a
minibatch as it does not if all its events share one draw, and Flipout (arXiv:1803.04386), made
for layers where this is not possible, needs the same two matrix products and leaves more noise.

For predictions `drawn` draws the weights themselves, so that all events see the same networks.

The perceptron's prior widths may be learned (automatic relevance determination): all weights that
leave one node j share a width p_j = 0.1 c_j, the biases of a layer another, and c makes the bound
largest. With one width for all, mean-field posteriors overestimate the noise of a perceptron that
the data do not need: every determined weight adds 1/N to the variance of the output as if the
nodes were independent, and taking that noise away costs KL. A node whose c_j falls pays nothing.

The weights are ω = c v with a scale c for each node (arXiv:1705.08665); v has the posterior and the
prior width 0.1, and the KL does not depend on c, which the likelihood alone moves (non-centred,
arXiv:1312.0906). With the best width for given weights, p_j² = ⟨m² + s²⟩, put in instead, the bound
is the same, but the prior follows the small weights of the start, and the fit ends in another,
local maximum: a perceptron without effect where one is needed.

The perceptron stands beside a linear map with a wide prior. Alone, with the narrow prior that
keeps a hundred nodes a layer from overfitting, it cannot afford a slope from a few thousand
events: every one of its many weights costs KL, and the best bound is that of the prior itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, silu, tanh

from calibrate.nn.networks import affine

LINEAR_PRIOR = 1.0
"""Prior width of the linear map's weights: in standardised coordinates a slope is of order one."""
STARTING_PRIOR = 0.1
"""Prior width of the perceptron's weights where it is learned, at the start (arXiv:2003.11099)."""
Activation = Callable[[Tensor], Tensor]
HIDDEN_ACTIVATIONS: dict[str, Activation] = {"relu": relu, "silu": silu, "tanh": tanh}


class GaussianLinear(nn.Module):
    """y = Wx + b with Gaussian posteriors of W (outputs, inputs) and b (outputs,).

    The means start as those of an ordinary layer, the widths at `width`: with the prior's width
    the noise would drown the gradients at the start. `scaled`: each input's weights, and the
    biases, are what has the posterior times a learned scale, which is 1 at the start.
    """

    def __init__(self, inputs: int, outputs: int, width: float, scaled: bool = False) -> None:
        super().__init__()
        start = nn.Linear(inputs, outputs)
        self.weight = nn.Parameter(start.weight.detach().clone())
        self.bias = nn.Parameter(start.bias.detach().clone())
        self.log_width = nn.Parameter(torch.full((outputs, inputs), math.log(width)))
        self.log_bias_width = nn.Parameter(torch.full((outputs,), math.log(width)))
        self.log_scale = nn.Parameter(torch.zeros(1, inputs)) if scaled else None
        self.log_bias_scale = nn.Parameter(torch.zeros(1)) if scaled else None

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Pre-activations (…, n, outputs), drawn independently for each row of x (…, n, inputs):
        `noise` (…, n, outputs) is of the standard normal distribution."""
        (weight, log_width), (bias, log_bias_width) = self._posteriors()
        mean = affine(x, weight, bias)
        variance = affine(x**2, (2 * log_width).exp(), (2 * log_bias_width).exp())
        return mean + variance.sqrt() * noise

    def divergence(self, prior: float) -> Tensor:
        """KL[q, p] = Σ log(p/s) + (s² + m²)/2p² - ½ [nat] from a prior of width p, times the
        scales where there are any; (K,) for K networks along a model axis."""
        weights = _divergence(self.weight, self.log_width, prior).sum((-2, -1))
        return weights + _divergence(self.bias, self.log_bias_width, prior).sum(-1)

    def drawn(self, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Weights (samples, inputs, outputs) and biases (samples, 1, outputs) from q."""
        weight, bias = (
            mean + log_width.exp() * torch.randn((samples, *mean.shape), generator=generator,
                                                 dtype=mean.dtype, device=mean.device)
            for mean, log_width in self._posteriors()
        )  # fmt: skip
        return weight.transpose(1, 2).contiguous(), bias.unsqueeze(1)

    def _posteriors(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Means and logarithms of widths of W and of b, scales included."""
        return (
            _scaled(self.weight, self.log_width, self.log_scale),
            _scaled(self.bias, self.log_bias_width, self.log_bias_scale),
        )

    @torch.no_grad()
    def absorb_scales(self) -> None:
        """Multiply the scales into the posteriors, and do without them from now on."""
        (weight, log_width), (bias, log_bias_width) = self._posteriors()
        self.weight.copy_(weight)
        self.log_width.copy_(log_width)
        self.bias.copy_(bias)
        self.log_bias_width.copy_(log_bias_width)
        self.log_scale = self.log_bias_scale = None


def _scaled(mean: Tensor, log_width: Tensor, log_scale: Tensor | None) -> tuple[Tensor, Tensor]:
    if log_scale is None:
        return mean, log_width
    return mean * log_scale.exp(), log_width + log_scale


def _divergence(mean: Tensor, log_width: Tensor, prior: float) -> Tensor:
    """KL of each weight."""
    squares = mean**2 + (2 * log_width).exp()
    return 0.5 * (squares / prior**2 - 1) - log_width + math.log(prior)


class BayesianSkipMLP(nn.Module):
    """Linear map plus perceptron, y = Wx + b + MLP(x), of `GaussianLinear` layers.

    The last layer of the perceptron starts at zero; without hidden layers there is only the
    linear map. `scaled`: the perceptron's prior widths are learned.
    """

    def __init__(
        self, inputs: int, outputs: int, hidden: Sequence[int], activation: str, width: float,
        scaled: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes = (inputs, *hidden, outputs) if hidden else ()
        self.linear = GaussianLinear(inputs, outputs, width)
        self.deep = nn.ModuleList(GaussianLinear(a, b, width, scaled) for a, b in pairwise(sizes))
        self.activation = HIDDEN_ACTIVATIONS[activation]
        for layer in (self.linear, *self.layers[-1:]):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Outputs (…, n, outputs) for x (…, n, inputs), with `noise` as it was drawn by `noise`."""
        y: Tensor = self.linear(x, noise[0])
        for i, (layer, own) in enumerate(zip(self.layers, noise[1:], strict=True)):
            x = layer(x if i == 0 else self.activation(x), own)
        return y + x if self.layers else y

    def noise(self, rows: int, generator: torch.Generator) -> list[Tensor]:
        """Normal numbers (rows, outputs) for the linear map and each layer: every event its own."""
        sizes = [layer.bias.shape[-1] for layer in (self.linear, *self.layers)]
        device = generator.device
        return [torch.randn((rows, n), generator=generator, device=device) for n in sizes]

    def extra_repr(self) -> str:
        """What its layers do not tell of its shape."""
        return f"activation={self.activation.__name__}"

    @property
    def layers(self) -> list[GaussianLinear]:
        """Those of the perceptron."""
        return [cast(GaussianLinear, layer) for layer in self.deep]

    def divergence(self, prior: float) -> Tensor:
        """KL[q, p] of all weights [nat], `prior` being the width of the perceptron's, times the
        scales where they are learned."""
        deep = [layer.divergence(prior) for layer in self.layers]
        return torch.stack([self.linear.divergence(LINEAR_PRIOR), *deep]).sum(0)

    def absorb_scales(self) -> None:
        """Multiply learned scales into the posteriors, and do without them from now on."""
        for layer in self.layers:
            layer.absorb_scales()

    @torch.no_grad()
    def drawn(self, samples: int, generator: torch.Generator) -> DrawnNetworks:
        """`samples` networks with weights from q."""
        linear, *deep = (layer.drawn(samples, generator) for layer in (self.linear, *self.layers))
        return DrawnNetworks(linear, tuple(deep), self.activation)


@dataclass(frozen=True)
class DrawnNetworks:
    """Ordinary networks side by side along a leading axis: weights (S, inputs, outputs) and
    biases (S, 1, outputs) of the linear map and of the perceptron's layers."""

    linear: tuple[Tensor, Tensor]
    deep: tuple[tuple[Tensor, Tensor], ...]
    activation: Activation

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs (S, n, outputs) of all networks for x (n, inputs), a batched product a layer."""
        weight, bias = self.linear
        x = x.expand(len(weight), *x.shape)
        y = torch.baddbmm(bias, x, weight)
        for i, (weight, bias) in enumerate(self.deep):
            x = torch.baddbmm(bias, x if i == 0 else self.activation(x), weight)
        return y + x if self.deep else y

    def each(self) -> Iterator[DrawnNetworks]:
        """One network after the other, each with a leading axis of one."""
        for k in range(len(self.linear[0])):
            linear, *deep = ((w[k : k + 1], b[k : k + 1]) for w, b in (self.linear, *self.deep))
            yield DrawnNetworks(linear, tuple(deep), self.activation)
