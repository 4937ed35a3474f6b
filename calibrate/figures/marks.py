"""What the figures in bins of truth share: points with errors, faint where events are few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from calibrate.figures.labels import plain, truth_axis
from calibrate.figures.layout import LOGARITHMIC_ABOVE, logarithmic_ticks, ordinary_ticks
from calibrate.figures.style import DARK, Look
from calibrate.records import MINIMUM_EFFECTIVE, ClosureCurve, SlicedClosure
from calibrate.sample import BoolArray, FloatArray

Fill = Literal["full", "open", "half"]
FAINT = 0.3
SPACING = 0.13
MOST_SPACINGS = 6.5
WIDEST = 1 / 12


def enough(curve: ClosureCurve) -> BoolArray:
    """Bins (n_b,) with 200 effective events or more; the others are drawn faint."""
    return np.asarray(curve.n_effective >= MINIMUM_EFFECTIVE)


def trusted(curve: ClosureCurve, values: FloatArray) -> FloatArray:
    """The values that set an axis range: those of well-filled bins, or all if none is."""
    good = enough(curve) & np.isfinite(values)
    return values[good] if good.any() else values


def beside(curve: ClosureCurve, place: float) -> FloatArray:
    """z_mean moved by `place` spacings, so that points of one bin stand side by side."""
    widths = np.diff(curve.edges)
    return np.asarray(curve.z_mean + SPACING * place * np.minimum(widths, WIDEST * widths.sum()))


def places(turn: int, turns: int, number: int) -> tuple[float, ...]:
    """Where the `number` points of method `turn` of `turns` stand in a bin, in spacings; closer
    together where there are many."""
    shrink = min(1.0, MOST_SPACINGS / (number * turns))
    first = number * turn - (number * turns - 1) / 2
    return tuple(shrink * (first + step) for step in range(number))


def points(
    axes: Axes,
    curve: ClosureCurve,
    look: Look,
    values: FloatArray,
    errors: FloatArray,
    name: str,
    place: float = 0.0,
    *,
    bars: bool = False,
    fill: Fill = "full",
) -> None:
    """Points (z_mean, values ± errors), `place` spacings aside; `bars` show the bins.

    The artists' gid is `method:name`, with `:faint` for bins of few events.
    """
    good = enough(curve)
    x = beside(curve, place)
    reach = np.stack([x - curve.edges[:-1], curve.edges[1:] - x])
    reach = np.clip(np.nan_to_num(reach, posinf=0, neginf=0), 0, None)
    for chosen, alpha, suffix in ((good, 1.0, ""), (~good, FAINT, ":faint")):
        if not chosen.any():
            continue
        line, _, _ = axes.errorbar(
            x[chosen],
            values[chosen],
            yerr=errors[chosen],
            xerr=reach[:, chosen] if bars else None,
            linestyle="none",
            color=look.colour,
            marker=look.marker,
            **_filling(look, fill),
            alpha=alpha,
            elinewidth=1.2,
            zorder=3 + look.order / 20,
        )
        line.set_gid(f"{curve.method}:{name}{suffix}")


def closed_form(axes: Axes, curve: ClosureCurve, look: Look, values: FloatArray) -> bool:
    """A dashed line through the closed-form values (n_b,), where they are known."""
    known = np.isfinite(values) & np.isfinite(curve.z_mean)
    if not known.any():
        return False
    axes.plot(
        curve.z_mean[known],
        values[known],
        linestyle="--",
        marker="_" if known.sum() == 1 else "",
        markersize=40,
        color=look.colour,
        linewidth=1.6,
        zorder=2.5,
        gid=f"{curve.method}:closed form",
    )
    return True


def truth_scale(lower: Axes, curves: Sequence[ClosureCurve | SlicedClosure]) -> None:
    """The common horizontal axis: all bins, logarithmic where they span a factor above 20."""
    bin_scale(lower, np.concatenate([curve.edges for curve in curves]))
    lower.set_xlabel(truth_axis(curves[0].z_name, curves[0].z_unit))


def bin_scale(axes: Axes, edges: FloatArray) -> None:
    """A horizontal axis over all bins, logarithmic where they span a factor above 20."""
    edges = edges[np.isfinite(edges)]
    if edges.size and edges.min() > 0 and edges.max() / edges.min() > LOGARITHMIC_ABOVE:
        axes.set_xscale("log")
        axes.set_xlim(edges.min(), edges.max())
        logarithmic_ticks(axes.xaxis)
    elif edges.size:
        axes.set_xlim(edges.min(), edges.max())
        ordinary_ticks(axes.xaxis, (edges.min(), edges.max()))


def entry(method: str, look: Look, text: str = "", fill: Fill = "full") -> tuple[Artist, str]:
    """A legend entry with the method's marker."""
    filling = _filling(look, fill)
    handle = Line2D([], [], color=look.colour, marker=look.marker, linestyle="none", **filling)
    return handle, text or method_label(method, look)


def _filling(look: Look, fill: Fill) -> dict[str, Any]:
    if fill == "half":
        return {"fillstyle": "bottom", "markerfacecoloralt": "white"}
    return {"markerfacecolor": look.colour if fill == "full" else "white"}


def method_label(method: str, look: Look) -> str:
    """The method's name; the untouched response says what it is."""
    return plain(method) if look.calibrated else f"{plain(method)} (uncalibrated)"


def dashed_entry(text: str = "closed form") -> tuple[Artist, str]:
    """A legend entry for the dashed lines of all methods."""
    return Line2D([], [], color=DARK, linestyle="--", linewidth=1.6), text


def band_entry(text: str) -> tuple[Artist, str]:
    """A legend entry for the shaded tolerance."""
    return Patch(facecolor=BAND, edgecolor="none"), text


def tolerance(axes: Axes, size: float, reference: float, relative: bool) -> None:
    """The reference, the shaded tolerance around it, and dashed lines at ±1 % where u is
    relative and the tolerance another."""
    low, high = reference - size, reference + size
    axes.axhspan(low, high, color=BAND, linewidth=0, zorder=0, gid="tolerance")
    axes.axhline(reference, color=DARK, linewidth=1, zorder=1, gid="reference")
    if guided(size, relative):
        for line in (reference - GUIDE, reference + GUIDE):
            axes.axhline(line, color=DARK, linewidth=0.8, linestyle=(0, (6, 4)), gid="guide")


def guided(size: float, relative: bool) -> bool:
    """Whether lines at ±1 % are drawn beside a tolerance."""
    return relative and abs(size - GUIDE) > 1e-12


def tolerance_entries(size: float, relative: bool, unit: str) -> list[tuple[Artist, str]]:
    """Legend entries of the tolerance and of the lines at ±1 %."""
    text = f"{100 * size:.3g} %" if relative else f"{size:.3g} {plain(unit)}".rstrip()
    entries = [band_entry(f"tolerance ±{text}")]
    if guided(size, relative):
        line = Line2D([], [], color=DARK, linewidth=0.8, linestyle=(0, (6, 4)))
        entries.append((line, f"±{100 * GUIDE:.3g} %"))
    return entries


BAND = "#dfe7d3"
GUIDE = 0.01
