"""A network that regresses z on x, trained on minibatches of weighted events."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, cast

import numpy as np
import torch
from torch import nn

from calibrate.context import Context
from calibrate.coordinates import Coordinates
from calibrate.estimate import Domain, Estimate, State
from calibrate.learner import Learner, Lesson
from calibrate.member import Member, Schedule, single
from calibrate.methods.residuals import ResidualCovariance
from calibrate.nn.networks import load_weights, mlp, weights_of
from calibrate.nn.objectives import SquaredError
from calibrate.records import FitSummary, TrainingCurve
from calibrate.sample import FloatArray, Sample
from calibrate.seeding import torch_seeded


@dataclass(frozen=True)
class Training:
    """Layers of a network regression, how it is trained, and what keeps it from overfitting."""

    hidden: tuple[int, ...]
    activation: str
    schedule: Schedule
    dropout: float = 0.0
    l2: float = 0.0


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


def network_learner(
    sample: Sample, training: Training, restarts: int, context: Context
) -> Learner[Network]:
    """What minimises Σw|z - f(x)|² with weights of mean 1, plus the penalty of the weights."""
    x = Coordinates.of(sample.x, sample.w, sample.x_columns, logarithms=False)
    z = Coordinates.of(sample.z, sample.w, sample.z_columns, logarithms=False)

    def begin(attempt: Context) -> Member:
        with torch_seeded(attempt, "initialisation"):
            sizes = sample.x.shape[1], sample.z.shape[1]
            module = mlp(*sizes, training.hidden, training.activation)
        objective = SquaredError(module, sample.effective_size, training.l2, training.dropout)
        columns = x.forward(sample.x), z.forward(sample.z), sample.w / np.mean(sample.w)
        return Member(objective, single(columns), training.schedule, attempt)

    def finish(lesson: Lesson) -> Network:
        module = cast(SquaredError, lesson.member.objective).network.double()
        loss = lesson.done.loss
        curve = TrainingCurve("", loss, "mean squared error [variance of z]")
        summary = FitSummary(
            lesson.done.seconds, len(loss), float(loss[-1]), lesson.restarts, curve=curve
        )
        shape = training.hidden, training.activation
        fitted = Network(Domain.of(sample), x, z, *shape, module, summary=summary)
        residuals = ResidualCovariance.of(sample, fitted.estimate(sample.x).z)
        return replace(fitted, residuals=residuals)

    return Learner(begin, finish, restarts, context)
