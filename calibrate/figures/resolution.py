"""Resolution in bins of truth, and how well a method's quoted Σ(x) describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from calibrate.figures import marks
from calibrate.figures.labels import deviation, deviation_unit, plain, rounded, with_unit
from calibrate.figures.layout import finite_range, head, legend, set_range, two_panels
from calibrate.figures.style import DARK, Look, looks, styled
from calibrate.records import ClosureCurve, ResolutionFit
from calibrate.sample import FloatArray

FROM_ZERO_BELOW = 0.6
CURVE_POINTS = 101


@styled()
def resolution_figure(
    curves: Sequence[ClosureCurve],
    style: Mapping[str, Look] | None = None,
    fits: Sequence[ResolutionFit] = (),
) -> Figure:
    """Spread of u against true z for all methods on one test sample; below, quoted over actual.

    Above: standard deviation (filled), half the 16-84 % interval (open), the root mean square
    of the quoted Σ(x) (steps), closed form (dashed), N-S-C fit of the interval (dotted) with its
    terms in the legend. Below: quoted Σ(x) over standard deviation.
    """
    style = style or looks(curve.method for curve in curves)
    figure, upper, lower = two_panels(share=0.3)
    known = [
        _spreads(upper, curve, style[curve.method], marks.places(turn, len(curves), 2))
        for turn, curve in enumerate(curves)
    ]
    for fit in fits:
        _fitted(upper, fit, style[fit.method])
    _upper_axis(upper, curves)
    _ratios(lower, curves, style)
    marks.truth_scale(lower, curves)
    head(upper, f"test sample: {curves[0].test}")
    entries = [marks.entry(curve.method, style[curve.method]) for curve in curves]
    terms = [fit_entry(fit, style[fit.method]) for fit in fits]
    legend(upper, entries + _kinds(curves, any(known)), columns=2, wide=terms)
    return figure


def _spreads(axes: Axes, curve: ClosureCurve, look: Look, places: Sequence[float]) -> bool:
    marks.points(axes, curve, look, curve.iqr, curve.iqr_error, "iqr", places[1], fill="open")
    marks.points(axes, curve, look, curve.std, curve.std_error, "std", places[0])
    if np.isfinite(curve.sigma).any():
        axes.stairs(
            curve.sigma,
            curve.edges,
            baseline=None,
            color=look.colour,
            linewidth=1.6,
            gid=f"{curve.method}:sigma",
        )
    return marks.closed_form(axes, curve, look, curve.exact_resolution)


def _fitted(axes: Axes, fit: ResolutionFit, look: Look) -> None:
    z = np.geomspace(fit.low, fit.high, CURVE_POINTS)
    axes.plot(z, fit(z), ":", color=look.colour, linewidth=1.6, zorder=2.6, gid=f"{fit.method}:nsc")


def fit_entry(fit: ResolutionFit, look: Look) -> tuple[Artist, str]:
    """`N = 1.20 ± 0.15 GeV, S = …, C = …, χ²/ndf = 9.5/9`."""
    unit = plain(fit.z_unit)
    terms = (
        ("N", rounded(fit.noise, fit.noise_error), unit),
        ("S", rounded(fit.stochastic, fit.stochastic_error), unit and f"{unit}$^{{1/2}}$"),
        ("C", rounded(fit.constant, fit.constant_error), ""),
    )
    texts = [f"{name} = {value} {unit}".rstrip() for name, value, unit in terms]
    digits = 1 if fit.chi2 < 10 else 0
    text = rf"{', '.join(texts)}, $\chi^2$/ndf = {fit.chi2:.{digits}f}/{fit.ndf:.0f}"
    text += " (poor fit)" if fit.poor else ""
    return Line2D([], [], color=look.colour, linestyle=":", linewidth=1.6), text


def _upper_axis(axes: Axes, curves: Sequence[ClosureCurve]) -> None:
    values = [
        marks.trusted(curve, each)
        for curve in curves
        for each in (curve.std + curve.std_error, curve.iqr - curve.iqr_error, curve.sigma)
    ]
    found = finite_range(values)
    from_zero = found is not None and found[0] < FROM_ZERO_BELOW * found[1]
    set_range(axes, "y", [*values, [0.0]] if from_zero else values)
    if from_zero:
        axes.set_ylim(bottom=0)
    axes.set_ylabel(with_unit(f"Resolution of {deviation(curves[0])}", deviation_unit(curves[0])))


def _ratios(axes: Axes, curves: Sequence[ClosureCurve], style: Mapping[str, Look]) -> None:
    axes.axhline(1, color=DARK, linewidth=1, zorder=1, gid="reference")
    quoted = [curve for curve in curves if np.isfinite(curve.sigma).any()]
    shown: list[FloatArray] = [np.array([0.9, 1.1])]
    for turn, curve in enumerate(quoted):
        ratio, error = quoted_over_actual(curve)
        (aside,) = marks.places(turn, len(quoted), 1)
        look = style[curve.method]
        marks.points(axes, curve, look, ratio, error, "quoted over actual", aside)
        shown += [marks.trusted(curve, ratio - error), marks.trusted(curve, ratio + error)]
    if not quoted:
        axes.text(
            0.5,
            0.5,
            r"no method quotes a resolution $\Sigma(x)$",
            ha="center",
            va="bottom",
            transform=axes.transAxes,
            size=12,
        )
    set_range(axes, "y", shown)
    axes.set_ylabel("Quoted / actual")


def quoted_over_actual(curve: ClosureCurve) -> tuple[FloatArray, FloatArray]:
    """Quoted Σ over the standard deviation of u, and its error, in each bin (n_b,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = curve.sigma / curve.std
        error = np.abs(ratio) * np.hypot(
            curve.sigma_error / curve.sigma, curve.std_error / curve.std
        )
    usable = np.isfinite(ratio)
    return np.where(usable, ratio, np.nan), np.where(usable, error, np.nan)


def _kinds(curves: Sequence[ClosureCurve], dashed: bool) -> list[tuple[Artist, str]]:
    grey = Look(DARK, "o", 0)
    kinds = [
        marks.entry("", grey, "standard deviation"),
        marks.entry("", grey, "half 16-84 % interval", fill="open"),
    ]
    if any(np.isfinite(curve.sigma).any() for curve in curves):
        kinds.append((Line2D([], [], color=DARK), r"quoted $\Sigma(x)$"))
    return [*kinds, marks.dashed_entry()] if dashed else kinds
