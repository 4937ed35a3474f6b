"""Profiles of the signal strength, likelihoods over strength and nuisance, templates, coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from calibrate.figures.labels import plain, symbol, with_unit
from calibrate.figures.layout import head, legend, one_panel, set_range, two_panels
from calibrate.figures.marks import band_entry
from calibrate.figures.style import DARK, GREY, Look, looks, styled
from calibrate.records import LikelihoodMap, ProfileCurve, Repetitions, TemplateCurve
from calibrate.sample import FloatArray

RISES = {"68 %": 0.5, "95 %": 1.9207}
AREAS = {"68 %": 1.1479, "95 %": 2.9957}
"""Rises of -log L that hold 68.3 and 95 % in one and in two parameters."""
HIGHEST = 4.5
BAR_ROOM = 0.87
"""Of the width, what panels keep beside the colours."""
LEAST_RISE = 0.05
"""Of the reference, below which a ratio to it says nothing."""
UNDEFINED = 1e9
NOMINAL_COVERAGE = 0.6827
STRENGTH = r"Signal strength $\mu$"


@styled()
def profile_figure(
    curves: Sequence[ProfileCurve], style: Mapping[str, Look] | None = None
) -> Figure:
    """Profiles of all methods at one point (dotted: statistics alone); below, their ratio to the
    reference's: below one is a wider interval."""
    style = style or looks(curve.method for curve in curves)
    figure, upper, lower = two_panels()
    first = curves[0]
    reference = next((c for c in curves if c.method == c.reference), first)
    entries: list[tuple[Artist, str]] = []
    for curve in curves:
        look = style[curve.method]
        upper.plot(curve.strengths, _shown(curve.nll), color=look.colour, gid=curve.method,
                   zorder=2 + look.order / 20)  # fmt: skip
        upper.plot(curve.strengths, _shown(curve.statistical), color=look.colour, linestyle=":",
                   linewidth=1, gid=f"{curve.method}:statistical")  # fmt: skip
        lower.plot(curve.strengths, ratio(curve, reference), color=look.colour,
                   gid=f"{curve.method}:ratio", zorder=2 + look.order / 20)  # fmt: skip
        entries.append((Line2D([], [], color=look.colour), _interval(curve)))
    entries.append((Line2D([], [], color=DARK, linestyle=":", linewidth=1), "statistics alone"))
    _rises(upper, first)
    upper.axvline(first.true_strength, color=GREY, linewidth=1, gid="true")
    upper.set_ylim(0, HIGHEST)
    upper.set_ylabel(r"$-\Delta\,\log L$ (profiled)")
    lower.axhline(1.0, color=DARK, linewidth=1, linestyle=":")
    lower.set_ylabel(f"Ratio to {plain(reference.method)}", fontsize=11)
    set_range(lower, "y", [np.clip(ratio(c, reference), 0, 2) for c in curves] + [[0.9, 1.1]])
    set_range(lower, "x", [first.strengths], margin=0.0)
    lower.set_xlabel(STRENGTH)
    head(upper, f"data: {first.point}")
    legend(upper, entries)
    return figure


def _shown(nll: FloatArray) -> FloatArray:
    """Without what would run behind the legend."""
    return np.where(nll <= HIGHEST, nll, np.nan)


def ratio(curve: ProfileCurve, reference: ProfileCurve) -> FloatArray:
    """-Δ log L over the reference's (m,), NaN near their minima."""
    known = (reference.nll > LEAST_RISE) & (curve.nll > LEAST_RISE)
    return np.where(known, curve.nll / np.where(known, reference.nll, 1.0), np.nan)


def _interval(curve: ProfileCurve) -> str:
    low, high = curve.mu_hat - curve.low, curve.high - curve.mu_hat
    decimals = max(0, 1 - int(np.floor(np.log10(max(min(low, high), 1e-9)))))
    return (
        rf"{plain(curve.method)}: $\mu$ = {curve.mu_hat:.{decimals}f} "
        rf"$^{{+{high:.{decimals}f}}}_{{-{low:.{decimals}f}}}$"
    )


def _rises(axes: Axes, curve: ProfileCurve) -> None:
    for text, rise in RISES.items():
        axes.axhline(rise, color=GREY, linewidth=1, linestyle="--", gid=text)
        axes.text(curve.strengths[-1], rise, f"{text} ", ha="right", va="bottom", size=10,
                  color=GREY)  # fmt: skip


@styled()
def map_figure(maps: Sequence[LikelihoodMap], style: Mapping[str, Look] | None = None) -> Figure:
    """Regions of 68 % (solid) and 95 % (dashed) of all methods over strength and one nuisance, the
    first shaded; crosses are best values, the star is the truth."""
    style = style or looks(each.method for each in maps)
    figure, axes = one_panel()
    first = maps[0]
    levels = list(AREAS.values())
    axes.contourf(first.strengths, first.values, _known(first), [0.0, *levels],
                  colors=[style[first.method].colour], alpha=0.18)  # fmt: skip
    entries: list[tuple[Artist, str]] = []
    for each in maps:
        look = style[each.method]
        axes.contour(each.strengths, each.values, _known(each),
                     levels, colors=[look.colour], linestyles=["-", "--"])  # fmt: skip
        axes.plot(each.best_strength, each.best_value, marker="x", color=look.colour,
                  linestyle="none", gid=f"{each.method}:best")  # fmt: skip
        entries.append((Line2D([], [], color=look.colour), plain(each.method)))
    axes.plot(first.true_strength, first.true_value, marker="*", markersize=11, color="black",
              linestyle="none", gid="true", zorder=5)  # fmt: skip
    entries.append((Line2D([], [], color="black", marker="*", linestyle="none"), "true values"))
    set_range(axes, "x", [first.strengths], margin=0.0)
    set_range(axes, "y", [each.values for each in maps], margin=0.0)
    axes.set_xlabel(STRENGTH)
    axes.set_ylabel(with_unit(symbol(first.nuisance), first.unit))
    head(axes, f"data: {first.point}")
    legend(axes, entries, columns=2)
    return figure


def _known(found: LikelihoodMap) -> FloatArray:
    """-Δ log L (k, m), large where it is not defined."""
    return np.asarray(np.nan_to_num(found.nll.T, nan=UNDEFINED, posinf=UNDEFINED))


@styled()
def template_figure(curve: TemplateCurve) -> Figure:
    """Contents of the bins of the score over those at the nominal value: signal above, background
    below; points are filled, lines interpolated."""
    figure, upper, lower = two_panels(share=0.5)
    colours = matplotlib.colormaps["viridis"]
    centres = 0.5 * (curve.edges[1:] + curve.edges[:-1])
    nominal = int(np.argmin(np.abs(curve.values - curve.nominal)))
    panels = {
        "Signal": (upper, curve.signal, curve.signal_error, curve.smooth_signal),
        "Background": (lower, curve.background, curve.background_error, curve.smooth_background),
    }
    for name, (axes, contents, errors, smooth) in panels.items():
        for bin_, centre in enumerate(centres):
            scale, colour = contents[nominal, bin_], colours(centre)
            axes.errorbar(curve.values, contents[:, bin_] / scale, yerr=errors[:, bin_] / scale,
                          linestyle="none", marker="o", markersize=3, elinewidth=1,
                          color=colour)  # fmt: skip
            axes.plot(curve.fine, smooth[:, bin_] / scale, color=colour, linewidth=1,
                      gid=f"{name}:{bin_}")  # fmt: skip
        _template_scale(axes, contents / contents[nominal], name)
    set_range(lower, "x", [curve.values], margin=0.02)
    lower.set_xlabel(with_unit(symbol(curve.nuisance), curve.unit))
    _score_bar(figure, (upper, lower))
    head(upper, f"{curve.method}, {curve.point}")
    return figure


def _score_bar(figure: Figure, panels: Sequence[Axes]) -> None:
    """The colours of the bins, beside the panels, which make room."""
    boxes = [axes.get_position() for axes in panels]
    for axes, box in zip(panels, boxes, strict=True):
        axes.set_position((box.x0, box.y0, BAR_ROOM * box.width, box.height))
    low, high = min(box.y0 for box in boxes), max(box.y1 for box in boxes)
    left = boxes[0].x0 + (BAR_ROOM + 0.02) * boxes[0].width
    beside = figure.add_axes((left, low, 0.03, high - low))
    mappable = matplotlib.cm.ScalarMappable(Normalize(0, 1), matplotlib.colormaps["viridis"])
    figure.colorbar(mappable, cax=beside).set_label("Score (middle of the bin)")


def _template_scale(axes: Axes, ratios: FloatArray, name: str) -> None:
    """Logarithmic where contents change by more than a factor of two."""
    if ratios.max() > 2 * max(ratios.min(), 1e-3):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}" if ratios.max() < 8 * ratios.min() else "")
        axes.tick_params(axis="y", which="minor", labelsize=10)
    else:
        set_range(axes, "y", [ratios])
    axes.axhline(1.0, color=DARK, linewidth=1, linestyle=":")
    axes.set_ylabel(f"{name} / nominal")


@styled()
def coverage_figure(
    found: Sequence[Repetitions], style: Mapping[str, Look] | None = None
) -> Figure:
    """Share of 68 % intervals that hold the true strength at every point; below, mean (filled) and
    standard deviation (open) of the pull (μ̂ - μ)/half width."""
    style = style or looks(each.method for each in found)
    figure, upper, lower = two_panels()
    points = list(dict.fromkeys(each.point for each in found))
    methods = list(dict.fromkeys(each.method for each in found))
    for each in found:
        look = style[each.method]
        turn = methods.index(each.method) - 0.5 * (len(methods) - 1)
        x = points.index(each.point) + 0.7 * turn / len(methods)
        pulls, root = each.pulls, np.sqrt(max(each.pulls.size, 1))
        spread = float(pulls.std())
        _bar(upper, x, each.coverage, each.coverage_error, look, f"{each.method}:coverage")
        _bar(lower, x, float(pulls.mean()), spread / root, look, f"{each.method}:bias")
        _bar(
            lower, x, spread, spread / root / np.sqrt(2), look, f"{each.method}:spread", open_=True
        )
    largest = max(each.coverage_error for each in found)
    upper.axhspan(NOMINAL_COVERAGE - largest, NOMINAL_COVERAGE + largest, color="#dfe7d3",
                  linewidth=0, zorder=0, gid="band")  # fmt: skip
    upper.axhline(NOMINAL_COVERAGE, color=DARK, linewidth=1, zorder=1)
    shown = [
        np.array([e.coverage - e.coverage_error, e.coverage + e.coverage_error]) for e in found
    ]
    set_range(upper, "y", [*shown, [0.6, 0.75]])
    upper.set_ylabel("Coverage")
    for line in (0.0, 1.0):
        lower.axhline(line, color=DARK, linewidth=1, linestyle=":")
    set_range(lower, "y", [[e.pulls.mean() for e in found], [-0.4, 1.4]])
    lower.set_ylabel("Pull")
    lower.set_xlim(-0.5, len(points) - 0.5)
    lower.set_xticks(range(len(points)), [point.replace("_", "\n", 1) for point in points], size=11)
    lower.minorticks_off()
    head(upper, "pseudo-experiments")
    legend(upper, [*_methods(methods, style),
                   band_entry("68.3 %, binomial error")], columns=2)  # fmt: skip
    return figure


def _bar(
    axes: Axes, x: float, value: float, error: float, look: Look, gid: str, *, open_: bool = False
) -> None:
    line, _, _ = axes.errorbar(
        [x], [value], yerr=[error], linestyle="none", marker=look.marker, color=look.colour,
        markerfacecolor="white" if open_ else look.colour, elinewidth=1.2, zorder=3,
    )  # fmt: skip
    line.set_gid(gid)


def _methods(methods: Sequence[str], style: Mapping[str, Look]) -> list[tuple[Artist, str]]:
    return [
        (Line2D([], [], color=style[m].colour, marker=style[m].marker, linestyle="none"), plain(m))
        for m in methods
    ]
