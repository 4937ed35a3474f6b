"""Results: numbers with errors, tables, and the records that figures are drawn from.

A record holds everything a figure needs and nothing of how it looks. Arrays are float64, `n_b`
is the number of bins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

from calibrate.records.closure import (
    CANNOT_TELL,
    CLOSES,
    FAILED,
    FAILS,
    FITTED,
    MINIMUM_EFFECTIVE,
    POOR,
    TOO_FEW,
    ClosureCurve,
    Deviation,
    ResolutionFit,
    SlicedClosure,
    bin_state,
    fit_state,
)
from calibrate.records.prior import DEPENDENT, UNIVERSAL, PriorApplication, PriorSensitivity
from calibrate.records.transport import (
    TransportApplication,
    TransportCurve,
    TransportHistogram,
    TwoSample,
)
from calibrate.sample import FloatArray

__all__ = [
    "CANNOT_TELL",
    "CLOSES",
    "DEPENDENT",
    "FAILED",
    "FAILS",
    "FITTED",
    "MINIMUM_EFFECTIVE",
    "POOR",
    "RECORDS",
    "TOO_FEW",
    "UNIVERSAL",
    "CalibrationCurve",
    "Cell",
    "ClosureCurve",
    "Deviation",
    "Findings",
    "FitSummary",
    "JointHistogram",
    "Outcome",
    "PriorApplication",
    "PriorSensitivity",
    "PullHistogram",
    "Quantity",
    "Record",
    "ResolutionFit",
    "ResponseHistogram",
    "SlicedClosure",
    "SpectrumHistogram",
    "Table",
    "TailHistogram",
    "TrainingCurve",
    "TransportApplication",
    "TransportCurve",
    "TransportHistogram",
    "TwoSample",
    "bin_state",
    "fit_state",
]

Cell = str | int | float | None


@dataclass(frozen=True)
class Quantity:
    """A number, its statistical error (None where there is none) and its unit; or a verdict in
    words."""

    value: float | str
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
class ResponseHistogram(Deviation):
    """Density of u over one test sample with its statistical error, arrays (n_b,); the
    fractions of weight below and above the shown range.

    The Gaussian core of the whole sample: `mode` and width `fit`, from the window `fit_low` …
    `fit_high` that holds the fraction `fit_inside` of the weight, with its χ²; NaN where there
    is none.
    """

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
    n_effective: float = math.nan
    mode: float = math.nan
    mode_error: float = math.nan
    fit: float = math.nan
    fit_low: float = math.nan
    fit_high: float = math.nan
    fit_inside: float = math.nan
    fit_chi2: float = math.nan
    fit_ndf: float = math.nan
    fit_probability: float = math.nan

    @property
    def fit_state(self) -> str:
        """How the fit of the core went; empty in records of versions without it."""
        if math.isnan(self.n_effective):
            return ""
        return fit_state(self.n_effective, self.mode, self.fit_probability)


@dataclass(frozen=True)
class TailHistogram(Deviation):
    """Density of u out to the last of its tails, with its error, arrays (n_b,); the fractions of
    weight more than `reach` half 16-84 % intervals below and above the median, with errors."""

    method: str
    test: str
    z_name: str
    z_unit: str
    relative: bool
    edges: FloatArray
    density: FloatArray
    density_error: FloatArray
    reach: float
    below: float
    below_error: float
    above: float
    above_error: float


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
    | SlicedClosure
    | ResolutionFit
    | ResponseHistogram
    | PullHistogram
    | TailHistogram
    | CalibrationCurve
    | JointHistogram
    | SpectrumHistogram
    | PriorApplication
    | PriorSensitivity
    | TrainingCurve
    | TransportHistogram
    | TransportApplication
    | TransportCurve
    | TwoSample
)

RECORDS: Mapping[str, type] = {kind.__name__: kind for kind in get_args(Record)}


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
