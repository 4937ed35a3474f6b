"""Transported simulation beside data, and the maps: Fig. 3, 4 and 7 of arXiv:2205.05084."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from calibrate.figures.histograms import centres, steps
from calibrate.figures.labels import feature_axis, plain, rounded, with_unit
from calibrate.figures.layout import head, legend, ordinary_ticks, set_range, two_panels
from calibrate.figures.marks import dashed_entry
from calibrate.figures.style import DARK, GREY, Look, looks, styled
from calibrate.records import SpectrumShift, TransportCurve, TransportHistogram
from calibrate.sample import FloatArray

DECADES_BELOW = 30.0
MEASURED = 4.0
RATIO_LINEAR, RATIO_LIMITS = 3.0, (0.02, 50.0)
BEFORE = Look(GREY, "X", 1)


@styled()
def transport_figure(
    histograms: Sequence[TransportHistogram],
    style: Mapping[str, Look] | None = None,
    shifts: Sequence[SpectrumShift] = (),
) -> Figure:
    """Distributions of one test: data (points), the untouched simulation (grey) and after each
    map, with a band of its varied spectra; below, their ratios to data. The scale is
    logarithmic where the spectrum falls by decades, or a ratio is far from one."""
    style = style or looks(histogram.method for histogram in histograms)
    figure, upper, lower = two_panels()
    first = histograms[0]
    maps = [each for each in histograms if style[each.method].calibrated]
    entries = [_data(upper, first), _before(upper, lower, first)]
    for each in maps:
        look = style[each.method]
        steps(upper, each.edges, each.density, each.density_error, look, name=each.method)
        _ratio(lower, each, each.density, each.density_error, look, each.method)
        entries.append((Line2D([], [], color=look.colour), _entry(each)))
        entries += [_band(upper, lower, s, each, look) for s in shifts if s.method == each.method]
    _scales(upper, lower, histograms)
    head(upper, f"test: {first.test}")
    legend(upper, entries)
    return figure


def _data(axes: Axes, histogram: TransportHistogram) -> tuple[Artist, str]:
    line, _, _ = axes.errorbar(
        centres(histogram.edges), _positive(histogram.data), yerr=histogram.data_error,
        linestyle="none", marker="o", markersize=3.5, elinewidth=1, color="black", zorder=4,
    )  # fmt: skip
    line.set_gid("data")
    mean = rounded(histogram.data_mean, histogram.data_mean_error)
    width = rounded(histogram.data_width, histogram.data_width_error)
    return line, f"data: mean {mean}, width {width}{_unit(histogram)}"


def _before(upper: Axes, lower: Axes, histogram: TransportHistogram) -> tuple[Artist, str]:
    patch = upper.stairs(
        histogram.before, histogram.edges, fill=True, color=GREY, alpha=0.3, gid="simulation"
    )
    _ratio(lower, histogram, histogram.before, histogram.before_error, BEFORE, "simulation")
    return patch, "simulation (uncalibrated)"


def _entry(histogram: TransportHistogram) -> str:
    mean = rounded(histogram.mean, histogram.mean_error)
    width = rounded(histogram.width, histogram.width_error)
    chi2 = f"{histogram.chi2 / histogram.ndf:.3g}" if histogram.ndf else "n/a"
    return (
        f"{plain(histogram.method)}: mean {mean}, width {width}{_unit(histogram)},\n"
        rf"$\chi^2$/ndf = {chi2}"
    )


def _band(
    upper: Axes, lower: Axes, shift: SpectrumShift, histogram: TransportHistogram, look: Look
) -> tuple[Artist, str]:
    """Between which densities a map and those of varied spectra lie; also over data."""
    known = histogram.data > 0
    data = np.where(known, histogram.data, np.nan)
    for axes, scale in ((upper, 1.0), (lower, data)):
        patch = axes.stairs(
            shift.high / scale, shift.edges, baseline=shift.low / scale, fill=True,
            color=look.colour, alpha=0.25, zorder=1.5, gid=f"{shift.method}:spectrum",
        )  # fmt: skip
    moved = [f"{float(f'{value:.2g}'):g}" for value in (shift.mean, shift.width)]
    return patch, f"  varied spectrum: mean ±{moved[0]}, width ±{moved[1]}{_unit(histogram)}"


def _unit(histogram: TransportHistogram) -> str:
    return f" {plain(histogram.unit)}" if histogram.unit else ""


def _ratio(
    axes: Axes,
    histogram: TransportHistogram,
    density: FloatArray,
    error: FloatArray,
    look: Look,
    name: str,
) -> None:
    """Density over data, where both are known; the bars are of both."""
    known = (histogram.data > 0) & (density > 0)
    x, p, q = centres(histogram.edges)[known], density[known], histogram.data[known]
    ratio = p / q
    bars = ratio * np.hypot(error[known] / p, histogram.data_error[known] / q)
    line, _, _ = axes.errorbar(
        x, ratio, yerr=bars, linestyle="none", marker=look.marker, markersize=3.5,
        elinewidth=1, color=look.colour, zorder=2 + look.order / 20,
    )  # fmt: skip
    line.set_gid(f"{name}:ratio")


def _scales(upper: Axes, lower: Axes, histograms: Sequence[TransportHistogram]) -> None:
    first = histograms[0]
    edges, unit = first.edges, first.unit
    shown = [array for each in histograms for array in (each.density, each.before, each.data)]
    if _falls(first.data):
        filled = np.concatenate(shown)
        upper.set_ylim(0.5 * np.min(filled[filled > 0]), 2 * np.max(filled))
        upper.set_yscale("log")
    else:
        set_range(upper, "y", [*shown, [0.0]])
        upper.set_ylim(bottom=0)
    upper.set_ylabel(with_unit("Probability density", f"1/{unit}" if unit else ""))
    lower.set_xlim(edges[0], edges[-1])
    ordinary_ticks(lower.xaxis, (float(edges[0]), float(edges[-1])))
    lower.set_xlabel(feature_axis(first.name, unit))
    lower.axhline(1.0, color=DARK, linewidth=1, linestyle=":")
    lower.set_ylabel("Simulation / data")
    _ratio_scale(lower, histograms)


def _ratio_scale(axes: Axes, histograms: Sequence[TransportHistogram]) -> None:
    """From 0.5 to 1.5, or logarithmic where a well-measured ratio is beyond a factor of 3."""
    ratios = np.concatenate([_measured_ratios(each) for each in histograms])
    low, high = np.min(ratios, initial=1.0), np.max(ratios, initial=1.0)
    if high < RATIO_LINEAR and low > 1 / RATIO_LINEAR:
        axes.set_ylim(0.45, 1.55)
        return
    axes.set_ylim(max(low / 2, RATIO_LIMITS[0]), min(high * 2, RATIO_LIMITS[1]))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _measured_ratios(histogram: TransportHistogram) -> FloatArray:
    known = histogram.data > MEASURED * histogram.data_error
    both = np.concatenate([histogram.density[known], histogram.before[known]])
    ratios = both / np.tile(histogram.data[known], 2)
    return np.asarray(ratios[ratios > 0])


def _falls(density: FloatArray) -> bool:
    """Whether a spectrum falls by decades from somewhere in its lower half."""
    filled = density[density > 0]
    early = int(np.argmax(density)) < density.size / 2.5
    return bool(early and filled.size and filled[-1] * DECADES_BELOW < filled.max())


def _positive(density: FloatArray) -> FloatArray:
    return np.where(density > 0, density, np.nan)


@styled()
def transport_map_figure(
    curves: Sequence[TransportCurve], style: Mapping[str, Look] | None = None
) -> Figure:
    """The maps of one test, x' against x (dashed: the exact one for its spectrum); below, how far
    they move an event."""
    style = style or looks(curve.method for curve in curves)
    figure, upper, lower = two_panels()
    first = curves[0]
    entries: list[tuple[Artist, str]] = []
    for curve in curves:
        look = style[curve.method]
        for axes, moved in ((upper, curve.transported), (lower, curve.transported - curve.x)):
            axes.plot(curve.x, moved, color=look.colour, gid=curve.method)
        text = " (mean)" if curve.uses_truth else ""
        entries.append((Line2D([], [], color=look.colour), plain(curve.method) + text))
    known = [curve for curve in curves if np.isfinite(curve.exact).all()]
    if known:
        x, exact = known[0].x, known[0].exact
        for axes, moved in ((upper, exact), (lower, exact - x)):
            axes.plot(x, moved, color=DARK, linestyle="--", linewidth=1.6, gid="closed form")
        entries.append(dashed_entry("monotone map of this test"))
    upper.plot(first.x, first.x, color=GREY, linestyle=":", gid="identity")
    entries.append((Line2D([], [], color=GREY, linestyle=":"), "untouched"))
    _map_scales(upper, lower, curves)
    head(upper, f"test: {first.test}")
    legend(upper, entries)
    return figure


def _map_scales(upper: Axes, lower: Axes, curves: Sequence[TransportCurve]) -> None:
    first = curves[0]
    set_range(upper, "y", [a for c in curves for a in (c.transported, c.exact, c.x)])
    moved = [a - c.x for c in curves for a in (c.transported, c.exact)]
    set_range(lower, "y", [*moved, [0.0]])
    lower.axhline(0.0, color=GREY, linewidth=1, linestyle=":")
    low, high = float(first.x.min()), float(first.x.max())
    lower.set_xlim(low, high)
    ordinary_ticks(lower.xaxis, (low, high))
    lower.set_xlabel(feature_axis(first.name, first.unit))
    upper.set_ylabel(with_unit("Transported $x'$", first.unit))
    lower.set_ylabel(with_unit("$x' - x$", first.unit))
