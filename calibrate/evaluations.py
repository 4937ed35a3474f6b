"""What a full-batch fit has evaluated, kept so that another process takes the same way again.

SciPy's L-BFGS hides its state, but asks for the same points as long as it gets the same answers:
those that were kept cost nothing, and the fit ends, to the bit, where it would have ended. Of a
point its digest is enough; a gradient of P parameters takes 8 P bytes, for which there is `ROOM`.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from calibrate.context import Checkpoint, Context, Forgotten
from calibrate.sample import FloatArray

Answer = tuple[float, FloatArray]
Function = Callable[[FloatArray], Answer]
ROOM = 64 * 2**20
DIGEST = 32
log = logging.getLogger("calibrate")


class History:
    """The first `size` answers of a fit, at most `rows`, in their order: digests of the points
    (rows, 32), values (rows,) and gradients (rows, P); `kept` of them are in the checkpoint. Rows
    that were never written take no memory."""

    def __init__(self, rows: int, parameters: int) -> None:
        self.size = self.kept = 0
        self.points = np.empty((rows, DIGEST), np.uint8)
        self.values = np.empty(rows)
        self.gradients = np.empty((rows, parameters))

    @property
    def full(self) -> bool:
        """Whether there is no row left."""
        return self.size == len(self.values)

    def answer(self, number: int, point: FloatArray) -> Answer | None:
        """That of an evaluation, if it was at this point; if it was not, those after it are of
        another way and go."""
        if number >= self.size:
            return None
        if self.points[number].tobytes() != _digest(point):
            log.warning(f"a fit leaves the way of its checkpoint after {number} evaluations")
            self.size = self.kept = number
            return None
        return float(self.values[number]), self.gradients[number].copy()

    def append(self, point: FloatArray, answer: Answer) -> None:
        """Put an answer into the next row."""
        row = self.size
        self.points[row] = np.frombuffer(_digest(point), np.uint8)
        self.values[row], self.gradients[row] = answer
        self.size += 1

    def state(self) -> dict[str, Any]:
        """The rows that are written, without a copy."""
        rows = slice(self.size)
        return {"points": self.points[rows], "values": self.values[rows],
                "gradients": self.gradients[rows]}  # fmt: skip

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Take up a state that was kept."""
        self.size = self.kept = len(state["values"])
        for name, column in self.state().items():
            column[:] = state[name]


class Evaluations:
    """A function with its gradient, evaluated at the points of a fit, in their order; where they
    are those of an earlier process, by its answers. The first point is evaluated in any case: point
    and answer tell the fit from others with its streams, such as refits to other events."""

    def __init__(self, function: Function, context: Context) -> None:
        self.function, self.context = function, context
        self.losses: list[float] = []
        self.history = History(0, 0)
        self.checkpoint: Checkpoint = Forgotten()
        self.start, self.before = time.perf_counter(), 0.0

    @property
    def values(self) -> FloatArray:
        """The value at every point."""
        return np.array(self.losses)

    @property
    def seconds(self) -> float:
        """The wall time, with that of the earlier process if its answers were taken."""
        return time.perf_counter() - self.start + self.before

    def __call__(self, point: FloatArray) -> Answer:
        """Value and gradient at the next point."""
        number = len(self.losses)
        known = self.history.answer(number, point) if number else None
        answer = known or self.function(point)
        if not number:
            self._begin(point, answer)
        self.losses.append(answer[0])
        if number == self.history.size:
            self._keep(point, answer)
        self._write(over=False)
        return answer

    def over(self) -> None:
        """The fit has come to its end."""
        self._write(over=True)

    def _begin(self, point: FloatArray, answer: Answer) -> None:
        """Look for the answers of an earlier process; where none are kept there is no room."""
        if isinstance(self.context.checkpoints, Forgotten):
            return
        value, gradient = answer
        streams = f"full batch {self.context.seed} {self.context.path}"
        begin = f"{_digest(point).hex()} {value!r} {_digest(gradient).hex()}"
        self.checkpoint = self.context.checkpoints.checkpoint(streams, begin)
        self.history = History(ROOM // gradient.nbytes, gradient.size)
        kept = self.checkpoint.load()
        if kept:
            self.history.go_on(kept)
            self.before = float(kept["seconds"])
            log.info(f"a fit goes on from its checkpoint, after {self.history.size} evaluations")

    def _keep(self, point: FloatArray, answer: Answer) -> None:
        """Put an answer into the history; once it is full, say so."""
        if not self.history.full:
            self.history.append(point, answer)
        elif not isinstance(self.checkpoint, Forgotten):
            log.info(
                f"the checkpoint of a fit of {point.size} parameters is full ({ROOM // 2**20} MiB):"
                f" killed from here on, it goes on after {self.history.size} evaluations"
            )

    def _write(self, over: bool) -> None:
        """Have the history kept, if there is more of it than was kept last."""
        history = self.history
        state = lambda: {**history.state(), "seconds": self.seconds}  # noqa: E731
        if history.kept < history.size and self.checkpoint.keep(state, over):
            history.kept = history.size


def _digest(vector: FloatArray) -> bytes:
    return hashlib.sha256(vector.tobytes()).digest()
