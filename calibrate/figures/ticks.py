"""Tick marks as a few markers instead of many artists.

matplotlib makes five artists of every tick and draws each on its own: the ticks took four fifths
of the time of a figure. Here each side of a frame has one line of markers for its major ticks and
one for its minor ticks; what is left of matplotlib's ticks are the labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import TICKDOWN, TICKLEFT, TICKRIGHT, TICKUP
from matplotlib.ticker import NullLocator

from calibrate.sample import FloatArray

GID = "ticks"
ROUNDING = 1e-9
ZORDER = 2.5
Direction = Literal["x", "y"]
DIRECTIONS: tuple[Direction, ...] = ("x", "y")
SIDES: Mapping[Direction, tuple[str, str]] = {"x": ("bottom", "top"), "y": ("left", "right")}
MARKERS: Mapping[Direction, tuple[Any, Any]] = {
    "x": (TICKUP, TICKDOWN),
    "y": (TICKRIGHT, TICKLEFT),
}


class _Places(NamedTuple):
    """Where the ticks of one axis stand; whether its minor ones have labels of their own."""

    axes: Axes
    name: Direction
    major: FloatArray
    minor: FloatArray
    labelled: bool

    @property
    def axis(self) -> Axis:
        return self.axes.xaxis if self.name == "x" else self.axes.yaxis


def lighten_ticks(figure: Figure) -> None:
    """Replace the tick marks of all frames, at their final limits; a second call does nothing.

    Frames without ticks on opposite sides, such as colour scales, are left as they are.
    """
    frames = [axes for axes in figure.axes if _ordinary(axes)]
    found = [_places(axes, name) for axes in frames for name in DIRECTIONS]
    for places in found:  # after all of them are known: panels share their locators
        _replace(places)


def _ordinary(axes: Axes) -> bool:
    done = any(line.get_gid() == GID for line in axes.lines)
    ticks = axes.xaxis.get_tick_params() | axes.yaxis.get_tick_params()
    return not done and all(ticks.get(side, False) for pair in SIDES.values() for side in pair)


def _places(axes: Axes, name: Direction) -> _Places:
    axis = axes.xaxis if name == "x" else axes.yaxis
    minor = _shown(axis, np.asarray(axis.get_minorticklocs(), dtype=float))
    labelled = any(axis.get_minor_formatter().format_ticks(list(minor)))
    major = _shown(axis, np.asarray(axis.get_majorticklocs(), dtype=float))
    return _Places(axes, name, major, minor, labelled)


def _shown(axis: Axis, places: FloatArray) -> FloatArray:
    low, high = sorted(axis.get_view_interval())
    slack = ROUNDING * (high - low)
    return places[(places >= low - slack) & (places <= high + slack)]


def _replace(places: _Places) -> None:
    for which, where in (("major", places.major), ("minor", places.minor)):
        for side in (0, 1):
            places.axes.add_artist(_marks(places, where, which, side))
    if not places.labelled:
        places.axis.set_minor_locator(NullLocator())
    off = dict.fromkeys(SIDES[places.name], False)
    places.axis.set_tick_params(which="both", **off)


def _marks(places: _Places, where: FloatArray, which: str, side: int) -> Line2D:
    """The ticks of one kind at one side (0: bottom or left) of a frame, inwards."""
    axes, across = places.axes, np.full(where.size, float(side))
    rc: Any = matplotlib.rcParams
    marks = Line2D(
        *((where, across) if places.name == "x" else (across, where)),
        linestyle="none",
        marker=MARKERS[places.name][side],
        color=rc[f"{places.name}tick.color"],
        markersize=rc[f"{places.name}tick.{which}.size"],
        markeredgewidth=rc[f"{places.name}tick.{which}.width"],
        clip_on=False,
        zorder=ZORDER,
        gid=GID,
    )
    x_moves = places.name == "x"
    marks.set_transform(axes.get_xaxis_transform() if x_moves else axes.get_yaxis_transform())
    return marks
