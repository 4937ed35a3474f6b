"""Spectra of the samples at truth and at detector level: Fig. 5 of arXiv:2205.05084."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibrate.figures.histograms import centres, outside
from calibrate.figures.labels import bare, plain, symbol, with_unit
from calibrate.figures.layout import head, legend, one_panel, ordinary_ticks
from calibrate.figures.style import PALETTE, styled
from calibrate.records import SpectrumHistogram
from calibrate.sample import FloatArray

DETECTOR = "detector"
COLOURS = ("#3b6fb6", "#d1362f", *PALETTE[2:])
DECADES = 6


@styled()
def spectra_figure(histograms: Sequence[SpectrumHistogram]) -> Figure:
    """Normalised spectra, one colour per sample: truth shaded, detector level as markers,
    open ones for another detector."""
    figure, axes = one_panel()
    samples = list(dict.fromkeys(histogram.sample for histogram in histograms))
    entries = []
    for histogram in sorted(histograms, key=measured):
        colour = COLOURS[samples.index(histogram.sample) % len(COLOURS)]
        entries.append(_draw(axes, histogram, colour))
    _scales(axes, histograms)
    head(axes, "")
    legend(axes, entries, columns=2)
    return figure


def measured(histogram: SpectrumHistogram) -> bool:
    """Whether it is a detector level, of this detector or of another (`detector (fast)`)."""
    return histogram.level.startswith(DETECTOR)


def _draw(axes: Axes, histogram: SpectrumHistogram, colour: str) -> tuple[Artist, str]:
    name = f"{histogram.sample}:{histogram.level}"
    beyond = outside(histogram.underflow, histogram.overflow)
    label = f"{plain(histogram.sample)}, {histogram.level}" + (f"\n{beyond}" if beyond else "")
    if not measured(histogram):
        axes.stairs(histogram.density, histogram.edges, color=colour, linewidth=1)
        patch = axes.stairs(
            histogram.density, histogram.edges, fill=True, color=colour, alpha=0.25, gid=name
        )
        return patch, label
    line, _, _ = axes.errorbar(
        centres(histogram.edges),
        _positive(histogram.density),
        yerr=histogram.density_error,
        xerr=0.5 * np.diff(histogram.edges),
        linestyle="none",
        marker="o" if histogram.level == DETECTOR else "s",
        markerfacecolor=colour if histogram.level == DETECTOR else "white",
        markersize=3.5,
        elinewidth=1,
        color=colour,
    )
    line.set_gid(name)
    return line, label


def _positive(density: FloatArray) -> FloatArray:
    """The density where a logarithmic axis can show it, NaN elsewhere (negative weights)."""
    return np.where(density > 0, density, np.nan)


def _scales(axes: Axes, histograms: Sequence[SpectrumHistogram]) -> None:
    density = np.concatenate([histogram.density for histogram in histograms])
    density = density[np.isfinite(density) & (density > 0)]
    low, high = (density.min(), density.max()) if density.size else (0.1, 1.0)
    axes.set_ylim(max(low / 2, high / 10**DECADES), 1.6 * high)
    axes.set_yscale("log")
    edges = np.concatenate([histogram.edges for histogram in histograms])
    axes.set_xlim(edges.min(), edges.max())
    ordinary_ticks(axes.xaxis, (edges.min(), edges.max()))
    unit = histograms[0].unit
    names = dict.fromkeys(symbol(bare(histogram.name)) for histogram in histograms)
    axes.set_xlabel(with_unit(", ".join(names), unit))
    axes.set_ylabel(with_unit("Probability density", f"1/{unit}" if unit else ""))
