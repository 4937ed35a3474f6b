"""What a sweep found: a metric against one swept parameter, or as a map of two; a panel for each
value of a third."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from calibrate.figures.labels import parameter, plain, shown_value, with_unit
from calibrate.figures.layout import (
    finite_range,
    head,
    legend,
    logarithmic_where_wide,
    ordinary_ticks,
    set_range,
)
from calibrate.figures.marks import dashed_entry
from calibrate.figures.style import DARK, MARKERS, PALETTE, Look, looks, styled
from calibrate.records.sweep import SweptMetric, Value
from calibrate.sample import BoolArray, FloatArray

PANEL = (7.0, 5.6)
SMALL = (4.1, 3.7)
HEAD, LEFT = 0.35, 0.85
"""Inches above the panels for the line that says who drew this, and at their left."""
COLUMNS = 3
METHOD = "method"
MOST_NUMBERS = 100
"""Cells of a map above which they hold no numbers."""
BAND, SIDE = 0.18, 0.16
"""Opacity of bands; how far the outer lines stand beside a word."""
COLOURS = "cividis"


@styled()
def metric_figure(
    metrics: Sequence[SweptMetric], x: str, series: str | None = None, panels: str | None = None
) -> Figure:
    """A metric against the parameter `x`: points with errors, a band of the uncertainty of one
    run, and the closed form dashed. A colour for each value of `series`, or for each method; a
    panel for each value of `panels`."""
    values = _values(metrics, panels)
    figure, axes = _panels(len(values), above=0.35 if panels else 0.0)
    entries: list[tuple[Artist, str]] = []
    for each, value in zip(axes, values, strict=True):
        lines = _lines(metrics, series, panels, value)
        beside = SIDE * np.linspace(-1, 1, len(lines)) if len(lines) > 1 else np.zeros(1)
        looks_of = _looks(lines, metrics)
        for (label, metric, rows), look, shift in zip(lines, looks_of, beside, strict=True):
            _line(each, metric, rows, _places(metrics, metric, x, shift), x, look)
            if each is axes[0] and len(lines) > 1:
                entries.append((_handle(look), label))
        _frame(each, metrics, x)
    entries += _kinds(metrics, x)
    if panels is None:
        legend(axes[0], entries, columns=min(3, len(entries)))
    else:
        _legend_above(figure, entries)
    _heads(figure, axes, metrics, panels)
    return figure


@styled()
def metric_map(metric: SweptMetric, x: str, y: str, panels: str | None = None) -> Figure:
    """A metric over the parameters `x` and `y` as colour and number ± uncertainty of one run; a
    panel for each value of `panels`."""
    figure, axes = _panels(len(_values([metric], panels)), right=0.95)
    low, high = finite_range([metric.value]) or (0.0, 1.0)
    norm = Normalize(low, high if high > low else low + 1.0)
    for each, value in zip(axes, _values([metric], panels), strict=True):
        _cells(each, metric, x, y, _where(metric, panels, value), norm)
    width = figure.get_size_inches()[0]
    bottom = min(each.get_position().y0 for each in axes)
    height = axes[0].get_position().y1 - bottom
    bar = figure.add_axes((1 - 0.95 / width, bottom, 0.2 / width, height))
    scale = matplotlib.cm.ScalarMappable(norm, COLOURS)
    figure.colorbar(scale, cax=bar).set_label(with_unit(plain(metric.label), metric.unit), size=13)
    ordinary_ticks(bar.yaxis, (low, high), bins=5)
    _heads(figure, axes, [metric], panels)
    return figure


def _heads(
    figure: Figure, axes: Sequence[Axes], metrics: Sequence[SweptMetric], panels: str | None
) -> None:
    """Who drew this and whose metric it is; over each panel its value."""
    swept = len(metrics) > 1 or METHOD in metrics[0].points
    method = "" if swept else metrics[0].method
    if panels is None:
        head(axes[0], method)
        return
    width, height = figure.get_size_inches()
    top, right = 1 - 0.3 / height, axes[min(len(axes), COLUMNS) - 1].get_position().x1
    figure.text(LEFT / width, top, "calibrate", weight="bold")
    figure.text(right, top, plain(method), ha="right", size=12)
    for each, value in zip(axes, _values(metrics, panels), strict=True):
        each.set_title(_title(panels, value), size=12, loc="left")
    for i, each in enumerate(axes):
        if i % COLUMNS:
            each.set_ylabel("")


def _legend_above(figure: Figure, entries: Sequence[tuple[Artist, str]]) -> None:
    width, height = figure.get_size_inches()
    handles, labels = zip(*entries, strict=True)
    place = (LEFT / width, 1 - HEAD / height)
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=place, ncols=len(entries),
                  borderaxespad=0.0)  # fmt: skip


def _values(metrics: Sequence[SweptMetric], name: str | None) -> list[Value]:
    """The values of a parameter in rising order, words as they come; one None without a name."""
    if name is None:
        return [None]
    found = list(dict.fromkeys(value for each in metrics for value in each.points[name]))
    return sorted(found, key=float) if _numeric(found) else found  # type: ignore[arg-type]


def _numeric(values: Sequence[Value]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _where(metric: SweptMetric, name: str | None, value: Value) -> BoolArray:
    if name is None:
        return np.full(metric.value.size, True)
    return np.array([each == value for each in metric.points[name]])


def _panels(number: int, right: float = 0.0, above: float = 0.0) -> tuple[Figure, list[Axes]]:
    """One panel, or small ones side by side; room at the right and above them in inches."""
    if number == 1:
        width = PANEL[0] + right
        figure = Figure(figsize=(width, PANEL[1]))
        box = (1.02 / width, 0.12, (PANEL[0] - 1.23) / width, 0.825)
        return figure, [figure.add_axes(box)]
    columns = min(number, COLUMNS)
    rows = math.ceil(number / columns)
    width, height = columns * SMALL[0] + right + 0.2, rows * SMALL[1] + HEAD + above
    figure = Figure(figsize=(width, height))
    first: Axes | None = None
    axes = []
    for i in range(number):
        left = LEFT + (i % columns) * SMALL[0]
        bottom = height - HEAD - above - (i // columns + 1) * SMALL[1] + 0.65
        box = (left / width, bottom / height, (SMALL[0] - 0.75) / width, (SMALL[1] - 1.0) / height)
        axes.append(figure.add_axes(box, sharex=first, sharey=first))
        first = axes[0]
    return figure, axes


Line = tuple[str, SweptMetric, BoolArray]


def _lines(
    metrics: Sequence[SweptMetric], series: str | None, panels: str | None, value: Value
) -> list[Line]:
    """Label, metric and rows of each line of a panel: values of `series`, or the methods."""
    if series is None:
        return [(plain(m.method), m, _where(m, panels, value)) for m in metrics]
    first = metrics[0]
    return [
        (_title(series, each), first, _where(first, panels, value) & _where(first, series, each))
        for each in _values(metrics, series)
    ]


def _looks(lines: Sequence[Line], metrics: Sequence[SweptMetric]) -> list[Look]:
    """The looks of the methods; else the palette, or a scale of colours for many values."""
    if len(lines) == len(metrics) > 1:
        return list(looks(metric.method for metric in metrics).values())
    return ordered_looks(len(lines))


def ordered_looks(number: int) -> list[Look]:
    """Colours for the values of a parameter: the palette, or a scale where it is too short."""
    colours: Sequence[str] = PALETTE
    if number > len(PALETTE):
        scale = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, number))
        colours = [matplotlib.colors.to_hex(colour) for colour in scale]
    return [Look(colours[i], MARKERS[i % len(MARKERS)], 10 - min(i, 9)) for i in range(number)]


def _line(
    axes: Axes, metric: SweptMetric, rows: BoolArray, places: FloatArray, x: str, look: Look
) -> None:
    chosen = np.flatnonzero(rows)
    chosen = chosen[np.argsort(places[chosen])]
    places, words = places[chosen], not _numeric(metric.points[x])
    value, band = metric.value[chosen], metric.band[chosen]
    if not words:
        axes.fill_between(places, value - band, value + band, color=look.colour, alpha=BAND,
                          linewidth=0, gid="band")  # fmt: skip
    if metric.exact.size:
        marker = "_" if words or len(places) == 1 else ""
        axes.plot(places, metric.exact[chosen], color=look.colour, linestyle="" if words else "--",
                  marker=marker, markersize=14, gid="closed form", zorder=2.5)  # fmt: skip
    axes.errorbar(places, value, band, color=look.colour, marker=look.marker, linestyle="none",
                  elinewidth=1.2, zorder=3 + look.order / 20, gid="points")  # fmt: skip


def _places(
    metrics: Sequence[SweptMetric], metric: SweptMetric, x: str, shift: float = 0.0
) -> FloatArray:
    """Where the points stand: at their numbers, or at 0, 1, 2 … for words, lines side by side."""
    values = metric.points[x]
    if _numeric(values):
        return np.array(values, dtype=float)
    known = _values(metrics, x)
    return np.array([known.index(value) for value in values], dtype=float) + shift


def _frame(axes: Axes, metrics: Sequence[SweptMetric], x: str) -> None:
    first = metrics[0]
    ends = [m.value + s * np.nan_to_num(m.band) for m in metrics for s in (-1, 1)]
    heights, places = (
        [*ends, *(m.exact for m in metrics)],
        [_places(metrics, m, x) for m in metrics],
    )
    set_range(axes, "y", heights, margin=0.08)
    set_range(axes, "x", places)
    logarithmic_where_wide(axes, "y", heights)
    logarithmic_where_wide(axes, "x", places)
    if not _numeric(first.points[x]):
        names = _values(metrics, x)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_xticks(range(len(names)), [plain(shown_value(name)) for name in names])
        axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    axes.set_xlabel(parameter(x))
    axes.set_ylabel(with_unit(plain(first.label), first.unit))


def _handle(look: Look) -> Line2D:
    return Line2D([], [], color=look.colour, marker=look.marker, linestyle="none")


def _kinds(metrics: Sequence[SweptMetric], x: str) -> list[tuple[Artist, str]]:
    """The band (an error bar where `x` takes words) and the closed form."""
    spread = any(np.isfinite(metric.spread).any() for metric in metrics)
    text = "± spread over seeds" if spread else "± error"
    having = [metric for metric in metrics if np.isfinite(metric.exact).any()]
    known, expected = bool(having), dict.fromkeys(metric.expected for metric in having)
    if not _numeric(metrics[0].points[x]):
        marks = [("|", text)] + ([("_", text) for text in expected] if known else [])
        return [(_handle(Look(DARK, marker, 0)), each) for marker, each in marks]
    found: list[tuple[Artist, str]] = [(Patch(facecolor=DARK, alpha=BAND), text)]
    return [*found, *map(dashed_entry, expected)] if known else found


def _title(name: str, value: Value) -> str:
    return f"{parameter(name)} = {plain(shown_value(value))}"


def _cells(
    axes: Axes, metric: SweptMetric, x: str, y: str, rows: BoolArray, norm: Normalize
) -> None:
    across, up = _values([metric], x), _values([metric], y)
    grid: FloatArray = np.full((2, len(up), len(across)), np.nan)
    for i in np.flatnonzero(rows):
        row, column = up.index(metric.points[y][i]), across.index(metric.points[x][i])
        grid[:, row, column] = metric.value[i], metric.band[i]
    axes.pcolormesh(np.ma.masked_invalid(grid[0]), norm=norm, cmap=COLOURS, edgecolors="white",
                    linewidth=0.8, zorder=1)  # fmt: skip
    if grid[0].size <= MOST_NUMBERS:
        _numbers(axes, grid, norm)
    axes.set_xticks(np.arange(len(across)) + 0.5, [plain(shown_value(v)) for v in across])
    axes.set_yticks(np.arange(len(up)) + 0.5, [plain(shown_value(v)) for v in up])
    axes.tick_params(which="both", length=0, top=False, right=False)
    axes.minorticks_off()
    axes.set_xlabel(parameter(x))
    axes.set_ylabel(parameter(y))


def _numbers(axes: Axes, grid: FloatArray, norm: Normalize) -> None:
    colours: Callable[[float], tuple[float, ...]] = matplotlib.colormaps[COLOURS]
    wide = axes.get_window_extent().width / 100 / grid.shape[2]
    size = float(np.clip(11 * wide / 0.75, 5.5, 11))
    for row, column in zip(*np.nonzero(np.isfinite(grid[0])), strict=True):
        value, band = grid[:, row, column]
        red, green, blue, _ = colours(float(norm(value)))
        bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        axes.text(column + 0.5, row + 0.5, _number(value, band), ha="center", va="center",
                  size=size, color="black" if bright else "white")  # fmt: skip


def _number(value: float, band: float) -> str:
    """Value over uncertainty, to the second significant digit of it."""
    if not band > 0:
        return f"{value:.3g}"
    decimals = min(max(0, 1 - int(f"{band:.1e}".split("e")[1])), 4)
    return f"{value:.{decimals}f}\n± {band:.{decimals}f}"
