"""Dependence on the spectrum: closure on other ones, and what a fit on others changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from calibrate.figures import marks
from calibrate.figures.labels import deviation, deviation_unit, truth_axis, with_unit
from calibrate.figures.layout import head, legend, one_panel, ordinary_ticks, set_range
from calibrate.figures.style import DARK, PALETTE, Look, looks, styled
from calibrate.records import PriorApplication, PriorSensitivity

SPACING = 0.16
BAND = 0.18


@styled()
def application_figure(
    found: Sequence[PriorApplication], style: Mapping[str, Look] | None = None
) -> Figure:
    """Mean of u of all methods under each spectrum, side by side; shaded: what counts as
    universal, where u is relative."""
    style = style or looks(each.method for each in found)
    figure, axes = one_panel()
    first = found[0]
    if first.relative:
        low, high = (first.reference + side * first.tolerance for side in (-1, 1))
        axes.axhspan(low, high, color=marks.BAND, linewidth=0, zorder=0, gid="tolerance")
    axes.axhline(first.reference, color=DARK, linewidth=1, zorder=1, gid="reference")
    for turn, each in enumerate(found):
        _means(axes, each, style[each.method], SPACING * (turn - (len(found) - 1) / 2))
    shown = [each.mean + side * each.mean_error for each in found for side in (-1, 1)]
    set_range(axes, "y", [*shown, [first.reference - 0.002, first.reference + 0.002]])
    axes.set_xlim(-0.6, len(first.spectra) - 0.4)
    labels = [name.replace(" at ", "\nat ") for name in first.spectra]
    axes.set_xticks(np.arange(len(labels)), labels, size=10.5)
    axes.tick_params(axis="x", which="both", top=False)
    axes.minorticks_off()
    axes.set_ylabel(with_unit(f"Mean {deviation(first)}", deviation_unit(first)))
    axes.set_xlabel("Spectrum of the test sample")
    head(axes, f"test sample: {first.test}, reweighted")
    entries = [marks.entry(each.method, style[each.method]) for each in found]
    legend(axes, entries + _threshold(first), columns=2)
    return figure


def _means(axes: Axes, found: PriorApplication, look: Look, aside: float) -> None:
    line, _, _ = axes.errorbar(
        np.arange(len(found.spectra)) + aside,
        found.mean,
        yerr=found.mean_error,
        linestyle="none",
        color=look.colour,
        marker=look.marker,
        elinewidth=1.2,
        zorder=3,
    )
    line.set_gid(f"{found.method}:mean")


def _threshold(found: PriorApplication) -> list[tuple[Artist, str]]:
    return [marks.band_entry(f"±{100 * found.tolerance:.3g} %")] if found.relative else []


@styled()
def sensitivity_figure(found: PriorSensitivity) -> Figure:
    """Mean change of the estimate of a method that is derived on other spectra, as a smooth
    function of the truth, with the band that holds all curves at 95 %; dashed: the threshold."""
    figure, axes = one_panel()
    axes.axhline(0, color=DARK, linewidth=1, zorder=1, gid="reference")
    for side in (-1, 1):
        axes.axhline(side * found.threshold, color=DARK, linewidth=1, linestyle="--")
    entries: list[tuple[Artist, str]] = []
    for k, name in enumerate(found.spectra):
        colour, curve = PALETTE[k % len(PALETTE)], found.difference[k]
        axes.plot(found.z, curve, color=colour, gid=f"curve:{name}")
        axes.fill_between(
            found.z, curve - found.band, curve + found.band, color=colour, alpha=BAND, linewidth=0
        )
        entries.append((Line2D([], [], color=colour), f"derived on the spectrum '{name}'"))
    entries.append((Patch(facecolor=DARK, alpha=BAND), "band of all curves, 95 %"))
    dashed = Line2D([], [], color=DARK, linewidth=1, linestyle="--")
    percent = f"±{100 * found.threshold:.3g} %" + ("" if found.relative else " of the width of z")
    entries.append((dashed, f"threshold {percent}"))
    limit = 1.5 * found.threshold
    edges = [found.difference - found.band, found.difference + found.band]
    set_range(axes, "y", [*edges, [-limit, limit]])
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.set_xlim(found.z[0], found.z[-1])
    ordinary_ticks(axes.xaxis, (float(found.z[0]), float(found.z[-1])))
    axes.set_xlabel(truth_axis(found.z_name, found.z_unit))
    scale = "z" if found.relative else r"\sigma(z)"
    axes.set_ylabel(rf"Mean change of $\hat{{z}}$ / ${scale}$")
    head(axes, f"{found.method}: {found.verdict}")
    legend(axes, entries)
    return figure
