"""Data augmentation: trained on simulation with all values of the nuisances, which it does not
see."""

from __future__ import annotations

from dataclasses import dataclass

from calibrate.checks import positive_integer
from calibrate.context import Context
from calibrate.methods.network_classifier import NetworkClassifier
from calibrate.methods.score_network import ScoreNetwork
from calibrate.methods.training_events import Scale, training_events
from calibrate.task import InferenceTask


@dataclass(frozen=True)
class AugmentedClassifier(NetworkClassifier):
    """Signal against background with nuisances anywhere in their ranges; every event is there
    `copies` times, each with other values."""

    copies: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_integer("method.copies", self.copies)

    def fit(self, task: InferenceTask, context: Context) -> ScoreNetwork:
        """Fit the shifted training events; DataError for negative weights."""
        names = [each.name for each in task.nuisances]
        events = training_events(task, names, self.copies, context.stream("nuisances"))
        return self.trained(events, Scale.of(()), context)
