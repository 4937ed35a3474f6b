"""How well scores tell signal from background, as the nuisances vary.

A score is taken as an analysis at the true value of the nuisance would take it: the aware one at
that value, the oracle's network for it. At each value of a nuisance, the others being nominal: the
area under the ROC curve of the weighted test events, and the mean distance to the exact score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from calibrate.checks import positive_integer
from calibrate.context import Context
from calibrate.errors import ConfigurationError
from calibrate.estimate import Score
from calibrate.protocols import InferenceRefit
from calibrate.records import DecisionMap, Findings, Quantity, SeparationCurve, Table
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import area_under_curve, mean_error, weighted_mean
from calibrate.task import InferenceTask, Nuisance

CELLS = 81
"""Of a decision map, in each feature."""
SHOWN = 0.999
"""The share of events that a decision map holds in each feature."""
COARSE = 10
"""How many times fewer events do where no number is quoted."""
COLUMNS = ("nuisance", "value", "auc", "auc_error", "exact_auc", "mean_abs_difference")


class Place(NamedTuple):
    """One value of one nuisance; the others are nominal."""

    nuisance: Nuisance
    value: float


class Separated(NamedTuple):
    """What is known of one score at one place."""

    auc: float = np.nan
    error: float = np.nan
    exact: float = np.nan
    difference: float = np.nan
    difference_error: float = np.nan


@dataclass(frozen=True)
class ScoreEvaluator:
    """Area under the ROC curve at the nominal value of each nuisance and those of the observed
    points, from at most `events` test events, and at `values` evenly spaced ones, from a tenth of
    them; of two features also the score as a function of them.

    Raises ConfigurationError for options out of range.
    """

    values: int = 13
    events: int = 1_000_000
    tasks: ClassVar[tuple[str, ...]] = ("inference",)

    def __post_init__(self) -> None:
        positive_integer("evaluator.score.values", self.values)
        positive_integer("evaluator.score.events", self.events)
        if self.values < 2:
            raise ConfigurationError("evaluator.score.values must be at least 2, got 1")

    def __call__(
        self,
        fits: Mapping[str, Score],
        task: InferenceTask,
        refit: InferenceRefit,
        context: Context,
    ) -> Findings:
        """Metrics `score/<value>/auc` and `mean_abs_difference` (of several nuisances
        `score/<name><value>/auc`), a table, records.

        Raises DataError for negative weights.
        """
        found: dict[str, dict[Place, Separated]] = {label: {} for label in fits}
        nominal = {each.name: each.nominal for each in task.nuisances}
        places = [place for each in task.nuisances for place in self._places(each, task)]
        with context.progress.track("score", len(places)) as advance:
            for place in places:
                values = {**nominal, place.nuisance.name: place.value}
                special = place.value in _special(place.nuisance, task)
                largest = self.events if special else -(-self.events // COARSE)
                events = _thinned(task.test.at(values), largest)
                exact = None if task.exact is None else task.exact(events.x, values)
                for label, fit in fits.items():
                    found[label][place] = _separated(fit, events, values, exact)
                advance(1)
        curves = [curve for label in fits for curve in _curves(label, found[label], task)]
        return Findings(
            {label: dict(_metrics(found[label], task)) for label in fits},
            {label: {"score": _table(found[label])} for label in fits},
            (*curves, *_maps(fits, task)),
        )

    def _places(self, nuisance: Nuisance, task: InferenceTask) -> Iterator[Place]:
        special = _special(nuisance, task)
        near = 1e-6 * (nuisance.high - nuisance.low)
        for value in np.linspace(nuisance.low, nuisance.high, self.values).tolist():
            if all(abs(value - other) > near for other in special):
                special.add(value)
        yield from (Place(nuisance, value) for value in sorted(special))


def _special(nuisance: Nuisance, task: InferenceTask) -> set[float]:
    """The values that metrics are quoted at: the nominal one, and those of the points."""
    return {nuisance.nominal, *(float(point.values[nuisance.name]) for point in task.points)}


def _thinned(events: Sample, largest: int) -> Sample:
    """Every k-th event, so that at most `largest` are left."""
    step = -(-len(events) // largest)
    return events if step == 1 else events.take(slice(None, None, step))


def _separated(
    fit: Score, events: Sample, values: Mapping[str, float], exact: FloatArray | None
) -> Separated:
    if not fit.knows(values):
        return Separated()
    score = fit.knowing(values).score(events.x, values)
    auc, error = _area(score, events)
    if exact is None:
        return Separated(auc, error)
    return Separated(auc, error, _area(exact, events)[0], *_distance(score, exact, events))


def _area(score: FloatArray, events: Sample) -> tuple[float, float]:
    signal = events.z[:, 0] == 1
    parts = [(each[~signal], each[signal]) for each in (score, events.w, events.group)]
    return area_under_curve(*parts[0], *parts[1], *parts[2])


def _distance(score: FloatArray, exact: FloatArray, events: Sample) -> tuple[float, float]:
    """Mean |score - exact| with classes of the same weight, and its error."""
    away, mean, variance = np.abs(score - exact), 0.0, 0.0
    for label in (0, 1):
        rows = events.z[:, 0] == label
        part = events.take(rows)
        centre = float(weighted_mean(away[rows], part.w))
        mean += 0.5 * centre
        variance += 0.25 * mean_error(away[rows], centre, part.w, part.groups) ** 2
    return mean, variance**0.5


def _metrics(
    found: Mapping[Place, Separated], task: InferenceTask
) -> Iterator[tuple[str, Quantity]]:
    single = len(task.nuisances) == 1
    for place, each in found.items():
        if place.value not in _special(place.nuisance, task) or not np.isfinite(each.auc):
            continue
        where = f"score/{'' if single else place.nuisance.name}{place.value:.4g}"
        yield f"{where}/auc", Quantity(each.auc, each.error)
        if np.isfinite(each.exact):
            yield f"{where}/exact_auc", Quantity(each.exact)
            distance = Quantity(each.difference, each.difference_error)
            yield f"{where}/mean_abs_difference", distance
    distances = [(each.difference, each.difference_error) for each in found.values()]
    known = [each for each in distances if np.isfinite(each[0])]
    if known:
        yield "score/max_mean_abs_difference", Quantity(*max(known))


def _table(found: Mapping[Place, Separated]) -> Table:
    rows = tuple(
        (place.nuisance.name, place.value, each.auc, each.error, _known(each.exact),
         _known(each.difference))
        for place, each in found.items()
        if np.isfinite(each.auc)
    )  # fmt: skip
    return Table(COLUMNS, ("",) * len(COLUMNS), rows)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _curves(
    label: str, found: Mapping[Place, Separated], task: InferenceTask
) -> Iterator[SeparationCurve]:
    for nuisance in task.nuisances:
        here = {place: each for place, each in found.items() if place.nuisance == nuisance}
        auc, error, exact, difference, difference_error = np.array(list(here.values())).T
        observed = {float(point.values[nuisance.name]) for point in task.points}
        yield SeparationCurve(
            label, nuisance.name, nuisance.unit, nuisance.nominal,
            np.array([place.value for place in here]), auc, error, exact, difference,
            difference_error, np.array(sorted(observed)),
        )  # fmt: skip


def _maps(fits: Mapping[str, Score], task: InferenceTask) -> Iterator[DecisionMap]:
    """Of two features and one nuisance: at its nominal value, and at the observed one furthest from
    it."""
    nominal = {each.name: each.nominal for each in task.nuisances}
    events = task.test.at(nominal)
    if events.x.shape[1] != 2 or len(task.nuisances) > 1:
        return
    (nuisance,) = task.nuisances
    furthest = max(_special(nuisance, task), key=lambda value: abs(value - nuisance.nominal))
    for label, fit in fits.items():
        for value in dict.fromkeys((nuisance.nominal, furthest)):
            if fit.knows({nuisance.name: value}):
                yield _map(label, fit, events, nuisance, value)


def _map(label: str, fit: Score, events: Sample, nuisance: Nuisance, value: float) -> DecisionMap:
    outside = 0.5 * (1 - SHOWN)
    (x_low, y_low), (x_high, y_high) = np.quantile(events.x, [outside, 1 - outside], axis=0)
    x, y = np.linspace(x_low, x_high, CELLS), np.linspace(y_low, y_high, CELLS)
    cells = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    values = {nuisance.name: value}
    score = fit.knowing(values).score(cells, values).reshape(CELLS, CELLS)
    first, second = events.x_columns
    return DecisionMap(
        label, nuisance.name, nuisance.unit, value, first.name, first.unit, second.name,
        second.unit, x, y, score,
    )  # fmt: skip
