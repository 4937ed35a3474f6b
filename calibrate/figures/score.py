"""Scores: how well they separate as a nuisance varies, and where they cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from calibrate.figures.labels import parameter, plain, symbol, with_unit
from calibrate.figures.layout import (
    Entries,
    head,
    legend,
    one_panel,
    ordinary_ticks,
    set_range,
    two_panels,
)
from calibrate.figures.style import DARK, GREY, WIDTH, Look, looks, styled
from calibrate.records import DecisionMap, SeparationCurve

LEVELS = (0.1, 0.5, 0.9)
LINES: tuple[Literal[":", "-", "--"], ...] = (":", "-", "--")
SMALLEST, GROWTH = 4.0, 1.5
"""Size of the studied method's symbols, and what each further method's have more."""
Style = Mapping[str, Look]


@styled()
def separation_figure(curves: Sequence[SeparationCurve], style: Style | None = None) -> Figure:
    """Area under the ROC curve against one nuisance, for all methods; below, where the exact score
    is known, the mean distance to it. Vertical lines: the nominal value (solid) and the observed
    points'."""
    style = style or looks(curve.method for curve in curves)
    known = any(np.any(curve.difference > 0) for curve in curves)
    figure, upper, lower = two_panels() if known else (*one_panel(), None)
    for turn, curve in enumerate(curves):
        _line(upper, curve, curve.auc, curve.error, style, "auc", turn)
        if lower is not None:
            errors = curve.difference_error
            _line(lower, curve, curve.difference, errors, style, "difference", turn)
    set_range(upper, "y", [c.auc + side * c.error for c in curves for side in (-1, 1)])
    upper.set_ylabel("Area under the ROC curve")
    if lower is not None:
        lower.set_yscale("log")
        lower.set_ylabel("Mean |score - exact|")
    _nuisance_axis(upper if lower is None else lower, curves[0])
    for axes in (upper, lower):
        _values(axes, curves[0])
    head(upper, "signal against background, test events")
    legend(upper, [_entry(curve.method, style) for curve in curves], columns=2)
    return figure


def _line(
    axes: Axes,
    curve: SeparationCurve,
    values: np.ndarray,
    errors: np.ndarray,
    style: Style,
    name: str,
    turn: int,
) -> None:
    """Open symbols that grow with the turn, so that equal values are all seen."""
    look = style[curve.method]
    shown = np.isfinite(values) & (values > 0)
    dense = np.count_nonzero(shown) > curve.observed.size + 1
    line, _, _ = axes.errorbar(
        curve.values[shown], values[shown], yerr=errors[shown], color=look.colour,
        marker=look.marker, markersize=SMALLEST + turn * GROWTH, markerfacecolor="none",
        elinewidth=1, zorder=look.order, linestyle="-" if dense else "none",
    )  # fmt: skip
    line.set_gid(f"{curve.method}:{name}")


def _values(axes: Axes | None, curve: SeparationCurve) -> None:
    if axes is None:
        return
    for value in curve.observed:
        axes.axvline(value, color=GREY, linewidth=0.8, linestyle="--", zorder=0, gid="observed")
    axes.axvline(curve.nominal, color=DARK, linewidth=0.8, zorder=0, gid="nominal")


def _nuisance_axis(axes: Axes, curve: SeparationCurve) -> None:
    low, high = float(curve.values.min()), float(curve.values.max())
    axes.set_xlim(low, high)
    ordinary_ticks(axes.xaxis, (low, high))
    axes.set_xlabel(with_unit(f"Nuisance {parameter(curve.nuisance)}", curve.unit))


def _entry(method: str, style: Style) -> tuple[Line2D, str]:
    look = style[method]
    line = Line2D(
        [], [], color=look.colour, marker=look.marker, markersize=6, markerfacecolor="none"
    )
    return line, plain(method)


@styled()
def decision_figure(maps: Sequence[DecisionMap], style: Style | None = None) -> Figure:
    """Where all methods' scores of two features are 0.1, 0.5 and 0.9, in a panel for each true
    value of the nuisance."""
    style = style or looks(each.method for each in maps)
    values = list(dict.fromkeys(each.value for each in maps))
    methods = list(dict.fromkeys(each.method for each in maps))
    figure = Figure(figsize=(WIDTH, 4.6))
    width = (0.97 - 0.11) / len(values)
    panels: list[Axes] = []
    for turn, value in enumerate(values):
        share = panels[0] if panels else None
        axes = figure.add_axes(
            (0.11 + turn * width, 0.13, width - 0.02, 0.62), sharex=share, sharey=share
        )
        panels.append(axes)
        _panel(axes, [each for each in maps if each.value == value], style)
        axes.tick_params(labelleft=turn == 0)
    head(panels[0], "")
    panels[0].set_ylabel(with_unit(symbol(maps[0].y_name), maps[0].y_unit))
    entries: Entries = [
        *(_plain_entry(method, style) for method in methods),
        *((Line2D([], [], color=DARK, linestyle=line), f"score {level:g}")
          for level, line in zip(LEVELS, LINES, strict=True)),
    ]  # fmt: skip
    handles, labels = zip(*entries, strict=True)
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0.1, 1.0), ncols=3,
                  fontsize=10.5)  # fmt: skip
    return figure


def _plain_entry(method: str, style: Style) -> tuple[Line2D, str]:
    return Line2D([], [], color=style[method].colour), plain(method)


def _panel(axes: Axes, maps: Sequence[DecisionMap], style: Style) -> None:
    first = maps[0]
    for each in maps:
        look = style[each.method]
        lines = axes.contour(
            each.x, each.y, each.score.T, LEVELS, colors=look.colour, linestyles=LINES,
            linewidths=1.3, zorder=look.order,
        )  # fmt: skip
        lines.set_gid(each.method)
    axes.set_box_aspect(1)
    ordinary_ticks(axes.xaxis, axes.get_xlim(), bins=5)
    ordinary_ticks(axes.yaxis, axes.get_ylim(), bins=5)
    axes.set_xlabel(with_unit(symbol(first.x_name), first.x_unit))
    name = with_unit(f"{parameter(first.nuisance)} = {first.value:.4g}", first.unit)
    axes.text(1, 1.015, name.replace("[", "").replace("]", ""), transform=axes.transAxes,
              ha="right", va="bottom", size=12)  # fmt: skip
