"""A metric over the points of a sweep, as it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from calibrate.records.closure import ClosureCurve
from calibrate.sample import FloatArray

Value = float | int | str | bool | None
"""A value of a swept parameter."""


@dataclass(frozen=True)
class SweptMetric:
    """A metric at the points of a sweep, arrays (n,); NaN where a point or its error is missing.

    `points` holds, for each swept parameter (the seed is none of them), its value at each point.
    `error` is that of one run, `spread` the standard deviation over seeds (NaN for a single one),
    `runs` their number. `exact` is what it should be, `expected` says by what. `method` is whose
    metric it is.
    """

    name: str
    label: str
    unit: str
    method: str
    points: Mapping[str, tuple[Value, ...]]
    value: FloatArray
    error: FloatArray
    spread: FloatArray
    runs: FloatArray
    exact: FloatArray = field(default_factory=lambda: np.empty(0))
    expected: str = "closed form"

    @property
    def band(self) -> FloatArray:
        """The uncertainty of one run: the spread over seeds, or the run's own error."""
        return np.where(np.isfinite(self.spread), self.spread, self.error)


@dataclass(frozen=True)
class SweptCurve:
    """The closure of one run of a sweep, with the values that were swept."""

    values: Mapping[str, Value]
    curve: ClosureCurve
