"""Runs as the outcome of one study, whose methods are the runs' labels: what the figures and the
tables of a report are made from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from calibrate.figures.style import UNCALIBRATED
from calibrate.records import (
    JointHistogram,
    Outcome,
    Quantity,
    Record,
    SlicedClosure,
    SpectrumHistogram,
    TrainingCurve,
)
from calibrate.report.comparison.runs import Run

OF_ONE_RUN = (SlicedClosure, TrainingCurve, JointHistogram, SpectrumHistogram)
"""Records whose figures show one method, or none: they stand in the run's own report."""
AGREES = 1e-9


def joined(runs: Mapping[str, Run]) -> Outcome:
    """The studied methods of all runs under their labels, in their order; and the uncalibrated
    response once, if it is in every run with the same numbers."""
    baseline = _baseline(runs.values()) if UNCALIBRATED not in runs else None
    shown: dict[str, tuple[str, Outcome]] = {
        label: (run.method, run.outcome) for label, run in runs.items()
    }
    if baseline is not None:
        shown[UNCALIBRATED] = (UNCALIBRATED, baseline)
    first = next(iter(runs.values())).outcome
    return Outcome(
        methods=tuple(shown),
        metrics={label: outcome.metrics[method] for label, (method, outcome) in shown.items()},
        tables={label: outcome.tables[method] for label, (method, outcome) in shown.items()},
        records=tuple(
            record
            for label, (method, outcome) in shown.items()
            for record in _records(label, method, outcome)
        ),
        summaries={label: outcome.summaries[method] for label, (method, outcome) in shown.items()},
        notes=(),
        warnings=(),
        run=first.run,
        configuration=first.configuration,
    )


def _records(label: str, method: str, outcome: Outcome) -> Iterable[Record]:
    for record in outcome.records:
        if not isinstance(record, OF_ONE_RUN) and record.method == method:
            yield replace(record, method=label)


def _baseline(runs: Iterable[Run]) -> Outcome | None:
    """The first outcome, if all hold the uncalibrated response with the same values."""
    outcomes = [run.outcome for run in runs]
    if not all(UNCALIBRATED in outcome.metrics for outcome in outcomes):
        return None
    first, *others = (outcome.metrics[UNCALIBRATED] for outcome in outcomes)
    return outcomes[0] if all(_equal(first, other) for other in others) else None


def _equal(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> bool:
    """Whether all metrics that both have agree; there must be some."""
    common = one.keys() & other.keys()
    return bool(common) and all(_close(one[name].value, other[name].value) for name in common)


def _close(one: Any, other: Any) -> bool:  # noqa: ANN401 - a number, or a verdict in words
    if isinstance(one, str) or isinstance(other, str):
        return bool(one == other)
    return math.isclose(one, other, rel_tol=AGREES)
