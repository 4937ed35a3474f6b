"""How much a calibration changes when it is derived on other spectra.

The method is fitted again on the training events under K other spectra. The mean change of the
estimate given z, d_k(z) = E[(ẑ_k - ẑ_0)/scale | z], is described by a parabola over the bulk of
the test sample (5 to 95 %), the amplitude A is its largest absolute value over all k and z. All
fits are done again on bootstrap samples of the training events; their parabolas deviate by at
most D (largest over k and z) with a probability of 95 %, and since |A - A_true| ≤ D, the limits
A ± D hold although A is a maximum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from calibrate.context import Context
from calibrate.errors import FitError
from calibrate.estimate import Calibration, Refit
from calibrate.evaluators.spectra_family import quantiles, trained
from calibrate.records import (
    CANNOT_TELL,
    DEPENDENT,
    UNIVERSAL,
    PriorSensitivity,
    Quantity,
    Table,
)
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import Poisson, weighted_std
from calibrate.task import NOMINAL, RegressionTask

BULK = (0.05, 0.95)
DEGREE = 2
POINTS = 50
SIMULATIONS = 4000
CONFIDENCE = 0.95


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

    @dataclass(frozen=True)
    class Settings:
        """Number of other spectra, of bootstrap samples, and what counts as universal."""

        refits: int
        replicas: int
        threshold: float

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


def measure(
    method: str,
    nominal: Calibration,
    task: RegressionTask,
    refit: Refit,
    settings: Sensitivity.Settings,
    context: Context,
) -> Sensitivity:
    """Fit the spectra and the bootstrap samples, and judge.

    Raises FitError if a fit on the training events themselves fails; failures on bootstrap
    samples are counted, and raise if fewer than three are left.
    """
    spectra = list(islice(trained(task.train), settings.refits))
    basis = _Basis.of(task)
    fits = (1 + settings.replicas) * (1 + len(spectra)) - 1
    with context.progress.track("fits on other spectra", fits) as advance:
        others = []
        for _, sample in spectra:
            others.append(refit(replace(task, train=sample)))
            advance(1)
        coefficients = basis.differences(nominal, others)
        replicas, failed = [], 0
        poisson = Poisson(task.train.groups, settings.replicas, context.sequence("training"))
        for counts in poisson.each():
            try:
                samples = [task.train, *(sample for _, sample in spectra)]
                drawn = [refit(replace(task, train=s.with_weights(s.w * counts))) for s in samples]
                replicas.append(basis.differences(drawn[0], drawn[1:]))
            except FitError:
                failed += 1
            advance(1 + len(spectra))
    if len(replicas) < 3:
        raise FitError(f"{failed} of {settings.replicas} bootstrap fits on other spectra failed")
    names = tuple(name for name, _ in spectra)
    warnings = [f"{failed} bootstrap fits on other spectra failed"] if failed else []
    spread = _deviations(np.stack(replicas), context.stream("band"))
    return _judged(method, task, basis, coefficients, spread, names, settings.threshold, warnings)


@dataclass(frozen=True)
class _Basis:
    """Polynomials of z over the bulk of the test sample, and the events there."""

    sample: Sample
    scale: FloatArray
    inverse: FloatArray
    z: FloatArray
    at_points: FloatArray

    @classmethod
    def of(cls, task: RegressionTask) -> _Basis:
        test, column = task.tests[NOMINAL], task.train.z_columns[0]
        low, high = quantiles(test, BULK)
        inside = (test.z[:, 0] >= low) & (test.z[:, 0] <= high)
        sample = test.take(inside)
        width = float(weighted_std(task.train.z[:, 0], task.train.w))
        scale = sample.z[:, 0] if column.positive else np.full(len(sample), width)
        z = np.linspace(low, high, POINTS)
        powers = [_powers(values, low, high) for values in (sample.z[:, 0], z)]
        weighted = powers[0] * sample.w[:, None]
        inverse = np.linalg.solve(weighted.T @ powers[0], weighted.T)
        return cls(sample, scale, inverse, z, powers[1])

    def differences(self, first: Calibration, others: Sequence[Calibration]) -> FloatArray:
        """d_k at the points z (n_k, n_z)."""
        reference = first.estimate(first.domain.features(self.sample)).z[:, 0]
        curves = []
        for other in others:
            estimate = other.estimate(other.domain.features(self.sample)).z[:, 0]
            coefficients = self.inverse @ ((estimate - reference) / self.scale)
            curves.append(self.at_points @ coefficients)
        return np.stack(curves)


def _powers(z: FloatArray, low: float, high: float) -> FloatArray:
    s = (2 * z - low - high) / (high - low)
    return np.asarray(np.polynomial.legendre.legvander(s, DEGREE))


def _judged(
    method: str,
    task: RegressionTask,
    basis: _Basis,
    curves: FloatArray,
    spread: tuple[float, float],
    spectra: tuple[str, ...],
    threshold: float,
    warnings: list[str],
) -> Sensitivity:
    amplitude = float(np.max(np.abs(curves)))
    typical, band = spread
    lower, upper = max(amplitude - band, 0.0), amplitude + band
    verdict = CANNOT_TELL
    if upper < threshold:
        verdict = UNIVERSAL
    elif lower > threshold:
        verdict = DEPENDENT
    distance = max(abs(threshold - amplitude), 1e-12)
    column = task.train.z_columns[0]
    record = PriorSensitivity(
        method, column.name, column.unit, column.positive, threshold, spectra, basis.z, curves,
        band, verdict,
    )  # fmt: skip
    events = task.train.effective_size * (band / distance) ** 2
    return Sensitivity(amplitude, typical, lower, upper, events, record, tuple(warnings))


def _deviations(replicas: FloatArray, rng: np.random.Generator) -> tuple[float, float]:
    """The largest deviation over all curves and points: 68 and 95 % quantiles.

    Gaussian combinations of the replicas' deviations have their covariance; the factor of
    Student's t stands for how few replicas there are.
    """
    number = len(replicas)
    centred = (replicas - replicas.mean(axis=0)).reshape(number, -1) / np.sqrt(number - 1)
    drawn = np.abs(rng.normal(size=(SIMULATIONS, number)) @ centred).max(axis=1)
    drawn *= np.sqrt((number - 1) / rng.chisquare(number - 1, SIMULATIONS))
    return float(np.quantile(drawn, 0.6827)), float(np.quantile(drawn, CONFIDENCE))
