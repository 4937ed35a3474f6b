"""The central value of x given z and further features θ, and its spread, as networks.

g(z, θ) = z·R(z, θ) where z is positive by nature, else z + R(z, θ), like `response_curve`. R is
the conditional mean of u = x/z (or x - z) by least squares, or its median by the pinball loss;
its inputs are standardised, the logarithm of what is positive by nature. S(z, θ), the spread, is
the 68.3 % quantile of |u - R|, so that tails do not widen it.

The mode of a Gaussian fit truncated at ±1.5σ about itself, iterated, is where the mean of the
window is its centre, ∫_{R-1.5σ}^{R+1.5σ} (u-R) p(u) du = 0. That is the stationary point of the
truncated squares Σw min((u-R)²/σ², 1.5²), which a network can minimise: from the median, σ = S.

E[u given z, θ] does not depend on how many events there are at each z. Every bin of z of equal
effective statistics therefore has the same say, as in one dimension: with raw weights that fall
over orders of magnitude the end of the spectrum would hardly be fitted.

The whole sample is used in every step of a second-order minimiser, from the closed form of a
linear R on, with a Gaussian prior of width 1 on the weights of the networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calibrate.context import Context
from calibrate.coordinates import Coordinates
from calibrate.device import resolve, threads_for
from calibrate.errors import DataError
from calibrate.estimate import State
from calibrate.nn.losses import smooth_pinball, truncated_squares, weighted_squares
from calibrate.nn.networks import SkipMLP, load_weights, weights_of
from calibrate.sample import FloatArray, Sample, effective_size
from calibrate.seeding import torch_seeded
from calibrate.statistics import refuse_negative, weighted_std
from calibrate.train import Minimisation, minimise_full_batch

SPREAD_HIDDEN = (8, 8)
"""A spread varies slowly."""
WITHIN_ONE_SIGMA = 0.6827
SMALLEST = 1e-6
"""Of |u - R| in units of its standard deviation, where the logarithm is taken."""

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def quantile_loss(level: float) -> Loss:
    """The loss whose minimum is the quantile at `level`."""
    return lambda prediction, target, w: smooth_pinball(prediction, target, w, level)


def half_squares(prediction: Tensor, target: Tensor, w: Tensor) -> Tensor:
    """The loss whose minimum is the mean."""
    return 0.5 * weighted_squares(prediction, target, w)


LOSS_NAMES = {
    "mean": "squared residual of the response / 2",
    "median": "pinball loss of the response",
    "mode": "truncated squares of the response / 2",
}
"""What the training curve shows, by the central value that is learnt; the response is divided by
its spread about a straight line."""


@dataclass(frozen=True)
class ResponseSettings:
    """Which central value R is, its hidden layers, their activation, and the most steps of the
    minimiser."""

    centre: str
    hidden: tuple[int, ...]
    activation: str
    steps: int

    @property
    def loss_name(self) -> str:
        """What the training curve shows."""
        return LOSS_NAMES[self.centre]


@dataclass(frozen=True)
class ResponseNetwork:
    """R = shift + scale·`response` and S = scale·exp(`spread`), networks of standardised (z, θ),
    evaluated in float64. z (n,), θ (n, d_θ)."""

    relative: bool
    inputs: Coordinates
    shift: float
    scale: float
    settings: ResponseSettings
    response: SkipMLP
    spread: SkipMLP

    @property
    def typical_slope(self) -> float:
        """∂g/∂z where R does not change."""
        return abs(self.shift) if self.relative else 1.0

    @torch.no_grad()
    def g(self, z: FloatArray, theta: FloatArray) -> FloatArray:
        """The central value of x (n,)."""
        response = self.shift + self.scale * self._at(self.response, z, theta)
        return z * response if self.relative else z + response

    def slope(self, z: FloatArray, theta: FloatArray) -> FloatArray:
        """∂g/∂z (n,) at fixed θ."""
        t = self._inputs(z, theta)
        t.requires_grad_()
        value = self.response(t)
        (gradient,) = torch.autograd.grad(value.sum(), t)
        jacobian = self.inputs.jacobian(t.detach().numpy())[:, 0]
        slope = self.scale * gradient[:, 0].numpy() / jacobian
        if not self.relative:
            return np.asarray(1.0 + slope)
        response = self.shift + self.scale * value[:, 0].detach().numpy()
        return np.asarray(response + z * slope)

    @torch.no_grad()
    def width(self, z: FloatArray, theta: FloatArray) -> FloatArray:
        """The spread of x (n,) about g."""
        width = self.scale * np.exp(self._at(self.spread, z, theta))
        return np.asarray(z * width if self.relative else width)

    def _inputs(self, z: FloatArray, theta: FloatArray) -> Tensor:
        return torch.from_numpy(self.inputs.forward(np.column_stack([z, theta])))

    def _at(self, network: SkipMLP, z: FloatArray, theta: FloatArray) -> FloatArray:
        return np.asarray(network(self._inputs(z, theta))[:, 0].numpy())

    def state(self) -> dict[str, Any]:
        """Everything from which `from_state` rebuilds the object."""
        return {
            "relative": self.relative,
            "inputs": self.inputs.state(),
            "shift": self.shift,
            "scale": self.scale,
            "hidden": list(self.settings.hidden),
            "activation": self.settings.activation,
            "centre": self.settings.centre,
            "steps": self.settings.steps,
            "response": weights_of(self.response),
            "spread": weights_of(self.spread),
        }

    @classmethod
    def from_state(cls, state: State) -> ResponseNetwork:
        """Rebuild from `state`."""
        hidden, activation = tuple(state["hidden"]), str(state["activation"])
        settings = ResponseSettings(str(state["centre"]), hidden, activation, int(state["steps"]))
        inputs = Coordinates.from_state(state["inputs"])
        networks = []
        for name, layers in (("response", hidden), ("spread", SPREAD_HIDDEN)):
            network = SkipMLP(inputs.shift.size, 1, layers, activation).double()
            load_weights(network, state[name])
            networks.append(network)
        numbers = bool(state["relative"]), inputs, float(state["shift"]), float(state["scale"])
        return cls(*numbers, settings, *networks)


def fit_response_network(
    sample: Sample, feature: int, w: FloatArray, settings: ResponseSettings, context: Context
) -> tuple[ResponseNetwork, Minimisation]:
    """R and S of x, the feature of that number, the others being θ, with weights w (n,).

    Returns the networks and how the fit of R went. Raises DataError for negative weights unless
    the mean is asked for, DivergedError if a loss is not finite.
    """
    if settings.centre != "mean":
        refuse_negative(w, f"method.centre={settings.centre}")
    column, z, x = sample.z_columns[0], sample.z[:, 0], sample.x[:, feature]
    columns = (column, *(c for i, c in enumerate(sample.x_columns) if i != feature))
    values = np.column_stack([z, np.delete(sample.x, feature, axis=1)])
    inputs = Coordinates.of(values, w, columns, logarithms=True)
    t, w = inputs.forward(values), w / np.mean(w)
    u = x / z if column.positive else x - z
    line, scale = _line(t, u, w)
    fit = _Fit(t, w, effective_size(w, sample.groups), settings, context)
    target = (u - line[0]) / scale
    response = fit.line("response", settings.hidden, line[1:] / scale)
    loss = half_squares if settings.centre == "mean" else quantile_loss(0.5)
    done = fit.minimise("response", response, target, loss)
    residual = target - fit.values(response)
    spread = fit.line("spread", SPREAD_HIDDEN, np.zeros(t.shape[1]))
    fit.minimise("spread", spread, *_spread_target(residual, w))
    if settings.centre == "mode":
        core = np.column_stack([target, np.exp(fit.values(spread))])
        done = fit.minimise("core", response, core, truncated_squares)
    numbers = column.positive, inputs, float(line[0]), scale
    return ResponseNetwork(*numbers, settings, response, spread), done


@dataclass(frozen=True)
class _Fit:
    """Networks of t (n, d) fitted with weights w (n,) of mean 1."""

    t: FloatArray
    w: FloatArray
    effective_size: float
    settings: ResponseSettings
    context: Context

    def line(self, name: str, hidden: Sequence[int], slopes: FloatArray) -> SkipMLP:
        """A network that starts at slopes (d,) · t."""
        with torch_seeded(self.context.child(name), "initialisation"):
            network = SkipMLP(self.t.shape[1], 1, hidden, self.settings.activation)
        network.set_linear(slopes[None, :], np.zeros(1))
        return network

    def minimise(self, name: str, network: SkipMLP, target: FloatArray, loss: Loss) -> Minimisation:
        """Bring a network to the least loss to a target (n,) or (n, k): a network in single
        precision, a loss that is summed in double."""
        context = self.context.child(name)
        device = resolve(context.device)
        network.float().to(device)
        t = torch.as_tensor(self.t, dtype=torch.float32, device=device)
        y = torch.as_tensor(target.reshape(len(target), -1), device=device)
        w = torch.as_tensor(self.w, device=device)
        deep = network.deep_parameters()

        def penalised() -> Tensor:
            weights = sum((p**2).sum() for p in deep)
            return loss(network(t).double(), y, w) + 0.5 / self.effective_size * weights

        with threads_for(len(t) * sum(p.numel() for p in deep if p.ndim == 1)):
            parameters = list(network.parameters())
            done = minimise_full_batch(penalised, parameters, self.settings.steps, context)
        network.double().cpu()
        return done

    @torch.no_grad()
    def values(self, network: SkipMLP) -> FloatArray:
        """The network (n,) at all events."""
        return np.asarray(network(torch.from_numpy(self.t))[:, 0].numpy())


def _line(t: FloatArray, u: FloatArray, w: FloatArray) -> tuple[FloatArray, float]:
    """The weighted least-squares line (1 + d,) of u in t, and the spread about it; the normal
    equations are exact for negative weights. Raises DataError if there is no spread."""
    design = np.column_stack([np.ones(len(t)), t])
    weighted = (design * w[:, None]).T
    line = np.linalg.lstsq(weighted @ design, weighted @ u)[0]
    scale = float(weighted_std(u - design @ line, w))
    if not scale > 0:
        raise DataError(
            "the response does not scatter about a straight line: there is no resolution to invert "
            "with; is the feature the truth itself, or are most weights negative?"
        )
    return line, scale


def _spread_target(residual: FloatArray, w: FloatArray) -> tuple[FloatArray, Loss]:
    """What the logarithm of the spread is fitted to: log of the residual's size at its 68.3 %
    quantile; with negative weights, which have no quantiles, the standard deviation."""
    if np.any(w < 0):
        return residual**2, lambda log_s, square, w: (
            w * (0.5 * square * torch.exp(-2 * log_s) + log_s).sum(-1)
        ).mean()
    return np.log(np.maximum(np.abs(residual), SMALLEST)), quantile_loss(WITHIN_ONE_SIGMA)
