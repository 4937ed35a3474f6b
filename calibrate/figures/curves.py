"""The calibration itself, ẑ(x) ± Σ(x), and the training sample it was learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from calibrate.figures.labels import bare, feature_axis, symbol, truth_axis, with_unit
from calibrate.figures.layout import head, legend, one_panel, ordinary_ticks, set_range
from calibrate.figures.marks import method_label
from calibrate.figures.style import DARK, GREY, Look, looks, styled
from calibrate.records import CalibrationCurve, JointHistogram
from calibrate.sample import FloatArray, IntArray

POINTS = 15
LOGARITHMIC_ABOVE = 30.0


@styled()
def calibration_figure(
    curves: Sequence[CalibrationCurve], style: Mapping[str, Look] | None = None
) -> Figure:
    """Estimate against the feature: Fig. 1(b) of arXiv:2205.05084.

    Points with bars ẑ(x) ± Σ(x) at about 15 places, closed forms as dashed lines with bands,
    the diagonal ẑ = x dotted.
    """
    style = style or looks(curve.method for curve in curves)
    figure, axes = one_panel(height=6.0)
    for turn, curve in enumerate(curves):
        look = style[curve.method]
        _exact(axes, curve, look)
        _points(axes, curve, look, places(curve.x.size, turn, len(curves)))
    _scales(axes, curves)
    head(axes, "")
    legend(axes, _entries(curves, style), columns=2)
    return figure


def places(size: int, turn: int, turns: int) -> IntArray:
    """About 15 indices of a grid of `size`; those of another turn lie between them."""
    stride = max(1, round(size / POINTS))
    start = (stride * (2 * turn + 1)) // (2 * turns)
    return np.arange(min(start, size - 1), size, stride)


def _points(axes: Axes, curve: CalibrationCurve, look: Look, index: IntArray) -> None:
    sigma = curve.sigma[index]
    line, _, _ = axes.errorbar(
        curve.x[index],
        curve.estimate[index],
        yerr=sigma if np.isfinite(sigma).any() else None,
        linestyle="none",
        marker=look.marker,
        color=look.colour,
        elinewidth=1.2,
        zorder=3 + look.order / 20,
    )
    line.set_gid(curve.method)


def _exact(axes: Axes, curve: CalibrationCurve, look: Look) -> None:
    low, high = curve.exact_estimate - curve.exact_sigma, curve.exact_estimate + curve.exact_sigma
    if np.isfinite(curve.exact_estimate).any():
        axes.plot(
            curve.x,
            curve.exact_estimate,
            "--",
            color=look.colour,
            linewidth=1.6,
            gid=f"{curve.method}:closed form",
        )
    if np.isfinite(low).any():
        axes.fill_between(
            curve.x,
            low,
            high,
            color=look.colour,
            alpha=0.15,
            linewidth=0,
            gid=f"{curve.method}:closed form band",
        )


def _scales(axes: Axes, curves: Sequence[CalibrationCurve]) -> None:
    first = curves[0]
    set_range(axes, "x", [curve.x for curve in curves], margin=0.02)
    reach = [c.estimate + sign * np.nan_to_num(c.sigma) for c in curves for sign in (-1, 1)]
    set_range(axes, "y", reach)
    if first.x_unit == first.z_unit:
        ends = axes.get_xlim()
        axes.plot(ends, ends, ":", color=DARK, linewidth=1.2, zorder=1, gid="diagonal")
    axes.set_xlabel(feature_axis(first.x_name, first.x_unit))
    axes.set_ylabel(
        with_unit(rf"Estimate $\hat{{z}}(x)$ of {symbol(bare(first.z_name))}", first.z_unit)
    )


def _entries(
    curves: Sequence[CalibrationCurve], style: Mapping[str, Look]
) -> list[tuple[Artist, str]]:
    entries = [_entry(curve, style[curve.method]) for curve in curves]
    if any(np.isfinite(curve.exact_estimate).any() for curve in curves):
        entries.append((Line2D([], [], color=GREY, linestyle="--"), "closed form"))
    if curves[0].x_unit == curves[0].z_unit:
        entries.append((Line2D([], [], color=DARK, linestyle=":"), r"$\hat{z} = x$"))
    return entries


def _entry(curve: CalibrationCurve, look: Look) -> tuple[Artist, str]:
    quoted = r" $\pm\ \Sigma(x)$" if np.isfinite(curve.sigma).any() else ""
    handle = Line2D([], [], color=look.colour, marker=look.marker, linestyle="none")
    return handle, method_label(curve.method, look) + quoted


@styled()
def joint_figure(histogram: JointHistogram) -> Figure:
    """Events of the training sample in feature and truth: Fig. 1(a) of arXiv:2205.05084."""
    figure, axes = one_panel(height=5.6)
    axes.set_position((0.145, 0.12, 0.68, 0.825))
    counts = np.ma.masked_less_equal(np.nan_to_num(histogram.counts.T), 0)
    mesh = axes.pcolormesh(
        histogram.x_edges,
        histogram.z_edges,
        counts,
        norm=colour_scale(histogram.counts),
        cmap="viridis",
        rasterized=True,
    )
    bar = figure.colorbar(mesh, cax=figure.add_axes((0.84, 0.12, 0.03, 0.825)))
    bar.set_label("Sum of weights")
    if not isinstance(mesh.norm, LogNorm):
        ordinary_ticks(bar.ax.yaxis, mesh.get_clim())
    axes.set_xlabel(feature_axis(histogram.x_name, histogram.x_unit))
    axes.set_ylabel(truth_axis(histogram.z_name, histogram.z_unit))
    for axis, edges in ((axes.xaxis, histogram.x_edges), (axes.yaxis, histogram.z_edges)):
        ordinary_ticks(axis, (float(edges[0]), float(edges[-1])))
    head(axes, "training sample")
    return figure


def colour_scale(counts: FloatArray) -> Normalize:
    """Logarithmic colours where the positive counts span a factor above 30, else linear."""
    positive = counts[np.isfinite(counts) & (counts > 0)]
    if positive.size == 0:
        return Normalize(0, 1)
    low, high = float(positive.min()), float(positive.max())
    if high / low > LOGARITHMIC_ABOVE:
        return LogNorm(low, high)
    return Normalize(0, high)
