"""Results: numbers with errors, tables, and the records that figures are drawn from.

A record holds everything a figure needs and nothing of how it looks. Arrays are float64, `n_b`
is the number of bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from calibrate.sample import FloatArray

MINIMUM_EFFECTIVE = 200
"""Effective events below which a bin does not enter a verdict."""

CLOSES, FAILS, CANNOT_TELL = "closes", "fails", "cannot tell"
TOO_FEW = "too few events"

Cell = str | int | float | None


@dataclass(frozen=True)
class Quantity:
    """A number, its statistical error (None where there is none) and its unit."""

    value: float
    error: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Table:
    """Named columns with units, and rows of cells."""

    columns: tuple[str, ...]
    units: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class TrainingCurve:
    """The loss (steps,) that a fit minimised; `restarts` (k,) are the steps it began anew at."""

    method: str
    loss: FloatArray
    loss_name: str
    restarts: FloatArray = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class FitSummary:
    """How a fit went. `loss` and `mutual_information` [nat] are None where undefined."""

    seconds: float = 0.0
    steps: int = 0
    loss: float | None = None
    restarts: int = 0
    mutual_information: float | None = None
    curve: TrainingCurve | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClosureCurve:
    """Location and spread of u in bins of z over one test sample, arrays (n_b,).

    u = ẑ/z with reference 1 if `relative`, else u = ẑ - z with reference 0. `sigma` is the
    root mean square of the quoted Σ(x) (over z if relative), NaN if none is quoted. `bias` and
    `resolution` are the closed-form bias ⟨u⟩ - reference and std of u, NaN where unknown.
    """

    method: str
    test: str
    z_name: str
    z_unit: str
    relative: bool
    tolerance: float
    edges: FloatArray
    z_mean: FloatArray
    n_effective: FloatArray
    mean: FloatArray
    mean_error: FloatArray
    median: FloatArray
    median_error: FloatArray
    std: FloatArray
    std_error: FloatArray
    iqr: FloatArray
    iqr_error: FloatArray
    sigma: FloatArray
    sigma_error: FloatArray
    exact_bias: FloatArray
    exact_resolution: FloatArray

    @property
    def reference(self) -> float:
        """The value of u of a perfect calibration."""
        return 1.0 if self.relative else 0.0

    @property
    def states(self) -> tuple[str, ...]:
        """Per bin, with b = mean - reference: `fails` if |b| - 2 error > tolerance, else `cannot
        tell` if 2 error > tolerance, else `closes`; `too few events` below the minimum."""
        return tuple(map(self._state, self.n_effective, self.mean, self.mean_error))

    def _state(self, n_effective: float, mean: float, error: float) -> str:
        if not (n_effective >= MINIMUM_EFFECTIVE and np.isfinite(mean) and np.isfinite(error)):
            return TOO_FEW
        if abs(mean - self.reference) - 2 * error > self.tolerance:
            return FAILS
        return CANNOT_TELL if 2 * error > self.tolerance else CLOSES


@dataclass(frozen=True)
class ResponseHistogram:
    """Density of u over one test sample with its statistical error, arrays (n_b,); the
    fractions of weight below and above the shown range."""

    method: str
    test: str
    z_name: str
    z_unit: str
    relative: bool
    edges: FloatArray
    density: FloatArray
    density_error: FloatArray
    underflow: float
    overflow: float
    mean: float
    mean_error: float
    iqr: float


@dataclass(frozen=True)
class PullHistogram:
    """Density of the pull (ẑ-z)/Σ(x) over one test sample with its error, arrays (n_b,)."""

    method: str
    test: str
    edges: FloatArray
    density: FloatArray
    density_error: FloatArray
    underflow: float
    overflow: float
    mean: float
    width: float


@dataclass(frozen=True)
class CalibrationCurve:
    """ẑ(x) ± Σ(x) on a grid of x (n_b,), and the closed form where known (NaN elsewhere)."""

    method: str
    x_name: str
    x_unit: str
    z_name: str
    z_unit: str
    x: FloatArray
    estimate: FloatArray
    sigma: FloatArray
    exact_estimate: FloatArray
    exact_sigma: FloatArray


@dataclass(frozen=True)
class JointHistogram:
    """Weighted events of the training sample in bins of x and z: counts (n_x, n_z)."""

    x_name: str
    x_unit: str
    z_name: str
    z_unit: str
    x_edges: FloatArray
    z_edges: FloatArray
    counts: FloatArray


@dataclass(frozen=True)
class SpectrumHistogram:
    """Density of one quantity of one sample (truth or detector level), normalised to one."""

    sample: str
    level: str
    name: str
    unit: str
    edges: FloatArray
    density: FloatArray
    density_error: FloatArray
    underflow: float
    overflow: float


Record = (
    ClosureCurve
    | ResponseHistogram
    | PullHistogram
    | CalibrationCurve
    | JointHistogram
    | SpectrumHistogram
    | TrainingCurve
)

RECORDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        ClosureCurve,
        ResponseHistogram,
        PullHistogram,
        CalibrationCurve,
        JointHistogram,
        SpectrumHistogram,
        TrainingCurve,
    )
}


@dataclass(frozen=True)
class Findings:
    """What an evaluator found: scalars and tables by method and name, records, warnings."""

    scalars: Mapping[str, Mapping[str, Quantity]] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Table]] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """All that a study leaves, ready to be written: the report is drawn from it alone.

    `methods` are the labels, the studied method first, those compared with after it; `metrics`
    and `tables` are by label, then by name. `run` is the `run` block of `report.json`.
    """

    methods: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, Quantity]]
    tables: Mapping[str, Mapping[str, Table]]
    records: tuple[Record, ...]
    summaries: Mapping[str, FitSummary]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    run: Mapping[str, Any]
    configuration: str
