"""The usual classifier: trained on nominal simulation, it knows nothing of the nuisances."""

from __future__ import annotations

from dataclasses import dataclass

from calibrate.context import Context
from calibrate.methods.network_classifier import NetworkClassifier
from calibrate.methods.score_network import ScoreNetwork
from calibrate.methods.training_events import Scale, training_events
from calibrate.task import InferenceTask


@dataclass(frozen=True)
class BaselineClassifier(NetworkClassifier):
    """Signal against background with all nuisances at their nominal values."""

    def fit(self, task: InferenceTask, context: Context) -> ScoreNetwork:
        """Fit the nominal training events; DataError for negative weights."""
        events = training_events(task, (), 1, context.stream("nuisances"))
        return self.trained(events, Scale.of(()), context)
