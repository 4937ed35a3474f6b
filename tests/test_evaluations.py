"""A full-batch fit that is interrupted and goes on is, to the bit, one that was not."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from calibrate.checkpoints import CheckpointFolder
from calibrate.context import Context
from calibrate.methods.gaussian_ansatz import GaussianAnsatz
from calibrate.storage import load_state, save_state
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


def keeping(folder: Path) -> Context:
    """That of a new process, which keeps everything at once."""
    return Context(checkpoints=CheckpointFolder(folder, every=1e-9))


@pytest.fixture
def kept(tmp_path: Path) -> Context:
    """Everything is kept at once."""
    return keeping(tmp_path)


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


def test_refits_that_begin_at_the_same_point_keep_files_of_their_own(
    kept: Context, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    heights = (100.0, 50.0)
    expected = [Valley(height=height).fitted(kept) for height in heights]
    for context in (kept, keeping(tmp_path)):
        again = [Valley(height=height) for height in heights]
        assert [each.fitted(context) for each in again] == expected
        assert [each.evaluated for each in again] == [1, 1]
    assert "begins anew" not in caplog.text


def test_a_checkpoint_with_another_machines_numbers_is_told(
    kept: Context, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    Valley().fitted(kept)
    assert "begins anew" not in caplog.text
    other_answer, other_point = Valley(height=100.0 * (1 + 1e-15)), Valley()
    other_point.point.data *= 1 + 1e-15
    for number, other in enumerate((other_answer, other_point), 1):
        other.fitted(keeping(tmp_path))
        assert other.evaluated > 10
        assert caplog.text.count("a checkpoint of its name begins with other numbers") == number


def test_numbers_that_differ_on_the_way_are_told_and_evaluated(
    kept: Context, caplog: pytest.LogCaptureFixture
):
    Valley().fitted(kept)
    (file,) = kept.checkpoints.path.iterdir()
    kind, state = load_state(file)
    state["points"][9] = 0
    save_state(file, kind, state)
    calm, again = Valley(), Valley()
    assert again.fitted(kept) == calm.fitted(Context())
    assert again.evaluated == calm.evaluated - 8
    assert "leaves the way of its checkpoint after 9 evaluations" in caplog.text
    over = Valley()
    over.fitted(kept)
    assert over.evaluated == 1, "what was evaluated instead is kept"


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_a_checkpoint_has_room_for_so_many_bytes(
    kept: Context,
    tmp_path: Path,
    rows: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr("calibrate.evaluations.ROOM", 16 * rows)
    calm = Valley()
    expected = calm.fitted(Context())
    with caplog.at_level("INFO", logger="calibrate"):
        assert Valley().fitted(kept) == expected
    assert caplog.text.count(f"is full (0 MiB): killed from here on, it goes on after {rows}") == 1
    again = Valley()
    assert again.fitted(keeping(tmp_path)) == expected
    assert again.evaluated == calm.evaluated - max(rows - 1, 0)


def test_without_checkpoints_no_point_is_kept():
    """L-BFGS itself holds 45 vectors, twice its history and a few; a fit has many more points."""
    p = torch.zeros(20_000, requires_grad=True)
    scale = torch.logspace(0, 4, len(p))
    tracemalloc.start()
    done = minimise_full_batch(lambda: (scale * (p - 1) ** 2).double().mean(), [p], 100, Context())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(done.loss) > 90
    assert peak < 70 * 8 * len(p)


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
