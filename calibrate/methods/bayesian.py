"""Bayesian regression: an error budget for every event (arXiv:2003.11099).

A network learns p(z|x) as one Gaussian or a mixture of them, and its weights have posteriors. So
each event has σ_stoch, what x leaves open about z however many events there are to train with,
and σ_pred, what the training sample's size leaves open about the network; together σ_tot.

Like the mean squared error it learns the posterior: ẑ and all widths inherit the training
spectrum.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from calibrate.checks import layer_sizes, positive_integer, positive_number
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError
from calibrate.learner import Learner, Lesson, alone
from calibrate.methods.bayesian_network import (
    Architecture,
    BayesianNetwork,
    Learning,
    bayesian_learner,
)
from calibrate.methods.components import supported
from calibrate.methods.minibatch_options import (
    check_minibatch,
    check_stopping,
    require_held_out,
)
from calibrate.nn.bayesian import HIDDEN_ACTIVATIONS
from calibrate.sample import FloatArray, Sample
from calibrate.task import RegressionTask
from calibrate.train import Minimisation

FEWEST_HELD_OUT = 10
OVERFITTED = 0.02
"""Rise of the held-out loss above its minimum [nat per event] that is reported."""


@dataclass(frozen=True)
class Bayesian:
    """p(z|x) as `components` Gaussians, from a network with Gaussian weight posteriors.

    `prior_width` is that of the perceptron's weights, in standardised features and target; None:
    each node's own, learned with the posteriors (see `nn/bayesian`). `samples` networks are drawn
    for predictions. Adam on minibatches of `batch` events, at most `steps` of them: after
    `patience` steps (three epochs at least) in which the loss of a `validation` share of the
    events found no new minimum, the learning rate is reduced, and after three reductions the fit
    ends.
    Raises ConfigurationError for hyperparameters out of range.
    """

    components: int = 1
    hidden: Sequence[int] = (100, 100, 50, 50)
    activation: str = "relu"
    prior_width: float | None = None
    samples: int = 50
    steps: int = 50000
    batch: int = 500
    learning_rate: float = 3e-3
    validation: float = 0.1
    patience: int = 200
    restarts: int = 3
    evaluators: ClassVar[tuple[str, ...]] = ("uncertainty",)

    def __post_init__(self) -> None:
        check_minibatch(self, HIDDEN_ACTIVATIONS)
        check_stopping(self)
        for option in ("components", "samples", "steps"):
            positive_integer(f"method.{option}", getattr(self, option))
        if self.prior_width is not None:
            positive_number("method.prior_width", self.prior_width)
        if self.samples < 2:
            raise ConfigurationError("method.samples must be at least 2 for a spread, got 1")

    @property
    def network_shape(self) -> Hashable:
        """What networks have in common that can be trained side by side."""
        shape = self.components, tuple(self.hidden), self.activation, self.prior_width
        return type(self).__name__, *shape, self.steps, self.batch

    def fit(self, task: RegressionTask, context: Context) -> BayesianNetwork:
        """Fit the training sample: see `learner`. FitError if every attempt diverges."""
        return alone(self.learner(task, context))

    def learner(self, task: RegressionTask, context: Context) -> Learner[BayesianNetwork]:
        """The network, to be trained on the training sample.

        Raises ConfigurationError for several truth columns and for a validation share of fewer
        than ten events, DataError for negative weights (a likelihood has no maximum with them).
        """
        sample = task.train.take(task.train.w != 0)
        _check(sample, self.validation)
        train, held_out = sample.split(1 - self.validation, context.stream("validation"))
        shape = Architecture(
            layer_sizes("method.hidden", self.hidden), self.activation, self.components
        )
        learning = Learning(
            self.prior_width, self.steps, self.batch, self.learning_rate, self.patience
        )
        network = bayesian_learner(
            train, held_out, shape, learning, self.samples, self.restarts, context
        )

        def finish(lesson: Lesson) -> BayesianNetwork:
            return self._told(train, held_out, *network.finish(lesson))

        return Learner(network.begin, finish, self.restarts, context)

    def _told(
        self, train: Sample, held_out: Sample, fitted: BayesianNetwork, done: Minimisation
    ) -> BayesianNetwork:
        """The fitted network with notes and warnings on how it went."""
        warnings = [
            *self._small(train),
            *([] if done.stopped else [self._unstopped()]),
            *_overfitted(done.validation),
            *self._unsupported(fitted, held_out),
        ]
        note = (
            f"{len(train)} events trained with (KL over {train.effective_size:.0f} effective "
            f"ones), {len(held_out)} held out for early stopping"
        )
        summary = replace(fitted.summary, notes=(note,), warnings=tuple(warnings))
        return replace(fitted, summary=summary)

    def _small(self, train: Sample) -> list[str]:
        if len(train) >= self.batch:
            return []
        return [
            f"{len(train)} training events are fewer than one batch of {self.batch}: every epoch "
            f"is one step; use a smaller method.batch"
        ]

    def _unstopped(self) -> str:
        return (
            f"early stopping never triggered in {self.steps} steps: the fit may not have reached "
            "its plateau, σ_stoch and σ_pred may be off; raise method.steps"
        )

    def _unsupported(self, fitted: BayesianNetwork, held_out: Sample) -> list[str]:
        mixture = fitted.estimate(held_out.x).mixture if self.components > 1 else None
        if mixture is None:
            return []
        found = supported(mixture, held_out.z[:, 0], held_out.w)
        if found.components == self.components:
            return []
        return [
            f"the data support {found.components} of {self.components} Gaussians: on "
            f"{len(held_out)} events held out, merging the others costs {found.loss:.2g} ± "
            f"{found.error:.2g} nat per event; use method.components={found.components}"
        ]


def _check(sample: Sample, validation: float) -> None:
    if sample.z.shape[1] != 1:
        raise ConfigurationError(
            f"method=bayesian needs one truth column, got {[c.name for c in sample.z_columns]}: "
            "fit one after the other"
        )
    negative = int((sample.w < 0).sum())
    if negative:
        raise DataError(
            f"method=bayesian needs weights ≥ 0, {negative} of {len(sample)} are negative: the "
            "likelihood of a density has no maximum then; use method=mse or reweight the events"
        )
    require_held_out(validation, sample, FEWEST_HELD_OUT)


def _overfitted(losses: FloatArray) -> list[str]:
    rise = float(losses[-1] - np.min(losses))
    if rise <= OVERFITTED:
        return []
    return [
        f"the loss of the events held out rose by {rise:.2g} nat per event after its minimum: the "
        "network overfits; use fewer nodes (method.hidden) or a smaller method.prior_width"
    ]
