"""How the parts of a test sample are binned, so that closure over all of them is that of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.estimate import Calibration
from calibrate.evaluators.answer import Binning
from calibrate.evaluators.histograms import RARE, far_edges, shown_edges
from calibrate.evaluators.merged_histograms import Shapes, Spread
from calibrate.evaluators.merged_view import MergedView
from calibrate.evaluators.parts import Part
from calibrate.evaluators.pile import Facts, Pile
from calibrate.evaluators.residuals import Residual
from calibrate.evaluators.slices import Cut, Slicing
from calibrate.records import MINIMUM_EFFECTIVE
from calibrate.sample import FloatArray


@dataclass(frozen=True)
class Axis:
    """One truth column of a pile: its label, and the edges of its bins."""

    component: int
    label: str
    edges: FloatArray

    @classmethod
    def of(cls, pile: Pile, component: int, edges: Sequence[float] | None, bins: int) -> Axis:
        """By given edges, or in bins of equal effective statistics."""
        name = pile.z_columns[component].name
        label = f"{pile.test}.{name}" if len(pile.z_columns) > 1 else pile.test
        if edges is not None:
            return cls(component, label, np.asarray(list(edges), dtype=np.float64))
        found = pile.edges(lambda sample: sample.z[:, component], bins, MINIMUM_EFFECTIVE)
        return cls(component, label, found)

    def residual(self, method: str, part: Part) -> Residual:
        """Estimates beside the truth in one part."""
        return part.residual(method, self.component, self.label)

    def width(self, pile: Pile) -> float:
        """The standard deviation of the truth over all parts."""

        def moments(part: Part, centre: float) -> FloatArray:
            z, w = part.sample.z[:, self.component] - centre, part.sample.w
            return np.array([np.sum(w), w @ z, w @ z**2])

        total, weighted, _ = pile.total(lambda part: moments(part, 0.0))
        mean = float(weighted / total)
        total, _, squares = pile.total(lambda part: moments(part, mean))
        return float(np.sqrt(squares / total))


def merged_views(
    pile: Pile,
    fits: Mapping[str, Calibration],
    axis: Axis,
    slicings: Sequence[Slicing],
    tolerance: float,
    nsc: bool,
) -> Iterator[MergedView]:
    """One view for each method, all in the same bins; `fits` by label as far as at hand."""
    cuts = tuple(_cut(pile, slicing) for slicing in slicings)
    shapes = [_shapes(pile, axis, method) for method in pile.methods]
    u_edges = shown_edges([each.spread.shown for each in shapes])
    has_tails = not shapes[0].facts.negative and any(s.tail_share() > RARE for s in shapes)
    tails = far_edges([each.spread.farthest for each in shapes]) if has_tails else None
    for each in shapes:
        binning = Binning(axis.edges, u_edges, tails, tolerance)
        fit = fits.get(each.method)
        yield MergedView(each, axis.component, binning, cuts, nsc, fit)


def _cut(pile: Pile, slicing: Slicing) -> Cut:
    first = pile.parts[0].read().sample
    if isinstance(slicing.slices, tuple):
        return Cut(slicing, np.array(slicing.slices), slicing.unit(first))
    edges = pile.edges(slicing.values, slicing.slices, MINIMUM_EFFECTIVE)
    return Cut(slicing, edges, slicing.unit(first))


def _shapes(pile: Pile, axis: Axis, method: str) -> Shapes:
    def residual(part: Part) -> Residual:
        return axis.residual(method, part)

    with pile.sorted(lambda part: residual(part).u) as rows:
        spread = Spread.of(rows)
    first = residual(pile.parts[0].read())
    return Shapes(method, first, pile, residual, _facts(pile, axis, method), spread)


def _facts(pile: Pile, axis: Axis, method: str) -> Facts:
    def seen(part: Part) -> FloatArray:
        w, u = np.abs(part.sample.w), axis.residual(method, part).u
        return np.array([np.sum(w), w @ u, np.max(w), np.min(part.sample.w)])

    found = np.array(pile.each(seen))
    total, weighted = found[:, :2].sum(axis=0)
    return Facts(float(weighted / total), float(found[:, 2].max()), bool(found[:, 3].min() < 0))
