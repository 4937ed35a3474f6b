"""The oracle: for each observed point a network trained at the true values of its nuisances.

No analysis has it, since no analysis knows these values: what the others are held against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np

from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError
from calibrate.estimate import Domain, State
from calibrate.methods.baseline_classifier import BaselineClassifier
from calibrate.methods.network_classifier import NetworkClassifier
from calibrate.methods.score_network import ScoreNetwork
from calibrate.records import FitSummary
from calibrate.sample import FloatArray
from calibrate.task import InferenceTask

Values = Mapping[str, float]


@dataclass(frozen=True)
class OracleClassifier(NetworkClassifier):
    """The baseline, trained again for the nuisances of every observed point."""

    sees: ClassVar[tuple[str, ...]] = ("points",)

    def fit(self, task: InferenceTask, context: Context) -> OracleScores:
        """One fit for each set of values; ConfigurationError for a task without points."""
        if not task.points:
            raise ConfigurationError(
                "method=oracle_classifier needs observed points to be trained at: name data.points"
            )
        places = {tuple(point.values.items()): dict(point.values) for point in task.points}
        baseline = BaselineClassifier(
            **{each.name: getattr(self, each.name) for each in fields(NetworkClassifier)}
        )
        networks = []
        for values in places.values():
            there = tuple(replace(n, nominal=values[n.name]) for n in task.nuisances)
            part = context.child(" ".join(f"{k}={v:.4g}" for k, v in values.items()))
            networks.append(baseline.fit(replace(task, nuisances=there), part))
        return OracleScores(tuple(places.values()), tuple(networks))


@dataclass(frozen=True)
class OracleScores:
    """Networks (k,), each for data with one of the sets of `values` (k,)."""

    values: tuple[Values, ...]
    networks: tuple[ScoreNetwork, ...]
    kind: ClassVar[str] = "oracle_scores"
    uses_nuisances: ClassVar[bool] = False

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """None: what is assumed does not matter."""
        return {}

    @property
    def domain(self) -> Domain:
        """That of the first network."""
        return self.networks[0].domain

    @property
    def summary(self) -> FitSummary:
        """Of all fits together."""
        parts = [network.summary for network in self.networks]
        return FitSummary(
            seconds=sum(part.seconds for part in parts),
            steps=sum(part.steps for part in parts),
            loss=parts[0].loss,
            restarts=sum(part.restarts for part in parts),
            curve=parts[0].curve,
            notes=(f"{len(parts)} networks, one for each set of true nuisances",),
            warnings=tuple(dict.fromkeys(text for part in parts for text in part.warnings)),
        )

    def score(self, x: FloatArray, values: Mapping[str, float | FloatArray]) -> FloatArray:
        """DataError: it must be told what is true, by `knowing`."""
        raise DataError(
            "the oracle's score depends on what is true, not on what is assumed: use "
            "knowing(values).score(x, values)"
        )

    def knows(self, values: Values) -> bool:
        """Whether there is a network for these true values."""
        return self._place(values) is not None

    def knowing(self, values: Values) -> ScoreNetwork:
        """The network for these true values; DataError if there is none."""
        place = self._place(values)
        if place is None:
            known = "; ".join(_shown(each) for each in self.values)
            raise DataError(f"the oracle has no network for {_shown(values)}, only for: {known}")
        return self.networks[place]

    def _place(self, values: Values) -> int | None:
        for place, known in enumerate(self.values):
            if all(np.isclose(values[name], value, rtol=1e-9) for name, value in known.items()):
                return place
        return None

    def state(self) -> State:
        """The values, and the networks."""
        networks: Sequence[State] = [network.state() for network in self.networks]
        return {"values": [dict(each) for each in self.values], "networks": networks}

    @classmethod
    def from_state(cls, state: State) -> OracleScores:
        """Rebuild from `state`."""
        networks = tuple(ScoreNetwork.from_state(each) for each in state["networks"])
        return cls(tuple(dict(each) for each in state["values"]), networks)


def _shown(values: Values) -> str:
    return ", ".join(f"{name}={value:.4g}" for name, value in values.items())
