"""Which metrics of a sweep people look for, and which of them are drawn in one frame."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calibrate.sweep.collect import Point

SHOWN = (
    "closure/nominal/bias_slope",
    "closure/nominal/mean",
    "closure/nominal/max_abs_bias",
    "resolution/nominal/std",
    "transport/nominal/mean",
    "transport/nominal/std",
    "transport/nominal/chi2_per_bin",
    "prior/application",
    "uncertainty/nominal/sigma_stoch",
    "uncertainty/nominal/sigma_pred",
    "uncertainty/nominal/rmse",
    "uncertainty/nominal/coverage_68",
    "uncertainty/nominal/sigma_cal",
    "uncertainty/nominal/sigma_input",
)
"""What most people look for."""
AREA = re.compile("score/[^/]+/auc")
"""These, too, of a score: what they are called depends on the nuisances."""
AT_POINTS: Mapping[str, tuple[str, str]] = {
    "width": ("Half the 68 % interval of μ", "half the 68 % interval of μ"),
    "width_ratio": ("Interval of μ over the oracle's", "its width over the oracle's"),
    "coverage_68": ("Coverage of the 68 % interval of μ", "coverage"),
    "over_constraint": ("Nuisance: post-fit over pre-fit width", "post-fit over pre-fit width"),
}
"""And these of a likelihood at each observed point: titles and labels of axes."""
LIKELIHOOD = re.compile(rf"likelihood/(?P<point>[^/]+)/(?P<last>({'|'.join(AT_POINTS)})(\..+)?)")


@dataclass(frozen=True)
class Together:
    """Metrics of one method that are compared in one frame, and what each of them is called; one
    metric at several observed points, or several of one test sample."""

    name: str
    title: str
    label: str
    members: Mapping[str, str]
    of_points: bool = False


TOGETHER = (
    Together(
        "uncertainties",
        "Statistical and stochastic uncertainty",
        "root mean square",
        {
            "uncertainty/nominal/sigma_stoch": "σ_stoch",
            "uncertainty/nominal/sigma_pred": "σ_pred",
            "uncertainty/nominal/rmse": "√MSE",
        },
    ),
    Together(
        "smearing",
        "Uncertainty of the reference",
        "σ_cal",
        {
            "uncertainty/nominal/sigma_cal": "smeared labels",
            "uncertainty/nominal/sigma_input": "smeared inputs",
        },
    ),
)


def metric_names(points: Sequence[Point], asked: Sequence[str] | None) -> list[str]:
    """The metrics to draw: those asked for, or those that most people look for; numbers alone."""
    known = dict.fromkeys(
        name
        for point in points
        for name, found in point.metrics.items()
        if not isinstance(found.value, str) and ":" not in name
    )
    if asked:
        return [name for name in asked if name in known]
    likelihoods = sorted(filter(LIKELIHOOD.fullmatch, known), key=_kind)
    return [*(name for name in SHOWN if name in known), *filter(AREA.fullmatch, known),
            *likelihoods]  # fmt: skip


def _kind(name: str) -> int:
    return list(AT_POINTS).index(name.rpartition("/")[2].partition(".")[0])


def families(names: Sequence[str]) -> list[Together]:
    """The families that have members among the metrics: the fixed ones, and for every metric of a
    likelihood one of all points that have it."""
    found = [each for each in TOGETHER if set(each.members) & set(names)]
    points: dict[str, dict[str, str]] = {}
    for name in names:
        match = LIKELIHOOD.fullmatch(name)
        if match:
            points.setdefault(match["last"], {})[name] = match["point"]
    for last, members in points.items():
        title, label = AT_POINTS[last.partition(".")[0]]
        name = f"likelihood_{last.replace('.', '_')}"
        found.append(Together(name, title, label, members, of_points=True))
    return found
