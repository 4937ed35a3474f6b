"""Closure in bins of truth: the mean of u, and its bias magnified around the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from calibrate.figures import marks
from calibrate.figures.labels import deviation, deviation_unit, with_unit
from calibrate.figures.layout import head, legend, ordinary_ticks, set_range, two_panels
from calibrate.figures.style import DARK, Look, looks, styled
from calibrate.records import FITTED, POOR, ClosureCurve
from calibrate.sample import FloatArray

SHARED = 0.25


@styled()
def closure_figure(
    curves: Sequence[ClosureCurve], style: Mapping[str, Look] | None = None
) -> Figure:
    """Mean of u against true z for all methods on one test sample; below, the bias alone.

    Above: all methods with the bins as horizontal bars. Below: mean (filled), median (open) and
    mode (half filled, where a core was fitted) minus the reference of the calibrated methods,
    side by side, so that biases of the size of the tolerance (shaded) show; means outside are
    arrows at the edge. Dashed: the closed form where known.
    """
    style = style or looks(curve.method for curve in curves)
    figure, upper, lower = two_panels()
    dashed = _means(upper, curves, style)
    _biases(lower, curves, style)
    marks.truth_scale(lower, curves)
    head(upper, f"test sample: {curves[0].test}")
    entries = [marks.entry(curve.method, style[curve.method]) for curve in curves]
    legend(upper, entries + _kinds(_magnified(curves, style), dashed), columns=3)
    return figure


def _means(axes: Axes, curves: Sequence[ClosureCurve], style: Mapping[str, Look]) -> bool:
    first = curves[0]
    marks.tolerance(axes, first.tolerance, first.reference, first.relative)
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


def _magnified(curves: Sequence[ClosureCurve], style: Mapping[str, Look]) -> Sequence[ClosureCurve]:
    """The curves of the lower panel: those of calibrated methods, if there are any."""
    return [curve for curve in curves if style[curve.method].calibrated] or list(curves)


def _biases(axes: Axes, curves: Sequence[ClosureCurve], style: Mapping[str, Look]) -> None:
    first = curves[0]
    chosen = _magnified(curves, style)
    marks.tolerance(axes, first.tolerance, 0.0, first.relative)
    limit = _zoom(chosen)
    axes.set_ylim(-limit, limit)
    ordinary_ticks(axes.yaxis, (-limit, limit), bins=5)
    for turn, curve in enumerate(chosen):
        _shared_error(axes, curve, style[curve.method])
        _kinds_of_bias(axes, curve, style[curve.method], turn, len(chosen), limit)
    axes.set_ylabel(with_unit("Bias", deviation_unit(first)))
    if first.relative:
        axes.yaxis.set_major_formatter(lambda bias, _: f"{100 * bias:g} %")


def _shared_error(axes: Axes, curve: ClosureCurve, look: Look) -> None:
    """Boxes of the calibration's own statistical error about the means, where it is known."""
    known = np.isfinite(curve.calibration_error) & np.isfinite(curve.mean)
    for b in np.flatnonzero(known):
        bias, error = curve.mean[b] - curve.reference, curve.calibration_error[b]
        axes.fill_between(
            curve.edges[b : b + 2], bias - error, bias + error, color=look.colour, alpha=SHARED,
            linewidth=0, zorder=1.5, gid=f"{curve.method}:calibration error",
        )  # fmt: skip


def _kinds_of_bias(
    axes: Axes, curve: ClosureCurve, look: Look, turn: int, turns: int, limit: float
) -> None:
    """Mean, median and mode of one method side by side; without a fit, mean and median."""
    found: list[tuple[str, marks.Fill, FloatArray, FloatArray]] = [
        ("mean", "full", curve.mean, curve.mean_error),
        ("median", "open", curve.median, curve.median_error),
        ("mode", "half", curve.mode, curve.mode_error),
    ]
    shown = [each for each in found if each[0] == "mean" or np.isfinite(each[2]).any()]
    places = marks.places(turn, turns, len(shown))
    for (name, fill, values, errors), place in reversed([*zip(shown, places, strict=True)]):
        bias = values - curve.reference
        marks.points(axes, curve, look, bias, errors, f"{name} bias", place=place, fill=fill)
    marks.closed_form(axes, curve, look, curve.exact_bias)
    _arrows(axes, curve, look, curve.mean - curve.reference, limit, places[0])


def _kinds(curves: Sequence[ClosureCurve], dashed: bool) -> list[tuple[Artist, str]]:
    grey, first = Look(DARK, "o", 0), curves[0]
    kinds = [marks.entry("", grey, "mean"), marks.entry("", grey, "median", fill="open")]
    fits = [state for curve in curves for state in curve.fit_states if state in (FITTED, POOR)]
    if fits:
        poor = f" ({fits.count(POOR)} of {len(fits)} fits poor)" if POOR in fits else ""
        kinds.append(marks.entry("", grey, f"mode{poor}", fill="half"))
    if any(np.isfinite(curve.calibration_error).any() for curve in curves):
        kinds.append((Patch(facecolor=DARK, alpha=SHARED), "statistical error of the calibration"))
    kinds += marks.tolerance_entries(first.tolerance, first.relative, first.z_unit)
    return [*kinds, marks.dashed_entry()] if dashed else kinds


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
                (curve.mode, curve.mode_error),
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
