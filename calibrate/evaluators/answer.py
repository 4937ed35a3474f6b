"""What one view of closure contributes to the findings, be its events at hand or in parts."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol

from calibrate.evaluators.residuals import Residual
from calibrate.evaluators.resolution import resolution_fit, term_scalars
from calibrate.evaluators.slices import failing_cells
from calibrate.records import ClosureCurve, Quantity, Record, ResolutionFit, SlicedClosure
from calibrate.sample import FloatArray
from calibrate.statistics import Goodness, Summary

Scalars = dict[str, Quantity]


@dataclass(frozen=True)
class Binning:
    """Edges in z and in u of one truth column of one test sample, edges out to the tails of u if
    it has any, and the bias to tolerate."""

    z_edges: FloatArray
    u_edges: FloatArray
    tail_edges: FloatArray | None
    tolerance: float


class Answer(NamedTuple):
    """What one view contributes to the findings."""

    curve: ClosureCurve
    sliced: list[SlicedClosure]
    resolution: ResolutionFit | None
    scalars: Scalars
    histograms: list[Record]
    warnings: list[str]

    @classmethod
    def of(cls, view: Viewed, curve: ClosureCurve, sliced: list[SlicedClosure]) -> Answer:
        """Everything that a view contributes, given its curves."""
        fit, reason = resolution_fit(curve) if view.nsc else (None, None)
        scalars = view.scalars(curve) | (term_scalars(fit) if fit else {})
        warnings = [*view.warnings(curve), reason, *map(failing_cells, sliced)]
        told = [text for text in warnings if text]
        return cls(curve, sliced, fit, scalars, view.histograms(), told)


class Viewed(Protocol):
    """What is asked of a view besides its curves, be its events at hand or in parts."""

    @property
    def nsc(self) -> bool: ...

    def scalars(self, curve: ClosureCurve) -> Scalars: ...

    def warnings(self, curve: ClosureCurve) -> list[str]: ...

    def histograms(self) -> list[Record]: ...


def curve_record(
    method: str,
    residual: Residual,
    binning: Binning,
    found: Summary,
    core: Goodness,
    **binned: FloatArray,
) -> ClosureCurve:
    """The record of statistics in bins of z; `binned` are those that are not of u alone."""
    given = {**residual.identity(method), **binned}
    return ClosureCurve(
        **given,
        tolerance=binning.tolerance,
        edges=binning.z_edges,
        **{each.name: getattr(found, each.name) for each in fields(found)},
        fit_low=core.low,
        fit_high=core.high,
        fit_chi2=core.chi2,
        fit_ndf=core.ndf,
        fit_probability=core.probability,
    )
