"""What a full-batch fit has evaluated, kept so that another process takes the same way again.

SciPy's L-BFGS hides its state, but asks for the same points as long as it gets the same answers:
those that were kept cost nothing, and the fit ends, to the bit, where it would have ended.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from calibrate.context import Checkpoint, Context
from calibrate.sample import FloatArray

Function = Callable[[FloatArray], tuple[float, FloatArray]]
log = logging.getLogger("calibrate")


class Evaluation(NamedTuple):
    """A point (P,), with the value and the gradient (P,) there."""

    point: FloatArray
    value: float
    gradient: FloatArray


def identity(context: Context, begin: FloatArray) -> str:
    """What tells a fit from the others of a run: its streams, and the point it begins at."""
    return f"full batch {context.seed} {context.path} {hashlib.sha256(begin.tobytes()).hexdigest()}"


class Evaluations:
    """A function with its gradient, evaluated at the points of a fit, in their order; where they
    are those of an earlier process, by its answers. The first point is evaluated in any case: a
    function that has another answer there is another one, and what was kept is left alone."""

    def __init__(self, function: Function, checkpoint: Checkpoint) -> None:
        self.function, self.checkpoint = function, checkpoint
        self.done: list[Evaluation] = []
        kept = checkpoint.load() or {"points": (), "values": (), "gradients": (), "seconds": 0.0}
        rows = kept["points"], map(float, kept["values"]), kept["gradients"]
        self.kept = [Evaluation(*row) for row in zip(*rows, strict=True)]
        self.start, self.before = time.perf_counter(), float(kept["seconds"])

    @property
    def values(self) -> FloatArray:
        """The value at every point."""
        return np.array([each.value for each in self.done])

    @property
    def seconds(self) -> float:
        """The wall time, with that of the earlier process if its answers were taken."""
        return time.perf_counter() - self.start + (self.before if self.kept else 0.0)

    def __call__(self, point: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient at the next point."""
        found = self._next(np.array(point))
        self.done.append(found)
        self.checkpoint.keep(self._state, over=False)
        return found.value, found.gradient.copy()

    def over(self) -> None:
        """The fit has come to its end."""
        self.checkpoint.keep(self._state, over=True)

    def _next(self, point: FloatArray) -> Evaluation:
        number = len(self.done)
        known = self.kept[number] if number < len(self.kept) else None
        if number and known and np.array_equal(known.point, point):
            return known
        found = Evaluation(point, *self.function(point))
        if known and _same(known, found):
            log.info(f"a fit goes on from its checkpoint, after {len(self.kept)} evaluations")
        elif known:
            self.kept = []
        return found

    def _state(self) -> dict[str, Any]:
        rows = [*self.done, *self.kept[len(self.done) :]]
        points, values, gradients = (np.array(column) for column in zip(*rows, strict=True))
        return {"points": points, "values": values, "gradients": gradients,
                "seconds": self.seconds}  # fmt: skip


def _same(one: Evaluation, other: Evaluation) -> bool:
    vectors = np.array_equal(one.point, other.point), np.array_equal(one.gradient, other.gradient)
    return one.value == other.value and all(vectors)
