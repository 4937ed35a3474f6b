"""What each figure shows, in words: its caption, which is also its alternative text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from calibrate.records import (
    MINIMUM_EFFECTIVE,
    ClosureCurve,
    Record,
    ResolutionFit,
    ResponseHistogram,
    SlicedClosure,
)

_ERRORS = (
    f"Error bars are statistical, by group; bins below {MINIMUM_EFFECTIVE} effective events "
    "are faint."
)
_FIXED = {
    "likelihood_map": (
        "Strength and nuisance",
        "Regions of 68 % (solid) and 95 % (dashed) of the likelihood over the signal strength and "
        "the nuisance (two parameters: -log L rises by 1.15 and 3.00); that of the first method is "
        "shaded. Crosses are the best values, the star is the truth.",
    ),
    "likelihood": (
        "Profile likelihood",
        "Profiled -log L of the signal strength at one observed point, above its minimum; "
        "nuisances and the simulation's statistics are minimised over. Dashed lines: ends of the "
        "68 and 95 % intervals. Dotted curves: the statistics of the data alone, nuisances and "
        "templates fixed. Below, the ratio to the reference (the oracle, where there is one): one "
        "is an interval as narrow, less is a wider one.",
    ),
    "pseudo_experiments": (
        "Pseudo-experiments",
        "Share of the 68 % intervals that hold the true signal strength in pseudo-experiments, in "
        "which the events, the measurements of the nuisances and the simulation fluctuate; the "
        "band is the binomial error. Below, mean (filled) and standard deviation (open) of the "
        "pull, best minus true strength over the half width that is quoted.",
    ),
    "templates": (
        "Templates",
        "Expected events in each bin of the score against the nuisance, over those at its nominal "
        "value: signal above, background below. Points are filled from simulation, with its "
        "statistical error; lines are the smooth interpolation that the likelihood uses.",
    ),
    "transport_map": (
        "Map",
        "Transported x' of a simulated event against its x (below: x' - x); of maps that use the "
        "truth, the mean x' in bins of x. Dashed: the monotone map that is right for the spectrum "
        "of this test, where it is known; a map that is not universal does not follow it.",
    ),
    "transport": (
        "Simulation and data",
        "Distribution of data (points), of the untouched simulation (grey) and of the transported "
        "one; below, their ratios to data. Error bars are statistical, of the events alone; mean, "
        "width (half the 16-84 % interval) and χ² in the legend contain the error of the map. A "
        "band shows what a varied spectrum of the training simulation would do, where a method "
        "says so.",
    ),
    "score": (
        "Separation",
        "Area under the ROC curve of signal against background as the nuisance varies, the score "
        "being that for the true value; where the exact score is known, below, the mean distance "
        "to it, both classes weighing the same. Vertical lines: the nominal value (solid) and "
        "those of the observed points. Error bars are statistical.",
    ),
    "decision": (
        "Decision functions",
        "Where the scores are 0.1, 0.5 and 0.9, for data with the nominal value of the nuisance "
        "and with another: a score that takes the nuisance moves with it, the others stay.",
    ),
    "samples": (
        "Before and after on all samples",
        "Distribution of u = ẑ/z of one method on every test sample: shaded without calibration, "
        "outlined with it. A calibration that does not inherit the training spectrum has the same "
        "mean on all of them.",
    ),
    "pull": (
        "Pull",
        "Distribution of (ẑ - z)/Σ(x), with Σ(x) the resolution that the method quotes, against "
        "a unit Gaussian (dashed); below, the difference in units of its error.",
    ),
    "coverage": (
        "Coverage",
        "Fraction of the truths within the central intervals of the quoted distribution p(z|x) "
        "(Gaussian where a method quotes Σ(x) alone), against their probability, or in bins of a "
        "column for 68.3 % (filled) and 95 % (open); dashed, within the smallest regions, of "
        "highest density, where a method quotes several Gaussians. Bands are twice the binomial "
        "error of an exact coverage, from effective events; error bars are statistical, by group. "
        "A method that learns p(z|x) covers at given features, not at given truth; maximum "
        "likelihood at given truth.",
    ),
    "pit": (
        "Probability integral transform",
        "Distribution of F(z|x), the quoted distribution function at the truth, flat if it is "
        "right: a bowl shows a quoted width that is too small, a dome one that is too large, a "
        "slope a bias. The band is twice the binomial error of a bin.",
    ),
    "quoted": (
        "Quoted and actual error",
        "Root mean square of ẑ - z in bins of the quoted Σ(x), of equal statistics, against Σ(x). "
        "ENCE is the mean relative distance to the diagonal.",
    ),
    "uncertainty": (
        "Error budget",
        "In bins of the truth: the quoted σ_tot, its parts σ_stoch (what the features leave open) "
        "and σ_pred (what the size of the training sample leaves open) where the method tells them "
        "apart, and the root mean square of ẑ - z, which contains the bias at given truth.",
    ),
    "prior_sensitivity": (
        "Dependence on the training spectrum",
        "Mean change of the answer (ẑ, or x' of a map) when the method is derived on the same "
        "events under another spectrum, as a smooth function of the truth between 5 and 95 % of "
        "the test sample and of that spectrum, and its 95 % limit at each place. Universal: all "
        "of it within the threshold (dashed). Prior dependent: the largest change exceeds the "
        "threshold by more than its error, in which it counts that it is the largest.",
    ),
    "prior_carried": (
        "Simulation and data under other spectra",
        "Transported simulation beside data when the same test events of both are put on other "
        "spectra: flat, steeper and softer by a factor e per standard deviation, and narrow "
        "resonances. Above: difference of the means, in units of data's width (half the 16-84 % "
        "interval); below: ratio of the widths. Error bars are statistical (bootstrap), of the "
        "events alone.",
    ),
    "prior": (
        "Other spectra",
        "Mean of u of the fitted calibrations on the same test events under other spectra: flat, "
        "steeper and softer by a factor e per standard deviation, and narrow resonances. A "
        "calibration that does not inherit the training spectrum has the same mean on all. Error "
        "bars are statistical.",
    ),
    "tails": (
        "Tails",
        "Distribution of u on a logarithmic scale, out to its tails; the legend gives the share of "
        "the weight beyond five times half the 16-84 % interval from the median. Tails pull the "
        "mean of u, and hardly its median and mode.",
    ),
    "training": (
        "Training",
        "The loss at each evaluation; below, its distance to the lowest value on a logarithmic "
        "scale. Dotted lines are restarts.",
    ),
    "calibration_curve": (
        "Calibration",
        "Estimate ẑ(x) with the quoted resolution ±Σ(x) as bars; dashed lines and bands are the "
        "closed form, where it is known.",
    ),
    "joint": ("Training sample", "Weighted events in bins of the feature x and the truth z."),
    "spectra": (
        "Spectra",
        "Normalised spectra of the samples: shaded at truth level, points at detector level (open "
        "points: another detector).",
    ),
}


def caption(key: str, records: Sequence[Record] = ()) -> tuple[str, str]:
    """Title and description of the figure of that name."""
    kind, _, test = key.partition("_")
    sliced = _about_slices(key, records)
    if sliced:
        return sliced
    if kind in ("closure", "response", "resolution"):
        return _about_u(kind, test, records)
    for name, (title, text) in _FIXED.items():
        if key == name or key.startswith(f"{name}_"):
            rest = key[len(name) + 1 :]
            return (f"{title}: {rest}" if rest else title), text
    return key.replace("_", " "), ""


def _about_u(kind: str, test: str, records: Sequence[Record]) -> tuple[str, str]:
    known = [r for r in records if isinstance(r, ClosureCurve | ResponseHistogram)]
    known = [r for r in known if test.startswith(r.test)] or known
    u = "ẑ/z" if not known or known[0].relative else "ẑ - z"
    curves = [record for record in known if isinstance(record, ClosureCurve)]
    text = {
        "closure": f"Mean of u = {u} in bins of the truth z; below, its mean, median and mode "
        "(truncated Gaussian fit of the core, ±1.5σ) minus the "
        f"reference.{_band(curves)}{_dashed(curves)} {_ERRORS}",
        "response": f"Distribution of u = {u}; the legend gives its mean and half its 16-84 % "
        "interval, and mode, range and χ² of a Gaussian fit of the core (smooth line). Error bars "
        "are statistical.",
        "resolution": f"Standard deviation (filled) and half the 16-84 % interval (open) of "
        f"u = {u} in bins of the truth z; lines are the resolution Σ(x) that the method quotes; "
        f"below, quoted over actual.{_dashed(curves)}{_terms(records)} {_ERRORS}",
    }
    return f"{kind.capitalize()} on {test}", text[kind]


def _about_slices(key: str, records: Sequence[Record]) -> tuple[str, str] | None:
    """Of the figures in slices of another column, whose name ends the figure's."""
    for record in records:
        if not isinstance(record, SlicedClosure):
            continue
        by, where = re.sub(r"[^A-Za-z0-9_.+-]+", "_", record.by).strip("_"), record.test
        if key.startswith(f"closure_{where}") and key.endswith(f"_by_{by}"):
            return f"Closure on {where} by {record.by}", (
                f"Bias of {record.method} in bins of the truth z (above) and half the 16-84 % "
                f"interval of u (below), a colour for each slice of {record.by}."
                f"{_band([record])} {_ERRORS}"
            )
        if key.startswith(f"map_{where}") and key.endswith(f"_{by}"):
            return f"Map of the bias on {where} by {record.by}", (
                f"Bias ± statistical error of {record.method} in cells of the truth z × "
                f"{record.by}, drawn of equal size. Hatched: fails. Grey: below "
                f"{MINIMUM_EFFECTIVE} effective events."
            )
    return None


def _terms(records: Sequence[Record]) -> str:
    if not any(isinstance(record, ResolutionFit) for record in records):
        return ""
    return " Dotted: fit of the interval by √(N|N|/z² + S²/z + C²)."


def _band(curves: Sequence[ClosureCurve | SlicedClosure]) -> str:
    if not curves:
        return ""
    first = curves[0]
    size = 100 * first.tolerance if first.relative else first.tolerance
    unit = " %" if first.relative else f" {first.z_unit}".rstrip()
    guides = " Thin dashed lines: ±1 %." if first.relative and first.tolerance != 0.01 else ""
    return f" The band is the tolerance of ±{size:.3g}{unit}.{guides}"


def _dashed(curves: Sequence[ClosureCurve]) -> str:
    known = any((curve.exact_bias == curve.exact_bias).any() for curve in curves)
    return " Dashed: the closed form." if known else ""
