"""The loss that a fit minimised: all of it, and what was left to gain at each evaluation."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibrate.figures.layout import head, ordinary_ticks, set_range, two_panels
from calibrate.figures.style import GREY, PALETTE, styled
from calibrate.records import TrainingCurve
from calibrate.sample import FloatArray

COLOUR = PALETTE[0]
SHOWN = 150


@styled()
def training_figure(curve: TrainingCurve) -> Figure:
    """Loss against the evaluation; below, its distance to the lowest value on a log scale.

    The distance makes the end readable: a fit that has converged falls to a flat floor, the
    noise of the minibatches or the rounding of the last steps. Long curves are drawn pale, with
    their mean over neighbours on top. Restarts are dotted lines.
    """
    figure, upper, lower = two_panels(share=0.45)
    evaluation = np.arange(1, curve.loss.size + 1, dtype=float)
    marker = "o" if curve.loss.size == 1 else ""
    _line(upper, evaluation, curve.loss, "loss", marker)
    set_range(upper, "y", [curve.loss])
    upper.set_ylabel("Loss")
    _distance(lower, evaluation, curve.loss)
    for restart in curve.restarts:
        for axes in (upper, lower):
            axes.axvline(restart + 1, color=GREY, linestyle=":", gid="restart")
    high = max(2.0, float(curve.loss.size))
    lower.set_xlim(1, high)
    ordinary_ticks(lower.xaxis, (1, high))
    lower.set_xlabel("Evaluation of the loss")
    head(upper, f"{curve.method}: {curve.loss_name}")
    return figure


def distance(loss: FloatArray) -> FloatArray:
    """Loss minus its lowest finite value (steps,); NaN at the lowest and where not finite."""
    finite = np.isfinite(loss)
    lowest = np.min(loss, initial=np.inf, where=finite)
    gap = np.where(finite, loss, np.nan) - lowest
    return np.where(gap > 0, gap, np.nan)


def smoothed(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean position and mean value of neighbours, in `SHOWN` blocks of equal length."""
    block = values.size // SHOWN
    used = values[: block * SHOWN].reshape(SHOWN, block)
    position = 0.5 * (block + 1) + block * np.arange(SHOWN, dtype=np.float64)
    known = np.isfinite(used)
    total = np.sum(used, axis=1, initial=0.0, where=known)
    counted = np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    return position, np.asarray(total / counted, dtype=np.float64)


def _line(
    axes: Axes, evaluation: FloatArray, values: FloatArray, name: str, marker: str = ""
) -> None:
    long = values.size > 4 * SHOWN
    width, alpha = (0.5, 0.3) if long else (1.4, 1.0)
    axes.plot(
        evaluation, values, color=COLOUR, marker=marker, linewidth=width, alpha=alpha, gid=name
    )
    if long:
        axes.plot(*smoothed(values), color=COLOUR, gid=f"{name}:smoothed")


def _distance(axes: Axes, evaluation: FloatArray, loss: FloatArray) -> None:
    gap = distance(loss)
    _line(axes, evaluation, gap, "distance")
    if np.isfinite(gap).any():
        axes.set_yscale("log")
    axes.set_ylabel("Loss - lowest")
