"""Where a minibatch fit has arrived: learning rate and early stopping from a validation part.

After every epoch the loss of events that are not trained on is looked at. Where it has found no
new minimum for `patience` epochs, the learning rate is divided by four; after `REDUCTIONS` such
steps the fit ends, with the parameters that it has then. Those of the best epoch would be an
early draw from a flat valley: the widths of weight posteriors move the loss by less than its
noise, and were left 60 % too wide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from calibrate.sample import FloatArray

FACTOR = 0.25
REDUCTIONS = 3


class Plateau:
    """What has been seen so far: the losses, and for how long nothing improved."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.history: list[float] = []
        self.waited = self.reduced = 0

    @property
    def factor(self) -> float:
        """What the learning rate is multiplied by."""
        return float(FACTOR**self.reduced)

    @property
    def reached(self) -> bool:
        """Whether all reductions of the learning rate have been used."""
        return self.reduced > REDUCTIONS

    @property
    def losses(self) -> FloatArray:
        """The validation loss after each epoch."""
        return np.array(self.history)

    def after_epoch(self, loss: float) -> None:
        """Look at the loss of the validation part; reduce the learning rate where it is time to."""
        improved = loss < min(self.history, default=np.inf)
        self.waited = 0 if improved else self.waited + 1
        self.history.append(loss)
        if self.waited >= self.patience:
            self.waited, self.reduced = 0, self.reduced + 1

    def state(self) -> dict[str, Any]:
        """What has been seen so far, to be kept."""
        return {"losses": self.losses, "waited": self.waited, "reduced": self.reduced}

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Take up a state that was kept."""
        self.history = state["losses"].tolist()
        self.waited, self.reduced = state["waited"], state["reduced"]
