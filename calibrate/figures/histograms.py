"""Histograms as steps with statistical errors."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from calibrate.figures.style import Look
from calibrate.sample import FloatArray

OUTSIDE = 1e-3


def steps(
    axes: Axes,
    edges: FloatArray,
    density: FloatArray,
    error: FloatArray,
    look: Look,
    *,
    name: str,
) -> None:
    """The outline of a density (n_b,) with its error bars at the bin centres; gid `name`."""
    zorder = 2 + look.order / 20
    axes.stairs(density, edges, color=look.colour, linewidth=1.5, zorder=zorder, gid=name)
    axes.errorbar(
        centres(edges),
        density,
        yerr=error,
        linestyle="none",
        color=look.colour,
        elinewidth=1,
        zorder=zorder,
    )


def centres(edges: FloatArray) -> FloatArray:
    """Bin centres (n_b,)."""
    return np.asarray(0.5 * (edges[:-1] + edges[1:]))


def outside(underflow: float, overflow: float) -> str:
    """How much of the weight lies below and above the shown range, if it is above 0.1 %."""
    parts = [
        f"{100 * fraction:.2g} % {side}"
        for fraction, side in ((underflow, "below"), (overflow, "above"))
        if fraction > OUTSIDE
    ]
    return f"{' and '.join(parts)} the range" if parts else ""
