"""Is a calibration universal? It is applied to other spectra, and derived on other spectra.

A calibration that knows only p(x|z) has the same bias whatever p(z) is. Two questions: (a) does
the fitted object close on other spectra of the test sample; (b) does the fit change when the
training sample has another spectrum (`refits`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from calibrate.checks import count, positive_integer, positive_number
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError
from calibrate.estimate import Calibration, Refit
from calibrate.evaluators.sensitivity import Sensitivity, measure
from calibrate.evaluators.spectra_family import MOST_REFITS, applied
from calibrate.records import (
    MINIMUM_EFFECTIVE,
    Findings,
    PriorApplication,
    Quantity,
    Record,
    Table,
)
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import Poisson, bootstrap_ratios
from calibrate.task import NOMINAL, RegressionTask


@dataclass(frozen=True)
class PriorStress:
    """Bias of every method under reweighted spectra of the nominal test sample; and, with
    `refits` other training spectra (0 to 5), how much the studied method's fit depends on them,
    and if `compared` also the fits of the methods that it is compared with.

    `replicas` bootstrap replicas of the test sample; `refit_replicas` bootstrap samples on which
    all refits are done again, for their error. `threshold` (in units of z where z is positive by
    nature, else of the training spectrum's width) is what counts as universal. Looks at tasks of
    one truth column. Raises ConfigurationError for values out of range.
    """

    refits: int = 0
    replicas: int = 100
    refit_replicas: int = 10
    threshold: float = 0.005
    compared: bool = False

    def __post_init__(self) -> None:
        count("evaluator.prior_stress.refits", self.refits)
        positive_integer("evaluator.prior_stress.replicas", self.replicas)
        positive_integer("evaluator.prior_stress.refit_replicas", self.refit_replicas)
        positive_number("evaluator.prior_stress.threshold", self.threshold)
        for name, least in (("replicas", 2), ("refit_replicas", 3)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"evaluator.prior_stress.{name} must be at least {least}")
        if self.refits > MOST_REFITS:
            raise ConfigurationError(
                f"evaluator.prior_stress.refits: there are {MOST_REFITS} training spectra, got "
                f"{self.refits}"
            )
        if not isinstance(self.compared, bool):
            raise ConfigurationError(
                f"evaluator.prior_stress.compared must be true or false, got {self.compared!r}"
            )

    def __call__(
        self, fits: Mapping[str, Calibration], task: RegressionTask, refit: Refit, context: Context
    ) -> Findings:
        """(a) for all fits; (b) for the first of them, or for all that were fitted."""
        if len(task.train.z_columns) != 1:
            return Findings()
        samples, left_out = _spectra(task.tests[NOMINAL])
        scalars: dict[str, dict[str, Quantity]] = {method: {} for method in fits}
        tables: dict[str, dict[str, Table]] = {method: {} for method in fits}
        records: list[Record] = []
        warnings = list(left_out)
        if samples:
            for method, fit in fits.items():
                found = self._application(method, fit, samples, task, context)
                records.append(found)
                tables[method]["prior/application"] = _table(found)
                if found.relative:
                    scalars[method]["prior/application"] = _largest(found)
        for method, again in self._derived_again(fits, refit).items():
            sensitivity = measure(
                method, fits[method], task, again, self._settings(), context.child("refits")
            )
            scalars[method] |= sensitivity.scalars()
            tables[method]["prior/sensitivity"] = sensitivity.table()
            records.append(sensitivity.record)
            warnings += sensitivity.warnings
        return Findings(scalars, tables, tuple(records), tuple(warnings))

    def _derived_again(
        self, fits: Mapping[str, Calibration], refit: Refit
    ) -> dict[str, Refit | partial[Calibration]]:
        """How to fit again: the studied method; if `compared`, also the others that learn from a
        sample at all."""
        if not self.refits:
            return {}
        main, *others = fits
        learned = [method for method in others if self.compared and fits[method].summary.steps]
        return {main: refit, **{method: partial(refit, label=method) for method in learned}}

    def _settings(self) -> Sensitivity.Settings:
        return Sensitivity.Settings(self.refits, self.refit_replicas, self.threshold)

    def _application(
        self,
        method: str,
        fit: Calibration,
        samples: Mapping[str, Sample],
        task: RegressionTask,
        context: Context,
    ) -> PriorApplication:
        nominal, column = task.tests[NOMINAL], task.train.z_columns[0]
        estimate, z = fit.estimate(fit.domain.features(nominal)).z[:, 0], nominal.z[:, 0]
        u = estimate / z if column.positive else estimate - z
        poisson = Poisson(nominal.groups, self.replicas, context.sequence("bootstrap"))
        ratios = [_ratio(sample.w, nominal.w) for sample in samples.values()]
        columns = np.column_stack([part for ratio in ratios for part in (ratio * u, ratio)])
        value, replicas = bootstrap_ratios(columns, nominal.w, poisson)
        return PriorApplication(
            method=method,
            test=NOMINAL,
            z_name=column.name,
            z_unit=column.unit,
            relative=column.positive,
            tolerance=self.threshold,
            spectra=tuple(samples),
            n_effective=np.array([sample.effective_size for sample in samples.values()]),
            mean=value[0::2] / value[1::2],
            mean_error=np.std(replicas[:, 0::2] / replicas[:, 1::2], axis=0),
        )


def _ratio(new: FloatArray, old: FloatArray) -> FloatArray:
    return np.divide(new, old, out=np.zeros_like(new), where=old != 0)


def _spectra(sample: Sample) -> tuple[dict[str, Sample], list[str]]:
    """The spectra with enough effective events, and the names of the others with theirs."""
    kept, left_out = {}, []
    for name, reshape in applied().items():
        try:
            reweighted = reshape(sample)
            size = reweighted.effective_size
        except DataError:
            size = 0.0  # nothing of the sample is left, or its weights sum to less than nothing
        if size >= MINIMUM_EFFECTIVE:
            kept[name] = reweighted
        else:
            left_out.append(
                f"the test sample on the spectrum '{name}' has {size:.0f} effective events of the "
                f"{MINIMUM_EFFECTIVE} that are needed: left out of the test on other spectra"
            )
    return kept, left_out


def _largest(found: PriorApplication) -> Quantity:
    worst = int(np.argmax(np.abs(found.mean - found.reference)))
    return Quantity(float(abs(found.mean[worst] - found.reference)), float(found.mean_error[worst]))


def _table(found: PriorApplication) -> Table:
    unit = "" if found.relative else found.z_unit
    rows = tuple(
        (name, float(size), float(mean), float(error))
        for name, size, mean, error in zip(
            found.spectra, found.n_effective, found.mean, found.mean_error, strict=True
        )
    )
    return Table(("spectrum", "n_effective", "mean", "mean_error"), ("", "", unit, unit), rows)
