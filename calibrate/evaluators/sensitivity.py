"""How much a calibration changes when it is derived on other spectra.

The method is fitted again on the training events under K other spectra. The mean change of its
answer given z, d_k(z) = E[(ẑ_k - ẑ_0)/scale | z] (x' in place of ẑ for a transport map), is
described by a parabola over the bulk that the spectrum shares with the test sample (5 to 95 % of
each); the amplitude A is its largest absolute value over all k and z.

All fits are done again on bootstrap samples of the training events, of at most `events` rows each:
the deviations of m events, times √(m/n), are those of n (m out of n bootstrap). Those of the test
sample are added. The limits answer two questions:
- is it universal: at the place of the true maximum, wherever it is, |d| exceeds A_true less
  t·σ with a probability of 5 %, σ the error *there*. So max(|d| + t·σ) is an upper 95 % limit,
  and no factor for the number of places is due (intersection-union test, Berger 1982);
- does it depend: A is a maximum and hence biased upwards. With D the 95 % quantile of the largest
  deviation over all k and z, A - D is a lower 95 % limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from scipy import stats

from calibrate.context import Context
from calibrate.errors import DataError, FitError
from calibrate.estimate import Fitted
from calibrate.evaluators.application import too_few
from calibrate.evaluators.parabolas import Parabolas, bulk
from calibrate.evaluators.spectra_family import trained
from calibrate.evaluators.subjects import Subject
from calibrate.records import (
    CANNOT_TELL,
    DEPENDENT,
    MINIMUM_EFFECTIVE,
    UNIVERSAL,
    PriorSensitivity,
    Quantity,
    Table,
)
from calibrate.sample import FloatArray
from calibrate.statistics import Poisson

SIMULATIONS = 4000
CONFIDENCE = 0.95
FEWEST_REPLICAS = 3
SHARED = 0.1
"""Of the bulk of the test sample, that the bulk of a training spectrum must cover."""

Derive = Callable[..., Any]
"""Fit the studied method on another task."""


@dataclass(frozen=True)
class Settings:
    """Number of bootstrap samples, the most rows that each has, and what counts as universal."""

    replicas: int
    events: int
    threshold: float


@dataclass(frozen=True)
class Sensitivity:
    """The amplitude A with its error and limits, and the curves behind it."""

    amplitude: float
    error: float
    lower: float
    upper: float
    events: float
    record: PriorSensitivity
    warnings: tuple[str, ...]

    def scalars(self) -> dict[str, Quantity]:
        """`prior/sensitivity` and `prior/verdict`."""
        return {
            "prior/sensitivity": Quantity(self.amplitude, self.error),
            "prior/verdict": Quantity(self.record.verdict),
        }

    def table(self) -> Table:
        """One row: amplitude, 95 % limits, threshold, verdict, and the training size (effective
        events) that would tell, where this one cannot."""
        columns = ("sensitivity", "sensitivity_error", "lower_95", "upper_95", "threshold")
        enough = None if self.record.verdict != CANNOT_TELL else self.events
        row = (self.amplitude, self.error, self.lower, self.upper, self.record.threshold)
        return Table(
            (*columns, "verdict", "n_effective_to_tell"),
            ("",) * 7,
            ((*row, self.record.verdict, enough),),
        )


def spectra_of(subject: Subject, refits: int) -> tuple[dict[str, Any], list[str]]:
    """The subject's task on that many other spectra by name, and what to say of those left out:
    with too few effective training events, or outside the bulk of the test."""
    kept, sizes, elsewhere = {}, {}, []
    low, high = bulk(subject.test)
    for name, reshape in islice(trained(subject.train), refits):
        task = subject.under(reshape)
        samples = subject.derived_on(task)
        size = min(sample.effective_size for sample in samples)
        first, last = bulk(samples[0])
        if size < MINIMUM_EFFECTIVE:
            sizes[name] = size
        elif min(high, last) - max(low, first) < SHARED * (high - low):
            elsewhere.append(
                f"the training spectrum '{name}' lies in {first:.4g} to {last:.4g} and the test "
                f"sample in {low:.4g} to {high:.4g} (5 to 95 % of each): left out of the refits"
            )
        else:
            kept[name] = task
    return kept, [*too_few("the training sample", sizes), *elsewhere]


def measure(
    method: str,
    nominal: Fitted,
    subject: Subject,
    spectra: Mapping[str, Any],
    derive: Derive,
    settings: Settings,
    context: Context,
) -> Sensitivity:
    """Fit the subject under its other `spectra`, and the bootstrap samples, and judge.

    Raises FitError if a fit on the training events themselves fails; failures on bootstrap
    samples are counted, and raise if fewer than three are left.
    """
    tasks = [subject.task, *spectra.values()]
    parabolas = Parabolas.of(subject, (subject.derived_on(t)[0] for t in spectra.values()), context)
    total = (1 + settings.replicas) * len(tasks) - 1
    with context.progress.track("fits on other spectra", total) as advance:
        fits = [nominal]
        for task in tasks[1:]:
            fits.append(derive(task))
            advance(1)
        changes = parabolas.changes([subject.answer(fit, parabolas.sample) for fit in fits])
        again, failed = _again(subject, tasks, derive, settings, parabolas, context, advance)
    curves = parabolas.curves(changes)
    poisson = Poisson(parabolas.sample.groups, len(again), context.sequence("test"))
    tested = np.stack([parabolas.curves(changes, counts) for counts in poisson.each()])
    deviations = again - again.mean(axis=0) + tested - tested.mean(axis=0)
    warnings = (f"{failed} bootstrap fits on other spectra failed",) if failed else ()
    return _judged(method, subject, spectra, parabolas.z, curves, deviations, settings, warnings,
                   context.stream("band"))  # fmt: skip


def _again(
    subject: Subject,
    tasks: Sequence[Any],
    derive: Derive,
    settings: Settings,
    parabolas: Parabolas,
    context: Context,
    advance: Callable[[int], None],
) -> tuple[FloatArray, int]:
    """The curves (r, n_k, n_z) of the fits on bootstrap samples, their deviations those of all
    training events; and how many of the samples could not be fitted."""
    rows = max(len(sample) for sample in subject.derived_on(subject.task))
    share = min(1.0, settings.events / rows)
    rng, found, failed = context.stream("training"), [], 0
    for _ in range(settings.replicas):
        counts = subject.counts(share, rng)
        try:
            answers = []
            for task in tasks:
                fit = derive(subject.drawn(task, counts))
                answers.append(subject.answer(fit, parabolas.sample))
                advance(1)
            found.append(parabolas.curves(parabolas.changes(answers)))
        except (FitError, DataError):
            failed += 1
    if len(found) < FEWEST_REPLICAS:
        raise FitError(f"{failed} of {settings.replicas} bootstrap fits on other spectra failed")
    return np.sqrt(share) * np.stack(found), failed


def _judged(
    method: str,
    subject: Subject,
    spectra: Mapping[str, object],
    z: FloatArray,
    curves: FloatArray,
    deviations: FloatArray,
    settings: Settings,
    warnings: tuple[str, ...],
    rng: np.random.Generator,
) -> Sensitivity:
    typical, band = _largest(deviations, rng)
    factor = float(stats.t.ppf(CONFIDENCE, len(deviations) - 1))
    limit = factor * np.std(deviations, axis=0, ddof=1)
    amplitude = float(np.nanmax(np.abs(curves)))
    lower, upper = max(amplitude - band, 0.0), float(np.nanmax(np.abs(curves) + limit))
    verdict = CANNOT_TELL
    if upper < settings.threshold:
        verdict = UNIVERSAL
    elif lower > settings.threshold:
        verdict = DEPENDENT
    distance = max(abs(settings.threshold - amplitude), 1e-12)
    reach = upper - amplitude if amplitude < settings.threshold else band
    column = subject.train.z_columns[0]
    record = PriorSensitivity(
        method, column.name, column.unit, column.positive, settings.threshold, tuple(spectra), z,
        curves, band, verdict, limit, subject.quantity,
    )  # fmt: skip
    events = subject.train.effective_size * (reach / distance) ** 2
    return Sensitivity(amplitude, typical, lower, upper, events, record, warnings)


def _largest(deviations: FloatArray, rng: np.random.Generator) -> tuple[float, float]:
    """The largest deviation over all curves and points: 68 and 95 % quantiles.

    Gaussian combinations of the replicas' deviations (r, n_k, n_z) have their covariance; the
    factor of Student's t stands for how few replicas there are.
    """
    number = len(deviations)
    known = np.nan_to_num(deviations.reshape(number, -1)) / np.sqrt(number - 1)
    drawn = np.abs(rng.normal(size=(SIMULATIONS, number)) @ known).max(axis=1)
    drawn *= np.sqrt((number - 1) / rng.chisquare(number - 1, SIMULATIONS))
    return float(np.quantile(drawn, 0.6827)), float(np.quantile(drawn, CONFIDENCE))
