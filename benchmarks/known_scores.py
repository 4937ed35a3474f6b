"""The exact score of the angle toy in the places of classifiers: for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from calibrate.data.angle import AngleScore
from calibrate.sample import FloatArray

EXACT = AngleScore(0.7)
"""The best score of the toy."""


@dataclass(frozen=True)
class Known:
    """The exact score of the toy at the tested angle (None) or frozen at one angle; the `oracle`'s
    is frozen where data lies."""

    angle: float | None = None
    oracle: bool = False
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    kind = "known"

    @property
    def uses_nuisances(self) -> bool:
        return self.angle is None

    def score(self, x: FloatArray, values: Mapping[str, Any]) -> FloatArray:
        return EXACT(x, values if self.angle is None else {"angle": self.angle})

    def knows(self, values: Mapping[str, float]) -> bool:
        return True

    def knowing(self, values: Mapping[str, float]) -> Known:
        return Known(values["angle"]) if self.oracle else self
