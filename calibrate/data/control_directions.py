"""The auxiliary measurement of the angle toy: directions of a control sample, counted in bins.

Control events are u(Z) + noise of width σ, like the signal, without background. With κ = 1/σ and
c = cos(φ - Z) their directions φ have the density of a projected normal distribution,
p(φ) = e^{-κ²/2}/2π · [1 + √(2π) κc e^{κ²c²/2} Φ(κc)].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from calibrate.sample import FloatArray

BINS = 12
NODES = 8
"""Of the Gauss-Legendre quadrature over a bin, exact to 1e-9 there for σ = 0.7."""


@dataclass(frozen=True)
class ControlDirections:
    """`events` expected control events with noise of width `spread` about the nuisance's
    direction."""

    nuisance: str
    spread: float
    events: float

    @property
    def description(self) -> str:
        """In words."""
        return f"directions of {self.events:g} control events without background, {BINS} bins"

    def expected(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Expected counts (k, 12) in equal bins of φ from -π to π, at angles (k,)."""
        edges = np.linspace(-math.pi, math.pi, BINS + 1)
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        half = math.pi / BINS
        phi = edges[:-1, None] + half * (nodes + 1)
        angle = np.atleast_1d(np.asarray(values[self.nuisance], dtype=np.float64))
        density = self.density(phi - angle[:, None, None])
        return np.asarray(self.events * half * density @ weights)

    def density(self, away: FloatArray) -> FloatArray:
        """p(φ) at φ - Z."""
        kappa = 1 / self.spread
        along = kappa * np.cos(away)
        tail = math.sqrt(2 * math.pi) * along * np.exp(0.5 * along**2) * ndtr(along)
        return np.asarray(math.exp(-0.5 * kappa**2) / (2 * math.pi) * (1 + tail))
