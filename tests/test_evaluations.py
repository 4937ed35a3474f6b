"""A full-batch fit that is interrupted and goes on is, to the bit, one that was not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from calibrate.checkpoints import CheckpointFolder
from calibrate.context import Context
from calibrate.methods.gaussian_ansatz import GaussianAnsatz
from calibrate.task import RegressionTask
from calibrate.train import minimise_full_batch

STEPS = 60
ALL = 10**6


class Valley:
    """Rosenbrock's function of two parameters, which somebody ends at an evaluation."""

    def __init__(self, last: int = ALL, height: float = 100.0) -> None:
        self.point = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
        self.last, self.height, self.evaluated = last, height, 0

    def __call__(self) -> Tensor:
        if self.evaluated == self.last:
            raise KeyboardInterrupt
        self.evaluated += 1
        x, y = self.point
        return (1 - x) ** 2 + self.height * (y - x**2) ** 2

    def fitted(self, context: Context) -> tuple[list[float], list[float]]:
        """The losses on the way, and where it ends."""
        done = minimise_full_batch(self, [self.point], STEPS, context)
        return done.loss.tolist(), self.point.detach().tolist()


@pytest.fixture
def kept(tmp_path: Path) -> Context:
    """Everything is kept at once."""
    return Context(checkpoints=CheckpointFolder(tmp_path, every=1e-9))


def test_a_fit_that_was_interrupted_goes_on_to_the_same_bits(kept: Context):
    calm = Valley()
    expected = calm.fitted(Context())
    assert expected[1] == pytest.approx([1, 1], abs=1e-4)
    for last in (7, 11):
        with pytest.raises(KeyboardInterrupt):
            Valley(last).fitted(kept)
    again = Valley()
    assert again.fitted(kept) == expected
    assert again.evaluated == calm.evaluated - 7 - (11 - 1) + 1
    over = Valley()
    assert over.fitted(kept) == expected
    assert over.evaluated == 1, "a fit that was over is not done again"


def test_another_function_that_begins_at_the_same_point_begins_anew(kept: Context):
    Valley().fitted(kept)
    other = Valley(height=50.0)
    assert other.fitted(kept) == Valley(height=50.0).fitted(Context())
    assert other.evaluated > 10


def test_another_seed_begins_anew(kept: Context):
    Valley().fitted(kept)
    other = Valley()
    other.fitted(replace(kept, seed=1))
    assert other.evaluated > 10


def test_an_ansatz_goes_on(
    gaussian_task: RegressionTask, kept: Context, caplog: pytest.LogCaptureFixture
):
    method, x = GaussianAnsatz(steps=12), np.linspace(-2, 2, 50)[:, None]
    expected = method.fit(gaussian_task, Context())
    method.fit(gaussian_task, kept)
    with caplog.at_level("INFO", logger="calibrate"):
        found = method.fit(gaussian_task, kept)
    assert "a fit goes on from its checkpoint, after" in caplog.text
    np.testing.assert_array_equal(found.estimate(x).z, expected.estimate(x).z)
    assert found.summary.steps == expected.summary.steps
