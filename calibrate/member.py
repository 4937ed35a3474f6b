"""A network that is to be trained on minibatches, and what becomes of it on the way."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from calibrate.context import Context
from calibrate.nn.objectives import Objective
from calibrate.plateau import Plateau
from calibrate.sample import FloatArray
from calibrate.seeding import generator, stream_seed
from calibrate.train import DivergedError, Minimisation

log = logging.getLogger("calibrate")
Trained = Minimisation | DivergedError
Column = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Schedule:
    """Adam on minibatches of `batch` events for `epochs`, the learning rate falling to zero as a
    half cosine; with a `patience` [epochs] it falls and the fit ends as `Plateau` says, at the
    latest after `epochs`."""

    batch: int
    epochs: int
    learning_rate: float
    patience: int | None = None

    def minibatches(self, events: int) -> int:
        """Steps in one epoch."""
        return math.ceil(events / self.batch)


@dataclass(frozen=True)
class Member:
    """A network that is to be trained: its objective, whose parameters change, and the columns
    (n, …) of the events, the last being weights of mean 1. With a patience, `held_out` are the
    columns of events that are not trained on."""

    objective: Objective
    columns: Sequence[Column]
    schedule: Schedule
    context: Context
    held_out: Sequence[Column] = ()

    @property
    def events(self) -> int:
        """The number of events trained on."""
        return len(self.columns[-1])

    @property
    def bytes(self) -> int:
        """What the columns take."""
        return sum(column.nbytes for column in (*self.columns, *self.held_out))

    @property
    def nodes(self) -> int:
        """Activations for each event."""
        return sum(p.numel() for p in self.objective.parameters() if p.ndim == 1)

    @property
    def shape(self) -> Hashable:
        """What members have in common that can be trained side by side."""
        sizes = tuple(tuple(p.shape) for p in self.objective.parameters())
        steps = self.schedule.minibatches(self.events), self.schedule.epochs, self.schedule.batch
        stopped = self.schedule.patience is not None
        return str(self.objective), sizes, steps, stopped, self.context.device

    @property
    def identity(self) -> str:
        """What tells its training from the others of a run: its streams, its shape and its events,
        since refits to other events have the same streams. Who it is trained with has no say."""
        events = hashlib.sha256()
        for column in (*self.columns, *self.held_out):
            events.update(column.tobytes())
        return f"{self.context.seed} {self.context.path} {self.shape} {events.hexdigest()}"


def single(columns: Sequence[FloatArray]) -> list[Column]:
    """Columns in the precision that networks are trained in."""
    return [np.asarray(column, dtype=np.float32) for column in columns]


class Run:
    """One member's streams, and what has become of it, if anything in another process already:
    then the parameters are those of its checkpoint, `moments` those of Adam. `seconds` is its share
    of the time spent."""

    def __init__(self, member: Member, device: torch.device) -> None:
        self.member, self.events, self.device = member, member.events, device
        self.shuffle = member.context.stream("shuffle")
        self.noise = generator(stream_seed(member.context, "noise"), device)
        patience = member.schedule.patience
        self.plateau = None if patience is None else Plateau(patience)
        self.history: list[float] = []
        self.seconds = 0.0
        self.moments: Mapping[str, Any] | None = None
        self.checkpoint = member.context.checkpoints.checkpoint(member.identity)
        kept = self.checkpoint.load()
        if kept:
            self._go_on(kept)

    @property
    def epochs(self) -> int:
        """The number of epochs that are done."""
        return len(self.history)

    @property
    def diverged(self) -> bool:
        """Whether the loss stopped being finite."""
        return bool(self.history) and not math.isfinite(self.history[-1])

    @property
    def over(self) -> bool:
        """Whether the training has come to its end, good or bad."""
        stopped = self.plateau is not None and self.plateau.reached
        return self.diverged or stopped or self.epochs == self.member.schedule.epochs

    def after_epoch(self, loss: float, held_out: float | None) -> None:
        """Write down the mean loss of an epoch, and that of the events held out after it."""
        self.history.append(loss)
        if self.plateau is not None and held_out is not None:
            self.plateau.after_epoch(held_out)

    def fixed_noise(self) -> list[Tensor]:
        """That of the events held out, the same after every epoch."""
        seed = stream_seed(self.member.context, "validation noise")
        rows = len(self.member.held_out[-1])
        return self.member.objective.noise(rows, generator(seed, self.device))

    def rates(self, steps: int) -> FloatArray:
        """The learning rates (steps,) of the next epoch."""
        schedule = self.member.schedule
        if self.plateau is not None:
            return np.full(steps, schedule.learning_rate * self.plateau.factor)
        passed = (self.epochs * steps + np.arange(steps)) / (schedule.epochs * steps)
        return np.asarray(0.5 * schedule.learning_rate * (1 + np.cos(np.pi * passed)))

    def state(self) -> dict[str, Any]:
        """The streams and what has become of the member, to be kept."""
        return {
            "shuffle": json.dumps(self.shuffle.bit_generator.state),
            "noise": self.noise.get_state().numpy(),
            "history": np.array(self.history),
            "plateau": None if self.plateau is None else self.plateau.state(),
            "seconds": self.seconds,
        }

    def _go_on(self, state: Mapping[str, Any]) -> None:
        """Take up a state that was kept, with parameters and moments."""
        self.shuffle.bit_generator.state = json.loads(state["shuffle"])
        self.noise.set_state(torch.from_numpy(state["noise"]))
        self.history, self.seconds = state["history"].tolist(), state["seconds"]
        if self.plateau is not None:
            self.plateau.go_on(state["plateau"])
        values = torch.from_numpy(state["values"])
        vector_to_parameters(values, self.member.objective.parameters())
        self.moments = {name: state[name] for name in ("first", "second")}
        log.info(f"a training goes on from its checkpoint, after {self.epochs} epochs")

    def ended(self) -> Trained:
        """How the member's training went."""
        if self.diverged:
            return DivergedError(f"the loss became {self.history[-1]}")
        loss = np.array(self.history)
        if self.plateau is None:
            return Minimisation(loss, self.seconds)
        return Minimisation(loss, self.seconds, self.plateau.losses, self.plateau.reached)
