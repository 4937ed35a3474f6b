"""Mean squared error: f(x) = E[z given x] over the training spectrum (arXiv:2205.05084, Eq. 3).

The most common calibration, and prior dependent: f inherits p(z) of the training sample.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from calibrate.checks import fraction, layer_sizes, not_negative, positive_integer
from calibrate.context import Context
from calibrate.estimate import Calibration
from calibrate.learner import Learner, alone
from calibrate.member import Schedule
from calibrate.methods.minibatch_options import check_minibatch
from calibrate.methods.network import Network, Training, network_learner
from calibrate.methods.polynomial import fit_polynomial
from calibrate.nn.networks import ACTIVATIONS
from calibrate.task import RegressionTask


@dataclass(frozen=True)
class MSE:
    """The regression of z on x with the least mean squared error.

    With a `degree`: a polynomial, whose weighted least-squares solution is closed. Without: a
    network with layers `hidden`, trained with Adam for `epochs` on minibatches of `batch` events
    (the paper's dijets: 50-50-50, ReLU, 50 epochs, batch 1000). The weights in the loss have
    mean 1: with raw generator weights of 1e-10 the gradients drown in Adam's epsilon. `dropout`
    is the share of the nodes of each inner layer that every event does without in training; `l2`
    times Σω²/N is added to the loss, ω being the network's weights and N the effective number of
    events (arXiv:2003.11099, Eq. 15: dropout 0.1, l2 = 1/(2·0.1)).
    Raises ConfigurationError for hyperparameters out of range.
    """

    degree: int | None = None
    hidden: Sequence[int] = (50, 50, 50)
    activation: str = "relu"
    epochs: int = 50
    batch: int = 1000
    learning_rate: float = 1e-3
    restarts: int = 3
    dropout: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        if self.degree is not None:
            positive_integer("method.degree", self.degree)
        check_minibatch(self, ACTIVATIONS)
        positive_integer("method.epochs", self.epochs)
        not_negative("method.l2", self.l2)
        if self.dropout != 0:
            fraction("method.dropout", self.dropout)

    @property
    def network_shape(self) -> Hashable:
        """What networks have in common that can be trained side by side; None for a polynomial,
        which is solved in closed form."""
        shape = tuple(self.hidden), self.activation, self.epochs, self.batch, self.dropout, self.l2
        return None if self.degree is not None else (type(self).__name__, *shape)

    def learner(self, task: RegressionTask, context: Context) -> Learner[Network]:
        """The network, to be trained."""
        schedule = Schedule(self.batch, self.epochs, self.learning_rate)
        hidden = layer_sizes("method.hidden", self.hidden)
        training = Training(hidden, self.activation, schedule, self.dropout, self.l2)
        return network_learner(task.train, training, self.restarts, context)

    def fit(self, task: RegressionTask, context: Context) -> Calibration:
        """Fit the training sample; FitError if a network diverges in every attempt."""
        if self.degree is not None:
            return fit_polynomial(task.train, self.degree)
        return alone(self.learner(task, context))
