"""What the figures in bins of truth share: points with errors, faint where events are few."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from calibrate.figures.labels import plain, truth_axis
from calibrate.figures.layout import ordinary_ticks
from calibrate.figures.style import DARK, Look
from calibrate.records import MINIMUM_EFFECTIVE, ClosureCurve
from calibrate.sample import BoolArray, FloatArray

FAINT = 0.3
LOGARITHMIC_ABOVE = 20.0
SPACING = 0.13
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


def place(turn: int, turns: int) -> float:
    """Where the first of two points of method number `turn` of `turns` stands, in spacings."""
    return 2 * turn - turns + 0.5


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
    filled: bool = True,
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
            markerfacecolor=look.colour if filled else "white",
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


def truth_scale(lower: Axes, curves: Sequence[ClosureCurve]) -> None:
    """The common horizontal axis: all bins, logarithmic where they span a factor above 20."""
    edges = np.concatenate([curve.edges for curve in curves])
    edges = edges[np.isfinite(edges)]
    if edges.size and edges.min() > 0 and edges.max() / edges.min() > LOGARITHMIC_ABOVE:
        lower.set_xscale("log")
        lower.set_xlim(edges.min(), edges.max())
    elif edges.size:
        lower.set_xlim(edges.min(), edges.max())
        ordinary_ticks(lower.xaxis, (edges.min(), edges.max()))
    lower.set_xlabel(truth_axis(curves[0].z_name, curves[0].z_unit))


def entry(method: str, look: Look, text: str = "", filled: bool = True) -> tuple[Artist, str]:
    """A legend entry with the method's marker."""
    face = look.colour if filled else "white"
    handle = Line2D(
        [], [], color=look.colour, marker=look.marker, markerfacecolor=face, linestyle="none"
    )
    return handle, text or method_label(method, look)


def method_label(method: str, look: Look) -> str:
    """The method's name; the untouched response says what it is."""
    return plain(method) if look.calibrated else f"{plain(method)} (uncalibrated)"


def dashed_entry(text: str = "closed form") -> tuple[Artist, str]:
    """A legend entry for the dashed lines of all methods."""
    return Line2D([], [], color=DARK, linestyle="--", linewidth=1.6), text


def band_entry(text: str) -> tuple[Artist, str]:
    """A legend entry for the shaded tolerance."""
    return Patch(facecolor=BAND, edgecolor="none"), text


BAND = "#dfe7d3"
