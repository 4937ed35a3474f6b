"""Is a calibration universal? It is applied to other spectra, and derived on other spectra.

A calibration that knows only p(x|z) has the same bias whatever p(z) is. Two questions: (a) does
the fitted object close on other spectra of the test sample; (b) does the fit change when the
training sample has another spectrum (`refits`).

A transport map carries simulation to data, so both must be put on the same other spectrum. The
truth that this takes is known where data is itself simulated. Where it is not, the nominal row of
(a) is all that can be measured, and a warning says so: reweighting simulation alone would measure
a mismodelled p(z), not a dependence on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from calibrate.checks import count, positive_integer, positive_number
from calibrate.context import Context
from calibrate.errors import ConfigurationError
from calibrate.estimate import Calibration, TransportMap
from calibrate.evaluators import application, carried_application
from calibrate.evaluators.sensitivity import (
    FEWEST_REPLICAS,
    Derive,
    Sensitivity,
    Settings,
    measure,
    spectra_of,
)
from calibrate.evaluators.spectra_family import MOST_REFITS
from calibrate.evaluators.subjects import Regressed, Subject, Transported
from calibrate.records import Findings
from calibrate.task import NOMINAL, RegressionTask, TransportTask

FEWEST_ROWS = 1000
"""The fewest rows that a bootstrap sample of the refits may be limited to."""
NOT_ONE = "prior_stress looks at transport of one feature with one truth: nothing was done"


@dataclass(frozen=True)
class PriorStress:
    """Every method on reweighted spectra of the nominal test: its bias, or transported simulation
    beside data; and, with `refits` other training spectra (0 to 5), how much the studied method's
    fit depends on them, and if `compared` also the fits of the methods that it is compared with.

    `replicas` bootstrap replicas of the test sample; `refit_replicas` bootstrap samples on which
    all refits are done again, for their error, with at most about `refit_events` rows each.
    `threshold` (in units of z where z is positive by nature, else of the training spectrum's
    width) is what counts as universal. Looks at tasks of one truth column, and of one feature
    where it is transported. Raises ConfigurationError for values out of range.
    """

    refits: int = 0
    replicas: int = 100
    refit_replicas: int = 10
    refit_events: int = 100_000
    threshold: float = 0.005
    compared: bool = False
    tasks: ClassVar[tuple[str, ...]] = ("regression", "transport")

    def __post_init__(self) -> None:
        count("evaluator.prior_stress.refits", self.refits)
        least = {"replicas": 2, "refit_replicas": FEWEST_REPLICAS, "refit_events": FEWEST_ROWS}
        for name, smallest in least.items():
            positive_integer(f"evaluator.prior_stress.{name}", getattr(self, name))
            if getattr(self, name) < smallest:
                raise ConfigurationError(
                    f"evaluator.prior_stress.{name} must be at least {smallest}"
                )
        positive_number("evaluator.prior_stress.threshold", self.threshold)
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
        self,
        fits: Mapping[str, Any],
        task: RegressionTask | TransportTask,
        refit: Derive,
        context: Context,
    ) -> Findings:
        """(a) for all fits; (b) for the first of them, or for all that were fitted."""
        if isinstance(task, TransportTask):
            return self._of_maps(fits, task, refit, context)
        return self._of_calibrations(fits, task, refit, context)

    def _of_calibrations(
        self, fits: Mapping[str, Calibration], task: RegressionTask, derive: Derive,
        context: Context,
    ) -> Findings:  # fmt: skip
        if len(task.train.z_columns) != 1:
            return Findings()
        nominal = task.tests[NOMINAL]
        spectra, left_out = application.spectra_of(nominal)
        records = [
            application.bias_under(spectra, nominal, method, fit, self.threshold)
            for method, fit in fits.items()
            if spectra
        ]
        scalars = {each.method: {"prior/application": application.largest(each)}
                   for each in records if each.relative}  # fmt: skip
        tables = {each.method: {"prior/application": application.table(each)} for each in records}
        found = Findings(scalars, tables, tuple(records), tuple(left_out))
        return self._derived(found, fits, Regressed(task), derive, context)

    def _of_maps(
        self, fits: Mapping[str, TransportMap], task: TransportTask, derive: Derive,
        context: Context,
    ) -> Findings:  # fmt: skip
        simulation, nominal = task.train.simulation, task.tests[NOMINAL]
        if len(simulation.z_columns) != 1 or len(simulation.x_columns) != 1:
            return Findings(warnings=(NOT_ONE,))
        pairs, left_out = carried_application.pairs_of(nominal)
        records = tuple(carried_application.carried_under(pairs, fits, self.replicas, context))
        tables = {each.method: {"prior/application": carried_application.table(each)}
                  for each in records}  # fmt: skip
        found = Findings({}, tables, records, tuple(left_out))
        if nominal.truth is None or task.train.truth is None:
            return replace(found, warnings=(*left_out, _unknown(self.refits)))
        return self._derived(found, fits, Transported(task), derive, context)

    def _derived(
        self,
        found: Findings,
        fits: Mapping[str, Any],
        subject: Subject,
        derive: Derive,
        context: Context,
    ) -> Findings:
        """What was found, and how much each fit that is derived again changes on other spectra."""
        if not self.refits:
            return found
        spectra, left_out = spectra_of(subject, self.refits)
        found = replace(found, warnings=(*found.warnings, *left_out))
        settings = Settings(self.refit_replicas, self.refit_events, self.threshold)
        for method, again in self._again(fits, derive).items() if spectra else ():
            measured = measure(
                method, fits[method], subject, spectra, again, settings, context.child("refits")
            )
            found = _with(found, method, measured)
        return found

    def _again(self, fits: Mapping[str, Any], derive: Derive) -> dict[str, Derive]:
        """How to fit again: the studied method; if `compared`, also the others that learn from a
        sample at all."""
        main, *others = fits
        learned = [method for method in others if self.compared and fits[method].summary.steps]
        return {main: derive, **{method: partial(derive, label=method) for method in learned}}


def _with(found: Findings, method: str, measured: Sensitivity) -> Findings:
    """With the sensitivity of one method."""
    scalars = {**found.scalars.get(method, {}), **measured.scalars()}
    tables = {**found.tables.get(method, {}), "prior/sensitivity": measured.table()}
    return Findings(
        {**found.scalars, method: scalars},
        {**found.tables, method: tables},
        (*found.records, measured.record),
        (*found.warnings, *measured.warnings),
    )


def _unknown(refits: int) -> str:
    asked = f" (evaluator.prior_stress.refits={refits})" if refits else ""
    return (
        "the truth of data is unknown, so that data cannot be put on another spectrum: maps are "
        f"compared on the nominal one alone, and their dependence on it is not measured{asked}"
    )
