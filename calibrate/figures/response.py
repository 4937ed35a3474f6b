"""Distribution of the response u = ẑ/z (or ẑ - z) over a test sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from calibrate.figures.histograms import outside, steps
from calibrate.figures.labels import deviation, deviation_unit, rounded, with_unit
from calibrate.figures.layout import head, legend, one_panel, ordinary_ticks, set_range
from calibrate.figures.marks import method_label
from calibrate.figures.style import DARK, Look, looks, styled
from calibrate.records import ResponseHistogram


@styled()
def response_figure(
    histograms: Sequence[ResponseHistogram], style: Mapping[str, Look] | None = None
) -> Figure:
    """Density of u of all methods on one test sample: steps with error bars.

    The legend gives mean ± error and half the 16-84 % interval, and what lies outside.
    """
    style = style or looks(histogram.method for histogram in histograms)
    figure, axes = one_panel()
    first = histograms[0]
    axes.axvline(_reference(first), color=DARK, linewidth=1, linestyle=":", gid="reference")
    for histogram in histograms:
        _draw(axes, histogram, style[histogram.method])
    _scales(axes, histograms)
    head(axes, f"test sample: {first.test}")
    legend(axes, [_entry(each, style[each.method]) for each in histograms])
    return figure


def _reference(histogram: ResponseHistogram) -> float:
    return 1.0 if histogram.relative else 0.0


def _draw(axes: Axes, histogram: ResponseHistogram, look: Look) -> None:
    edges, density, error = histogram.edges, histogram.density, histogram.density_error
    steps(axes, edges, density, error, look, name=histogram.method)


def _scales(axes: Axes, histograms: Sequence[ResponseHistogram]) -> None:
    first = histograms[0]
    edges = np.concatenate([histogram.edges for histogram in histograms])
    axes.set_xlim(edges.min(), edges.max())
    ordinary_ticks(axes.xaxis, (edges.min(), edges.max()))
    set_range(axes, "y", [h.density + h.density_error for h in histograms] + [[0.0]])
    axes.set_ylim(bottom=0)
    unit = deviation_unit(first)
    axes.set_xlabel(with_unit(deviation(first), unit))
    axes.set_ylabel(with_unit("Probability density", f"1/{unit}" if unit else ""))


def _entry(histogram: ResponseHistogram, look: Look) -> tuple[Artist, str]:
    unit = deviation_unit(histogram)
    lines = [
        f"{method_label(histogram.method, look)}: mean "
        f"{rounded(histogram.mean, histogram.mean_error)}, width {histogram.iqr:.3g}"
        + (f" {unit}" if unit else ""),
        outside(histogram.underflow, histogram.overflow),
    ]
    return Line2D([], [], color=look.colour), "\n".join(filter(None, lines))
