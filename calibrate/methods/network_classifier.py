"""What all trained classifiers have in common: networks, Adam, early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from calibrate.checks import layer_sizes, positive_integer
from calibrate.context import Context
from calibrate.member import Schedule
from calibrate.methods.minibatch_options import (
    check_minibatch,
    check_stopping,
    require_held_out,
)
from calibrate.methods.score_fit import Fit, MakeObjective, plain
from calibrate.methods.score_network import ScoreNetwork, Shape
from calibrate.methods.training_events import Scale
from calibrate.nn.networks import ACTIVATIONS
from calibrate.sample import Sample

FEWEST_HELD_OUT = 50


@dataclass(frozen=True)
class NetworkClassifier:
    """The mean logit of `networks` with `hidden` layers of nodes, which differ in their start and
    in the order of events. Adam on minibatches of `batch` events, at most `epochs`: after
    `patience` epochs in which the loss of a `validation` share of the events found no new minimum
    the learning rate is reduced, and after three reductions a fit ends.
    Raises ConfigurationError for hyperparameters out of range.
    """

    networks: int = 4
    hidden: Sequence[int] = (32, 32)
    activation: str = "silu"
    epochs: int = 100
    batch: int = 500
    learning_rate: float = 3e-3
    validation: float = 0.1
    patience: int = 3
    restarts: int = 3
    tasks: ClassVar[tuple[str, ...]] = ("inference",)
    sees: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_minibatch(self, ACTIVATIONS)
        check_stopping(self)
        for option in ("networks", "epochs"):
            positive_integer(f"method.{option}", getattr(self, option))

    def shape(self) -> Shape:
        """The network, which takes no nuisance."""
        return Shape(layer_sizes("method.hidden", self.hidden), self.activation)

    def trained(
        self,
        events: Sample,
        true: Scale,
        context: Context,
        objective: MakeObjective = plain,
    ) -> ScoreNetwork:
        """Fit balanced events, in which the nuisances `true` vary.

        Raises ConfigurationError for a validation share of fewer than 50 events, FitError if every
        attempt diverges.
        """
        require_held_out(self.validation, events, FEWEST_HELD_OUT)
        parts = events.split(1 - self.validation, context.stream("validation"))
        schedule = Schedule(self.batch, self.epochs, self.learning_rate, self.patience)
        fit = Fit(*parts, true, self.shape(), schedule, objective)
        lessons = fit.networks(self.networks, self.restarts, context)
        unstopped = sum(not lesson.done.stopped for lesson in lessons)
        return fit.score(lessons, (self._unstopped(unstopped),) if unstopped else ())

    def _unstopped(self, number: int) -> str:
        return (
            f"early stopping never triggered in {self.epochs} epochs for {number} of "
            f"{self.networks} networks: the score may not be as good as it can be; raise "
            "method.epochs"
        )
