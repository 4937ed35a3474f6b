"""Bias slope, pulls and coverage as functions of weighted means, which add up over parts.

To first order a function T of the weights moves by the sum over groups of what their rows add to
it, so that error² = Σ_g (Σ_{i in g} w_i ψ_i)²/(Σw)² (the infinitesimal jackknife, Efron 1982). ψ is
v - ⟨v⟩ of a mean, ((v - ⟨v⟩)² - σ²)/2σ of a standard deviation, and x (y - s x)/⟨x²⟩ of the slope s
of y against x, both counted from their means.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from calibrate.evaluators.parts import Part
from calibrate.evaluators.pile import Pile, one_bin
from calibrate.evaluators.residuals import Residual
from calibrate.evaluators.view import COVERAGE_LEVELS
from calibrate.records import Quantity
from calibrate.sample import FloatArray
from calibrate.statistics import grouped_squares

QUOTED = ("mean_sigma", "pull_mean", "pull_width", *COVERAGE_LEVELS)


def difference_scalars(
    pile: Pile, residual: Callable[[Part], Residual], first: Residual, centre: float
) -> dict[str, Quantity]:
    """The metrics of the residuals of all parts, of which `first` is one; z is counted from
    `centre`."""

    def columns(part: Part) -> FloatArray:
        return _columns(residual(part), centre)

    def sums(part: Part) -> FloatArray:
        w = part.sample.w
        return np.append(np.sum(w), w @ columns(part))

    total, *weighted = pile.total(sums)
    means = np.array(weighted) / total

    def squares(part: Part) -> FloatArray:
        influence, index = _influences(columns(part), means), one_bin(part)
        w, groups = part.sample.w, part.sample.groups
        return np.array([grouped_squares(w * psi, index, 1, groups)[0] for psi in influence])

    errors = np.sqrt(pile.total(squares)) / total
    names = ["closure/{}/bias_slope", *(f"point_resolution/{{}}/{name}" for name in QUOTED)]
    units = ["", first.column.unit, *[""] * len(QUOTED)]
    found = zip(names, _values(means), errors, units, strict=False)
    return {
        name.format(first.label): Quantity(float(value), float(error), unit)
        for name, value, error, unit in found
    }


def _columns(r: Residual, centre: float) -> FloatArray:
    """What all are functions of the means of, (n, 4), or (n, 9) where Σ is quoted."""
    d, z = r.estimate - r.z, r.z - centre
    columns = [d, z, d * z, z * z]
    if r.sigma is not None:
        pull = d / r.sigma
        columns += [r.sigma, pull, pull**2]
        columns += [(np.abs(pull) <= c).astype(np.float64) for c in COVERAGE_LEVELS.values()]
    return np.column_stack(columns)


def _values(means: FloatArray) -> list[float]:
    """The slope, and where Σ is quoted: its mean, mean and width of the pulls, the coverages."""
    d, z, dz, zz, *quoted = means
    slope = (dz - d * z) / (zz - z**2)
    if not quoted:
        return [slope]
    sigma, pull, square, *covered = quoted
    return [slope, sigma, pull, float(np.sqrt(max(square - pull**2, 0.0))), *covered]


def _influences(columns: FloatArray, means: FloatArray) -> list[FloatArray]:
    """ψ (n,) of each of the values, from the columns (n, k)."""
    slope, *quoted = _values(means)
    y, x = columns[:, 0] - means[0], columns[:, 1] - means[1]
    found = [x * (y - slope * x) / (means[3] - means[1] ** 2)]
    if quoted:
        width, centred = quoted[2], columns[:, 4:] - means[4:]
        wide = (centred[:, 1] ** 2 - width**2) / (2 * width) if width else np.zeros(len(x))
        found += [centred[:, 0], centred[:, 1], wide, *centred[:, 3:].T]
    return found
