"""Which figures people draw from a sweep: of the parameters that were swept, seeds apart.

One parameter: the bias curves of all runs in one frame, and each metric against it, all methods
together. Two: each metric against the one with most values, a colour for each value of the other,
and as a map. Three: the same, a panel for each value of the third.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from calibrate.errors import StorageError
from calibrate.figures.sweep import metric_figure, metric_map
from calibrate.figures.swept_closure import swept_closure_figure
from calibrate.records import ClosureCurve
from calibrate.records.sweep import SweptCurve, SweptMetric, Value
from calibrate.report.comparison.numbers import TO_VALUE
from calibrate.report.html import KEY_METRICS
from calibrate.sample import FloatArray
from calibrate.storage import load_records
from calibrate.sweep.collect import Averaged, Point
from calibrate.sweep.shown import Together, families, metric_names

FINDINGS = "findings.h5"
NOMINAL = "nominal"
MOST_CURVES = 10
MOST_PARAMETERS = 3
METHOD = "method"
EXACT: Mapping[str, str] = {
    "closure/{test}/mean": "closure/{test}/exact_mean",
    "closure/{test}/bias_slope": "closure/{test}/exact_bias_slope",
    "resolution/{test}/std": "resolution/{test}/exact_std",
    "uncertainty/{test}/sigma_cal": "uncertainty/{test}/sigma_smear",
}
"""Metrics, and those that hold what they should be."""
IDEAL = {kind: TO_VALUE[kind] for kind in ("uncertainty", "likelihood")}
"""What metrics should be, whatever is studied."""
EXPECTED = {
    "sigma_cal": "smearing of the labels",
    "coverage_68": "level of the interval",
    "coverage_95": "level of the interval",
    "pull_width": "ideal",
}
"""What that is where it is no closed form."""


@dataclass(frozen=True)
class Drawn:
    """A figure (matplotlib's) with its name and caption."""

    name: str
    figure: Any
    title: str
    text: str


def parameters(points: Sequence[Point]) -> list[str]:
    """The parameters that take several values, those with most values first."""
    values: dict[str, dict[Value, None]] = {}
    for point in points:
        for key, value in point.values.items():
            values.setdefault(key, {})[value] = None
    varied = [key for key, found in values.items() if len(found) > 1]
    return sorted(varied, key=lambda key: (key == METHOD, -len(values[key])))


def figures(
    points: Sequence[Point], folder: Path, main: str, asked: Sequence[str] | None
) -> Iterator[Drawn]:
    """All figures of a sweep whose studied method is `main`."""
    swept = parameters(points)
    if not swept or len(swept) > MOST_PARAMETERS:
        return
    curves = swept_curves(points, swept, folder) if len(swept) == 1 else []
    if curves:
        yield Drawn("bias", swept_closure_figure(curves), "Bias against the truth", BIAS)
    names = metric_names(points, asked)
    together = [] if len(swept) > 1 else [
        each for each in families(names)
        if not each.of_points or METHOD in swept or not any(_others(n, points) for n in names)
    ]  # fmt: skip
    yield from (_drawn_together(each, names, points, swept, main) for each in together)
    for name in names:
        if not any(name in each.members for each in together):
            yield from _of_metric(name, points, swept, main)


BIAS = (
    "Mean of u minus its reference in bins of the truth with statistical errors, for each run (one "
    "seed). Where the closed form is known: dashed its bias, as a band its resolution around it; "
    "the short bars are the measured mean ± standard deviation."
)


def _of_metric(
    name: str, points: Sequence[Point], swept: Sequence[str], main: str
) -> Iterator[Drawn]:
    methods = [main, *_others(name, points)] if len(swept) == 1 and METHOD not in swept else [main]
    found = [swept_metric(name, points, swept, main, method) for method in methods]
    label, stem = found[0].label, name.replace("/", "_")
    third = swept[2] if len(swept) == MOST_PARAMETERS else None
    second = swept[1] if len(swept) > 1 else None
    where = " and ".join(swept)
    text = f"{name} against {where}; points and bands: {_uncertainty(points)}."
    yield Drawn(stem, metric_figure(found, swept[0], second, third), label, text)
    if second and METHOD not in (swept[0], second):
        title = f"{label}, as a map"
        text = f"{name} over {where}: value ± {_uncertainty(points)}."
        yield Drawn(f"map_{stem}", metric_map(found[0], swept[0], second, third), title, text)


def _drawn_together(
    family: Together, names: Sequence[str], points: Sequence[Point], swept: Sequence[str], main: str
) -> Drawn:
    """The members of a family that were measured, against the one parameter that was swept."""
    found = [
        replace(swept_metric(name, points, swept, main, main), label=family.label, method=called)
        for name, called in family.members.items()
        if name in names
    ]
    told, of = ", ".join(each.method for each in found), "" if METHOD in swept else f" of {main}"
    where = "" if family.of_points else f" on the test sample {NOMINAL}"
    text = f"{told}{of} against {swept[0]}{where}; points and bands: {_uncertainty(points)}."
    return Drawn(family.name, metric_figure(found, swept[0]), family.title, text)


def _uncertainty(points: Sequence[Point]) -> str:
    runs = max(len(point.jobs) for point in points)
    return (
        f"spread over {runs} seeds"
        if runs > 1
        else "error of a run by its test events, all of one seed"
    )


def _others(name: str, points: Sequence[Point]) -> list[str]:
    """The methods compared with, that have the metric too."""
    keys = dict.fromkeys(key for point in points for key in point.metrics)
    return [key.removesuffix(f":{name}") for key in keys if key.endswith(f":{name}")]


def swept_metric(
    name: str, points: Sequence[Point], swept: Sequence[str], main: str, method: str
) -> SweptMetric:
    """A metric of one of the methods over all points that have it."""
    prefix = "" if method == main else f"{method}:"
    having = [p for p in points if isinstance(_number(p.metrics.get(prefix + name)), float)]
    found = [p.metrics[prefix + name] for p in having]
    exact = [_number(p.metrics.get(prefix + exact_of(name))) for p in having]
    ideal = IDEAL.get(name.partition("/")[0], {}).get(name.rpartition("/")[2])
    return SweptMetric(
        name=name,
        label=label_of(name),
        unit=found[0].unit,
        method=method,
        points={key: tuple(p.values[key] for p in having) for key in swept},
        value=_array([each.value for each in found]),
        error=_array([each.error for each in found]),
        spread=_array([each.spread for each in found]),
        runs=_array([float(len(p.jobs)) for p in having]),
        exact=_array(exact if ideal is None else [ideal] * len(having)),
        expected=EXPECTED.get(name.rpartition("/")[2], "closed form"),
    )


def exact_of(name: str) -> str:
    """The metric that holds the closed form of another one; empty where there is none."""
    family, _, rest = name.partition("/")
    test, _, last = rest.rpartition("/")
    return EXACT.get(f"{family}/{{test}}/{last}", "").format(test=test)


def label_of(name: str) -> str:
    """A metric in words, with the test sample unless that is the nominal one."""
    family, _, rest = name.partition("/")
    test, _, last = rest.rpartition("/")
    words = {(f, n): label for f, n, label in KEY_METRICS}.get((family, last), name)
    return words if test in ("", NOMINAL) or words == name else f"{words}, {test}"


def _number(found: Averaged | None) -> float | None:
    if found is None or found.value is None or isinstance(found.value, str):
        return None
    return float(found.value)


def _array(values: Sequence[Any]) -> FloatArray:
    return np.array([np.nan if value is None else float(value) for value in values])


def swept_curves(points: Sequence[Point], swept: Sequence[str], folder: Path) -> list[SweptCurve]:
    """The closure curves of the studied method on the nominal sample, one run for each point."""
    if len(points) > MOST_CURVES:
        return []
    found = []
    for point in sorted(points, key=lambda p: _order(p.values[swept[0]])):
        path = folder / str(point.jobs[0].folder) / FINDINGS
        try:
            records = load_records(path)
        except StorageError:
            continue
        curves = [r for r in records if isinstance(r, ClosureCurve) and r.test == NOMINAL]
        if curves:
            values = {key: point.values[key] for key in swept}
            found.append(SweptCurve(values, curves[0]))
    return found


def _order(value: Value) -> tuple[bool, float, str]:
    number = isinstance(value, int | float)
    return (not number, float(value) if isinstance(value, int | float) else 0.0, str(value))
