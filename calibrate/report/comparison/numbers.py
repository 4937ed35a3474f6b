"""Metrics of runs beside each other: differences to the first run, and which is the best.

On the same test events the errors of two metrics are correlated by an amount that no report
holds. Whatever it is, the error of the difference is at most the sum e_1 + e_2; what is quoted is
this bound, and a significance that is *at least* reached. For independent test events the error
is √(e_1² + e_2²).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from calibrate.records import ClosureCurve, Outcome, Quantity
from calibrate.report.comparison.runs import INDEPENDENT, SAME

TOLD_APART = 2.0
"""Errors of the difference above which a metric is worse than the best one."""
TO_ZERO = {
    "closure": ("bias_slope", "max_abs_bias"),
    "point_resolution": ("pull_mean",),
    "uncertainty": ("pull_mean", "crps", "ence"),
    "prior": ("application", "sensitivity"),
    "transport": ("ks", "wasserstein"),
    "score": ("mean_abs_difference", "max_mean_abs_difference"),
}
TO_REFERENCE = ("mean", "median", "mode")
TO_VALUE = {
    "point_resolution": {"pull_width": 1.0, "coverage_68": 0.6827, "coverage_95": 0.95},
    "uncertainty": {
        "pull_width": 1.0,
        "coverage_68": 0.6827,
        "coverage_68_hpd": 0.6827,
        "coverage_95": 0.95,
    },
    "transport": {"auc": 0.5},
    "score": {"auc": 1.0},
    "likelihood": {"coverage_68": 0.6827, "coverage_95": 0.95},
}
TO_DATA = ("mean", "std", "iqr")


@dataclass(frozen=True)
class Difference:
    """Value minus the first run's, its error (an upper bound unless the samples are
    `independent`; None without errors) and its size in errors."""

    value: float
    error: float | None
    samples: str

    @property
    def significance(self) -> float | None:
        """|value|/error: at least reached, where the error is a bound."""
        return abs(self.value) / self.error if self.error else None

    @property
    def bound(self) -> bool:
        """Whether the error is an upper bound, and the significance a lower one."""
        return self.samples != INDEPENDENT


def difference(found: Quantity, first: Quantity, samples: str) -> Difference | None:
    """Of two numbers whose test events are related as `samples` says; None for verdicts."""
    if isinstance(found.value, str) or isinstance(first.value, str):
        return None
    return Difference(found.value - first.value, _error(found, first, samples), samples)


def _error(one: Quantity, other: Quantity, samples: str) -> float | None:
    if one.error is None or other.error is None:
        return None
    if samples == INDEPENDENT:
        return math.hypot(one.error, other.error)
    return one.error + other.error


def best(
    name: str, outcome: Outcome, labels: Sequence[str], samples: Mapping[str, str]
) -> set[str]:
    """The labels whose metric is nearest to the ideal value, if there is one: the best, and those
    that two errors of the difference do not tell from it; empty if that is all of them.

    Numbers without an error have none. Resolutions have none: a calibration that pulls all events
    to the middle of its training spectrum has the smallest spread, and does not close.
    """
    ideal = _ideal(name, outcome, labels)
    known = {label: outcome.metrics[label].get(name) for label in labels}
    found = {label: each for label, each in known.items() if each and each.error is not None}
    if ideal is None or len(found) < 2:
        return set()
    distance = {label: _distance(each, ideal(label)) for label, each in found.items()}
    first = min(distance, key=lambda label: distance[label])

    def as_good(label: str) -> bool:
        apart = (samples[label] == INDEPENDENT) != (samples[first] == INDEPENDENT)
        error = _error(found[label], found[first], INDEPENDENT if apart else SAME) or 0.0
        return label == first or distance[label] - distance[first] <= TOLD_APART * error

    near = {label for label in found if as_good(label)}
    return near if len(near) < len(found) else set()


def _distance(found: Quantity, ideal: float) -> float:
    return abs(float(found.value) - ideal)


def _ideal(name: str, outcome: Outcome, labels: Sequence[str]) -> Callable[[str], float] | None:
    """The ideal value of a metric for each label; None where there is none."""
    kind, *middle, last = name.split("/")
    if last in TO_ZERO.get(kind, ()):
        return lambda label: 0.0
    if kind == "closure" and last in TO_REFERENCE:
        reference = _reference("/".join(middle), outcome)
        return None if reference is None else lambda label: reference
    if last in TO_VALUE.get(kind, {}):
        return lambda label: TO_VALUE[kind][last]
    if kind == "transport" and last in TO_DATA:
        data = "/".join([kind, *middle, f"data_{last}"])
        known = {label: outcome.metrics[label].get(data) for label in labels}
        values = {label: float(each.value) for label, each in known.items() if each}
        first = next(iter(values.values()), None)
        return None if first is None else lambda label: values.get(label, first)
    return None


def _reference(where: str, outcome: Outcome) -> float | None:
    """Of u on one test sample (`nominal`; `nominal.z1` where there are several truth columns)."""
    curves = [record for record in outcome.records if isinstance(record, ClosureCurve)]
    places = {name: curve.reference for curve in curves
              for name in (curve.test, f"{curve.test}.{curve.z_name}")}  # fmt: skip
    return places.get(where)
