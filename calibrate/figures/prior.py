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
from calibrate.figures.layout import (
    head,
    legend,
    one_panel,
    ordinary_ticks,
    set_range,
    two_panels,
)
from calibrate.figures.style import DARK, PALETTE, Look, looks, styled
from calibrate.records import PriorApplication, PriorSensitivity, TransportApplication
from calibrate.sample import FloatArray

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
        place = SPACING * (turn - (len(found) - 1) / 2)
        _points(axes, each.mean, each.mean_error, style[each.method], f"{each.method}:mean", place)
    shown = [each.mean + side * each.mean_error for each in found for side in (-1, 1)]
    set_range(axes, "y", [*shown, [first.reference - 0.002, first.reference + 0.002]])
    axes.set_ylabel(with_unit(f"Mean {deviation(first)}", deviation_unit(first)))
    _spectra_axis(axes, first.spectra, "Spectrum of the test sample")
    head(axes, f"test sample: {first.test}, reweighted")
    entries = [marks.entry(each.method, style[each.method]) for each in found]
    legend(axes, entries + _threshold(first), columns=2)
    return figure


@styled()
def carried_figure(
    found: Sequence[TransportApplication], style: Mapping[str, Look] | None = None
) -> Figure:
    """Transported simulation beside data, both under each spectrum, for all methods: difference
    of the means in units of data's width, and below the ratio of the widths."""
    style = style or looks(each.method for each in found)
    figure, upper, lower = two_panels()
    first = found[0]
    shown: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    for axes, reference in ((upper, 0.0), (lower, 1.0)):
        axes.axhline(reference, color=DARK, linewidth=1, zorder=1, gid="reference")
    for turn, each in enumerate(found):
        place, look = SPACING * (turn - (len(found) - 1) / 2), style[each.method]
        panels = ((upper, "mean", each.offset), (lower, "width", each.ratio))
        for (axes, name, (value, error)), limits in zip(panels, shown, strict=True):
            _points(axes, value, error, look, f"{each.method}:{name}", place)
            limits += [value - error, value + error]
    set_range(upper, "y", [*shown[0], [-0.02, 0.02]])
    set_range(lower, "y", [*shown[1], [0.98, 1.02]])
    upper.set_ylabel(r"($\langle x'\rangle - \langle x\rangle_\mathrm{data}$) / width of data")
    lower.set_ylabel("Width / data's")
    upper.minorticks_off()
    _spectra_axis(lower, first.spectra, "Spectrum of simulation and data")
    head(upper, f"test: {first.test}, reweighted")
    legend(upper, [marks.entry(each.method, style[each.method]) for each in found], columns=2)
    return figure


def _spectra_axis(axes: Axes, spectra: Sequence[str], label: str) -> None:
    axes.set_xlim(-0.6, len(spectra) - 0.4)
    labels = [name.replace(" at ", "\nat ") for name in spectra]
    axes.set_xticks(np.arange(len(labels)), labels, size=10.5)
    axes.tick_params(axis="x", which="both", top=False)
    axes.minorticks_off()
    axes.set_xlabel(label)


def _points(
    axes: Axes, value: FloatArray, error: FloatArray, look: Look, name: str, aside: float
) -> None:
    line, _, _ = axes.errorbar(
        np.arange(value.size) + aside,
        value,
        yerr=error,
        linestyle="none",
        color=look.colour,
        marker=look.marker,
        elinewidth=1.2,
        zorder=3,
    )
    line.set_gid(name)


def _threshold(found: PriorApplication) -> list[tuple[Artist, str]]:
    return [marks.band_entry(f"±{100 * found.tolerance:.3g} %")] if found.relative else []


@styled()
def sensitivity_figure(found: PriorSensitivity) -> Figure:
    """Mean change of the answer of a method that is derived on other spectra, as a smooth
    function of the truth, with its 95 % limit at each place (of records without it: the band that
    holds all curves); dashed: the threshold."""
    figure, axes = one_panel()
    axes.axhline(0, color=DARK, linewidth=1, zorder=1, gid="reference")
    for side in (-1, 1):
        axes.axhline(side * found.threshold, color=DARK, linewidth=1, linestyle="--")
    entries: list[tuple[Artist, str]] = []
    limit = found.limit if found.limit.size else np.full_like(found.difference, found.band)
    for k, name in enumerate(found.spectra):
        colour, curve = PALETTE[k % len(PALETTE)], found.difference[k]
        axes.plot(found.z, curve, color=colour, gid=f"curve:{name}")
        axes.fill_between(
            found.z, curve - limit[k], curve + limit[k], color=colour, alpha=BAND, linewidth=0
        )
        entries.append((Line2D([], [], color=colour), f"derived on the spectrum '{name}'"))
    entries.append((Patch(facecolor=DARK, alpha=BAND), "limits at each place, 95 %"))
    dashed = Line2D([], [], color=DARK, linewidth=1, linestyle="--")
    percent = f"±{100 * found.threshold:.3g} %" + ("" if found.relative else " of the width of z")
    entries.append((dashed, f"threshold {percent}"))
    reach = 1.5 * found.threshold
    edges = [found.difference - limit, found.difference + limit]
    set_range(axes, "y", [*edges, [-reach, reach]])
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.set_xlim(found.z[0], found.z[-1])
    ordinary_ticks(axes.xaxis, (float(found.z[0]), float(found.z[-1])))
    axes.set_xlabel(truth_axis(found.z_name, found.z_unit))
    scale = "z" if found.relative else r"\sigma(z)"
    quantity = r"\hat{z}" if found.quantity == "ẑ" else found.quantity
    axes.set_ylabel(rf"Mean change of ${quantity}$ / ${scale}$")
    head(axes, f"{found.method}: {found.verdict}")
    legend(axes, entries)
    return figure
