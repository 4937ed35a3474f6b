"""Networks trained side by side are those trained alone; one is a group of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import calibrate.learner as learner
import calibrate.minibatch as minibatch
from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.errors import CalibrateError, FitError
from calibrate.learner import Learner, Lesson, alone, taught
from calibrate.member import Member, Schedule
from calibrate.methods.bayesian import Bayesian
from calibrate.methods.mse import MSE
from calibrate.minibatch import minimise_minibatch
from calibrate.model_axis import Adam, Stack, corrections
from calibrate.nn.networks import mlp
from calibrate.nn.objectives import Objective, SquaredError
from calibrate.train import DivergedError, Minimisation

CPU = torch.device("cpu")


class Point(Objective):
    """Mean of w(p - v)² over columns v, w: p becomes the mean of v."""

    seen: list[Tensor]

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([start]))
        type(self).seen = []

    def forward(self, columns: Sequence[Tensor], noise: Sequence[Tensor]) -> Tensor:
        values, w = columns
        self.seen.append(values.clone())
        return (w * (self.p - values) ** 2).mean(-1)


def point(
    values: np.ndarray, epochs: int = 3, start: float = 0.0, patience: int | None = None,
    held_out: np.ndarray | None = None, rate: float = 0.1,
) -> Member:  # fmt: skip
    schedule = Schedule(10, epochs, rate, patience)
    other = () if held_out is None else (held_out, np.ones(len(held_out)))
    return Member(Point(start), (values, np.ones(len(values))), schedule, Context(), other)


def trained(*members: Member) -> list[Minimisation]:
    found = minimise_minibatch(members)
    assert all(isinstance(each, Minimisation) for each in found)
    return found


def value(member: Member) -> float:
    return float(next(member.objective.parameters()).detach())


def test_every_event_is_used_once_an_epoch():
    trained(point(np.arange(25.0)))
    seen = Point.seen
    assert [each.shape[1] for each in seen] == [10, 10, 5] * 3
    for epoch in range(3):
        values = torch.cat(seen[3 * epoch : 3 * epoch + 3], 1)
        assert sorted(values[0].tolist()) == list(range(25))


@pytest.mark.parametrize("events", [(25,), (25, 25), (25, 23, 21)])
def test_the_recorded_loss_is_the_mean_over_the_epoch(events: tuple[int, ...]):
    """Also where the last minibatch is filled up for a member with fewer events."""
    columns = [np.arange(float(n)) for n in events]
    done = trained(*(point(values, rate=1e-30) for values in columns))
    for each, values in zip(done, columns, strict=True):
        np.testing.assert_allclose(each.loss, np.mean(values**2), rtol=1e-6)


def test_members_of_other_shapes_and_lengths_are_trained_as_well():
    members = [point(np.full(n, 2.0), epochs) for n, epochs in ((25, 3), (35, 3), (25, 40))]
    done = trained(*members)
    assert [len(each.loss) for each in done] == [3, 3, 40]
    assert value(members[2]) > value(members[0]) > 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_member_that_diverges_leaves_the_others_alone(bad: float):
    good, other = (point(np.linspace(0, 3, 25), epochs=30) for _ in range(2))
    expected = trained(good)[0]
    first, second = minimise_minibatch([point(np.full(25, bad), epochs=30), other])
    assert isinstance(first, DivergedError)
    assert str(first) in ("the loss became nan", "the loss became inf")
    np.testing.assert_array_equal(second.loss, expected.loss)
    assert value(other) == value(good)


def test_early_stopping_is_each_members_own():
    """The loss held out has its minimum at p = 1, on the way of the first member; the second never
    passes its minimum."""
    ones, twos = np.ones(10), np.full(10, 2.0)
    stopped = point(twos, 500, rate=0.05, patience=3, held_out=ones)
    going = point(twos, 500, rate=0.001, patience=3, held_out=twos)
    first, second = trained(stopped, going)
    assert first.stopped
    after_minimum = len(first.validation) - 1 - int(np.argmin(first.validation))
    assert after_minimum == 4 * 3
    assert not second.stopped
    assert len(second.validation) == 500
    alone_again = point(twos, 500, rate=0.05, patience=3, held_out=ones)
    np.testing.assert_array_equal(trained(alone_again)[0].validation, first.validation)
    assert value(alone_again) == value(stopped)


def test_adam_is_torchs_with_a_rate_for_each_row():
    torch.manual_seed(0)
    start, gradients = torch.randn(3, 5), torch.randn(20, 3, 5)
    rates = torch.tensor([[0.1], [0.01], [0.0]])
    values, own = start.clone(), Adam(start)
    first, second = corrections(np.arange(1, len(gradients) + 1))
    for gradient, one, other in zip(gradients, first, second, strict=True):
        own.step(values, gradient, rates / float(one), torch.full((3, 1), float(other)))
    for row, rate in enumerate(rates[:, 0].tolist()):
        parameter = start[row].clone().requires_grad_()
        theirs = torch.optim.Adam([parameter], lr=rate)
        for gradient in gradients:
            parameter.grad = gradient[row]
            theirs.step()
        torch.testing.assert_close(values[row], parameter.detach())


def test_a_stack_computes_what_its_members_do_and_hands_the_parameters_back():
    torch.manual_seed(0)
    members = [SquaredError(mlp(2, 1, (4, 3), "tanh"), 10.0 + k, l2=3.0) for k in range(3)]
    columns = torch.randn(3, 7, 2), torch.randn(3, 7, 1), torch.rand(3, 7)
    stack = Stack(members, CPU)

    def one_by_one(kept: Sequence[int]) -> Tensor:
        return torch.stack([members[k]([c[k] for c in columns], []) for k in kept])

    losses = stack.module(columns, [])
    torch.testing.assert_close(losses, one_by_one(range(3)))
    gradient = stack.gradient(losses)
    for k in range(3):
        expected = torch.autograd.grad(one_by_one([k]).sum(), list(members[k].parameters()))
        torch.testing.assert_close(gradient[k], torch.cat([e.flatten() for e in expected]))
    stack.keep(torch.tensor([2, 0]))
    stack.values.mul_(0.5)
    losses = stack.module([c[[2, 0]] for c in columns], []).detach()
    for position in range(2):
        stack.write_back(position)
    torch.testing.assert_close(losses, one_by_one([2, 0]).detach())


METHODS = {
    "mse": MSE(hidden=(8, 8), epochs=4, batch=200),
    "mse with dropout and L2": MSE(hidden=(8, 8), epochs=4, batch=200, dropout=0.2, l2=5.0),
    "bayesian": Bayesian(hidden=(8,), steps=60, batch=200, patience=4, samples=5),
    "bayesian with one prior width": Bayesian(
        hidden=(8,), prior_width=0.1, steps=60, batch=200, patience=4, samples=5
    ),
}
X = np.linspace(-4, 4, 30)[:, None]


def learners(method, *numbers: int) -> list[Learner]:
    """Of samples of different data, size and seed."""
    tasks = [Gaussian(n=900 + 20 * k, mu=0.2 * k).regression(Context(seed=k)) for k in numbers]
    contexts = [Context(seed=k).child("fit") for k in numbers]
    return [method.learner(task, c) for task, c in zip(tasks, contexts, strict=True)]


@pytest.mark.parametrize("name", METHODS)
def test_networks_trained_together_are_those_trained_alone(name: str):
    method = METHODS[name]
    singles = [alone(each) for each in learners(method, 0, 1, 2)]
    for single, found in zip(singles, taught(learners(method, 0, 1, 2)), strict=True):
        np.testing.assert_allclose(found.estimate(X).z, single.estimate(X).z, atol=2e-4)
        np.testing.assert_allclose(found.summary.curve.loss, single.summary.curve.loss, rtol=1e-4)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_blocks_and_threads_change_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch):
    whole = taught(learners(METHODS["mse"], 0, 1, 2, 3))
    monkeypatch.setattr(minibatch, "TOGETHER", 1)
    parts = taught(learners(METHODS["mse"], 0, 1, 2, 3))
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.estimate(X).z, other.estimate(X).z, atol=2e-4)
    assert torch.get_num_threads() == 2


def restless(failures: int, restarts: int = 2) -> Learner[tuple[float, int]]:
    """One whose first attempts diverge; the result is p, and the restarts."""

    def begin(attempt: Context) -> Member:
        bad = int(attempt.path[-1].removeprefix("attempt")) < failures
        return replace(point(np.full(25, np.nan if bad else 2.0)), context=attempt)

    return Learner(begin, lambda lesson: (value(lesson.member), lesson.restarts), restarts,
                   Context())  # fmt: skip


def test_who_diverges_is_begun_anew_without_the_others():
    steady, late, never = taught([restless(0), restless(2), restless(9)])
    assert steady == (pytest.approx(alone(restless(0))[0]), 0)
    assert late[1] == 2
    assert isinstance(never, FitError)
    assert str(never) == "the fit diverged in 3 attempts, last: the loss became nan"


def test_networks_that_do_not_fit_into_memory_at_once_are_trained_in_turn(
    monkeypatch: pytest.MonkeyPatch,
):
    whole = taught([restless(k) for k in range(3)])
    monkeypatch.setattr(learner, "LARGEST", 1.0)
    assert taught([restless(k) for k in range(3)]) == whole


def test_who_cannot_begin_or_finish_fails_alone():
    def refuse(_: Context | Lesson) -> Member:
        raise CalibrateError("no")

    early, late = replace(restless(0), begin=refuse), replace(restless(0), finish=refuse)
    found = taught([early, restless(0), late])
    assert [isinstance(each, CalibrateError) for each in found] == [True, False, True]
    with pytest.raises(CalibrateError, match="no"):
        alone(early)
