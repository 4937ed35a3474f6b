"""Closure in bins of truth: the mean of u, and its bias magnified around the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from calibrate.figures import marks
from calibrate.figures.labels import deviation, deviation_unit, plain, with_unit
from calibrate.figures.layout import head, legend, ordinary_ticks, set_range, two_panels
from calibrate.figures.style import DARK, Look, looks, styled
from calibrate.records import ClosureCurve
from calibrate.sample import FloatArray


@styled()
def closure_figure(
    curves: Sequence[ClosureCurve], style: Mapping[str, Look] | None = None
) -> Figure:
    """Mean of u against true z for all methods on one test sample; below, the bias alone.

    Above: all methods with the bins as horizontal bars. Below: mean (filled) and median (open)
    minus the reference of the calibrated methods, so that biases of the size of the tolerance
    (shaded) show; points outside are arrows at the edge. Dashed: the closed form where known.
    """
    style = style or looks(curve.method for curve in curves)
    figure, upper, lower = two_panels()
    dashed = _means(upper, curves, style)
    _biases(lower, curves, style)
    marks.truth_scale(lower, curves)
    head(upper, f"test sample: {curves[0].test}")
    entries = [marks.entry(curve.method, style[curve.method]) for curve in curves]
    legend(upper, entries + _kinds(curves[0], dashed), columns=3)
    return figure


def _means(axes: Axes, curves: Sequence[ClosureCurve], style: Mapping[str, Look]) -> bool:
    first = curves[0]
    _guides(axes, first, first.reference)
    known = []
    for curve in curves:
        look = style[curve.method]
        marks.points(axes, curve, look, curve.mean, curve.mean_error, "mean", bars=True)
        exact = curve.exact_bias + curve.reference
        known.append(marks.closed_form(axes, curve, look, exact))
    shown = [marks.trusted(c, c.mean + s * c.mean_error) for c in curves for s in (-1, 1)]
    band = [first.reference - first.tolerance, first.reference + first.tolerance]
    set_range(axes, "y", [*shown, band])
    axes.set_ylabel(with_unit(f"Mean {deviation(first)}", deviation_unit(first)))
    return any(known)


def _biases(axes: Axes, curves: Sequence[ClosureCurve], style: Mapping[str, Look]) -> None:
    first = curves[0]
    chosen = [c for c in curves if style[c.method].calibrated] or list(curves)
    _guides(axes, first, 0.0)
    limit = _zoom(chosen)
    axes.set_ylim(-limit, limit)
    ordinary_ticks(axes.yaxis, (-limit, limit), bins=5)
    for turn, curve in enumerate(chosen):
        look = style[curve.method]
        place = marks.place(turn, len(chosen))
        mean, median = curve.mean - curve.reference, curve.median - curve.reference
        marks.points(
            axes,
            curve,
            look,
            median,
            curve.median_error,
            "median bias",
            place=place + 1,
            filled=False,
        )
        marks.points(axes, curve, look, mean, curve.mean_error, "mean bias", place=place)
        marks.closed_form(axes, curve, look, curve.exact_bias)
        _arrows(axes, curve, look, mean, limit, place)
    axes.set_ylabel(with_unit("Bias", deviation_unit(first)))
    if first.relative:
        axes.yaxis.set_major_formatter(lambda bias, _: f"{100 * bias:g} %")


def _kinds(curve: ClosureCurve, dashed: bool) -> list[tuple[Artist, str]]:
    grey = Look(DARK, "o", 0)
    unit = f" {plain(curve.z_unit)}" if curve.z_unit else ""
    size = f"{100 * curve.tolerance:.3g} %" if curve.relative else f"{curve.tolerance:.3g}{unit}"
    kinds = [
        marks.entry("", grey, "mean"),
        marks.entry("", grey, "median", filled=False),
        marks.band_entry(f"tolerance ±{size}"),
    ]
    return [*kinds, marks.dashed_entry()] if dashed else kinds


def _guides(axes: Axes, curve: ClosureCurve, reference: float) -> None:
    low, high = reference - curve.tolerance, reference + curve.tolerance
    axes.axhspan(low, high, color=marks.BAND, linewidth=0, zorder=0, gid="tolerance")
    axes.axhline(reference, color=DARK, linewidth=1, zorder=1, gid="reference")


def _zoom(curves: Sequence[ClosureCurve]) -> float:
    """Half height of the lower panel: all biases if they are within six tolerances, else at
    least those of the best method, and never less than two and a half tolerances."""
    largest = [_largest(curve) for curve in curves]
    tolerance = curves[0].tolerance
    wanted = min(max(largest), max(6 * tolerance, min(largest)))
    limit = 1.15 * max(wanted, 2.5 * tolerance)
    return limit if np.isfinite(limit) and limit > 0 else 1.0


def _largest(curve: ClosureCurve) -> float:
    size = np.concatenate(
        [
            marks.trusted(curve, np.abs(values - curve.reference) + errors)
            for values, errors in (
                (curve.mean, curve.mean_error),
                (curve.median, curve.median_error),
            )
        ]
    )
    return float(np.max(size, initial=0.0, where=np.isfinite(size)))


def _arrows(
    axes: Axes, curve: ClosureCurve, look: Look, bias: FloatArray, limit: float, place: float
) -> None:
    x = marks.beside(curve, place)
    good = marks.enough(curve)
    for sign, marker in ((1, "^"), (-1, "v")):
        outside = good & (sign * bias > limit)
        y = np.full(int(outside.sum()), sign * 0.93 * limit)
        arrows = Line2D(x[outside], y, color=look.colour, marker=marker, linestyle="none")
        arrows.set_gid(f"{curve.method}:outside")
        axes.add_line(arrows)
