"""Many fits at once: networks side by side along the model axis, all else one by one.

A method whose fit is one training of a network on minibatches has a `network_shape`, and hands
out its `learner`. Others (closed forms, second-order fits on the full batch) gain nothing from
company: their fits are done one after the other, on all cores where that takes long.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch

from calibrate.context import Context, Silent
from calibrate.errors import CalibrateError
from calibrate.estimate import Calibration
from calibrate.learner import Learner, taught
from calibrate.protocols import Regressor
from calibrate.task import NOMINAL, RegressionTask

WORTH_PROCESSES = 10.0
"""Seconds of work left from which other processes, which import for seconds, are started."""

Fit = Calibration | CalibrateError
"""A calibration, or why there is none."""


@dataclass(frozen=True)
class Request:
    """A fit that is asked for."""

    method: Regressor
    task: RegressionTask
    context: Context


class Teachable(Protocol):
    """A method whose fit is one training of a network on minibatches."""

    def learner(self, task: RegressionTask, context: Context) -> Learner[Calibration]:
        """The network, to be trained; raises what `fit` would raise before the training."""
        ...


def network_shape(method: object) -> Hashable | None:
    """What methods have in common whose networks can be trained side by side; None if there is no
    network that is trained on minibatches."""
    shape: Hashable | None = getattr(method, "network_shape", None)
    return shape


def fit_together(requests: Sequence[Request]) -> list[Fit]:
    """All fits, in their order; an error stands where one failed."""
    found: dict[int, Fit] = {}
    learners: dict[int, Learner[Calibration]] = {}
    for i, request in enumerate(requests):
        if network_shape(request.method) is not None:
            try:
                method = cast(Teachable, request.method)
                learners[i] = method.learner(request.task, request.context)
            except CalibrateError as error:
                found[i] = error
    side_by_side = taught(list(learners.values()))
    found |= zip(learners, side_by_side, strict=True)
    others = [i for i in range(len(requests)) if i not in found]
    found |= zip(others, _one_by_one([requests[i] for i in others]), strict=True)
    return [found[i] for i in range(len(requests))]


def attempted(request: Request) -> Fit:
    """One fit, alone."""
    try:
        return request.method.fit(request.task, request.context)
    except CalibrateError as error:
        return error


def succeeded(fit: Fit) -> Calibration:
    """The calibration; raises the error that stands in its place."""
    if isinstance(fit, CalibrateError):
        raise fit
    return fit


def in_words(method: object, number: int) -> str:
    """How a number of fits of a method are done."""
    if network_shape(method) is None:
        return f"{number} fits one by one: nothing is gained from doing them side by side"
    return f"{number} networks trained side by side"


def _one_by_one(requests: Sequence[Request]) -> list[Fit]:
    """The fits one after the other, in processes of their own if the first took long."""
    if len(requests) == 1:
        return [attempted(requests[0])]
    cores, found = torch.get_num_threads(), list[Fit]()
    start = time.perf_counter()
    progress = requests[0].context.progress if requests else Silent()
    quiet = [replace(each, context=replace(each.context, progress=Silent())) for each in requests]
    with progress.track("fits", len(requests)) as advance:
        for request in quiet:
            found.append(attempted(request))
            advance(1)
            left = len(requests) - len(found)
            seconds = (time.perf_counter() - start) / len(found) * left
            if cores > 1 and seconds > WORTH_PROCESSES:
                return found + _in_processes(quiet[len(found) :], cores)
    return found


def _in_processes(requests: Sequence[Request], processes: int) -> list[Fit]:
    from joblib import Parallel, delayed

    work = (delayed(attempted)(_light(each)) for each in requests)
    fits: list[Fit] = Parallel(n_jobs=processes)(work)
    return fits


def _light(request: Request) -> Request:
    """The request without what no fit looks at, to be sent to another process."""
    task = replace(request.task, tests={NOMINAL: request.task.train}, closed_forms={})
    return replace(request, task=task)
