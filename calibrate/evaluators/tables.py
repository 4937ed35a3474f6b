"""Records as tables: the bins of closure, all bins that fail, and what is quoted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from calibrate.records import (
    FAILS,
    Cell,
    ClosureCurve,
    CoverageCurve,
    ErrorBudget,
    SlicedClosure,
    Table,
)


def closure_table(curve: ClosureCurve) -> Table:
    """A closure curve as a table, one row per bin, with the states of its mean and of its fit."""
    u = "" if curve.relative else curve.z_unit
    quantities = ("mean", "median", "std", "iqr", "sigma", "mode")
    columns = ["z_low", "z_high", "n_effective"]
    columns += [name for q in quantities for name in (q, f"{q}_error")]
    columns += ["calibration_error", "fit_low", "fit_high"]
    arrays = [curve.edges[:-1], curve.edges[1:]]
    arrays += [np.asarray(getattr(curve, name)) for name in columns[2:]]
    arrays.append(curve.fit_chi2 / np.maximum(curve.fit_ndf, 1.0))
    states = zip(curve.fit_states, curve.states, strict=True)
    rows = [
        (*map(_cell, row), *state)
        for row, state in zip(zip(*arrays, strict=True), states, strict=True)
    ]
    units = (curve.z_unit, curve.z_unit, "", *[u] * (len(columns) - 3), "", "", "")
    return Table((*columns, "fit_chi2_per_ndf", "fit_state", "state"), units, tuple(rows))


def failing_table(
    curves: Sequence[ClosureCurve], sliced: Sequence[SlicedClosure] = ()
) -> Table | None:
    """All bins and cells of one method that fail; None if there are none.

    `by` is empty where a bin is not cut into slices. Units are those of the first truth, and
    empty where truths differ in theirs.
    """
    rows = [row for curve in curves for row in _failing_bins(curve)]
    rows += [row for curve in sliced for row in _failing_cells(curve)]
    if not rows:
        return None
    z_units = {curve.z_unit for curve in curves}
    u_units = {"" if curve.relative else curve.z_unit for curve in curves}
    z, u = (found.pop() if len(found) == 1 else "" for found in (z_units, u_units))
    columns = ("test", "z_low", "z_high", "by", "by_low", "by_high")
    quantities = ("n_effective", "bias", "bias_error", "tolerance", "state")
    units = ("", z, z, "", "", "", "", u, u, u, "")
    return Table((*columns, *quantities), units, tuple(rows))


def _failing_bins(curve: ClosureCurve) -> Iterator[tuple[Cell, ...]]:
    for b, state in enumerate(curve.states):
        if state == FAILS:
            low, high = map(float, curve.edges[b : b + 2])
            yield (curve.test, low, high, None, None, None, *_judged(curve, b))


def _failing_cells(curve: SlicedClosure) -> Iterator[tuple[Cell, ...]]:
    for s, states in enumerate(curve.states):
        for b, state in enumerate(states):
            if state == FAILS:
                low, high = map(float, curve.edges[b : b + 2])
                by_low, by_high = map(float, curve.by_edges[s : s + 2])
                slice_ = (curve.by, by_low, by_high)
                yield (curve.test, low, high, *slice_, *_judged(curve, (s, b)))


def _judged(curve: ClosureCurve | SlicedClosure, at: int | tuple[int, int]) -> tuple[Cell, ...]:
    bias, error = float(curve.mean[at]) - curve.reference, float(curve.mean_error[at])
    return float(curve.n_effective[at]), bias, error, curve.tolerance, FAILS


def budget_table(budget: ErrorBudget) -> Table:
    """An error budget as a table, one row per bin; parts that are not known are left out."""
    fields = {"stochastic": "sigma_stoch", "predictive": "sigma_pred", "total": "sigma_tot",
              "rmse": "rmse"}  # fmt: skip
    known = [name for name in fields if np.isfinite(getattr(budget, name)).any()]
    columns = ["z_low", "z_high", "n_effective"]
    columns += [text for name in known for text in (fields[name], f"{fields[name]}_error")]
    arrays = [budget.edges[:-1], budget.edges[1:], budget.n_effective]
    arrays += [getattr(budget, text) for name in known for text in (name, f"{name}_error")]
    unit = budget.z_unit
    rows = tuple(tuple(map(_cell, row)) for row in zip(*arrays, strict=True))
    return Table(tuple(columns), (unit, unit, "", *[unit] * 2 * len(known)), rows)


def coverage_table(curves: Sequence[CoverageCurve]) -> Table:
    """Coverage at the levels 0.1, 0.2 … as a table, with the error of an exact one; of one method
    and test, central intervals first, those of highest density behind."""
    first = curves[0]
    shown = [int(np.argmin(np.abs(first.level - level))) for level in np.arange(0.1, 0.95, 0.1)]
    columns, arrays = ["level"], [first.level]
    for name, curve in zip(("coverage", "coverage_hpd"), curves, strict=False):
        columns += [name, f"{name}_error"]
        arrays += [curve.coverage, curve.coverage_error]
    columns, arrays = [*columns, "binomial"], [*arrays, first.band]
    rows = tuple(tuple(float(array[i]) for array in arrays) for i in shown)
    return Table(tuple(columns), ("",) * len(columns), rows)


def _cell(value: float) -> Cell:
    return float(value) if np.isfinite(value) else None
