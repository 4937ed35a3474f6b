"""Results: numbers with errors, tables, and the records that figures are drawn from.

A record holds everything a figure needs and nothing of how it looks. Arrays are float64, `n_b`
is the number of bins.
"""

from __future__ import annotations

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
from calibrate.records.distributions import (
    CalibrationCurve,
    JointHistogram,
    PullHistogram,
    ResponseHistogram,
    SpectrumHistogram,
    TailHistogram,
)
from calibrate.records.likelihood import (
    LikelihoodMap,
    ProfileCurve,
    Repetitions,
    TemplateCurve,
    WorkspaceFile,
)
from calibrate.records.prior import DEPENDENT, UNIVERSAL, PriorApplication, PriorSensitivity
from calibrate.records.score import DecisionMap, SeparationCurve
from calibrate.records.transport import (
    SpectrumShift,
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
    "DecisionMap",
    "Deviation",
    "Findings",
    "FitSummary",
    "JointHistogram",
    "LikelihoodMap",
    "Outcome",
    "PriorApplication",
    "PriorSensitivity",
    "ProfileCurve",
    "PullHistogram",
    "Quantity",
    "Record",
    "Repetitions",
    "ResolutionFit",
    "ResponseHistogram",
    "SeparationCurve",
    "SlicedClosure",
    "SpectrumHistogram",
    "SpectrumShift",
    "Table",
    "TailHistogram",
    "TemplateCurve",
    "TrainingCurve",
    "TransportApplication",
    "TransportCurve",
    "TransportHistogram",
    "TwoSample",
    "WorkspaceFile",
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
    """How a fit went. `loss` and `mutual_information` [nat] are None where undefined; `assumption`
    is what the result stands and falls with, in one sentence, where there is such a thing."""

    seconds: float = 0.0
    steps: int = 0
    loss: float | None = None
    restarts: int = 0
    mutual_information: float | None = None
    curve: TrainingCurve | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    assumption: str = ""


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
    | SpectrumShift
    | LikelihoodMap
    | ProfileCurve
    | TemplateCurve
    | Repetitions
    | WorkspaceFile
    | SeparationCurve
    | DecisionMap
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
