"""A network that regresses z on x, trained on minibatches of weighted events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from calibrate.context import Context
from calibrate.coordinates import Coordinates
from calibrate.device import resolve, threads_for
from calibrate.estimate import Domain, Estimate, State
from calibrate.methods.residuals import ResidualCovariance
from calibrate.nn.losses import weighted_squares
from calibrate.nn.networks import load_weights, mlp, weights_of
from calibrate.records import FitSummary, TrainingCurve
from calibrate.sample import FloatArray, Sample
from calibrate.seeding import torch_seeded
from calibrate.train import Minimisation, minimise_minibatch


@dataclass(frozen=True)
class Training:
    """Layers and Adam settings of a network regression."""

    hidden: tuple[int, ...]
    activation: str
    epochs: int
    batch: int
    learning_rate: float


@dataclass(frozen=True)
class Network:
    """A fitted network between standardised features and targets, evaluated in float64."""

    domain: Domain
    x_coordinates: Coordinates
    z_coordinates: Coordinates
    hidden: tuple[int, ...]
    activation: str
    module: nn.Module
    residuals: ResidualCovariance | None = None
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "mse_network"
    closed_form: ClassVar[str] = "posterior_mean"

    @torch.no_grad()
    def estimate(self, x: FloatArray) -> Estimate:
        """f(x) and the spread of z about it, for x (n, d_x)."""
        x = self.domain.checked(x)
        t = torch.from_numpy(self.x_coordinates.forward(x))
        z = self.z_coordinates.backward(self.module(t).numpy())
        covariance = None if self.residuals is None else self.residuals.at(z)
        return Estimate(z, covariance, self.domain.inside(x))

    def state(self) -> State:
        """Everything but the summary of the fit."""
        return {
            "domain": self.domain.state(),
            "x_coordinates": self.x_coordinates.state(),
            "z_coordinates": self.z_coordinates.state(),
            "hidden": list(self.hidden),
            "activation": self.activation,
            "weights": weights_of(self.module),
            "residuals": None if self.residuals is None else self.residuals.state(),
        }

    @classmethod
    def from_state(cls, state: State) -> Network:
        """Rebuild from `state`."""
        domain, hidden = Domain.from_state(state["domain"]), tuple(state["hidden"])
        sizes = len(domain.x_columns), len(domain.z_columns)
        module = mlp(*sizes, hidden, state["activation"]).double()
        load_weights(module, state["weights"])
        residuals = state["residuals"]
        return cls(
            domain,
            Coordinates.from_state(state["x_coordinates"]),
            Coordinates.from_state(state["z_coordinates"]),
            hidden,
            state["activation"],
            module,
            None if residuals is None else ResidualCovariance(**residuals),
        )


def fit_network(sample: Sample, training: Training, context: Context) -> Network:
    """Minimise Σw|z - f(x)|² with weights of mean 1; DivergedError if the loss is not finite."""
    x_coordinates = Coordinates.of(sample.x, sample.w, sample.x_columns, logarithms=False)
    z_coordinates = Coordinates.of(sample.z, sample.w, sample.z_columns, logarithms=False)
    with torch_seeded(context, "initialisation"):
        sizes = sample.x.shape[1], sample.z.shape[1]
        module: nn.Module = mlp(*sizes, training.hidden, training.activation)
    x, z = x_coordinates.forward(sample.x), z_coordinates.forward(sample.z)
    done = _train(module, (x, z, sample.w / np.mean(sample.w)), training, context)
    curve = TrainingCurve("", done.loss, "mean squared error [variance of z]")
    summary = FitSummary(done.seconds, len(done.loss), float(done.loss[-1]), curve=curve)
    fitted = Network(
        Domain.of(sample), x_coordinates, z_coordinates, training.hidden, training.activation,
        module.double().cpu(), summary=summary,
    )  # fmt: skip
    return replace(fitted, residuals=ResidualCovariance.of(sample, fitted.estimate(sample.x).z))


def _train(
    module: nn.Module, arrays: Sequence[FloatArray], training: Training, context: Context
) -> Minimisation:
    device = resolve(context.device)
    module.to(device)
    x, z, w = (torch.as_tensor(a, dtype=torch.float32, device=device) for a in arrays)

    def loss(rows: Tensor) -> Tensor:
        rows = rows.to(device)
        return weighted_squares(module(x[rows]), z[rows], w[rows])

    with threads_for(training.batch * sum(training.hidden)):
        return minimise_minibatch(
            loss, list(module.parameters()), len(x), training.batch, training.epochs,
            training.learning_rate, context,
        )  # fmt: skip
