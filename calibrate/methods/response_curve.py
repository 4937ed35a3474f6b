"""The central value of x given z as a curve, and its inverse.

g(z) = z·R(z) where z is positive by nature, else z + R(z): R, the central response (or
difference), varies slowly, so that neither the width of a bin nor the spectrum in it matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.interpolate
import scipy.stats

from calibrate.errors import FitError
from calibrate.sample import BoolArray, FloatArray
from calibrate.statistics import polygon

GRID = 4096
STIFFNESS = 10.0 ** np.arange(10.0, -8.0, -0.25)
"""Smoothing parameters, from a straight line to all but an interpolation."""
GOOD, ACCEPTABLE = 0.3, 1e-3
"""p-values of χ²: of the spline that is wanted, and of the stiffest one that will do."""


@dataclass(frozen=True)
class Points:
    """R (k,) with its error at t(z) (k,), t = log z if `relative` else z, and the width of x/z
    or x - z there."""

    t: FloatArray
    response: FloatArray
    error: FloatArray
    width: FloatArray
    relative: bool


@dataclass(frozen=True)
class ResponseCurve:
    """g (m,) on a grid of rising z (m,), and the spread of x at each z (m,)."""

    z: FloatArray
    g: FloatArray
    spread: FloatArray

    @property
    def resolution(self) -> FloatArray:
        """Σ (m,) = spread of x over g'(z), in units of z."""
        return np.asarray(self.spread / np.gradient(self.g, self.z))

    def inverse(self, x: FloatArray) -> FloatArray:
        """The z (n,) at which g = x (n,), the curve going on straight beyond its ends."""
        return polygon(x, self.g, self.z)

    def covers(self, x: FloatArray) -> BoolArray:
        """Which x (n,) lie between the ends of g."""
        return np.asarray((x >= self.g[0]) & (x <= self.g[-1]))

    def state(self) -> dict[str, Any]:
        """The arrays from which `ResponseCurve(**state)` rebuilds the object."""
        return {"z": self.z, "g": self.g, "spread": self.spread}


def smoothing_spline(points: Points, low: float, high: float) -> tuple[ResponseCurve, str]:
    """g between z = low and high from the stiffest natural cubic smoothing spline of R that
    describes the points (p-value of χ² at least 0.3), and a note.

    Where that folds, a stiffer one that still describes them (0.001) and rises. Raises FitError
    if there is none: then the response itself folds.
    """
    rising: ResponseCurve | None = None
    for smoothing in STIFFNESS:
        spline = _spline(points, smoothing)
        chi2 = float(np.sum(((spline(points.t) - points.response) / points.error) ** 2))
        quality = float(scipy.stats.chi2.sf(chi2, points.t.size - 2))
        curve = _curve(points, spline, low, high)
        rises = bool(np.all(np.diff(curve.g) > 0))
        if rises and quality >= ACCEPTABLE:
            rising = curve
        if quality >= GOOD:
            break
    if rising is None:
        raise FitError(fold(curve))
    return rising, "" if rises else "smoothed further than χ² asks, until it rises everywhere"


def polynomial(points: Points, degree: int, low: float, high: float) -> ResponseCurve:
    """g from the weighted least-squares polynomial of R in log z (or z).

    Raises FitError if g folds.
    """
    fitted = np.polynomial.Polynomial.fit(
        points.t, points.response, min(degree, points.t.size - 1), w=1 / points.error
    )
    curve = _curve(points, fitted, low, high)
    if not np.all(np.diff(curve.g) > 0):
        raise FitError(fold(curve))
    return curve


def fold(curve: ResponseCurve) -> str:
    """Where a curve does not rise, in words."""
    falling = np.flatnonzero(np.diff(curve.g) <= 0)
    low, high = curve.z[falling[0]], curve.z[falling[-1] + 1]
    return (
        f"the central value of x does not rise with z between z = {low:.4g} and {high:.4g}: it "
        "cannot be inverted there; select a range in which it rises, or use a stiffer shape"
    )


def _spline(points: Points, smoothing: float) -> Any:  # noqa: ANN401 - a SciPy spline
    scale = points.t[-1] - points.t[0]
    return _Scaled(
        scipy.interpolate.make_smoothing_spline(
            (points.t - points.t[0]) / scale, points.response, 1 / points.error**2, smoothing
        ),
        float(points.t[0]),
        float(scale),
    )


@dataclass(frozen=True)
class _Scaled:
    """A spline on [0, 1]; straight beyond."""

    spline: Any
    start: float
    scale: float

    def __call__(self, t: FloatArray) -> FloatArray:
        s = (t - self.start) / self.scale
        inside = np.clip(s, 0.0, 1.0)
        slope = self.spline.derivative()(inside)
        return np.asarray(self.spline(inside) + slope * (s - inside))


def _curve(points: Points, response: Any, low: float, high: float) -> ResponseCurve:  # noqa: ANN401
    z = np.geomspace(low, high, GRID) if points.relative else np.linspace(low, high, GRID)
    t = np.log(z) if points.relative else z
    width = np.interp(t, points.t, points.width)
    if points.relative:
        return ResponseCurve(z, z * response(t), z * width)
    return ResponseCurve(z, z + response(t), width)
