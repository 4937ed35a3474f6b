"""What every evaluator of a regression looks at: ẑ and Σ beside z, one truth column at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from calibrate.estimate import Calibration, Estimate
from calibrate.mixture import GaussianMixture
from calibrate.sample import BoolArray, Column, FloatArray, Groups, IntArray, Sample
from calibrate.statistics import binned_sum, grouped_squares


@dataclass(frozen=True)
class Residual:
    """One truth column of one test sample under one calibration, arrays (n,).

    u = ẑ/z (reference 1) where z is positive by nature, else ẑ - z (reference 0).
    """

    label: str
    column: Column
    component: int
    z: FloatArray
    estimate: FloatArray
    sigma: FloatArray | None
    inside: BoolArray
    statistical: FloatArray | None = None
    stochastic: FloatArray | None = None
    mixture: GaussianMixture | None = None

    @cached_property
    def u(self) -> FloatArray:
        """Response or difference."""
        return self.estimate / self.z if self.column.positive else self.estimate - self.z

    @cached_property
    def ascending(self) -> IntArray:
        """The rows in the order of u."""
        return np.argsort(self.u)

    def identity(self, method: str) -> dict[str, Any]:
        """What records say they are of: the method, the test sample and the truth column."""
        column = self.column
        return {"method": method, "test": self.label, "z_name": column.name,
                "z_unit": column.unit, "relative": column.positive}  # fmt: skip

    @property
    def reference(self) -> float:
        """u of an estimate without error."""
        return 1.0 if self.column.positive else 0.0

    @property
    def unit(self) -> str:
        """The unit of u."""
        return "" if self.column.positive else self.column.unit


def residuals(
    fits: Mapping[str, Calibration], test: str, sample: Sample
) -> Iterator[tuple[str, Residual]]:
    """Method label and residual, for every truth column; the label is the test's name, with the
    column's where there are several."""
    estimates = {method: fit.estimate(fit.domain.features(sample)) for method, fit in fits.items()}
    several = len(sample.z_columns) > 1
    for component, column in enumerate(sample.z_columns):
        label = f"{test}.{column.name}" if several else test
        for method, estimate in estimates.items():
            yield method, residual_of(label, column, component, sample, estimate)


def residual_of(
    label: str, column: Column, component: int, sample: Sample, estimate: Estimate
) -> Residual:
    """One truth column of a sample beside its estimate."""
    parts = (estimate.sigma, estimate.statistical, estimate.stochastic)
    sigma, statistical, stochastic = (
        None if part is None else np.asarray(part[:, component]) for part in parts
    )
    return Residual(
        label,
        column,
        component,
        sample.z[:, component],
        estimate.z[:, component],
        sigma,
        estimate.inside,
        statistical,
        stochastic,
        estimate.mixture,
    )


def binned_mean(values: FloatArray, w: FloatArray, index: IntArray, bins: int) -> FloatArray:
    """Weighted mean of values (n,) in the bins that `index` (n,) names, (n_b,); NaN if empty."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(binned_sum(w * values, index, bins) / binned_sum(w, index, bins))


def effective_events(w: FloatArray, index: IntArray, bins: int, groups: Groups) -> FloatArray:
    """(ΣW)²/ΣW² in the bins that `index` (n,) names, (n_b,), W the weight of a group in a bin."""
    w = w / np.max(np.abs(w))
    squares = grouped_squares(w, index, bins, groups)
    return np.asarray(binned_sum(w, index, bins) ** 2 / np.where(squares > 0, squares, 1.0))
