"""Options that all networks have which are trained by Adam on minibatches, and their checks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from calibrate.checks import (
    choice,
    count,
    fraction,
    layer_sizes,
    positive_integer,
    positive_number,
)
from calibrate.errors import ConfigurationError
from calibrate.sample import Sample


class MinibatchOptions(Protocol):
    """Layers and their activation, events in a step, the learning rate, restarts after a
    divergence."""

    @property
    def hidden(self) -> Sequence[int]: ...

    @property
    def activation(self) -> str: ...

    @property
    def batch(self) -> int: ...

    @property
    def learning_rate(self) -> float: ...

    @property
    def restarts(self) -> int: ...


class StoppingOptions(Protocol):
    """The share of the events that is held out, and what is waited for a new minimum of their
    loss."""

    @property
    def validation(self) -> float: ...

    @property
    def patience(self) -> int: ...


def check_minibatch(method: MinibatchOptions, activations: Collection[str]) -> None:
    """Raise ConfigurationError for an option out of range."""
    layer_sizes("method.hidden", method.hidden)
    choice("method.activation", method.activation, tuple(activations))
    positive_integer("method.batch", method.batch)
    positive_number("method.learning_rate", method.learning_rate)
    count("method.restarts", method.restarts)


def check_stopping(method: StoppingOptions) -> None:
    """Raise ConfigurationError for an option out of range."""
    fraction("method.validation", method.validation)
    positive_integer("method.patience", method.patience)


def require_held_out(validation: float, sample: Sample, fewest: int) -> None:
    """Raise ConfigurationError if that share of the events of a sample are fewer than needed."""
    events = sample.groups.number
    held_out = round(validation * events)
    if held_out < fewest:
        raise ConfigurationError(
            f"method.validation={validation:g} holds out {held_out} of {events} events: at least "
            f"{fewest} are needed, raise it"
        )
