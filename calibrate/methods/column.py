"""An estimate that stands in a column already: the experiment's own calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from calibrate.checks import texts
from calibrate.context import Context
from calibrate.errors import ConfigurationError
from calibrate.estimate import Domain, Estimate, State
from calibrate.records import FitSummary
from calibrate.sample import Column, FloatArray
from calibrate.task import RegressionTask


@dataclass(frozen=True)
class ColumnEstimate:
    """ẑ = the column `z`, Σ = the column `sigma` if there is one; a list for several truths.

    The columns are features or spectators of the task's samples. Raises ConfigurationError if
    their number is not that of the truth columns, DataError if one is missing.
    """

    z: Sequence[str] | str
    sigma: Sequence[str] | str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that a sample must have."""
        return (*texts("method.z", self.z), *self._sigma)

    @property
    def _sigma(self) -> list[str]:
        return [] if self.sigma is None else texts("method.sigma", self.sigma)

    def fit(self, task: RegressionTask, context: Context) -> GivenColumns:
        """Look the columns up; nothing is fitted."""
        z, sigma = texts("method.z", self.z), self._sigma
        truths = task.train.z_columns
        for name, given in (("method.z", z), ("method.sigma", sigma)):
            if len(given) != len(truths) and (given or name == "method.z"):
                raise ConfigurationError(
                    f"{name} needs {len(truths)} columns, one for each truth: got {list(given)}"
                )
        for name in self.columns:
            task.train.column(name)
        units = {column.name: column.unit for column in (*task.train.x_columns, *truths)}
        features = tuple(Column(name, units.get(name, truths[0].unit)) for name in self.columns)
        limits = np.array([[-np.inf], [np.inf]]).repeat(len(features), axis=1)
        return GivenColumns(Domain(features, truths, limits))


@dataclass(frozen=True)
class GivenColumns:
    """ẑ and, where there are as many more features, Σ: the features themselves."""

    domain: Domain
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "column"
    closed_form: ClassVar[str] = "unknown"

    def estimate(self, x: FloatArray) -> Estimate:
        """The columns (n, d_x) as estimate and covariance; nothing was derived here."""
        x = self.domain.checked(x)
        d_z = len(self.domain.z_columns)
        sigma = x[:, d_z:]
        covariance = sigma[:, :, None] ** 2 * np.eye(d_z) if sigma.shape[1] else None
        return Estimate(x[:, :d_z], covariance, np.ones(len(x), dtype=bool))

    def state(self) -> State:
        """The domain."""
        return {"domain": self.domain.state()}

    @classmethod
    def from_state(cls, state: State) -> GivenColumns:
        """Rebuild from `state`."""
        return cls(Domain.from_state(state["domain"]))
