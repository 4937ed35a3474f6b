"""Closure in slices of another column: a curve per slice, and a map of all cells."""

from __future__ import annotations

from itertools import pairwise

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from calibrate.figures import marks
from calibrate.figures.labels import (
    bare,
    deviation,
    deviation_unit,
    level_of,
    plain,
    symbol,
    truth_axis,
    with_unit,
)
from calibrate.figures.layout import (
    finite_range,
    head,
    legend,
    ordinary_ticks,
    set_range,
    two_panels,
)
from calibrate.figures.style import DARK, MARKERS, PALETTE, Look, styled
from calibrate.records import FAILS, MINIMUM_EFFECTIVE, TOO_FEW, SlicedClosure
from calibrate.sample import FloatArray

CELL = 0.72
"""Inches that a cell of the map is wide."""
MARGINS = 1.5
"""Inches above and below the cells of the map."""
SCALE = 6.0
"""The colours of the map end at this many tolerances, if no sooner."""
NOTHING, DIVERGING = "#ececec", "RdBu_r"


@styled()
def slices_figure(curve: SlicedClosure) -> Figure:
    """Bias of u (above) and half its 16-84 % interval (below) against true z, a colour for each
    slice; slices stand side by side in a bin. Bins of few events are faint."""
    figure, upper, lower = two_panels(share=0.38)
    marks.tolerance(upper, curve.tolerance, 0.0, curve.relative)
    names = slice_names(curve)
    for s, look in enumerate(slice_looks(len(names))):
        (place,) = marks.places(s, len(names), 1)
        _points(upper, curve, s, look, curve.mean - curve.reference, curve.mean_error, place)
        _points(lower, curve, s, look, curve.iqr, curve.iqr_error, place)
    _scales(upper, lower, curve)
    head(upper, f"{curve.method}, test sample: {curve.test}")
    entries: list[tuple[Artist, str]] = [
        marks.entry("", look, name)
        for name, look in zip(names, slice_looks(len(names)), strict=True)
    ]
    unit = curve.z_unit
    entries += marks.tolerance_entries(curve.tolerance, curve.relative, unit)
    legend(upper, entries, columns=2)
    return figure


def slice_looks(number: int) -> list[Look]:
    """A colour and a marker for each slice: those of methods, or a scale if there are many."""
    if number <= len(PALETTE):
        colours = list(PALETTE[:number])
    else:
        scale = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, number))
        colours = [matplotlib.colors.to_hex(colour) for colour in scale]
    return [Look(colour, MARKERS[s % len(MARKERS)], 10) for s, colour in enumerate(colours)]


def slice_names(curve: SlicedClosure) -> list[str]:
    """`0 ≤ |η| < 0.8` for each slice, with the unit."""
    unit, name = (f" {plain(curve.by_unit)}" if curve.by_unit else ""), sliced_symbol(curve.by)
    edges = [f"{edge:.4g}" for edge in curve.by_edges]
    return [rf"{a} $\leq$ {name} < {b}{unit}" for a, b in pairwise(edges)]


def sliced_symbol(by: str) -> str:
    """A column, or its absolute value, as it is printed: `abs(eta_reco)` as |η|."""
    column, absolute = _column(by)
    return f"|{symbol(bare(column))}|" if absolute else symbol(bare(column))


def sliced_axis(by: str, unit: str) -> str:
    """The label of an axis that shows it, with the level that the column's name tells."""
    column, _ = _column(by)
    level = level_of(column)
    return with_unit(f"{level} {sliced_symbol(by)}".lstrip(), unit)


def _column(by: str) -> tuple[str, bool]:
    absolute = by.startswith("abs(") and by.endswith(")")
    return (by[4:-1] if absolute else by), absolute


def _points(
    axes: Axes,
    curve: SlicedClosure,
    s: int,
    look: Look,
    values: FloatArray,
    errors: FloatArray,
    place: float,
) -> None:
    widths = np.diff(curve.edges)
    x = curve.z_mean[s] + marks.SPACING * place * np.minimum(widths, marks.WIDEST * widths.sum())
    good = curve.n_effective[s] >= MINIMUM_EFFECTIVE
    for chosen, alpha in ((good, 1.0), (~good, marks.FAINT)):
        usable = chosen & np.isfinite(values[s])
        if usable.any():
            line, _, _ = axes.errorbar(
                x[usable], values[s][usable], yerr=errors[s][usable], linestyle="none",
                color=look.colour, marker=look.marker, alpha=alpha, elinewidth=1.2,
            )  # fmt: skip
            line.set_gid(f"slice {s}" + ("" if alpha == 1.0 else ":faint"))


def _scales(upper: Axes, lower: Axes, curve: SlicedClosure) -> None:
    good = curve.n_effective >= MINIMUM_EFFECTIVE
    good = good if good.any() else np.full(good.shape, True)
    bias, error = (curve.mean - curve.reference)[good], curve.mean_error[good]
    reach = 1.5 * curve.tolerance
    set_range(upper, "y", [bias - error, bias + error, [-reach, reach]])
    upper.set_ylabel(with_unit("Bias", deviation_unit(curve)))
    if curve.relative:
        upper.yaxis.set_major_formatter(lambda b, _: f"{100 * b:g} %")
    spread, error = curve.iqr[good], curve.iqr_error[good]
    set_range(lower, "y", [spread - error, spread + error, [0.0]])
    lower.set_ylim(bottom=0)
    text = f"Resolution of {deviation(curve)}"
    lower.set_ylabel(with_unit(text, deviation_unit(curve)), size=12)
    marks.truth_scale(lower, [curve])


@styled()
def map_figure(curve: SlicedClosure) -> Figure:
    """Bias in every cell of z × slice as colour and as number ± error; hatched where it fails.

    Cells are of equal size, for the numbers; their edges stand at the axes. Cells of few events
    are grey, cells without any are left out.
    """
    slices, bins = curve.mean.shape
    width, height = 2.4 + CELL * max(bins, 6), MARGINS + 0.62 * max(slices, 3)
    figure = Figure(figsize=(width, height))
    left, bottom = 1.05 / width, 1.1 / height
    box = (left, bottom, (width - 2.4) / width, (height - MARGINS) / height)
    axes = figure.add_axes(box)
    mesh = _cells(axes, curve)
    _numbers(axes, curve, mesh)
    _map_axes(axes, curve)
    bar = figure.colorbar(mesh, cax=figure.add_axes((box[0] + box[2] + 0.2 / width, bottom,
                                                     0.22 / width, box[3])),
                          extend=_extend(curve))  # fmt: skip
    unit = "%" if curve.relative else deviation_unit(curve)
    bar.set_label(with_unit("Bias", unit))
    ordinary_ticks(bar.ax.yaxis, mesh.get_clim(), bins=5)
    text = f"{curve.method}, test sample: {curve.test}"
    head(axes, text)
    _explain(figure, axes, curve)
    return figure


def shown_bias(curve: SlicedClosure) -> tuple[FloatArray, FloatArray]:
    """Bias and error (n_s, n_b) as printed: in percent where u is relative."""
    factor = 100.0 if curve.relative else 1.0
    return factor * (curve.mean - curve.reference), factor * curve.mean_error


def _judged(curve: SlicedClosure) -> FloatArray:
    """The printed bias of the cells with enough events, NaN elsewhere."""
    enough = np.array(curve.states) != TOO_FEW
    return np.where(enough, shown_bias(curve)[0], np.nan)


def _limit(curve: SlicedClosure) -> float:
    """Where the colours end: above the largest bias, within two and six tolerances."""
    tolerance = curve.tolerance * (100 if curve.relative else 1)
    found = finite_range([np.abs(_judged(curve))])
    return float(np.clip(1.3 * found[1] if found else 0.0, 2 * tolerance, SCALE * tolerance))


def _extend(curve: SlicedClosure) -> str:
    low, high = finite_range([_judged(curve)]) or (0.0, 0.0)
    below, above = low < -_limit(curve), high > _limit(curve)
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get(
        (below, above), "neither"
    )


def _cells(axes: Axes, curve: SlicedClosure) -> QuadMesh:
    """Colours of the cells with enough events; grey where there are few."""
    slices, bins = curve.mean.shape
    limit = _limit(curve)
    for s, b in zip(*np.nonzero(curve.n_effective > 0), strict=True):
        if curve.states[s][b] == TOO_FEW:
            axes.add_patch(Rectangle((b, s), 1, 1, facecolor=NOTHING, edgecolor="white"))
    return axes.pcolormesh(
        np.arange(bins + 1), np.arange(slices + 1), np.ma.masked_invalid(_judged(curve)),
        norm=Normalize(-limit, limit), cmap=DIVERGING, edgecolors="white", linewidth=0.8,
        zorder=1,
    )  # fmt: skip


def _numbers(axes: Axes, curve: SlicedClosure, mesh: QuadMesh) -> None:
    """Bias and error in every cell with enough events, on a hatch where it fails."""
    bias, error = shown_bias(curve)
    for s, b in zip(*np.nonzero(np.isfinite(_judged(curve))), strict=True):
        colour = mesh.cmap(mesh.norm(bias[s, b]))
        bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 0.5
        ink = "black" if bright else "white"
        if curve.states[s][b] == FAILS:
            axes.add_patch(
                Rectangle((b + 0.02, s + 0.03), 0.96, 0.94, fill=False, hatch="////",
                          linewidth=1.5, edgecolor=ink, gid=f"fails {s} {b}", zorder=2)
            )  # fmt: skip
        axes.text(
            b + 0.5, s + 0.5, cell_text(bias[s, b], error[s, b]), ha="center", va="center",
            size=8.5, linespacing=1.1, color=ink, zorder=3,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.2},
        )  # fmt: skip


def cell_text(bias: float, error: float) -> str:
    """Bias over error, to the second significant digit of the error, at most three decimals."""
    exponent = int(f"{error:.1e}".split("e")[1]) if error > 0 else -1
    decimals = min(max(0, 1 - exponent), 3)
    return f"{bias:+.{decimals}f}\n±{error:.{decimals}f}"


def _map_axes(axes: Axes, curve: SlicedClosure) -> None:
    slices, bins = curve.mean.shape
    axes.set(xlim=(0, bins), ylim=(0, slices))
    axes.set_xticks(np.arange(bins + 1), [f"{edge:.4g}" for edge in curve.edges], size=11)
    axes.set_yticks(np.arange(slices + 1), [f"{edge:.4g}" for edge in curve.by_edges], size=11)
    axes.tick_params(which="both", direction="out", top=False, right=False, length=4)
    axes.minorticks_off()
    axes.set_xlabel(truth_axis(curve.z_name, curve.z_unit))
    axes.set_ylabel(sliced_axis(curve.by, curve.by_unit))


def _explain(figure: Figure, axes: Axes, curve: SlicedClosure) -> None:
    """What hatches and grey mean, below the axis label at the left."""
    states = {state for row in curve.states for state in row}
    size = marks.tolerance_entries(curve.tolerance, curve.relative, curve.z_unit)[0][1]
    entries: list[tuple[Artist, str]] = []
    if FAILS in states:
        patch = Patch(facecolor="white", edgecolor=DARK, hatch="////")
        entries.append((patch, f"fails ({size})"))
    if (np.array(curve.states)[curve.n_effective > 0] == TOO_FEW).any():
        patch = Patch(facecolor=NOTHING, edgecolor="none")
        entries.append((patch, f"below {MINIMUM_EFFECTIVE} effective events"))
    if entries:
        figure.legend(*zip(*entries, strict=True), loc="lower left", ncols=2, fontsize=10)
