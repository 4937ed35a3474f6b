"""The bias of all runs of a sweep against true z in one frame: Fig. 2 of arXiv:2205.05084."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from calibrate.figures.labels import deviation_unit, parameter, plain, shown_value, with_unit
from calibrate.figures.layout import head, legend, one_panel, set_range
from calibrate.figures.marks import dashed_entry, points, trusted, truth_scale
from calibrate.figures.style import DARK, Look, styled
from calibrate.figures.sweep import METHOD, ordered_looks
from calibrate.records import ClosureCurve
from calibrate.records.sweep import SweptCurve

BAND = 0.14
LONG = 16
"""Letters of a legend's entry above which there are two columns."""


@styled()
def swept_closure_figure(found: Sequence[SweptCurve]) -> Figure:
    """Mean of u minus its reference, with statistical errors, a colour for each run. Where the
    closed form is known: its bias dashed, its resolution as a band around it; short bars are the
    measured mean ± standard deviation."""
    figure, axes = one_panel(height=6.2)
    axes.axhline(0.0, color=DARK, linewidth=1, zorder=1)
    known = False
    for each, look in zip(found, ordered_looks(len(found)), strict=True):
        known |= _closed_form(axes, each.curve, look)
        curve = each.curve
        points(axes, curve, look, curve.mean - curve.reference, curve.mean_error, "bias")
        if np.isfinite(curve.exact_bias).any():
            _widths(axes, curve, look)
    _range(axes, [each.curve for each in found])
    first = found[0].curve
    axes.set_ylabel(with_unit("Bias", deviation_unit(first)))
    truth_scale(axes, [each.curve for each in found])
    whose = "" if METHOD in found[0].values else f"{first.method}, "
    head(axes, f"{whose}test sample: {first.test}")
    longest = max(len(values_of(each)) for each in found)
    entries = _entries(found) + (_kinds() if known else [])
    legend(axes, entries, columns=3 if longest < LONG else 2)
    return figure


def _closed_form(axes: Axes, curve: ClosureCurve, look: Look) -> bool:
    known = np.isfinite(curve.exact_bias) & np.isfinite(curve.z_mean)
    z, bias, width = (
        values[known] for values in (curve.z_mean, curve.exact_bias, curve.exact_resolution)
    )
    axes.plot(z, bias, linestyle="--", color=look.colour, zorder=2.5, gid="closed form")
    axes.fill_between(z, bias - width, bias + width, color=look.colour, alpha=BAND, linewidth=0,
                      gid="resolution")  # fmt: skip
    return bool(known.any())


def _widths(axes: Axes, curve: ClosureCurve, look: Look) -> None:
    bias = curve.mean - curve.reference
    for side in (-1, 1):
        axes.plot(curve.z_mean, bias + side * curve.std, linestyle="none", marker="_",
                  markersize=7, markeredgewidth=1.4, color=look.colour, gid="width")  # fmt: skip


def _range(axes: Axes, curves: Sequence[ClosureCurve]) -> None:
    reach = [
        trusted(curve, curve.mean - curve.reference + side * np.nan_to_num(width))
        for curve in curves
        for side in (-1, 1)
        for width in (curve.mean_error, curve.exact_resolution)
    ]
    set_range(axes, "y", [*reach, [0.0]])
    if curves[0].relative:
        axes.yaxis.set_major_formatter(lambda bias, _: f"{100 * bias:g} %")


def _entries(found: Sequence[SweptCurve]) -> list[tuple[Artist, str]]:
    return [
        (Line2D([], [], color=look.colour, marker=look.marker, linestyle="none"), values_of(each))
        for look, each in zip(ordered_looks(len(found)), found, strict=True)
    ]


def values_of(found: SweptCurve) -> str:
    """The swept values of a run, as they are printed."""
    return ", ".join(
        plain(shown_value(value)) if key == METHOD
        else f"{parameter(key)} = {plain(shown_value(value))}"
        for key, value in found.values.items()
    )  # fmt: skip


def _kinds() -> list[tuple[Artist, str]]:
    bars = Line2D([], [], color=DARK, marker="_", linestyle="none", markeredgewidth=1.4)
    return [
        dashed_entry("closed form"),
        (Patch(facecolor=DARK, alpha=BAND), "closed form ± resolution"),
        (bars, "measured ± resolution"),
    ]
