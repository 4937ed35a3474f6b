from __future__ import annotations

import pytest
import torch

from calibrate.context import Context
from calibrate.errors import FitError
from calibrate.seeding import torch_seeded
from calibrate.train import DivergedError, minimise_full_batch, with_restarts

TARGET = torch.tensor([1.0, -2.0, 3.0])


def test_the_full_batch_fit_solves_a_quadratic():
    p = torch.zeros(3, requires_grad=True)
    scale = torch.tensor([1.0, 100.0, 0.01])
    done = minimise_full_batch(lambda: (scale * (p - TARGET) ** 2).sum(), [p], 50, Context())
    torch.testing.assert_close(p.detach(), TARGET, atol=1e-3, rtol=0)
    assert done.loss[-1] < 1e-6 < done.loss[0]
    assert done.seconds > 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_divergence(bad: float):
    p = torch.zeros(1, requires_grad=True)
    with pytest.raises(DivergedError, match="the loss became"):
        minimise_full_batch(lambda: (p * bad).sum() + bad, [p], 5, Context())


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
