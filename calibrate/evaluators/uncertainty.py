"""Whether quoted uncertainties are right, and what they are made of.

For every calibration that quotes Σ(x): coverage of central intervals at all levels, against the
truth and against features, the probability integral transform, scores, and σ_stoch, σ_pred, σ_tot
beside the RMSE (arXiv:2003.11099). A method that learns the posterior p(z|x) of its training
spectrum covers at given x, not at given z: in bins of the truth its bias shows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from calibrate.checks import number_of_replicas, positive_integer
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError
from calibrate.estimate import Calibration
from calibrate.evaluators.predictive import Prediction, Scalars
from calibrate.evaluators.residuals import residuals
from calibrate.evaluators.slices import Sliced, Slicing, slicings
from calibrate.evaluators.smearing import InputSmearing, Smearing, input_widths
from calibrate.evaluators.tables import budget_table, coverage_table
from calibrate.protocols import Refit
from calibrate.records import Findings, Record, Table
from calibrate.records.uncertainty import QUOTED, TRUTH
from calibrate.sample import MINIMUM_EVENTS, Sample
from calibrate.statistics import fluctuations_of
from calibrate.task import NOMINAL, RegressionTask

OPTION = "evaluator.uncertainty"
UNCALIBRATED = "none"
"""The closed form of the untouched response."""


@dataclass(frozen=True)
class Uncertainty:
    """Coverage, scores and budget of every calibration that quotes Σ(x), on every test sample.

    At most `events` events of each, chosen at random (None: all); `bins` of equal effective
    statistics. Errors are in closed form, or from `replicas` of a bootstrap. `by` maps columns to
    edges or numbers of slices in which coverage is measured (None: truth and features, in `bins`).
    `slices` maps columns to ranges [low, high]: the numbers once more in each, as
    `<test>/<column>_<low>-<high>`.

    `input_smearing`: a relative width of the features that measure the truth, or a mapping of
    feature → width. Where the task's labels are smeared, methods that tell σ_stoch are fitted
    once more with the true labels, for σ_cal.
    Raises ConfigurationError for values out of range, `check` and the call for columns that are
    not there.
    """

    bins: int = 12
    events: int | None = 100_000
    replicas: int = 0
    by: Mapping[str, int | Sequence[float]] | None = None
    slices: Mapping[str, Sequence[float]] | None = None
    input_smearing: InputSmearing = None

    def __post_init__(self) -> None:
        positive_integer(f"{OPTION}.bins", self.bins)
        number_of_replicas(f"{OPTION}.replicas", self.replicas)
        if self.events is not None:
            positive_integer(f"{OPTION}.events", self.events)
            if self.events < MINIMUM_EVENTS:
                raise ConfigurationError(
                    f"{OPTION}.events must be at least {MINIMUM_EVENTS}, got {self.events}"
                )
        slicings(f"{OPTION}.by", self.by or {})
        for each in slicings(f"{OPTION}.slices", self.slices or {}):
            if not (isinstance(each.slices, tuple) and len(each.slices) == 2):
                raise ConfigurationError(
                    f"{OPTION}.slices.{each.name} needs a range [low, high]: got {each.slices}"
                )

    def check(self, task: RegressionTask) -> None:
        """Whether all columns are there, before anything is fitted.

        Raises DataError for a column of `by` or `slices`, and for a slice of the nominal sample
        with too few events, ConfigurationError for a feature of `input_smearing`.
        """
        for sample in task.tests.values():
            for slicing in (*self._columns(task), *self._ranges()):
                slicing.values(sample)
        for slicing in self._ranges():
            few = _too_few(slicing, NOMINAL, task.tests[NOMINAL])
            if few:
                raise DataError(few)
        self._widths(task)

    def __call__(
        self, fits: Mapping[str, Calibration], task: RegressionTask, refit: Refit, context: Context
    ) -> Findings:
        """Evaluate all fits that quote Σ(x) on all test samples."""
        self.check(task)
        probes = {name: fit.estimate(fit.domain.features(task.train.take(slice(0, 1))))
                  for name, fit in fits.items()}  # fmt: skip
        quoting = {name: fit for name, fit in fits.items() if probes[name].sigma is not None}
        widths = self._widths(task)
        again = [name for name in quoting if widths or probes[name].stochastic is not None]
        smearing = Smearing(task, {**quoting, **_with_true_labels(again, task, refit)}, widths)
        answers: dict[str, list[Answer]] = {name: [] for name in quoting}
        parts, left_out = self._parts(task, context)
        for part in parts:
            seed = context.sequence("bootstrap", part.label)
            fluctuations = fluctuations_of(part.sample.groups, self.replicas, seed)
            for method, residual in residuals(quoting, part.label, part.sample):
                prediction = Prediction(method, residual, part.sample, fluctuations)
                answers[method].append(self._answer(prediction, part, task, smearing))
        return _findings(answers, [*_silent(fits, quoting), *left_out])

    def _parts(self, task: RegressionTask, context: Context) -> tuple[list[Part], list[str]]:
        """The test samples, as far as they are looked at, and their slices; what is said of those
        that are left out."""
        parts, left_out = [], []
        for test, sample in task.tests.items():
            parts.append(Part(test, test, self._some(sample, context.stream("events", test))))
            for slicing in self._ranges():
                few = _too_few(slicing, test, sample)
                if few:
                    left_out.append(f"{few}: left out")
                    continue
                low, high = slicing.edges(sample)
                name = f"{test}/{slicing.name}_{low:g}-{high:g}"
                inside = sample.take(slicing.inside(sample))
                parts.append(Part(name, test, self._some(inside, context.stream(name)), slicing))
        return parts, left_out

    def _answer(
        self, prediction: Prediction, part: Part, task: RegressionTask, smearing: Smearing
    ) -> Answer:
        """Numbers of a part; of a whole test sample also records and tables."""
        scalars = prediction.scalars() | smearing.scalars(prediction, part.test, part.slicing)
        records: tuple[Record, ...] = ()
        tables: dict[str, Table] = {}
        label = prediction.residual.label
        if part.slicing is None:
            quoted = prediction.budget(QUOTED, self.bins)
            scalars["ence"] = prediction.ence(quoted)
            curves, budget = prediction.coverage(), prediction.budget(TRUTH, self.bins)
            sliced = [Sliced.of(each, part.sample) for each in self._columns(task)]
            profiles = [prediction.profile(each) for each in sliced]
            records = (*curves, prediction.pit_histogram(), *profiles, budget, quoted)
            tables = {f"uncertainty/{label}": budget_table(budget)}
            tables[f"uncertainty/{label}/coverage"] = coverage_table(curves)
        named = {f"uncertainty/{label}/{name}": each for name, each in scalars.items()}
        return Answer(named, tables, records, tuple(_unresolved(prediction, scalars)))

    def _columns(self, task: RegressionTask) -> tuple[Slicing, ...]:
        """The columns in whose slices coverage is measured."""
        if self.by is not None:
            return slicings(f"{OPTION}.by", self.by)
        columns = (*task.train.z_columns, *task.train.x_columns)
        return tuple(Slicing(column.name, False, self.bins) for column in columns)

    def _ranges(self) -> tuple[Slicing, ...]:
        return slicings(f"{OPTION}.slices", self.slices or {})

    def _widths(self, task: RegressionTask) -> dict[str, float]:
        features = [column.name for column in task.train.x_columns]
        option = f"{OPTION}.input_smearing"
        return input_widths(option, self.input_smearing, features, task.uncalibrated)

    def _some(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample, or as many of its groups at random as hold about `events` events."""
        if self.events is None or len(sample) <= self.events:
            return sample
        return sample.split(self.events / len(sample), rng)[0]


@dataclass(frozen=True)
class Part:
    """A test sample or a slice of it, by a label of its own."""

    label: str
    test: str
    sample: Sample
    slicing: Slicing | None = None


class Answer(NamedTuple):
    """What one prediction contributes to the findings."""

    scalars: Scalars
    tables: dict[str, Table]
    records: tuple[Record, ...]
    warnings: tuple[str, ...]


def _with_true_labels(
    names: Sequence[str], task: RegressionTask, refit: Refit
) -> dict[str, Calibration]:
    """The methods fitted again on the training sample as it was before its labels were smeared."""
    if task.unsmeared is None:
        return {}
    true = replace(task.hidden(), train=task.unsmeared)
    return {name: refit(true, label=name) for name in names}


def _too_few(slicing: Slicing, test: str, sample: Sample) -> str | None:
    """What to say of a slice that too few events lie in."""
    events = int(np.count_nonzero(sample.w[slicing.inside(sample)]))
    if events >= MINIMUM_EVENTS:
        return None
    return (
        f"{OPTION}.slices: {events} events of '{test}' lie in the slice of '{slicing.name}', at "
        f"least {MINIMUM_EVENTS} are needed"
    )


def _unresolved(prediction: Prediction, scalars: Scalars) -> Iterator[str]:
    """What to say where smeared labels did not widen σ_stoch."""
    if "sigma_smear" in scalars and "sigma_cal" not in scalars:
        yield (
            f"{prediction.method}: σ_stoch on {prediction.residual.label} is not larger with "
            "smeared labels than with true ones: no σ_cal; train with more events"
        )


def _silent(fits: Mapping[str, Calibration], quoting: Collection[str]) -> tuple[str, ...]:
    """One line on the calibrations that quote no Σ(x); the untouched response is one of them only
    where it is studied itself."""
    silent = [name for i, (name, fit) in enumerate(fits.items())
              if name not in quoting and (i == 0 or fit.closed_form != UNCALIBRATED)]  # fmt: skip
    if not silent:
        return ()
    verb = "quotes" if len(silent) == 1 else "quote"
    return (f"{', '.join(silent)} {verb} no Σ(x): no uncertainty to evaluate",)


def _findings(answers: Mapping[str, Sequence[Answer]], warnings: list[str]) -> Findings:
    scalars: dict[str, Scalars] = {name: {} for name in answers}
    tables: dict[str, dict[str, Table]] = {name: {} for name in answers}
    records: list[Record] = []
    for method, found in answers.items():
        for answer in found:
            scalars[method] |= answer.scalars
            tables[method] |= answer.tables
            records += answer.records
            warnings += answer.warnings
    return Findings(scalars, tables, tuple(records), tuple(warnings))
