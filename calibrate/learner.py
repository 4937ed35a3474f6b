"""Networks trained side by side, each begun anew from another derived seed where it diverges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from calibrate.context import Context
from calibrate.errors import CalibrateError, FitError
from calibrate.member import Member
from calibrate.minibatch import minimise_minibatch
from calibrate.train import DivergedError, Minimisation

Result = TypeVar("Result")

LARGEST = 1e9
"""Bytes of columns that are held at a time, unless those of one network are more."""


@dataclass(frozen=True)
class Lesson:
    """What became of a network: the attempt that did not diverge, how its training went, and how
    many attempts did before it."""

    member: Member
    done: Minimisation
    restarts: int


@dataclass(frozen=True)
class Learner(Generic[Result]):
    """A network that is to be trained, before and after. `begin` makes it from the context of an
    attempt, every attempt having other seeds; `finish` makes the result of the training."""

    begin: Callable[[Context], Member]
    finish: Callable[[Lesson], Result]
    restarts: int
    context: Context


def taught(learners: Sequence[Learner[Result]]) -> list[Result | CalibrateError]:
    """The results of all learners, those of one shape trained side by side; the error where one
    could not begin, did not finish, or diverged in every attempt."""
    results: dict[int, Result | CalibrateError] = {}
    left = dict(enumerate(learners))
    trial = 0
    while left:
        for members in _begun(left, trial, results):
            trained = minimise_minibatch(list(members.values()))
            for (i, member), done in zip(members.items(), trained, strict=True):
                if not isinstance(done, DivergedError):
                    results[i] = _result(left[i].finish, Lesson(member, done, trial))
                elif trial == left[i].restarts:
                    reason = f"the fit diverged in {trial + 1} attempts, last: {done}"
                    results[i] = FitError(reason)
        left = {i: learner for i, learner in left.items() if i not in results}
        trial += 1
    return [results[i] for i in range(len(learners))]


def alone(learner: Learner[Result]) -> Result:
    """The result of one learner; raises what kept it from one."""
    (found,) = taught([learner])
    if isinstance(found, CalibrateError):
        raise found
    return found


def _begun(
    left: dict[int, Learner[Result]], trial: int, results: dict[int, Result | CalibrateError]
) -> Iterator[dict[int, Member]]:
    """The networks of an attempt by number, as many at a time as fit into memory; who cannot begin
    has an error for a result."""
    members: dict[int, Member] = {}
    for i, learner in left.items():
        try:
            members[i] = learner.begin(learner.context.child(f"attempt{trial}"))
        except CalibrateError as error:
            results[i] = error
        if sum(member.bytes for member in members.values()) > LARGEST:
            yield members
            members = {}
    yield members


def _result(finish: Callable[[Lesson], Result], lesson: Lesson) -> Result | CalibrateError:
    try:
        return finish(lesson)
    except CalibrateError as error:
        return error
