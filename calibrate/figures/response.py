"""Distribution of the response u = ẑ/z (or ẑ - z) over a test sample."""

from __future__ import annotations

import math
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
from calibrate.records import FAILED, POOR, TOO_FEW, ResponseHistogram, TailHistogram
from calibrate.sample import FloatArray

CURVE_POINTS = 61
RARE = 1e-5
"""Share of the weight, and of the highest density, below which nothing is shown of the tails."""


@styled()
def response_figure(
    histograms: Sequence[ResponseHistogram], style: Mapping[str, Look] | None = None
) -> Figure:
    """Density of u of all methods on one test sample: steps with error bars, and the Gaussian
    core (smooth line) in the window it was fitted in.

    The legend gives mean ± error and half the 16-84 % interval, the mode with window and χ² of
    its fit, and what lies outside.
    """
    style = style or looks(histogram.method for histogram in histograms)
    figure, axes = one_panel()
    first = histograms[0]
    axes.axvline(first.reference, color=DARK, linewidth=1, linestyle=":", gid="reference")
    for histogram in histograms:
        _draw(axes, histogram, style[histogram.method])
    _scales(axes, histograms)
    head(axes, f"test sample: {first.test}")
    legend(axes, [_entry(each, style[each.method]) for each in histograms])
    return figure


@styled()
def tails_figure(
    histograms: Sequence[TailHistogram], style: Mapping[str, Look] | None = None
) -> Figure:
    """Density of u of all methods on a logarithmic scale, out to its tails; the legend gives
    their share."""
    style = style or looks(histogram.method for histogram in histograms)
    figure, axes = one_panel()
    first = histograms[0]
    axes.axvline(first.reference, color=DARK, linewidth=1, linestyle=":", gid="reference")
    for each in histograms:
        shown = np.where(each.density > 0, each.density, np.nan)
        steps(axes, each.edges, shown, each.density_error, style[each.method], name=each.method)
    _axes(axes, histograms)
    density = np.concatenate([each.density for each in histograms])
    axes.set_yscale("log")
    lowest = np.min(density[density > RARE * np.max(density)], initial=np.inf)
    axes.set_ylim(0.5 * lowest, 2 * np.max(density))
    head(axes, f"test sample: {first.test}")
    legend(axes, [_tail_entry(each, style[each.method]) for each in histograms])
    return figure


def _tail_entry(histogram: TailHistogram, look: Look) -> tuple[Artist, str]:
    shares = [
        f"{rounded(100 * share, 100 * error) if share > RARE else f'< {100 * RARE:g}'} % {side}"
        for share, error, side in (
            (histogram.below, histogram.below_error, "below"),
            (histogram.above, histogram.above_error, "above"),
        )
    ]
    text = f"{method_label(histogram.method, look)}, beyond {histogram.reach:g} widths:"
    return Line2D([], [], color=look.colour), f"{text}\n{', '.join(shares)}"


def _draw(axes: Axes, histogram: ResponseHistogram, look: Look) -> None:
    edges, density, error = histogram.edges, histogram.density, histogram.density_error
    steps(axes, edges, density, error, look, name=histogram.method)
    if math.isfinite(histogram.mode):
        u = np.linspace(histogram.fit_low, histogram.fit_high, CURVE_POINTS)
        zorder = 2.1 + look.order / 20
        axes.plot(
            u, core(histogram, u), color=look.colour, linewidth=3.5, alpha=0.4, zorder=zorder,
            solid_capstyle="butt", gid=f"{histogram.method}:core",
        )  # fmt: skip


def core(histogram: ResponseHistogram, u: FloatArray) -> FloatArray:
    """Density (n,) of the fitted Gaussian core, with the weight that its window holds."""
    width = histogram.fit
    reach = (histogram.fit_high - histogram.fit_low) / 2 / width
    scale = histogram.fit_inside / (math.erf(reach / math.sqrt(2)) * width * math.sqrt(2 * math.pi))
    return np.asarray(scale * np.exp(-0.5 * ((u - histogram.mode) / width) ** 2))


def _scales(axes: Axes, histograms: Sequence[ResponseHistogram]) -> None:
    _axes(axes, histograms)
    set_range(axes, "y", [h.density + h.density_error for h in histograms] + [[0.0]])
    axes.set_ylim(bottom=0)


def _axes(axes: Axes, histograms: Sequence[ResponseHistogram] | Sequence[TailHistogram]) -> None:
    first = histograms[0]
    edges = np.concatenate([histogram.edges for histogram in histograms])
    axes.set_xlim(edges.min(), edges.max())
    ordinary_ticks(axes.xaxis, (edges.min(), edges.max()))
    unit = deviation_unit(first)
    axes.set_xlabel(with_unit(deviation(first), unit))
    axes.set_ylabel(with_unit("Probability density", f"1/{unit}" if unit else ""))


def _entry(histogram: ResponseHistogram, look: Look) -> tuple[Artist, str]:
    unit = deviation_unit(histogram)
    lines = [
        f"{method_label(histogram.method, look)}: mean "
        f"{rounded(histogram.mean, histogram.mean_error)}, width {histogram.iqr:.3g}"
        + (f" {unit}" if unit else ""),
        core_text(histogram),
        outside(histogram.underflow, histogram.overflow),
    ]
    return Line2D([], [], color=look.colour), "\n".join(filter(None, lines))


def core_text(histogram: ResponseHistogram) -> str:
    """`mode 1.0002 ± 0.0003 in 0.95-1.05, χ²/ndf = 41/37`, or how its fit went; empty where none
    was tried."""
    state = histogram.fit_state
    if state in ("", TOO_FEW, FAILED):
        return {FAILED: "mode: no fit converged"}.get(state, "")
    unit = deviation_unit(histogram)
    low, high = (_short(end, histogram.fit) for end in (histogram.fit_low, histogram.fit_high))
    poor = " (poor fit)" if state == POOR else ""
    chi2 = f"{histogram.fit_chi2:.0f}" if histogram.fit_chi2 >= 10 else f"{histogram.fit_chi2:.1f}"
    return (
        f"mode {rounded(histogram.mode, histogram.mode_error)} in [{low}, {high}]"
        + (f" {unit}" if unit else "")
        + rf", $\chi^2$/ndf = {chi2}/{histogram.fit_ndf:.0f}{poor}"
    )


def _short(value: float, width: float) -> str:
    """Two digits of the width."""
    decimals = max(0, 1 - math.floor(math.log10(width))) if width > 0 else 3
    return f"{value:.{decimals}f}"
