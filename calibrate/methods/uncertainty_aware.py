"""Uncertainty-aware learning: the classifier takes the nuisances as inputs (arXiv:2105.08742).

The likelihood profiles them in the score as well as in the templates, so that data is always looked
at as by the best classifier for the nuisances that are tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from calibrate.checks import choice, positive_integer, texts
from calibrate.context import Context
from calibrate.errors import ConfigurationError
from calibrate.methods.network_classifier import NetworkClassifier
from calibrate.methods.score_network import ScoreNetwork, Shape
from calibrate.methods.training_events import Scale, training_events
from calibrate.task import InferenceTask


@dataclass(frozen=True)
class UncertaintyAware(NetworkClassifier):
    """logit = f(x) + Σ_j b_j(t) g_j(x): a polynomial of an `order` in the nuisances, with a
    network's outputs as coefficients (`nn/nuisance_series.py`).

    `nuisances` are those that the score takes (None: all of the task); the others are nominal in
    training. Every event is there `copies` times, with nuisances anywhere in their ranges.
    Raises ConfigurationError for hyperparameters out of range.
    """

    nuisances: Sequence[str] | None = None
    order: int = 2
    copies: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_integer("method.order", self.order)
        positive_integer("method.copies", self.copies)
        if self.nuisances is not None and not texts("method.nuisances", self.nuisances):
            raise ConfigurationError(
                "method.nuisances is empty: name some, or use method=baseline_classifier"
            )

    def shape(self) -> Shape:
        """The network with its series in the nuisances."""
        return replace(super().shape(), order=self.order)

    def fit(self, task: InferenceTask, context: Context) -> ScoreNetwork:
        """Fit the shifted training events.

        Raises ConfigurationError for nuisances that the task does not have, DataError for negative
        weights.
        """
        known = [each.name for each in task.nuisances]
        for name in self.nuisances or ():
            choice("method.nuisances", name, known)
        chosen = [each for each in task.nuisances if each.name in (self.nuisances or known)]
        names = [each.name for each in chosen]
        events = training_events(task, names, self.copies, context.stream("nuisances"))
        return self.trained(events, Scale.of(chosen), context)
