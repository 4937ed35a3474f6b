"""Response transport: carry the response of the simulation to that of data, not its spectrum.

In simulation z is known. With the residual r = x - z (x/z - 1 where z is positive by nature),
    x' = z + o + s·φ(r)        (z·(1 + o + s·φ(r))),
with a constant offset o, a scale s and one rising shape φ that hold at all z (see `response_map`).
They belong to the two detectors and not to p(z), so one map serves any spectrum. p_data(x|z) is not
observed: an anchor must say what fixes it (see `anchors`).

One marginal fixes few parameters, even with p(z) known. For Gaussian z and response only σ² + ε² is
seen: if the truth is s = 2, o = 0 at σ = ε = 1, so are s = 1, o = z and s = 1.5, o = 0.658 z, which
give means of 4.0 and 3.3 instead of 2.0 at a prior mean of 2. So o and s depend on z only with
several control regions of different spectra, or with `balance`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from calibrate.checks import choice, count, positive_integer, positive_number, texts
from calibrate.context import Context
from calibrate.errors import ConfigurationError, MisfitError
from calibrate.methods.anchors import (
    ANCHORS,
    BALANCE,
    SPECTRUM,
    Comparison,
    comparisons,
    regions,
)
from calibrate.methods.response_fit import Model, Solution, solve, solve_again
from calibrate.methods.response_map import ResponseMap
from calibrate.methods.spectrum_variations import varied
from calibrate.records import FitSummary
from calibrate.sample import concatenate
from calibrate.task import TransportTask

ASSUMPTIONS = {
    SPECTRUM: "p(z) of the simulation describes data in the training sample",
    BALANCE: "the simulation's truth describes how two objects of one event balance",
}


@dataclass(frozen=True)
class ResponseTransport:
    """Offset, scale and shape of the response under a named `anchor`: spectrum, balance, or both.

    `pieces`: straight pieces of φ, 1 for a scale, 3 for a core and two tails. `z_dependence`:
    degree of polynomials in log z (z) of offset and log scale. `spectrum_variation`: the spectrum
    of the simulation is tilted by a factor e^±t per standard deviation of log z (z), the map is
    fitted again and the shift is quoted; 0 for none.
    Raises ConfigurationError for values out of range.
    """

    anchor: str | Iterable[str] | None = None
    pieces: int = 1
    z_dependence: int = 0
    spectrum_variation: float = 0.05
    tasks: ClassVar[tuple[str, ...]] = ("transport",)

    def __post_init__(self) -> None:
        positive_integer("method.pieces", self.pieces)
        count("method.z_dependence", self.z_dependence)
        if self.spectrum_variation != 0:
            positive_number("method.spectrum_variation", self.spectrum_variation)
        for name in self.anchors:
            choice("method.anchor", name, ANCHORS)

    @property
    def anchors(self) -> tuple[str, ...]:
        """The names of the anchors; none if none was named."""
        if self.anchor is None:
            return ()
        given = self.anchor if isinstance(self.anchor, str) else list(self.anchor)
        return tuple(texts("method.anchor", given))

    def fit(self, task: TransportTask, context: Context) -> ResponseMap:
        """The map of the training pairs, and those of the varied spectra.

        Raises ConfigurationError without an anchor or for a dependence on z that nothing fixes,
        MisfitError for several features or truths, and for `balance` with one object per event,
        FitError for a direction that the data do not determine.
        """
        start = time.perf_counter()
        self._require_anchor(task)
        nominal = solve(*self._problem(task))
        variations = {
            name: solve_again(*self._problem(other), nominal)
            for name, other in varied(task, self.spectrum_variation).items()
        }
        summary = FitSummary(
            seconds=time.perf_counter() - start,
            steps=nominal.evaluations,
            loss=nominal.chi2,
            assumption=self._assumption(),
            notes=(*self._notes(nominal), *_shifts(nominal.found, variations)),
        )
        return replace(nominal.found, variations=variations, summary=summary)

    def _problem(self, task: TransportTask) -> tuple[Model, list[Comparison]]:
        degree, pairs = self.z_dependence, regions(task)
        spectra = concatenate([replace(pair.simulation, spectators={}) for pair in pairs])
        free = SPECTRUM in self.anchors
        model = Model.of(task.train.simulation, spectra, self.pieces, degree, free)
        return model, comparisons(task, self.anchors, degree + 2 if degree else 1)

    def _require_anchor(self, task: TransportTask) -> None:
        if not self.anchors:
            raise ConfigurationError(
                "method=response_transport needs an anchor, since the response of data is not "
                "observed: method.anchor=spectrum, if p(z) of the simulation describes data in the "
                "training sample; method.anchor=balance with two objects per event; or both"
            )
        x, z = task.train.simulation.x_columns, task.train.simulation.z_columns
        if len(x) != 1 or len(z) != 1:
            raise MisfitError(
                "method=response_transport needs one feature and the one truth that it measures, "
                f"got {[c.name for c in x]} and {[c.name for c in z]}"
            )
        number = len(regions(task))
        if BALANCE not in self.anchors and self.z_dependence >= number:
            raise ConfigurationError(
                f"method.z_dependence={self.z_dependence} needs {self.z_dependence + 1} control "
                f"regions of different spectra, got {number}: one marginal does not tell a wider "
                "response from a stretched truth (s = 1, o = z and s = 1.5, o = 0.658 z have the "
                "same one on the Gaussian example); add data.controls, use "
                "method.anchor=[spectrum,balance], or method.z_dependence=0"
            )

    def _assumption(self) -> str:
        said = "; ".join(ASSUMPTIONS[name] for name in self.anchors)
        named = " and ".join(f"'{name}'" for name in self.anchors)
        over = (
            f"by a map that varies with z as a polynomial of degree {self.z_dependence}"
            if self.z_dependence
            else "by one map of the residual for all z"
        )
        without = "" if SPECTRUM in self.anchors else "; the offset remains the simulation's"
        anchors = "anchor" if len(self.anchors) == 1 else "anchors"
        return (
            f"universal under the {anchors} {named}: {said}; the responses differ {over}{without}"
        )

    def _notes(self, solution: Solution) -> tuple[str, ...]:
        found, errors, terms = solution.found, solution.errors, self.z_dependence + 1
        free, width = SPECTRUM in self.anchors, float(solution.width)
        offset = f"{errors[0] * width:.2g}" if free else "not fitted"
        scale = float(found.slopes[found.slopes.size // 2])
        of_scale = scale * float(errors[terms if free else 0])
        shape = ", ".join(f"{s:.4g}" for s in found.slopes)
        notes = [
            f"offset {found.offset:.4g} ± {offset}, scale {scale:.4g} ± {of_scale:.2g} (slopes of "
            f"the response {shape}); χ² {solution.chi2:.1f} for {solution.ndf} degrees of freedom, "
            f"condition number of the Hessian {solution.condition:.3g}, largest error "
            f"{np.max(errors):.2g} (widths of the response, or logarithm of its scale)"
        ]
        if found.dependence is not None:
            d = found.dependence
            offsets, scales = (", ".join(f"{v:.3g}" for v in a) for a in (d.offsets, d.scales))
            notes.append(
                f"dependence on z in powers of ({'log z' if d.logarithmic else 'z'} - "
                f"{d.centre:.4g})/{d.spread:.4g}: offset {offsets}; log scale {scales}; constant "
                "beyond the training spectra"
            )
        return (*notes, f"{self._assumption()}. {WITHOUT}")


WITHOUT = (
    "A modelling error of the anchor goes into the map; without an anchor the marginals alone do "
    "not determine the response"
)


def _shifts(found: ResponseMap, variations: dict[str, ResponseMap]) -> tuple[str, ...]:
    """What the varied spectra do to offset and scale."""
    middle = found.slopes.size // 2
    said = [
        f"{name}: offset {other.offset - found.offset:+.2g}, scale "
        f"{other.slopes[middle] - found.slopes[middle]:+.2g}"
        for name, other in variations.items()
    ]
    return (f"varied spectra shift the map: {'; '.join(said)}",) if said else ()
