"""Panels, margins, limits and legends: fixed margins, and room for the legend above the data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter
from numpy.typing import ArrayLike

from calibrate.figures.labels import plain
from calibrate.figures.style import WIDTH

LEFT, RIGHT, TOP = 0.145, 0.97, 0.945
LABEL = (-0.122, 1.0)
ORDINARY = (1e-3, 1e5)
LOGARITHMIC_ABOVE = 20.0
"""Ratio of the largest to the smallest positive value above which an axis is logarithmic."""
Direction = Literal["x", "y"]


def one_panel(height: float = 5.6) -> tuple[Figure, Axes]:
    """A figure with one panel."""
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((LEFT, 0.12, RIGHT - LEFT, TOP - 0.12))
    axes.yaxis.set_label_coords(*LABEL)
    return figure, axes


def two_panels(height: float = 6.6, share: float = 0.36) -> tuple[Figure, Axes, Axes]:
    """A main panel and, below it on the same horizontal axis, a smaller one."""
    figure = Figure(figsize=(WIDTH, height))
    bottom, gap = 0.105, 0.02
    cut = bottom + share * (TOP - bottom)
    lower = figure.add_axes((LEFT, bottom, RIGHT - LEFT, cut - bottom - gap / 2))
    upper = figure.add_axes((LEFT, cut + gap / 2, RIGHT - LEFT, TOP - cut - gap / 2), sharex=lower)
    upper.tick_params(labelbottom=False)
    for axes in (upper, lower):
        axes.yaxis.set_label_coords(*LABEL)
    return figure, upper, lower


def head(axes: Axes, right: str) -> None:
    """The line above the frame: who drew this, and which sample it shows."""
    axes.text(0, 1.015, "calibrate", transform=axes.transAxes, weight="bold", va="bottom")
    axes.text(1, 1.015, plain(right), transform=axes.transAxes, ha="right", va="bottom", size=12)


def finite_range(arrays: Iterable[ArrayLike]) -> tuple[float, float] | None:
    """The smallest and the largest finite value of all arrays; None where there is none."""
    values = np.concatenate([np.empty(0), *(np.ravel(np.asarray(a, float)) for a in arrays)])
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else None


def set_range(
    axes: Axes, direction: Direction, arrays: Iterable[ArrayLike], margin: float = 0.06
) -> None:
    """Limits around all finite values, with a margin; left alone where there are none."""
    found = finite_range(arrays)
    if found is None:
        return
    low, high = found
    if high == low:
        low, high = low - 0.1 * (abs(low) or 1.0), high + 0.1 * (abs(high) or 1.0)
    spread = high - low
    limits = (low - margin * spread, high + margin * spread)
    axes.set(**{f"{direction}lim": limits})
    ordinary_ticks(axes.xaxis if direction == "x" else axes.yaxis, limits)


def ordinary_ticks(axis: Axis, limits: tuple[float, float], bins: int = 7) -> None:
    """About `bins` labelled ticks, no offset text: exponents stand in the labels themselves."""
    axis.set_major_locator(MaxNLocator(nbins=bins, steps=[1, 2, 2.5, 5, 10]))
    largest = max(abs(limit) for limit in limits)
    if ORDINARY[0] <= largest < ORDINARY[1]:
        axis.set_major_formatter(ScalarFormatter(useOffset=False))
    else:
        axis.set_major_formatter("{x:g}")


def logarithmic_ticks(axis: Axis) -> None:
    """Labels at 1, 2 and 5 times the powers of ten, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def logarithmic_where_wide(
    axes: Axes, direction: Direction, arrays: Iterable[ArrayLike], margin: float = 0.06
) -> None:
    """A logarithmic scale where all finite values are positive and span a factor above 20."""
    low, high = finite_range(arrays) or (0.0, 0.0)
    if low > 0 and high / low > LOGARITHMIC_ABOVE:
        beyond = (high / low) ** margin
        axes.set(**{f"{direction}scale": "log", f"{direction}lim": (low / beyond, high * beyond)})
        logarithmic_ticks(axes.xaxis if direction == "x" else axes.yaxis)


Entries = Sequence[tuple[Artist, str]]
WIDE_SIZE = 9.5
LINE = 1.45 / 72
"""Inches that a line takes, for each point of its letters' size."""


MOST_OF_PANEL = 0.6
SURELY_FITS = 50
"""Characters in a row of a legend that fit any panel; more are measured."""


def legend(axes: Axes, entries: Entries, columns: int = 1, wide: Entries = ()) -> None:
    """A legend at the top, for which the vertical axis is extended: it covers no data.

    In fewer columns where they are too wide, in smaller letters where it would fill the panel.
    Below it, in smaller letters, `wide` entries that take a line each.
    """
    if not entries:
        return
    drawn, columns = _within_panel(axes, entries, columns)
    inches = axes.get_window_extent().height / axes.figure.dpi
    height = _height(drawn, columns)
    room = MOST_OF_PANEL * inches - len(wide) * WIDE_SIZE * LINE
    if height > room:
        drawn = _legend(axes, entries, columns, _size(drawn) * room / height)
        height = _height(drawn, columns)
    if wide:
        axes.add_artist(_wide(axes, wide, 1 - height / inches))
        height += len(wide) * WIDE_SIZE * LINE
    make_room(axes, min(MOST_OF_PANEL, height / inches))


def _within_panel(axes: Axes, entries: Entries, columns: int) -> tuple[Legend, int]:
    """The legend, and how many of the wanted columns are not wider than the panel; one that is
    has smaller letters."""
    drawn = _legend(axes, entries, columns, None)
    longest = max(len(line) for _, label in entries for line in label.splitlines() or [""])
    while columns * longest > SURELY_FITS:
        panel = axes.get_window_extent()
        excess = (drawn.get_window_extent().x1 - panel.x0) / panel.width
        if excess <= 1:
            break
        if columns == 1:
            return _legend(axes, entries, 1, _size(drawn) / excess), 1
        columns -= 1
        drawn = _legend(axes, entries, columns, None)
    return drawn, columns


def _legend(axes: Axes, entries: Entries, columns: int, size: float | None) -> Legend:
    handles, labels = zip(*entries, strict=True)
    return axes.legend(handles, labels, loc="upper left", ncols=columns, fontsize=size)


def _height(drawn: Legend, columns: int) -> float:
    """Of its lines, in inches."""
    labels = [text.get_text() for text in drawn.get_texts()]
    rows = math.ceil(len(labels) / columns)
    lines = sum(max(label.count("\n") for label in labels[i::rows]) + 1 for i in range(rows))
    return lines * _size(drawn) * LINE + 0.12


def _size(drawn: Legend) -> float:
    """Of its letters, in points."""
    return float(drawn.get_texts()[0].get_fontsize())


def _wide(axes: Axes, entries: Entries, top: float) -> Legend:
    """A second legend whose upper edge stands at `top` of the frame."""
    handles, labels = zip(*entries, strict=True)
    return Legend(
        axes,
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0.0, top),
        borderaxespad=0.4,
        borderpad=0.0,
        fontsize=WIDE_SIZE,
    )


def make_room(axes: Axes, fraction: float) -> None:
    """Extend the vertical axis so that the data leave its upper `fraction` free."""
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log":
        axes.set_ylim(low, low * (high / low) ** (1 / (1 - fraction)))
    else:
        axes.set_ylim(low, low + (high - low) / (1 - fraction))
