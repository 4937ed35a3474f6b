"""What all trained classifiers have in common: a network, Adam, early stopping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from calibrate.checks import (
    choice,
    count,
    fraction,
    layer_sizes,
    positive_integer,
    positive_number,
)
from calibrate.context import Context
from calibrate.errors import ConfigurationError
from calibrate.methods.score_fit import Extra, Learning, fit_score, with_summary
from calibrate.methods.score_network import ScoreNetwork, Shape
from calibrate.methods.training_events import Scale
from calibrate.nn.networks import ACTIVATIONS
from calibrate.sample import Sample
from calibrate.train import with_restarts

FEWEST_HELD_OUT = 50


@dataclass(frozen=True)
class NetworkClassifier:
    """A network with `hidden` layers of nodes. Adam on minibatches of `batch` events, at most
    `epochs`: after `patience` epochs in which the loss of a `validation` share of the events found
    no new minimum the learning rate is reduced, and after three reductions the fit ends.
    Raises ConfigurationError for hyperparameters out of range.
    """

    hidden: Sequence[int] = (32, 32)
    activation: str = "silu"
    epochs: int = 100
    batch: int = 500
    learning_rate: float = 3e-3
    validation: float = 0.1
    patience: int = 3
    restarts: int = 3
    tasks: ClassVar[tuple[str, ...]] = ("inference",)

    def __post_init__(self) -> None:
        layer_sizes("method.hidden", self.hidden)
        choice("method.activation", self.activation, tuple(ACTIVATIONS))
        for option in ("epochs", "batch", "patience"):
            positive_integer(f"method.{option}", getattr(self, option))
        positive_number("method.learning_rate", self.learning_rate)
        fraction("method.validation", self.validation)
        count("method.restarts", self.restarts)

    def shape(self) -> Shape:
        """The network, which takes no nuisance."""
        return Shape(layer_sizes("method.hidden", self.hidden), self.activation)

    def trained(
        self,
        events: Sample,
        true: Scale,
        context: Context,
        extra: Callable[[Context], Extra] | None = None,
    ) -> ScoreNetwork:
        """Fit balanced events, in which the nuisances `true` vary.

        Raises ConfigurationError for a validation share of fewer than 50 events, FitError if every
        attempt diverges.
        """
        held_out = round(self.validation * events.groups.number)
        if held_out < FEWEST_HELD_OUT:
            raise ConfigurationError(
                f"method.validation={self.validation:g} holds out {held_out} of "
                f"{events.groups.number} events: at least {FEWEST_HELD_OUT} are needed, raise it"
            )
        parts = events.split(1 - self.validation, context.stream("validation"))
        learning = Learning(self.epochs, self.batch, self.learning_rate, self.patience)
        (fitted, done), restarts = with_restarts(
            lambda attempt: fit_score(
                parts, true, self.shape(), learning, attempt, extra(attempt) if extra else None
            ),
            self.restarts,
            context,
        )
        return with_summary(fitted, restarts, [] if done.stopped else [self._unstopped()])

    def _unstopped(self) -> str:
        return (
            f"early stopping never triggered in {self.epochs} epochs: the score may not be as good "
            "as it can be; raise method.epochs"
        )
