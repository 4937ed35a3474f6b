"""One method on all test samples, before and after: the panels of Fig. 6 of arXiv:2205.05084.

A calibration that does not inherit the training spectrum has the same response on all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from calibrate.figures.histograms import steps
from calibrate.figures.labels import plain, rounded
from calibrate.figures.layout import head, legend, one_panel, ordinary_ticks, set_range
from calibrate.figures.spectra import COLOURS
from calibrate.figures.style import DARK, Look, styled
from calibrate.records import ResponseHistogram


@styled()
def samples_figure(
    calibrated: Sequence[ResponseHistogram], uncalibrated: Sequence[ResponseHistogram]
) -> Figure:
    """Response ẑ/z of one method, one colour per test sample; shaded without calibration."""
    figure, axes = one_panel()
    tests = [histogram.test for histogram in calibrated]
    axes.axvline(1.0, color=DARK, linewidth=1, linestyle=":", gid="reference")
    entries = [_shade(axes, each, _colour(each, tests)) for each in uncalibrated]
    entries += [_outline(axes, each, _colour(each, tests)) for each in calibrated]
    shown = [*uncalibrated, *calibrated]
    edges = np.concatenate([histogram.edges for histogram in shown])
    axes.set_xlim(edges.min(), edges.max())
    ordinary_ticks(axes.xaxis, (edges.min(), edges.max()))
    set_range(axes, "y", [h.density + h.density_error for h in shown] + [[0.0]])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(r"$\hat{z}/z$")
    axes.set_ylabel("Probability density")
    head(axes, plain(calibrated[0].method))
    legend(axes, entries)
    return figure


def _colour(histogram: ResponseHistogram, tests: Sequence[str]) -> str:
    return COLOURS[tests.index(histogram.test) % len(COLOURS)]


def _shade(axes: Axes, histogram: ResponseHistogram, colour: str) -> tuple[Artist, str]:
    patch = axes.stairs(
        histogram.density, histogram.edges, fill=True, color=colour, alpha=0.25,
        gid=f"uncalibrated:{histogram.test}",
    )  # fmt: skip
    return patch, f"{plain(histogram.test)}, uncalibrated: {_mean(histogram)}"


def _outline(axes: Axes, histogram: ResponseHistogram, colour: str) -> tuple[Artist, str]:
    name, look = f"calibrated:{histogram.test}", Look(colour, "o", 10)
    steps(axes, histogram.edges, histogram.density, histogram.density_error, look, name=name)
    return Line2D([], [], color=colour), f"{plain(histogram.test)}, calibrated: {_mean(histogram)}"


def _mean(histogram: ResponseHistogram) -> str:
    return f"mean {rounded(histogram.mean, histogram.mean_error)}"
