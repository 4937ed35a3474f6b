"""Where a minibatch fit has arrived: learning rate and early stopping from a validation part.

After every epoch the loss of events that are not trained on is looked at. Where it has found no
new minimum for `patience` epochs, the learning rate is divided by four; after `REDUCTIONS` such
steps the fit ends. The parameters of the best epoch are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from calibrate.sample import FloatArray

FACTOR = 0.25
REDUCTIONS = 3


@dataclass(frozen=True)
class Validation:
    """The loss of the validation part, the same number for the same parameters (its noise is
    fixed), and how many epochs without a new minimum are waited for."""

    loss: Callable[[], float]
    patience: int


class Plateau:
    """What has been seen so far: the losses, the best parameters, how long nothing improved."""

    def __init__(self, validation: Validation, parameters: Sequence[Tensor]) -> None:
        self.validation, self.parameters = validation, parameters
        self.history: list[float] = []
        self.best = [parameter.detach().clone() for parameter in parameters]
        self.waited = self.reduced = 0

    @property
    def reached(self) -> bool:
        """Whether all reductions of the learning rate have been used."""
        return self.reduced > REDUCTIONS

    @property
    def losses(self) -> FloatArray:
        """The validation loss after each epoch."""
        return np.array(self.history)

    def after_epoch(self, optimizer: torch.optim.Optimizer) -> None:
        """Look at the validation part; reduce the learning rate where it is time to."""
        with torch.no_grad():
            value = self.validation.loss()
        if value < min(self.history, default=np.inf):
            self.best = [parameter.detach().clone() for parameter in self.parameters]
            self.waited = 0
        else:
            self.waited += 1
        self.history.append(value)
        if self.waited >= self.validation.patience:
            self.waited, self.reduced = 0, self.reduced + 1
            for group in optimizer.param_groups:
                group["lr"] *= FACTOR

    @torch.no_grad()
    def restore(self) -> None:
        """Put the parameters of the best epoch back."""
        for parameter, best in zip(self.parameters, self.best, strict=True):
            parameter.copy_(best)
