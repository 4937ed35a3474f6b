"""The best possible score, where a dataset knows it: what trained ones are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from calibrate.context import Context
from calibrate.data.angle import AngleScore
from calibrate.errors import MisfitError
from calibrate.estimate import Domain, State
from calibrate.records import FitSummary
from calibrate.sample import FloatArray
from calibrate.task import InferenceTask


@dataclass(frozen=True)
class ExactClassifier:
    """Nothing is fitted: the score is the task's own."""

    tasks: ClassVar[tuple[str, ...]] = ("inference",)
    sees: ClassVar[tuple[str, ...]] = ("exact",)

    def fit(self, task: InferenceTask, context: Context) -> ExactScore:
        """The exact score; MisfitError if it is not known in a form that can be stored."""
        if not isinstance(task.exact, AngleScore):
            raise MisfitError(
                "method=exact_classifier needs data whose best score is known: use data=angle, or "
                "another method"
            )
        nominal = {each.name: each.nominal for each in task.nuisances}
        return ExactScore(Domain.of(task.train.at(nominal)), task.exact)


@dataclass(frozen=True)
class ExactScore:
    """The exact score of the angle toy, known at any angle."""

    domain: Domain
    exact: AngleScore
    summary: FitSummary = field(default_factory=FitSummary)
    kind: ClassVar[str] = "exact_score"
    uses_nuisances: ClassVar[bool] = True

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """Nothing was trained, nothing is extrapolated."""
        return {}

    def score(self, x: FloatArray, values: Mapping[str, float | FloatArray]) -> FloatArray:
        """The probability of signal (n,) of x (n, 2)."""
        return self.exact(self.domain.checked(x), values)

    def knows(self, values: Mapping[str, float]) -> bool:
        """True, of any values."""
        return True

    def knowing(self, values: Mapping[str, float]) -> ExactScore:
        """Itself."""
        return self

    def state(self) -> State:
        """The domain and the width of the noise."""
        return {"domain": self.domain.state(), "spread": np.float64(self.exact.spread)}

    @classmethod
    def from_state(cls, state: State) -> ExactScore:
        """Rebuild from `state`."""
        return cls(Domain.from_state(state["domain"]), AngleScore(float(state["spread"])))
