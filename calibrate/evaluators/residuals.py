"""What every evaluator of a regression looks at: ẑ and Σ beside z, one truth column at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from calibrate.estimate import Calibration, Estimate
from calibrate.sample import BoolArray, Column, FloatArray, Sample


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

    @property
    def u(self) -> FloatArray:
        """Response or difference."""
        return self.estimate / self.z if self.column.positive else self.estimate - self.z

    @property
    def reference(self) -> float:
        """u of a perfect calibration."""
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
            yield method, _residual(label, column, component, sample, estimate)


def _residual(
    label: str, column: Column, component: int, sample: Sample, estimate: Estimate
) -> Residual:
    sigma = None if estimate.sigma is None else np.asarray(estimate.sigma[:, component])
    z, guess = sample.z[:, component], estimate.z[:, component]
    return Residual(label, column, component, z, guess, sigma, estimate.inside)
