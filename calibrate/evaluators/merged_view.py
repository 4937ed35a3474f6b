"""What closure looks at, of events that are larger than the memory: one truth column of one test
sample under one method, part by part. The numbers are those of `view`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from calibrate.estimate import Calibration, Replicated
from calibrate.evaluators.answer import Answer, Binning, Scalars, curve_record
from calibrate.evaluators.merged_differences import difference_scalars
from calibrate.evaluators.merged_histograms import Shapes
from calibrate.evaluators.parts import Part
from calibrate.evaluators.pile import one_bin
from calibrate.evaluators.residuals import Residual
from calibrate.evaluators.shared_error import Chosen
from calibrate.evaluators.slices import Cut, sliced_record
from calibrate.evaluators.told import told
from calibrate.evaluators.view import bias_metrics, locations
from calibrate.records import ClosureCurve, Record, SlicedClosure
from calibrate.sample import FloatArray, IntArray
from calibrate.statistics import Summary, bin_index, binned_sum, grouped_squares


@dataclass(frozen=True)
class Sums:
    """Sums over all events in bins, (n_b,): weights W of groups, their squares, and weighted
    means of some columns, (k, n_b), NaN where a bin is empty."""

    weight: FloatArray
    squares: FloatArray
    means: FloatArray

    @property
    def n_effective(self) -> FloatArray:
        """(ΣW)²/ΣW²."""
        return np.asarray(self.weight**2 / np.where(self.squares > 0, self.squares, 1.0))


@dataclass(frozen=True)
class MergedView:
    """One truth column under one method, over all parts of a pile, and how to bin it; `fit` is
    the calibration, where it is at hand."""

    shapes: Shapes
    component: int
    binning: Binning
    cuts: tuple[Cut, ...]
    nsc: bool
    fit: Calibration | None = None

    @property
    def method(self) -> str:
        """The method's label."""
        return self.shapes.method

    @cached_property
    def whole(self) -> Summary:
        """Statistics of u over all events."""
        return self._summary(one_bin, 1)

    def answer(self) -> Answer:
        """Everything this view contributes."""
        return Answer.of(self, self.curve(), [self.sliced(cut) for cut in self.cuts])

    def histograms(self) -> list[Record]:
        """The response, its tails if it has any, and the pulls where Σ(x) is quoted."""
        found: list[Record] = [self.shapes.response(self.binning.u_edges, self.whole)]
        if self.binning.tail_edges is not None:
            found.append(self.shapes.tails(self.binning.tail_edges))
        if self.shapes.first.sigma is not None:
            found.append(self.shapes.pulls())
        return found

    def curve(self) -> ClosureCurve:
        """Statistics in bins of z."""
        bins = self.binning.z_edges.size - 1
        found = self._summary(self._index, bins)
        core = self.shapes.cores(self._index, found)
        sums = self._sums(self._index, bins, quoted=True)
        z_mean, *quoted = sums.means
        unknown, r = np.full(bins, np.nan), self.shapes.first
        sigma, sigma_error = self._quoted(sums, quoted) if r.sigma is not None else [unknown] * 2
        return curve_record(
            *(self.method, r, self.binning, found, core),
            z_mean=z_mean,
            n_effective=sums.n_effective,
            calibration_error=self._shared(bins),
            sigma=sigma,
            sigma_error=sigma_error,
            exact_bias=unknown,
            exact_resolution=unknown,
        )

    def sliced(self, cut: Cut) -> SlicedClosure:
        """Statistics in bins of z × slices of another column."""
        edges, bins = self.binning.z_edges, self.binning.z_edges.size - 1
        slices = cut.edges.size - 1

        def cell(part: Part) -> IntArray:
            place = bin_index(cut.slicing.values(part.sample), cut.edges)
            z = self._index(part)
            inside = (z >= 0) & (z < bins) & (place >= 0) & (place < slices)
            return np.where(inside, place * bins + z, -1)

        found = self._summary(cell, slices * bins, mode=False)
        sums = self._sums(cell, slices * bins)
        about = (self.method, self.shapes.first, cut, edges, self.binning.tolerance)
        return sliced_record(*about, found, sums.means[0], sums.n_effective)

    def scalars(self, curve: ClosureCurve) -> Scalars:
        """The metrics of this test sample; those without a value are left out."""
        shapes, r = self.shapes, self.shapes.first
        slopes = difference_scalars(shapes.pile, shapes.residual, r, self._mean_truth())
        found = locations(r, self.whole) | slopes | bias_metrics(r, curve)
        return {name: q for name, q in found.items() if np.isfinite(q.value)}

    def warnings(self, curve: ClosureCurve) -> list[str]:
        """What a reader of the numbers has to know."""

        def sums(part: Part) -> FloatArray:
            w, groups = part.sample.w, part.sample.groups
            outside = float(np.sum(w[~self.shapes.residual(part).inside]))
            return np.array([outside, np.sum(w), grouped_squares(w, one_bin(part), 1, groups)[0]])

        outside, total, squares = self.shapes.pile.total(sums)
        known = self.shapes.facts.negative, float(total**2 / squares)
        return told(self.method, curve.test, float(outside / total), *known, curve)

    def _summary(self, index: Callable[[Part], IntArray], bins: int, mode: bool = True) -> Summary:
        """Statistics of u; those of moments with errors in closed form, of the others bootstrap."""
        shapes = self.shapes

        def u(part: Part) -> FloatArray:
            return shapes.residual(part).u

        found = shapes.pile.summary(u, index, bins, shapes.facts, mode)

        def sums(part: Part) -> FloatArray:
            w, place, groups = part.sample.w / shapes.facts.scale, index(part), part.sample.groups
            at = np.clip(place, 0, bins - 1)
            centred = u(part) - found.mean[at]
            scatter = centred**2 - found.std[at] ** 2
            squares = [grouped_squares(w * psi, place, bins, groups) for psi in (centred, scatter)]
            return np.stack([binned_sum(w, place, bins), *squares])

        total, *squares = shapes.pile.total(sums)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean_error, std_error = np.sqrt(squares) / np.abs(total)
            std_error = np.where(found.std > 0, std_error / (2 * found.std), 0.0 * found.std)
        return replace(found, mean_error=mean_error, std_error=std_error)

    def _index(self, part: Part) -> IntArray:
        return bin_index(part.sample.z[:, self.component], self.binning.z_edges)

    def _shared(self, bins: int) -> FloatArray:
        """Statistical error of the calibration's mean per bin (over z if relative)."""
        fit, residual = self.fit, self.shapes.residual
        if not isinstance(fit, Replicated):
            return np.full(bins, np.nan)

        def chosen(part: Part) -> Chosen:
            return Chosen.of(fit, part.sample, residual(part), self._index(part), bins)

        found = self.shapes.pile.joined(chosen, lambda one, other: one.joined(other, bins))
        return found.error(fit, self.component, bins)

    def _mean_truth(self) -> float:
        """The mean of z without weights."""
        total, number = self.shapes.pile.total(
            lambda part: np.array([np.sum(part.sample.z[:, self.component]), len(part.sample)])
        )
        return float(total / number)

    def _sums(self, index: Callable[[Part], IntArray], bins: int, quoted: bool = False) -> Sums:
        def sums(part: Part) -> FloatArray:
            place, w = index(part), part.sample.w / self.shapes.facts.scale
            columns = self._columns(self.shapes.residual(part), quoted)
            squares = grouped_squares(w, place, bins, part.sample.groups)
            return np.stack([binned_sum(w, place, bins), squares,
                             *(binned_sum(w * c, place, bins) for c in columns)])  # fmt: skip

        weight, squares, *weighted = self.shapes.pile.total(sums)
        with np.errstate(divide="ignore", invalid="ignore"):
            return Sums(weight, squares, np.array(weighted) / weight)

    def _columns(self, r: Residual, quoted: bool) -> list[FloatArray]:
        """z, and what is quoted beside the estimates, in the unit of u: Σ² and Σ⁴."""
        columns, unit = [r.z], r.z if r.column.positive else np.ones_like(r.z)
        if quoted and r.sigma is not None:
            columns += [(r.sigma / unit) ** 2, (r.sigma / unit) ** 4]
        return columns

    def _quoted(self, sums: Sums, quoted: list[FloatArray]) -> list[FloatArray]:
        """Root mean square of the quoted Σ per bin, and its error."""
        square, fourth = quoted[:2]
        variance, root = np.maximum(fourth - square**2, 0.0), np.sqrt(square)
        return [root, np.sqrt(variance / np.maximum(sums.n_effective, 1.0)) / (2 * root)]
