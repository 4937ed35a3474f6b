"""Closure in slices of another column: bins of z × any feature, truth column or spectator."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibrate.checks import finite_number, positive_integer
from calibrate.errors import ConfigurationError
from calibrate.evaluators.residuals import Residual, binned_mean, effective_events
from calibrate.records import FAILS, MINIMUM_EFFECTIVE, TOO_FEW, SlicedClosure, Table
from calibrate.sample import BoolArray, FloatArray, IntArray, Sample
from calibrate.statistics import (
    Fluctuations,
    Summary,
    bin_index,
    equal_statistics_edges,
    summarise,
)

QUANTITIES = ("mean", "mean_error", "std", "std_error", "iqr", "iqr_error")
"""What is known of u in each cell."""
ABSOLUTE = re.compile(r"abs\((?P<name>.+)\)|\|(?P<between>.+)\|")


@dataclass(frozen=True)
class Slicing:
    """A column, or its absolute value, in slices: of equal effective statistics, or `edges`."""

    column: str
    absolute: bool
    slices: int | tuple[float, ...]

    @property
    def name(self) -> str:
        """`column` or `abs(column)`."""
        return f"abs({self.column})" if self.absolute else self.column

    def values(self, sample: Sample) -> FloatArray:
        """The column (n,); DataError lists near names if there is none."""
        values = sample.column(self.column)
        return np.abs(values) if self.absolute else values

    def unit(self, sample: Sample) -> str:
        """The column's unit; spectators have none."""
        units = {c.name: c.unit for c in (*sample.z_columns, *sample.x_columns)}
        return units.get(self.column, "")

    def edges(self, sample: Sample) -> FloatArray:
        """The edges of the slices (n_s + 1,)."""
        if isinstance(self.slices, tuple):
            return np.array(self.slices)
        values = self.values(sample)
        return equal_statistics_edges(
            values, sample.w, sample.group, self.slices, MINIMUM_EFFECTIVE
        )

    def inside(self, sample: Sample) -> BoolArray:
        """The rows (n,) within all slices."""
        index = bin_index(self.values(sample), edges := self.edges(sample))
        return np.asarray((index >= 0) & (index < edges.size - 1))


@dataclass(frozen=True)
class Cut:
    """A column in slices: their edges, and the column's unit."""

    slicing: Slicing
    edges: FloatArray
    unit: str


@dataclass(frozen=True)
class Sliced(Cut):
    """The slice (n,) of each event of one test sample, shared by all methods."""

    index: IntArray

    @classmethod
    def of(cls, slicing: Slicing, sample: Sample) -> Sliced:
        """Cut a sample into slices."""
        edges = slicing.edges(sample)
        index = bin_index(slicing.values(sample), edges)
        return cls(slicing, edges, slicing.unit(sample), index)


def slicings(option: str, by: object) -> tuple[Slicing, ...]:
    """From a mapping column → edges or number of slices; ConfigurationError names what is wrong.

    `abs(eta)` and `|eta|` are the absolute value of a column `eta`.
    """
    if not isinstance(by, Mapping):
        raise ConfigurationError(
            f"{option} maps a column to edges or to a number of slices, such as "
            f"{{eta: [-2.5,0,2.5]}} or {{eta: 4}}, got {by!r}"
        )
    return tuple(_slicing(option, str(name), value) for name, value in by.items())


def _slicing(option: str, name: str, value: Any) -> Slicing:  # noqa: ANN401 - user input
    found = ABSOLUTE.fullmatch(name.strip())
    column = (found["name"] or found["between"]).strip() if found else name.strip()
    if isinstance(value, str) or not isinstance(value, Iterable):
        positive_integer(f"{option}.{name}", value)
        return Slicing(column, found is not None, int(value))
    edges = list(value)
    for edge in edges:
        finite_number(f"each edge of {option}.{name}", edge)
    if len(edges) < 2 or not np.all(np.diff(edges) > 0):
        raise ConfigurationError(f"{option}.{name}: the edges must rise, got {edges}")
    return Slicing(column, found is not None, tuple(float(edge) for edge in edges))


def sliced_closure(
    method: str,
    residual: Residual,
    sample: Sample,
    sliced: Sliced,
    z_edges: FloatArray,
    tolerance: float,
    fluctuations: Fluctuations,
) -> SlicedClosure:
    """Statistics of u in slices × bins of z, by one index of both."""
    bins, slices = z_edges.size - 1, sliced.edges.size - 1
    z_index = bin_index(residual.z, z_edges)
    inside = (z_index >= 0) & (z_index < bins) & (sliced.index >= 0) & (sliced.index < slices)
    cell, cells = np.where(inside, sliced.index * bins + z_index, -1), slices * bins
    w = sample.w
    found = summarise(residual.u, w, cell, cells, fluctuations, ascending=residual.ascending)
    z_mean = binned_mean(residual.z, w, cell, cells)
    n_effective = effective_events(w, cell, cells, sample.groups)
    about = (method, residual, sliced, z_edges, tolerance)
    return sliced_record(*about, found, z_mean, n_effective)


def sliced_record(
    method: str,
    residual: Residual,
    cut: Cut,
    z_edges: FloatArray,
    tolerance: float,
    found: Summary,
    z_mean: FloatArray,
    n_effective: FloatArray,
) -> SlicedClosure:
    """The record of statistics in cells, bin after bin and slice after slice."""
    shape = cut.edges.size - 1, z_edges.size - 1
    return SlicedClosure(
        **residual.identity(method),
        tolerance=tolerance,
        by=cut.slicing.name,
        by_unit=cut.unit,
        edges=z_edges,
        by_edges=cut.edges,
        z_mean=z_mean.reshape(shape),
        n_effective=n_effective.reshape(shape),
        **{name: getattr(found, name).reshape(shape) for name in QUANTITIES},
    )


def failing_cells(curve: SlicedClosure) -> str | None:
    """How many cells fail of those with enough events, as a warning; None if all close."""
    states = [state for row in curve.states for state in row if state != TOO_FEW]
    failing = states.count(FAILS)
    if not failing:
        return None
    bins = f"bins of {curve.z_name} × {curve.by}"
    verb = "fails" if failing == 1 else "fail"
    return f"{curve.method}: {failing} of {len(states)} {bins} {verb} on {curve.test}"


def sliced_table(curve: SlicedClosure) -> Table:
    """One row per slice and bin that holds events, with its state."""
    u = "" if curve.relative else curve.z_unit
    columns = ("by_low", "by_high", "z_low", "z_high", "n_effective", *QUANTITIES, "state")
    by, z = curve.by_unit, curve.z_unit
    units = (by, by, z, z, "", *[u] * len(QUANTITIES), "")
    return Table(columns, units, tuple(_rows(curve)))


def _rows(curve: SlicedClosure) -> Iterator[tuple[str | float | None, ...]]:
    arrays = [getattr(curve, name) for name in ("n_effective", *QUANTITIES)]
    for s, b in zip(*np.nonzero(curve.n_effective > 0), strict=True):
        bounds = (*curve.by_edges[s : s + 2], *curve.edges[b : b + 2])
        values = (*bounds, *(array[s, b] for array in arrays))
        yield (*(float(v) if np.isfinite(v) else None for v in values), curve.states[s][b])
