"""How far apart two weighted distributions of one quantity are.

With F and G the weighted distribution functions: Kolmogorov and Smirnov's largest |F - G|, and
Wasserstein's ∫|F - G| dx, which is the mean distance by which the weight has to be moved. Both
are above zero for two samples of one distribution: they say how large a difference is, χ² says
whether there is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincc

from calibrate.sample import BoolArray, FloatArray, IntArray
from calibrate.statistics.bootstrap import Poisson
from calibrate.statistics.quantiles import refuse_negative


@dataclass(frozen=True)
class Distances:
    """The two distances between weighted values a (n,) and b (m,); `steps` are those between
    neighbours of all values in rising order, `ends` the last row of equal ones."""

    order: IntArray
    steps: FloatArray
    ends: BoolArray
    split: int

    @classmethod
    def of(cls, a: FloatArray, b: FloatArray) -> Distances:
        """Sort both together, once."""
        values = np.concatenate([a, b])
        order = np.argsort(values)
        steps = np.diff(values[order])
        return cls(order, steps, np.append(steps > 0, True), a.size)

    def __call__(self, w_a: FloatArray, w_b: FloatArray) -> FloatArray:
        """(Kolmogorov-Smirnov, Wasserstein) under weights (n,) and (m,) ≥ 0.

        Raises DataError for negative weights.
        """
        refuse_negative(w_a, "a distance between distributions")
        refuse_negative(w_b, "a distance between distributions")
        signed = np.concatenate([w_a / np.sum(w_a), -w_b / np.sum(w_b)])
        difference = np.abs(np.cumsum(signed[self.order]))
        largest = np.max(difference[self.ends])
        return np.array([largest, np.sum(difference[:-1] * self.steps)])

    def replicas(
        self, w_a: FloatArray, w_b: FloatArray, poisson_a: Poisson, poisson_b: Poisson
    ) -> FloatArray:
        """The same in every replica of the bootstrap of both samples (replicas, 2)."""
        pairs = zip(poisson_a.each(), poisson_b.each(), strict=True)
        return np.array([self(w_a * a, w_b * b) for a, b in pairs])


@dataclass(frozen=True)
class ChiSquare:
    """χ² with its number of degrees of freedom and the probability of a larger one."""

    value: float
    ndf: int

    @property
    def per_ndf(self) -> float:
        """χ² per degree of freedom; NaN where there is none."""
        return self.value / self.ndf if self.ndf else float("nan")

    @property
    def probability(self) -> float:
        """Of a larger χ²; NaN without degrees of freedom."""
        return float(gammaincc(self.ndf / 2, self.value / 2)) if self.ndf else float("nan")


def chi_square(p: FloatArray, q: FloatArray, variance: FloatArray) -> ChiSquare:
    """Σ (p-q)²/variance over bins (n_b,) that hold all the weight of both samples: shares p and
    q that sum to 1, hence n_b - 1 degrees of freedom. Bins without any event are left out."""
    filled = variance > 0
    value = float(np.sum((p - q)[filled] ** 2 / variance[filled]))
    return ChiSquare(value, max(int(np.count_nonzero(filled)) - 1, 0))
