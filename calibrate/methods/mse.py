"""Mean squared error: f(x) = E[z given x] over the training spectrum (arXiv:2205.05084, Eq. 3).

The most common calibration, and prior dependent: f inherits p(z) of the training sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from calibrate.checks import choice, count, layer_sizes, positive_integer, positive_number
from calibrate.context import Context
from calibrate.estimate import Calibration
from calibrate.methods.network import Training, fit_network
from calibrate.methods.polynomial import fit_polynomial
from calibrate.nn.networks import ACTIVATIONS
from calibrate.task import RegressionTask
from calibrate.train import with_restarts


@dataclass(frozen=True)
class MSE:
    """The regression of z on x with the least mean squared error.

    With a `degree`: a polynomial, whose weighted least-squares solution is closed. Without: a
    network with layers `hidden`, trained with Adam for `epochs` on minibatches of `batch` events
    (the paper's dijets: 50-50-50, ReLU, 50 epochs, batch 1000). The weights in the loss have
    mean 1: with raw generator weights of 1e-10 the gradients drown in Adam's epsilon.
    Raises ConfigurationError for hyperparameters out of range.
    """

    degree: int | None = None
    hidden: Sequence[int] = (50, 50, 50)
    activation: str = "relu"
    epochs: int = 50
    batch: int = 1000
    learning_rate: float = 1e-3
    restarts: int = 3

    def __post_init__(self) -> None:
        if self.degree is not None:
            positive_integer("method.degree", self.degree)
        layer_sizes("method.hidden", self.hidden)
        choice("method.activation", self.activation, tuple(ACTIVATIONS))
        positive_integer("method.epochs", self.epochs)
        positive_integer("method.batch", self.batch)
        positive_number("method.learning_rate", self.learning_rate)
        count("method.restarts", self.restarts)

    def fit(self, task: RegressionTask, context: Context) -> Calibration:
        """Fit the training sample; FitError if a network diverges in every attempt."""
        if self.degree is not None:
            return fit_polynomial(task.train, self.degree)
        hidden = layer_sizes("method.hidden", self.hidden)
        training = Training(hidden, self.activation, self.epochs, self.batch, self.learning_rate)
        fitted, restarts = with_restarts(
            lambda attempt: fit_network(task.train, training, attempt), self.restarts, context
        )
        return replace(fitted, summary=replace(fitted.summary, restarts=restarts))
