"""Fitted networks of features, and of nuisances where they take them, as a score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import expit

from calibrate.coordinates import Coordinates
from calibrate.device import threads_for
from calibrate.estimate import Domain, State
from calibrate.methods.training_events import Scale
from calibrate.nn.networks import load_weights, weights_of
from calibrate.nn.nuisance_series import NuisanceSeries
from calibrate.records import FitSummary
from calibrate.sample import FloatArray

BLOCK = 16384
"""Events scored at a time."""


@dataclass(frozen=True)
class Shape:
    """Layers of the network, and the order of its series in the nuisances (0: none)."""

    hidden: tuple[int, ...]
    activation: str
    order: int = 0

    def module(self, features: int, nuisances: int) -> NuisanceSeries:
        """A new network."""
        return NuisanceSeries(features, nuisances, self.order, self.hidden, self.activation)


@dataclass(frozen=True)
class ScoreNetwork:
    """The probability of signal, with classes of equal weight, from the mean logit of `modules`;
    evaluated in single precision.

    `scale` holds the nuisances that they take, none for a classifier that they are hidden from.
    """

    domain: Domain
    coordinates: Coordinates
    scale: Scale
    shape: Shape
    modules: tuple[NuisanceSeries, ...]
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "score_network"

    @property
    def uses_nuisances(self) -> bool:
        """Whether it takes any."""
        return bool(self.scale.names)

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """Those of the nuisances that it takes."""
        return self.scale.ranges

    @torch.no_grad()
    def score(self, x: FloatArray, values: Mapping[str, float | FloatArray]) -> FloatArray:
        """The score (n,) of events x (n, d_x); DataError outside the range of the training."""
        t = self.scale.forward(values)
        features = self.coordinates.forward(self.domain.checked(x)).astype(np.float32)
        found = np.empty(len(features))
        with threads_for(BLOCK * sum(self.shape.hidden)):
            for start in range(0, len(features), BLOCK):
                rows = slice(start, start + BLOCK)
                at = torch.from_numpy((t if len(t) == 1 else t[rows]).astype(np.float32))
                block = torch.from_numpy(features[rows])
                logits = torch.stack([module(block, at) for module in self.modules])
                found[rows] = logits.mean(0).numpy()
        return np.asarray(expit(found))

    def knows(self, values: Mapping[str, float]) -> bool:
        """True: it is the same score whatever is true."""
        return True

    def knowing(self, values: Mapping[str, float]) -> ScoreNetwork:
        """Itself."""
        return self

    def state(self) -> State:
        """Everything but the summary of the fit."""
        return {
            "domain": self.domain.state(),
            "coordinates": self.coordinates.state(),
            "scale": {**asdict(self.scale), "names": list(self.scale.names)},
            "hidden": list(self.shape.hidden),
            "activation": self.shape.activation,
            "order": self.shape.order,
            "weights": [weights_of(module) for module in self.modules],
        }

    @classmethod
    def from_state(cls, state: State) -> ScoreNetwork:
        """Rebuild from `state`."""
        domain = Domain.from_state(state["domain"])
        shape = Shape(tuple(state["hidden"]), state["activation"], int(state["order"]))
        scale = _scale(state["scale"])
        modules = []
        for weights in state["weights"]:
            modules.append(shape.module(len(domain.x_columns), len(scale.names)))
            load_weights(modules[-1], weights)
        coordinates = Coordinates.from_state(state["coordinates"])
        return cls(domain, coordinates, scale, shape, tuple(modules))


def _scale(state: Mapping[str, Any]) -> Scale:
    arrays = {name: np.asarray(state[name]) for name in ("nominal", "reach", "low", "high")}
    return Scale(tuple(state["names"]), **arrays)
