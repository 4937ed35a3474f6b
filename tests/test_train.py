from __future__ import annotations

import numpy as np
import pytest
import torch

from calibrate.context import Context
from calibrate.errors import FitError
from calibrate.plateau import Validation
from calibrate.seeding import torch_seeded
from calibrate.train import DivergedError, minimise_full_batch, minimise_minibatch, with_restarts

TARGET = torch.tensor([1.0, -2.0, 3.0])


def test_the_full_batch_fit_solves_a_quadratic():
    p = torch.zeros(3, requires_grad=True)
    scale = torch.tensor([1.0, 100.0, 0.01])
    done = minimise_full_batch(lambda: (scale * (p - TARGET) ** 2).sum(), [p], 50, Context())
    torch.testing.assert_close(p.detach(), TARGET, atol=1e-3, rtol=0)
    assert done.loss[-1] < 1e-6 < done.loss[0]
    assert done.seconds > 0


def test_the_minibatch_loop_uses_every_event_once_an_epoch():
    p, seen = torch.zeros(1, requires_grad=True), []

    def loss(rows: torch.Tensor) -> torch.Tensor:
        seen.append(rows)
        return ((p - 2.0) ** 2).sum()

    done = minimise_minibatch(loss, [p], 25, 10, 3, 0.1, Context())
    assert [len(rows) for rows in seen] == [10, 10, 5] * 3
    for epoch in range(3):
        rows = torch.cat(seen[3 * epoch : 3 * epoch + 3])
        assert sorted(rows.tolist()) == list(range(25))
    assert len(done.loss) == 3
    assert done.loss[-1] < done.loss[0]


def test_the_recorded_loss_is_the_mean_over_the_epoch():
    p = torch.zeros(1, requires_grad=True)
    values = np.arange(25.0)
    rows = torch.from_numpy(values)
    done = minimise_minibatch(
        lambda i: rows[i].mean() + 0 * p.sum(), [p], 25, 10, 2, 0.1, Context()
    )
    np.testing.assert_allclose(done.loss, values.mean())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_divergence(bad: float):
    p = torch.zeros(1, requires_grad=True)
    with pytest.raises(DivergedError, match="the loss became"):
        minimise_full_batch(lambda: (p * bad).sum() + bad, [p], 5, Context())
    with pytest.raises(DivergedError, match="the loss became"):
        minimise_minibatch(lambda rows: (p * bad).sum() + bad, [p], 5, 5, 1, 0.1, Context())


def test_restarts_have_other_seeds_and_are_counted():
    drawn = []

    def attempt(context: Context) -> str:
        drawn.append(context.stream("initialisation").random())
        if len(drawn) < 3:
            raise DivergedError("the loss became nan")
        return "fitted"

    assert with_restarts(attempt, 3, Context(seed=1)) == ("fitted", 2)
    assert len(set(drawn)) == 3


def test_a_fit_that_always_diverges_raises():
    def attempt(context: Context) -> None:
        raise DivergedError("the loss became nan")

    with pytest.raises(FitError, match="diverged in 3 attempts, last: the loss became nan"):
        with_restarts(attempt, 2, Context())


def test_named_streams_are_reproducible_and_distinct():
    one = Context(seed=5).child("mse")
    assert one.stream("a").random() == Context(seed=5).child("mse").stream("a").random()
    assert one.stream("a").random() != one.stream("b").random()
    assert one.stream("a").random() != Context(seed=6).child("mse").stream("a").random()


def test_torch_seeding_is_local():
    state = torch.get_rng_state()
    with torch_seeded(Context(seed=1), "initialisation"):
        first = torch.rand(3)
    with torch_seeded(Context(seed=1), "initialisation"):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_early_stopping_says_that_it_stopped():
    """The validation loss has its minimum at p = 1, the training loss at p = 2."""
    p, seen = torch.zeros(1, requires_grad=True), []

    def held_out() -> float:
        seen.append(float((p.detach() - 1.0) ** 2))
        return seen[-1]

    done = minimise_minibatch(
        lambda rows: ((p - 2.0) ** 2).sum(), [p], 10, 10, 500, 0.05, Context(),
        Validation(held_out, patience=3),
    )  # fmt: skip
    assert done.stopped
    after_minimum = len(seen) - 1 - int(np.argmin(seen))
    assert after_minimum == 4 * 3
    assert done.validation.tolist() == seen


def test_early_stopping_that_does_not_trigger_is_told():
    p = torch.zeros(1, requires_grad=True)
    done = minimise_minibatch(
        lambda rows: ((p - 2.0) ** 2).sum(), [p], 10, 10, 5, 0.05, Context(),
        Validation(lambda: float((p.detach() - 2.0) ** 2), patience=3),
    )  # fmt: skip
    assert not done.stopped
    assert len(done.validation) == 5
