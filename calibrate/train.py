"""The one full-batch second-order fit, and what it shares with the minibatch loop.

A loss that is not finite raises `DivergedError`, and `with_restarts` begins anew from another
derived seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from calibrate.context import Context
from calibrate.errors import FitError
from calibrate.evaluations import Evaluations
from calibrate.sample import FloatArray

Result = TypeVar("Result")

LBFGS_HISTORY = 20
LINE_SEARCH_EVALUATIONS = 1.25
GRADIENT_TOLERANCE = 1e-7
CHANGE_TOLERANCE = 1e-8


class DivergedError(FitError):
    """A loss that stopped being finite."""


@dataclass(frozen=True)
class Minimisation:
    """The loss at every evaluation (steps,), and the wall time [s]; of a fit with a validation
    part also its loss after every epoch, and whether the fit stopped before its last one."""

    loss: FloatArray
    seconds: float
    validation: FloatArray = field(default_factory=lambda: np.empty(0))
    stopped: bool = False


def minimise_full_batch(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor], steps: int, context: Context
) -> Minimisation:
    """L-BFGS on the whole sample, at most `steps` iterations, the parameters kept in float64.

    The loss, in nat per event, has to be summed in float64, whatever the networks' precision: a
    float32 is a staircase on which line searches fail and a fit ends long before its minimum.
    SciPy's implementation: torch's own imports its compiler on first use, which takes longer
    than the Gaussian example's fit. Raises DivergedError if the loss is not finite anywhere.
    """
    evaluations = math.ceil(LINE_SEARCH_EVALUATIONS * steps)
    begin = _flat(parameters, parameters)

    def value_and_gradient(vector: FloatArray) -> tuple[float, FloatArray]:
        _assign(parameters, vector)
        value = loss()
        gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        return _finite(value), _flat(parameters, gradients)

    function = Evaluations(value_and_gradient, context)
    with context.progress.track(description(context), evaluations) as advance:

        def told(vector: FloatArray) -> tuple[float, FloatArray]:
            answer = function(vector)
            advance(1)
            return answer

        options = {
            "maxiter": steps,
            "maxfun": evaluations,
            "maxcor": LBFGS_HISTORY,
            "gtol": GRADIENT_TOLERANCE,
            "ftol": CHANGE_TOLERANCE,
        }
        found = scipy.optimize.minimize(told, begin, method="L-BFGS-B", jac=True, options=options)
    function.over()
    _assign(parameters, found.x)
    return Minimisation(function.values, function.seconds)


def with_restarts(
    attempt: Callable[[Context], Result], restarts: int, context: Context
) -> tuple[Result, int]:
    """The result of the first attempt that does not diverge, and how many did before it.

    Every attempt gets a context of its own, hence other seeds. Raises FitError after the last.
    """
    reason = ""
    for trial in range(restarts + 1):
        try:
            return attempt(context.child(f"attempt{trial}")), trial
        except DivergedError as error:
            reason = str(error)
    raise FitError(f"the fit diverged in {restarts + 1} attempts, last: {reason}")


@torch.no_grad()
def _assign(parameters: Sequence[Tensor], vector: FloatArray) -> None:
    """Put a flat float64 vector into the parameters."""
    sizes = [parameter.numel() for parameter in parameters]
    pieces = torch.split(torch.from_numpy(vector), sizes)
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.copy_(piece.view_as(parameter))


def _flat(parameters: Sequence[Tensor], values: Sequence[Tensor | None]) -> FloatArray:
    """Values shaped like the parameters as one float64 vector; None is zero."""
    filled = [
        p.new_zeros(p.shape) if v is None else v for p, v in zip(parameters, values, strict=True)
    ]
    return np.concatenate([v.detach().cpu().double().numpy().ravel() for v in filled])


def _finite(value: Tensor) -> float:
    number = float(value.detach())
    if not math.isfinite(number):
        raise DivergedError(f"the loss became {number}")
    return number


def description(context: Context) -> str:
    """What is fitted, in the words of the progress bar."""
    names = [name for name in context.path if not name.startswith("attempt")]
    return " ".join(names) or "fit"
