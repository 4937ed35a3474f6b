"""Whether quoted uncertainties are right: coverage at all levels and against columns, and PIT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibrate.figures.histograms import steps
from calibrate.figures.labels import feature_axis, truth_axis
from calibrate.figures.layout import (
    head,
    legend,
    one_panel,
    set_range,
    two_panels,
)
from calibrate.figures.marks import BAND, Fill, band_entry, bin_scale, dashed_entry, entry
from calibrate.figures.style import DARK, Look, looks, styled
from calibrate.records import CoverageCurve, CoverageProfile, PITHistogram
from calibrate.records.uncertainty import CENTRAL, HIGHEST
from calibrate.sample import FloatArray

LINES = {CENTRAL: "-", HIGHEST: "--"}
SMALLEST_MISS = 0.01
"""Half the height of the lower panel of coverage at least."""


@styled()
def coverage_figure(
    curves: Sequence[CoverageCurve], style: Mapping[str, Look] | None = None
) -> Figure:
    """Fraction of the truths in central intervals against their probability, on the diagonal if
    the quoted distributions are right; below, the difference, on twice the binomial error. Dashed:
    in regions of highest density, where a method quotes more than one Gaussian."""
    style = style or looks(curve.method for curve in curves)
    figure, upper, lower = two_panels(share=0.36)
    upper.plot([0, 1], [0, 1], color=DARK, linewidth=1, gid="reference")
    lower.axhline(0, color=DARK, linewidth=1, gid="reference")
    for curve in curves:
        look, line = style[curve.method], LINES[curve.regions]
        gid = curve.method if curve.regions == CENTRAL else f"{curve.method}:{curve.regions}"
        upper.plot(curve.level, curve.coverage, color=look.colour, linestyle=line, gid=gid)
        miss = curve.coverage - curve.level
        _with_errors(lower, curve.level, miss, curve.coverage_error, look, line)
    _band(lower, curves[0].level, 2 * curves[0].band, np.zeros_like(curves[0].level))
    lower.set_xlim(0, 1)
    upper.set_ylim(0, 1)
    misses = [c.coverage - c.level + s * 2 * c.coverage_error for c in curves for s in (-1, 1)]
    set_range(lower, "y", [*misses, [-SMALLEST_MISS, SMALLEST_MISS]])
    upper.set_ylabel("Fraction of truths inside")
    lower.set_ylabel("Difference", size=12)
    lower.set_xlabel("Probability of the interval")
    head(upper, f"test sample: {curves[0].test}")
    entries = [entry(c.method, style[c.method]) for c in curves if c.regions == CENTRAL]
    if len(entries) < len(curves):
        entries.append(dashed_entry("regions of highest density"))
    legend(upper, [*entries, band_entry("± 2 binomial errors")])
    return figure


@styled()
def pit_figure(
    histograms: Sequence[PITHistogram], style: Mapping[str, Look] | None = None
) -> Figure:
    """Distribution of F(z|x) at the truth, flat if the quoted distributions are right."""
    style = style or looks(histogram.method for histogram in histograms)
    figure, axes = one_panel()
    first = histograms[0]
    axes.axhspan(1 - 2 * first.band, 1 + 2 * first.band, color=BAND, linewidth=0, gid="band")
    axes.axhline(1, color=DARK, linewidth=1, gid="reference")
    for each in histograms:
        look = style[each.method]
        steps(axes, each.edges, each.density, each.density_error, look, name=each.method)
    axes.set_xlim(0, 1)
    set_range(axes, "y", [each.density for each in histograms] + [[0.9, 1.1]])
    axes.set_xlabel(r"$F(z|x)$ at the true $z$")
    axes.set_ylabel("Probability density")
    head(axes, f"test sample: {first.test}")
    entries = [entry(each.method, style[each.method]) for each in histograms]
    legend(axes, [*entries, band_entry("± 2 binomial errors")])
    return figure


@styled()
def coverage_profile_figure(
    profiles: Sequence[CoverageProfile], style: Mapping[str, Look] | None = None
) -> Figure:
    """Coverage of central intervals in bins of a column: filled points for the first level, open
    ones for the second, on twice the binomial errors around what they should be."""
    style = style or looks(profile.method for profile in profiles)
    figure, axes = one_panel()
    first = profiles[0]
    for level, band in zip(first.level, first.band, strict=True):
        axes.axhline(level, color=DARK, linewidth=1, gid="reference")
        axes.stairs(level + 2 * band, first.edges, baseline=level - 2 * band, fill=True,
                    color=BAND, zorder=0, gid="band")  # fmt: skip
    for profile in profiles:
        _profile(axes, profile, style[profile.method])
    bin_scale(axes, first.edges)
    label = truth_axis if first.truth else feature_axis
    axes.set_xlabel(label(first.name, first.unit))
    set_range(axes, "y", [p.coverage for p in profiles] + [[0.6, 1.0]])
    axes.set_ylabel("Coverage of central intervals")
    head(axes, f"test sample: {first.test}")
    kinds = [
        entry("", Look(DARK, "o", 0), f"{100 * level:.1f} % interval", fill)
        for level, fill in zip(first.level, FILLS, strict=False)
    ]
    entries = [entry(each.method, style[each.method]) for each in profiles]
    legend(axes, [*entries, *kinds, band_entry("± 2 binomial errors")], columns=2)
    return figure


FILLS: tuple[Fill, ...] = ("full", "open")


def _profile(axes: Axes, profile: CoverageProfile, look: Look) -> None:
    for row, fill in enumerate(FILLS[: profile.level.size]):
        coverage, error = profile.coverage[row], profile.coverage_error[row]
        face = look.colour if fill == "full" else "white"
        gid = f"{profile.method}:{100 * profile.level[row]:.0f}"
        axes.errorbar(profile.mean, coverage, error, color=look.colour, marker=look.marker,
                      linestyle="none", elinewidth=1.2, zorder=3 + look.order / 20,
                      markerfacecolor=face, gid=gid)  # fmt: skip


def _with_errors(
    axes: Axes, x: FloatArray, y: FloatArray, error: FloatArray, look: Look, line: str
) -> None:
    """A line with a band of its errors."""
    axes.plot(x, y, color=look.colour, linestyle=line, zorder=3 + look.order / 20)
    axes.fill_between(x, y - error, y + error, color=look.colour, alpha=0.25, linewidth=0)


def _band(axes: Axes, x: FloatArray, half: FloatArray, middle: FloatArray) -> None:
    axes.fill_between(x, middle - half, middle + half, color=BAND, linewidth=0, zorder=0,
                      gid="band")  # fmt: skip
