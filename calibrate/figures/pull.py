"""Distribution of the pull (ẑ - z)/Σ(x), which is a unit Gaussian if Σ(x) is right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from calibrate.figures.histograms import centres, outside, steps
from calibrate.figures.layout import (
    finite_range,
    head,
    legend,
    ordinary_ticks,
    set_range,
    two_panels,
)
from calibrate.figures.marks import method_label
from calibrate.figures.style import DARK, GREY, Look, looks, styled
from calibrate.records import PullHistogram
from calibrate.sample import FloatArray

SMALLEST_RANGE = 5.0
LARGEST_RANGE = 12.0  # a bin of one event with a small weight is no measure


@styled()
def pull_figure(
    histograms: Sequence[PullHistogram], style: Mapping[str, Look] | None = None
) -> Figure:
    """Density of the pull of all methods that quote Σ(x), with the unit Gaussian (dashed).

    Below: (density - Gaussian averaged over the bin)/error.
    """
    style = style or looks(histogram.method for histogram in histograms)
    figure, upper, lower = two_panels(share=0.3)
    for histogram in histograms:
        _draw(upper, lower, histogram, style[histogram.method])
    _gaussian(upper, histograms[0].edges)
    _scales(upper, lower, histograms)
    head(upper, f"test sample: {histograms[0].test}")
    entries = [_entry(each, style[each.method]) for each in histograms]
    legend(upper, [*entries, (Line2D([], [], color=DARK, linestyle="--"), "unit Gaussian")])
    return figure


def gaussian_density(edges: FloatArray) -> FloatArray:
    """The unit Gaussian averaged over each bin (n_b,): ΔΦ/Δt."""
    cumulative = np.array([0.5 * math.erfc(-edge / math.sqrt(2)) for edge in edges])
    return np.asarray(np.diff(cumulative) / np.diff(edges))


def deviations(histogram: PullHistogram) -> FloatArray:
    """(density - Gaussian)/error (n_b,); NaN where the error is zero."""
    error = np.where(histogram.density_error > 0, histogram.density_error, np.nan)
    return np.asarray((histogram.density - gaussian_density(histogram.edges)) / error)


def _draw(upper: Axes, lower: Axes, histogram: PullHistogram, look: Look) -> None:
    name = histogram.method
    steps(upper, histogram.edges, histogram.density, histogram.density_error, look, name=name)
    lower.plot(
        centres(histogram.edges),
        deviations(histogram),
        linestyle="none",
        marker=look.marker,
        color=look.colour,
        markersize=4,
        zorder=2 + look.order / 20,
        gid=f"{name}:deviation",
    )


def _gaussian(axes: Axes, edges: FloatArray) -> None:
    t = np.linspace(edges[0], edges[-1], 201)
    density = np.exp(-0.5 * t**2) / math.sqrt(2 * math.pi)
    axes.plot(t, density, color=DARK, linestyle="--", linewidth=1.3, zorder=4, gid="gaussian")


def _scales(upper: Axes, lower: Axes, histograms: Sequence[PullHistogram]) -> None:
    edges = np.concatenate([histogram.edges for histogram in histograms])
    lower.set_xlim(edges.min(), edges.max())
    ordinary_ticks(lower.xaxis, (edges.min(), edges.max()), bins=10)
    set_range(upper, "y", [h.density + h.density_error for h in histograms] + [[0.0, 0.4]])
    upper.set_ylim(bottom=0)
    upper.set_ylabel("Probability density")
    largest = finite_range([np.abs(deviations(histogram)) for histogram in histograms])
    limit = min(max(SMALLEST_RANGE, 1.1 * largest[1] if largest else 0.0), LARGEST_RANGE)
    lower.set_ylim(-limit, limit)
    ordinary_ticks(lower.yaxis, (-limit, limit), bins=5)
    lower.axhline(0, color=DARK, linewidth=1, gid="reference")
    for height in (-2, 2):
        lower.axhline(height, color=GREY, linewidth=0.8, linestyle=":")
    lower.set_ylabel("Difference / error", size=12)
    lower.set_xlabel(r"Pull $(\hat{z} - z)/\Sigma(x)$")


def _entry(histogram: PullHistogram, look: Look) -> tuple[Artist, str]:
    lines = [
        f"{method_label(histogram.method, look)}: "
        f"mean {histogram.mean:.3f}, width {histogram.width:.3f}",
        outside(histogram.underflow, histogram.overflow),
    ]
    return Line2D([], [], color=look.colour), "\n".join(filter(None, lines))
