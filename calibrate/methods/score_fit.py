"""The fit of the networks of one score: weighted cross-entropy, minibatches, early stopping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from calibrate.context import Context
from calibrate.coordinates import Coordinates
from calibrate.errors import CalibrateError
from calibrate.estimate import Domain
from calibrate.learner import Learner, Lesson, taught
from calibrate.member import Column, Member, Schedule, single
from calibrate.methods.score_network import ScoreNetwork, Shape
from calibrate.methods.training_events import Scale
from calibrate.nn.cross_entropy import CrossEntropy
from calibrate.nn.nuisance_series import NuisanceSeries
from calibrate.records import FitSummary, TrainingCurve
from calibrate.sample import Sample
from calibrate.seeding import torch_seeded

MakeObjective = Callable[[NuisanceSeries, torch.Tensor, Context], CrossEntropy]
"""What a network is trained to minimise, given the true nuisances t (n, k) of the events."""


def plain(network: NuisanceSeries, t: torch.Tensor, context: Context) -> CrossEntropy:
    """The cross-entropy and nothing else."""
    return CrossEntropy(network)


@dataclass(frozen=True)
class Fit:
    """What all networks of one score are fitted to: events trained with and held out, weights of
    mean 1; `true` holds the nuisances that vary among them, and a network takes them if its `shape`
    has an order.
    """

    train: Sample
    held_out: Sample
    true: Scale
    shape: Shape
    schedule: Schedule
    objective: MakeObjective = plain

    @cached_property
    def coordinates(self) -> Coordinates:
        """The features in units of their spread."""
        train = self.train
        return Coordinates.of(train.x, train.w, train.x_columns, logarithms=False)

    @property
    def inputs(self) -> Scale:
        """The nuisances that the networks take."""
        return self.true if self.shape.order else Scale.of(())

    def networks(self, number: int, restarts: int, context: Context) -> list[Lesson]:
        """That many networks, trained side by side; FitError if one diverges in every attempt."""
        parts = [context.child(f"network{i}") for i in range(number)]
        found = taught([Learner(self._begin, _kept, restarts, part) for part in parts])
        lessons = []
        for each in found:
            if isinstance(each, CalibrateError):
                raise each
            lessons.append(each)
        return lessons

    def score(self, lessons: Sequence[Lesson], warnings: tuple[str, ...]) -> ScoreNetwork:
        """The fitted networks together, with how the fits went."""
        done = [lesson.done for lesson in lessons]
        summary = FitSummary(
            seconds=sum(each.seconds for each in done),
            steps=sum(len(each.loss) for each in done),
            loss=float(np.mean([each.validation[-1] for each in done])),
            restarts=sum(lesson.restarts for lesson in lessons),
            curve=TrainingCurve("", done[0].loss, "weighted cross-entropy"),
            notes=(f"{len(self.train)} events trained with, {len(self.held_out)} held out",),
            warnings=warnings,
        )
        modules = tuple(_network(lesson) for lesson in lessons)
        domain = Domain.of(self.train)
        return ScoreNetwork(domain, self.coordinates, self.inputs, self.shape, modules, summary)

    def _begin(self, attempt: Context) -> Member:
        with torch_seeded(attempt, "initialisation"):
            network = self.shape.module(self.train.x.shape[1], len(self.inputs.names))
        columns, held_out = self._columns(self.train), self._columns(self.held_out)
        objective = self.objective(network, torch.from_numpy(columns[1]), attempt)
        return Member(objective, columns, self.schedule, attempt, held_out)

    def _columns(self, sample: Sample) -> list[Column]:
        """Features, true nuisances, label and weight."""
        t = self.true.forward(sample.spectators)
        t = np.broadcast_to(t, (len(sample), t.shape[1]))
        x = self.coordinates.forward(sample.x)
        return [np.array(each) for each in single(
            [x, t, sample.z[:, 0], sample.w / np.mean(sample.w)])]  # fmt: skip


def _kept(lesson: Lesson) -> Lesson:
    return lesson


def _network(lesson: Lesson) -> NuisanceSeries:
    objective = lesson.member.objective
    if not isinstance(objective, CrossEntropy):
        raise TypeError(f"a score is trained by cross-entropy, not by {type(objective).__name__}")
    return objective.network
