"""Resolution in bins of truth, and how well a method's quoted Σ(x) describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from calibrate.figures import marks
from calibrate.figures.labels import deviation, deviation_unit, with_unit
from calibrate.figures.layout import finite_range, head, legend, set_range, two_panels
from calibrate.figures.style import DARK, Look, looks, styled
from calibrate.records import ClosureCurve
from calibrate.sample import FloatArray

FROM_ZERO_BELOW = 0.6


@styled()
def resolution_figure(
    curves: Sequence[ClosureCurve], style: Mapping[str, Look] | None = None
) -> Figure:
    """Spread of u against true z for all methods on one test sample; below, quoted over actual.

    Above: standard deviation (filled), half the 16-84 % interval (open), the root mean square
    of the quoted Σ(x) (line), closed form (dashed). Below: quoted Σ(x) over standard deviation.
    """
    style = style or looks(curve.method for curve in curves)
    figure, upper, lower = two_panels(share=0.3)
    known = [
        _spreads(upper, curve, style[curve.method], marks.place(turn, len(curves)))
        for turn, curve in enumerate(curves)
    ]
    _upper_axis(upper, curves)
    _ratios(lower, curves, style)
    marks.truth_scale(lower, curves)
    head(upper, f"test sample: {curves[0].test}")
    entries = [marks.entry(curve.method, style[curve.method]) for curve in curves]
    legend(upper, entries + _kinds(curves, any(known)), columns=2)
    return figure


def _spreads(axes: Axes, curve: ClosureCurve, look: Look, place: float) -> bool:
    marks.points(axes, curve, look, curve.iqr, curve.iqr_error, "iqr", place + 1, filled=False)
    marks.points(axes, curve, look, curve.std, curve.std_error, "std", place)
    if np.isfinite(curve.sigma).any():
        axes.stairs(
            curve.sigma,
            curve.edges,
            baseline=None,
            color=look.colour,
            linewidth=1.6,
            gid=f"{curve.method}:sigma",
        )
    return marks.closed_form(axes, curve, look, curve.exact_resolution)


def _upper_axis(axes: Axes, curves: Sequence[ClosureCurve]) -> None:
    values = [
        marks.trusted(curve, each)
        for curve in curves
        for each in (curve.std + curve.std_error, curve.iqr - curve.iqr_error, curve.sigma)
    ]
    found = finite_range(values)
    from_zero = found is not None and found[0] < FROM_ZERO_BELOW * found[1]
    set_range(axes, "y", [*values, [0.0]] if from_zero else values)
    if from_zero:
        axes.set_ylim(bottom=0)
    axes.set_ylabel(with_unit(f"Resolution of {deviation(curves[0])}", deviation_unit(curves[0])))


def _ratios(axes: Axes, curves: Sequence[ClosureCurve], style: Mapping[str, Look]) -> None:
    axes.axhline(1, color=DARK, linewidth=1, zorder=1, gid="reference")
    quoted = [curve for curve in curves if np.isfinite(curve.sigma).any()]
    shown: list[FloatArray] = [np.array([0.9, 1.1])]
    for turn, curve in enumerate(quoted):
        ratio, error = quoted_over_actual(curve)
        aside = marks.place(turn, len(quoted)) + 0.5
        look = style[curve.method]
        marks.points(axes, curve, look, ratio, error, "quoted over actual", aside)
        shown += [marks.trusted(curve, ratio - error), marks.trusted(curve, ratio + error)]
    if not quoted:
        axes.text(
            0.5,
            0.5,
            r"no method quotes a resolution $\Sigma(x)$",
            ha="center",
            va="bottom",
            transform=axes.transAxes,
            size=12,
        )
    set_range(axes, "y", shown)
    axes.set_ylabel("Quoted / actual")


def quoted_over_actual(curve: ClosureCurve) -> tuple[FloatArray, FloatArray]:
    """Quoted Σ over the standard deviation of u, and its error, in each bin (n_b,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = curve.sigma / curve.std
        error = np.abs(ratio) * np.hypot(
            curve.sigma_error / curve.sigma, curve.std_error / curve.std
        )
    usable = np.isfinite(ratio)
    return np.where(usable, ratio, np.nan), np.where(usable, error, np.nan)


def _kinds(curves: Sequence[ClosureCurve], dashed: bool) -> list[tuple[Artist, str]]:
    grey = Look(DARK, "o", 0)
    kinds = [
        marks.entry("", grey, "standard deviation"),
        marks.entry("", grey, "half 16-84 % interval", filled=False),
    ]
    if any(np.isfinite(curve.sigma).any() for curve in curves):
        kinds.append((Line2D([], [], color=DARK), r"quoted $\Sigma(x)$"))
    return [*kinds, marks.dashed_entry()] if dashed else kinds
