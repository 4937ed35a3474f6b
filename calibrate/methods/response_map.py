"""The map of response transport: one rising map of the residual at fixed truth.

With the residual r = x - z (x/z - 1 where z is positive by nature),
    x' = z + o(z) + S(z)·φ(r)        (z·(1 + o(z) + S(z)·φ(r))),
φ of straight rising pieces, φ(0) = 0. Without a `Dependence`, o is a constant and S = 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from calibrate.estimate import Domain, State
from calibrate.records import FitSummary
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import weighted_mean, weighted_std


@dataclass(frozen=True)
class Dependence:
    """Polynomials in t = (log z - centre)/spread (z itself unless `logarithmic`): o(z) gains
    Σ offsets_k t^k, log S(z) = Σ scales_k t^k, k = 1 … d. Beyond `low` … `high`, the range of the
    training spectra, t stays where it is: nothing was learnt there.
    """

    centre: float
    spread: float
    low: float
    high: float
    logarithmic: bool
    offsets: FloatArray
    scales: FloatArray

    @classmethod
    def over(cls, sample: Sample, degree: int) -> Dependence:
        """No dependence yet, of the given degree, over the spectrum of a sample."""
        logarithmic = sample.z_columns[0].positive
        t = np.log(sample.z[:, 0]) if logarithmic else sample.z[:, 0]
        used = t[sample.w != 0]
        centre, spread = float(weighted_mean(t, sample.w)), float(weighted_std(t, sample.w))
        limits = float(used.min()), float(used.max())
        return cls(centre, spread, *limits, logarithmic, np.zeros(degree), np.zeros(degree))

    def powers(self, z: FloatArray) -> FloatArray:
        """t^k (n, d) of z (n,)."""
        t = np.log(z) if self.logarithmic else z
        t = (np.clip(t, self.low, self.high) - self.centre) / self.spread
        return np.asarray(t[:, None] ** np.arange(1, self.offsets.size + 1))

    def state(self) -> State:
        """All of it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, eq=False)
class ResponseMap:
    """x' of x at truth z; φ has `slopes` (k,) between the rising `breaks` (k - 1,) of r.

    `variations` are the maps that follow if the spectrum of the simulation is varied.
    """

    domain: Domain
    offset: float
    slopes: FloatArray
    breaks: FloatArray
    relative: bool
    dependence: Dependence | None = None
    variations: Mapping[str, ResponseMap] = field(default_factory=dict)
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "response_map"
    uses_truth: ClassVar[bool] = True

    def transport(self, x: FloatArray, z: FloatArray) -> FloatArray:
        """x' (n, 1) of x (n, 1) and z (n, 1)."""
        x = self.domain.checked(x)
        return self.moved(x[:, 0], np.asarray(z, np.float64).reshape(len(x), -1)[:, 0])[:, None]

    def moved(self, x: FloatArray, z: FloatArray) -> FloatArray:
        """x' (n,) of x (n,) and z (n,)."""
        shape = self.shape(x / z - 1 if self.relative else x - z)
        offset: FloatArray | float = self.offset
        if self.dependence is not None:
            powers = self.dependence.powers(z)
            offset = offset + powers @ self.dependence.offsets
            shape = shape * np.exp(powers @ self.dependence.scales)
        return np.asarray(z * (1 + offset + shape) if self.relative else z + offset + shape)

    def shape(self, r: FloatArray) -> FloatArray:
        """φ(r), of any shape."""
        if not self.breaks.size:
            return np.asarray(self.slopes[0] * r)
        jumps = (self.slopes[:-1] - self.slopes[1:]) * self.breaks
        intercepts = np.append(0.0, np.cumsum(jumps))
        at_zero = intercepts[np.searchsorted(self.breaks, 0.0)]
        piece = np.searchsorted(self.breaks, r)
        return np.asarray(self.slopes[piece] * r + intercepts[piece] - at_zero)

    def state(self) -> State:
        """All but the summary; the variations as states of their own."""
        return {
            "domain": self.domain.state(),
            "offset": self.offset,
            "slopes": self.slopes,
            "breaks": self.breaks,
            "relative": self.relative,
            "dependence": None if self.dependence is None else self.dependence.state(),
            "variations": {name: varied.state() for name, varied in self.variations.items()},
        }

    @classmethod
    def from_state(cls, state: State) -> ResponseMap:
        """Rebuild from `state`, also from one without dependence or variations."""
        slopes, breaks = (np.asarray(state[name], np.float64) for name in ("slopes", "breaks"))
        dependence, varied = state.get("dependence"), state.get("variations", {})
        return cls(
            Domain.from_state(state["domain"]),
            float(state["offset"]),
            slopes,
            breaks,
            bool(state["relative"]),
            None if dependence is None else Dependence(**dependence),
            {name: cls.from_state(each) for name, each in varied.items()},
        )
