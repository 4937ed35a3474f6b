"""What a test of the dependence on the spectrum asks of a task, whatever its kind.

A regression answers ẑ(x), a transport map x'(x, z): either changes by E[change | z] when it is
derived under another p(z). In a transport task simulation and data get the same new spectrum, for
which the truth of data must be known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar, Protocol

import numpy as np

from calibrate.estimate import Calibration, TransportMap
from calibrate.evaluators.spectra_family import Reshape
from calibrate.sample import FloatArray, IntArray, Sample
from calibrate.task import NOMINAL, Pair, RegressionTask, TransportTask

Counts = Sequence[IntArray]


class Subject(Protocol):
    """A task whose training events can be put on another spectrum, and drawn again.

    `quantity` is the symbol of the answer.
    """

    quantity: ClassVar[str]

    @property
    def task(self) -> Any: ...  # noqa: ANN401 - a task of its kind

    @property
    def train(self) -> Sample:
        """The training events with truth."""
        ...

    @property
    def test(self) -> Sample:
        """The nominal test events with truth."""
        ...

    def under(self, reshape: Reshape) -> Any:  # noqa: ANN401
        """The task with its training events under another spectrum."""
        ...

    def derived_on(self, task: Any) -> tuple[Sample, ...]:  # noqa: ANN401
        """The training samples of a task with truth: of simulation, and of data where it has
        one."""
        ...

    def counts(self, share: float, rng: np.random.Generator) -> Counts:
        """How often each training event is drawn: Poisson with mean `share`, one per group."""
        ...

    def drawn(self, task: Any, counts: Counts) -> Any:  # noqa: ANN401
        """A task of the same events (this one's, or `under` another spectrum) drawn so often."""
        ...

    def answer(self, fit: Any, test: Sample) -> FloatArray:  # noqa: ANN401 - of its kind
        """What the fit says of each test event (n,)."""
        ...


@dataclass(frozen=True)
class Regressed:
    """A regression of one truth column; the answer is ẑ(x)."""

    task: RegressionTask
    quantity: ClassVar[str] = "ẑ"

    @property
    def train(self) -> Sample:
        """The training sample."""
        return self.task.train

    @property
    def test(self) -> Sample:
        """The nominal test sample."""
        return self.task.tests[NOMINAL]

    def under(self, reshape: Reshape) -> RegressionTask:
        """The task with its training sample under another spectrum."""
        return replace(self.task, train=reshape(self.task.train))

    def derived_on(self, task: RegressionTask) -> tuple[Sample, ...]:
        """The training sample."""
        return (task.train,)

    def counts(self, share: float, rng: np.random.Generator) -> Counts:
        """One count per training row."""
        return (_counts(self.task.train, share, rng),)

    def drawn(self, task: RegressionTask, counts: Counts) -> RegressionTask:
        """The drawn training events."""
        return replace(task, train=_drawn(task.train, counts[0]))

    def answer(self, fit: Calibration, test: Sample) -> FloatArray:
        """ẑ (n,)."""
        return fit.estimate(fit.domain.features(test)).z[:, 0]


@dataclass(frozen=True)
class Transported:
    """A transport of one feature whose pairs know the truth of data; the answer is x'(x, z)."""

    task: TransportTask
    quantity: ClassVar[str] = "x'"

    @property
    def train(self) -> Sample:
        """The simulation of the training pair."""
        return self.task.train.simulation

    @property
    def test(self) -> Sample:
        """The simulation of the nominal test."""
        return self.task.tests[NOMINAL].simulation

    def under(self, reshape: Reshape) -> TransportTask:
        """The task with both sides of its training pair under the same other spectrum; its
        controls keep theirs."""
        return replace(self.task, train=reshaped(self.task.train, reshape))

    def derived_on(self, task: TransportTask) -> tuple[Sample, ...]:
        """Simulation, and data with its truth."""
        pair = task.train
        return (pair.simulation,) if pair.truth is None else (pair.simulation, pair.truth)

    def counts(self, share: float, rng: np.random.Generator) -> Counts:
        """One count per row of simulation, and one per row of data, of each training pair."""
        sides = chain.from_iterable((p.simulation, p.data) for p in _pairs(self.task))
        return tuple(_counts(sample, share, rng) for sample in sides)

    def drawn(self, task: TransportTask, counts: Counts) -> TransportTask:
        """The drawn events of both sides, of all training pairs."""
        drawn = [
            Pair(_drawn(pair.simulation, simulated), _drawn(pair.data, measured))
            for pair, simulated, measured in zip(
                _pairs(task), counts[0::2], counts[1::2], strict=True
            )
        ]
        controls = dict(zip(task.controls, drawn[1:], strict=True))
        return replace(task, train=drawn[0], controls=controls)

    def answer(self, fit: TransportMap, test: Sample) -> FloatArray:
        """x' (n,)."""
        return fit.transport(test.x, test.z)[:, 0]


def reshaped(pair: Pair, reshape: Reshape) -> Pair:
    """Both sides under the same spectrum; the truth of data must be known."""
    if pair.truth is None:
        raise ValueError("the truth of data is unknown")
    return pair.with_weights(reshape(pair.simulation).w, reshape(pair.truth).w)


def _pairs(task: TransportTask) -> list[Pair]:
    return [task.train, *task.controls.values()]


def _counts(sample: Sample, share: float, rng: np.random.Generator) -> IntArray:
    groups = sample.groups
    return rng.poisson(share, groups.number)[groups.row]


def _drawn(sample: Sample, counts: IntArray) -> Sample:
    kept = np.flatnonzero(counts)
    return sample.take(kept).with_weights(sample.w[kept] * counts[kept])
