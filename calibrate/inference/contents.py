"""Contents of bins as smooth functions of the nuisances.

Templates are filled at some values of each nuisance and interpolated by cubic splines (C²). In
several nuisances each is varied alone, the others at their nominal values: templates are then
products, T(Z) = T₀ Π_k T_k(Z_k)/T₀, which stay positive and cost Σ G_k instead of Π G_k fillings;
counts are sums, n(Z) = n₀ + Σ_k (n_k(Z_k) - n₀), which keep the number of events.

A curve through every filling follows the events that happen to cross an edge of a bin between two
of them, and a fit takes these steps for a measurement of the nuisance. So a spline of few pieces is
fitted to many fillings by least squares: what the nuisance truly does is slow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.interpolate import CubicSpline, make_lsq_spline

from calibrate.sample import FloatArray

DEGREE = 3

Filled = tuple[FloatArray, FloatArray, FloatArray]
"""Contents (p, n_b), their first and pure second derivatives by the nuisances (p, d, n_b)."""


class Contents(Protocol):
    """Bin contents at values z (p, d) of the nuisances."""

    def __call__(self, z: FloatArray) -> Filled: ...


@dataclass(frozen=True)
class Constant:
    """Contents (n_b,), or (p, n_b) of p experiments, that no nuisance changes."""

    values: FloatArray

    def __call__(self, z: FloatArray) -> Filled:
        shape = (len(z), self.values.shape[-1])
        none = np.zeros((len(z), z.shape[1], shape[1]))
        return np.broadcast_to(self.values, shape), none, none


@dataclass(frozen=True)
class Spline:
    """A cubic spline with breaks at `knots` (k,) and `coefficients` (4, k-1, n_b), or
    (4, k-1, p, n_b) of p experiments."""

    knots: FloatArray
    coefficients: FloatArray

    @classmethod
    def of(cls, z: FloatArray, values: FloatArray, pieces: int | None) -> Spline:
        """Of values (k, n_b) or (k, p, n_b) at ascending z (k,): of so many equal pieces by least
        squares, or through all values where there are fewer of them, or `pieces` is None."""
        if pieces is None or len(z) < pieces + DEGREE:
            return cls(z, CubicSpline(z, values, axis=0).c)
        breaks = np.linspace(z[0], z[-1], pieces + 1)
        ends = np.repeat(breaks[[0, -1]], DEGREE)
        fitted = make_lsq_spline(z, values, np.sort([*ends, *breaks]), DEGREE)
        orders = range(DEGREE, -1, -1)
        taylor = [fitted(breaks[:-1], nu=order) / math.factorial(order) for order in orders]
        return cls(breaks, np.stack(taylor))

    def __call__(self, z: FloatArray) -> Filled:
        """Values, first and second derivatives (p, n_b) at z (p,)."""
        index = np.clip(np.searchsorted(self.knots, z, side="right") - 1, 0, len(self.knots) - 2)
        single = self.coefficients.ndim == 3
        rows = np.arange(z.size)
        a, b, c, d = self.coefficients[:, index] if single else self.coefficients[:, index, rows]
        t = (z - self.knots[index])[:, None]
        values, slopes = ((a * t + b) * t + c) * t + d, (3 * a * t + 2 * b) * t + c
        return values, slopes, 6 * a * t + 2 * b


@dataclass(frozen=True)
class Sum:
    """n₀ + Σ_k (n_k(Z_k) - n_k(Z₀)), never below zero; `nominal` values n_k(Z₀) are (d, n_b) or
    (d, p, n_b), and n₀ is their mean."""

    nominal: FloatArray
    axes: Sequence[Spline]

    def __call__(self, z: FloatArray) -> Filled:
        values, slopes, curvatures = _total(self.nominal, self.axes, z)
        negative = values < 0
        below = negative[:, None]
        kept = (np.where(below, 0.0, slopes), np.where(below, 0.0, curvatures))
        return np.where(negative, 0.0, values), *kept


@dataclass(frozen=True)
class Product:
    """T₀ Π_k T_k(Z_k)/T_k(Z₀) with splines of log T: positive whatever the nuisances are;
    `nominal` holds log T_k(Z₀) as a sum does."""

    nominal: FloatArray
    axes: Sequence[Spline]

    def __call__(self, z: FloatArray) -> Filled:
        logarithms, slopes, curvatures = _total(self.nominal, self.axes, z)
        values = np.exp(logarithms)
        each = values[:, None]
        return values, each * slopes, each * (curvatures + slopes**2)


def _total(nominal: FloatArray, axes: Sequence[Spline], z: FloatArray) -> Filled:
    found = [axis(z[:, k]) for k, axis in enumerate(axes)]
    values, slopes, curvatures = zip(*found, strict=True)
    total = nominal.mean(axis=0) + np.sum(
        np.array(values) - nominal.reshape(len(axes), -1, nominal.shape[-1]), axis=0
    )
    return total, np.stack(slopes, axis=1), np.stack(curvatures, axis=1)


@dataclass(frozen=True)
class Axes:
    """The values (k,) of each nuisance at which templates are filled, the nominal values, and of
    how many `pieces` the splines are (None: through all values)."""

    nominal: Mapping[str, float]
    knots: Mapping[str, FloatArray]
    pieces: int | None = None

    def settings(self) -> list[dict[str, float]]:
        """The values of all nuisances for every filling: one nuisance after the other, the others
        nominal."""
        return [
            {**self.nominal, name: float(value)}
            for name, knots in self.knots.items()
            for value in knots
        ]

    def parted(self, filled: FloatArray) -> list[FloatArray]:
        """Fillings (Σk, …) in the order of `settings`, by nuisance."""
        sizes = [len(knots) for knots in self.knots.values()]
        return np.split(filled, np.cumsum(sizes)[:-1])

    def product(self, filled: FloatArray) -> Product:
        """Positive templates (Σk, n_b) as a function of the nuisances."""
        return Product(*self._splines(np.log(filled)))

    def sum(self, filled: FloatArray) -> Sum:
        """Counts (Σk, n_b) or (Σk, p, n_b) as a function of the nuisances."""
        return Sum(*self._splines(filled))

    def _splines(self, filled: FloatArray) -> tuple[FloatArray, list[Spline]]:
        splines = [
            Spline.of(knots, part, self.pieces)
            for knots, part in zip(self.knots.values(), self.parted(filled), strict=True)
        ]
        number = filled.shape[1] if filled.ndim == 3 else 1
        at_nominal = [spline(np.full(number, self.nominal[name]))[0]
                      for name, spline in zip(self.knots, splines, strict=True)]  # fmt: skip
        return np.stack(at_nominal).reshape(len(splines), *filled.shape[1:]), splines

    @property
    def bounds(self) -> FloatArray:
        """The first and the last value of each nuisance, (d, 2)."""
        return np.array([[knots[0], knots[-1]] for knots in self.knots.values()])
