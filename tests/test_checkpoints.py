"""A training that is interrupted and goes on is, to the bit, one that was not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from calibrate.checkpoints import CheckpointFolder
from calibrate.context import Advance, Context
from calibrate.member import Member, Schedule
from calibrate.minibatch import minimise_minibatch
from calibrate.nn.networks import mlp
from calibrate.nn.objectives import SquaredError
from calibrate.storage import SCHEMA
from calibrate.train import Minimisation

EPOCHS = 40


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """All members in one block, whose epochs the progress counts."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class UntilEpoch:
    """A progress bar whose user presses Ctrl-C after so many epochs."""

    last: int

    @contextmanager
    def track(self, description: str, total: int) -> Iterator[Advance]:
        seen = 0

        def advance(steps: int) -> None:
            nonlocal seen
            seen += steps
            if seen >= self.last:
                raise KeyboardInterrupt

        yield advance


def members(context: Context, patience: int | None, rates: Sequence[float]) -> list[Member]:
    """Networks with dropout on noise of their own; they differ in rate, start and events."""
    found = []
    for k, rate in enumerate(rates):
        rng = np.random.default_rng(k)
        x = rng.normal(size=(61 + k, 1))
        z = x + 0.5 * rng.normal(size=x.shape)
        columns = [np.float32(part) for part in (x, z, np.ones(len(x)))]
        torch.manual_seed(k)
        network = SquaredError(mlp(1, 1, (6, 4), "tanh"), float(len(x)), dropout=0.2)
        schedule = Schedule(20, EPOCHS, rate, patience)
        held_out = columns if patience else ()
        own = context.child(f"member{k}", "attempt0")
        found.append(Member(network, columns, schedule, own, held_out))
    return found


def outcome(trained: Sequence[Member]) -> tuple[list[Any], list[list[float]]]:
    done = minimise_minibatch(trained)
    told = [
        (each.loss.tolist(), each.validation.tolist(), each.stopped)
        if isinstance(each, Minimisation) else str(each)
        for each in done
    ]  # fmt: skip
    values = [
        torch.cat([p.detach().flatten() for p in member.objective.parameters()]).tolist()
        for member in trained
    ]
    return told, values


@pytest.mark.parametrize("patience", [None, 2])
@pytest.mark.parametrize("number", [1, 3])
def test_a_training_that_was_interrupted_goes_on_to_the_same_bits(
    tmp_path: Path, patience: int | None, number: int
):
    rates = (0.01, 0.05, 1e-4)[:number]
    expected = outcome(members(Context(), patience, rates))
    kept = Context(checkpoints=CheckpointFolder(tmp_path, every=1e-9))
    for epoch in (5, 17):
        with pytest.raises(KeyboardInterrupt):
            outcome(members(replace(kept, progress=UntilEpoch(epoch)), patience, rates))
    assert outcome(members(kept, patience, rates)) == expected
    assert outcome(members(replace(kept, progress=UntilEpoch(EPOCHS + 1)), patience, rates)) == (
        expected
    ), "a training that was over is not done again"


def test_members_in_different_epochs_are_trained_together(tmp_path: Path):
    """One begins anew, one goes on, in other company than before."""
    rates = (0.01, 0.05, 1e-4)
    told, values = outcome(members(Context(), 2, rates))
    kept = Context(checkpoints=CheckpointFolder(tmp_path, every=1e-9))
    with pytest.raises(KeyboardInterrupt):
        outcome(members(replace(kept, progress=UntilEpoch(9)), 2, rates)[1:])
    again, found = outcome(members(kept, 2, rates))
    for one, other in zip(again, told, strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-4)
        np.testing.assert_allclose(one[1], other[1], rtol=1e-4)
        assert one[2] == other[2]
    np.testing.assert_allclose(found, values, rtol=1e-3, atol=1e-5)


def test_one_that_diverged_stays_so_and_the_others_go_on(tmp_path: Path):
    rates = (1e30, 0.01)
    told, values = outcome(members(Context(), None, rates))
    assert str(told[0]).startswith("the loss became")
    kept = Context(checkpoints=CheckpointFolder(tmp_path, every=1e-9))
    with pytest.raises(KeyboardInterrupt):
        outcome(members(replace(kept, progress=UntilEpoch(20)), None, rates))
    again, found = outcome(members(kept, None, rates))
    assert again == told
    assert found[1] == values[1]


def test_another_training_does_not_take_it_up(tmp_path: Path):
    kept = Context(checkpoints=CheckpointFolder(tmp_path, every=1e-9))
    outcome(members(kept, None, (0.01,)))
    other = replace(kept, seed=1)
    assert outcome(members(other, None, (0.01,))) == outcome(
        members(Context(seed=1), None, (0.01,))
    )
    assert len(list(tmp_path.iterdir())) == 2


def test_a_refit_to_other_events_begins_anew_though_its_streams_are_the_same(tmp_path: Path):
    kept = Context(checkpoints=CheckpointFolder(tmp_path, every=1e-9))

    def refit(own: Context) -> Sequence[Member]:
        (member,) = members(own, None, (0.01,))
        x, z, w = member.columns
        return [replace(member, columns=[x, 1.5 * z, w])]

    outcome(members(kept, None, (0.01,)))
    assert outcome(refit(kept)) == outcome(refit(Context()))


def test_short_trainings_leave_nothing(tmp_path: Path):
    kept = Context(checkpoints=CheckpointFolder(tmp_path / "none", every=3600.0))
    outcome(members(kept, None, (0.01,)))
    assert not (tmp_path / "none").exists()


def test_a_shared_folder_that_is_away_is_not_made(tmp_path: Path):
    """A sweep's folder, in which a job has one of its own."""
    kept = Context(checkpoints=CheckpointFolder(tmp_path / "sweep" / "checkpoints" / "job", 1e-9))
    assert outcome(members(kept, None, (0.01,))) == outcome(members(Context(), None, (0.01,)))
    assert not (tmp_path / "sweep").exists()
    (tmp_path / "sweep").mkdir()
    outcome(members(kept, None, (0.01,)))
    assert list((tmp_path / "sweep" / "checkpoints" / "job").iterdir())


def test_a_checkpoint_that_cannot_be_written_ends_nothing(tmp_path: Path):
    (tmp_path / "file").write_text("")
    kept = Context(checkpoints=CheckpointFolder(tmp_path / "file", every=1e-9))
    assert outcome(members(kept, None, (0.01,))) == outcome(members(Context(), None, (0.01,)))


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def newer(file: Path) -> None:
    with h5py.File(file, "a") as opened:
        opened.attrs["calibrate_schema"] = SCHEMA + 1


@pytest.mark.parametrize(("spoil", "reason"), [(truncated, "cannot be read"), (newer, "schema")])
def test_a_checkpoint_that_cannot_be_read_is_told_and_made_anew(
    tmp_path: Path,
    spoil: Callable[[Path], None],
    reason: str,
    caplog: pytest.LogCaptureFixture,
):
    kept = Context(checkpoints=CheckpointFolder(tmp_path, every=1e-9))
    expected = outcome(members(kept, None, (0.01,)))
    (file,) = tmp_path.iterdir()
    spoil(file)
    assert outcome(members(kept, None, (0.01,))) == expected
    assert f"begins anew, its checkpoint is of no use: {file}" in caplog.text
    assert reason in caplog.text
    caplog.clear()
    kept = replace(kept, progress=UntilEpoch(1))
    assert outcome(members(kept, None, (0.01,))) == expected, "nothing is left to do"
    assert "begins anew" not in caplog.text


def test_the_file_of_another_training_is_not_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    kept = Context(checkpoints=CheckpointFolder(tmp_path, every=1e-9))
    expected = outcome(members(kept, None, (0.01,)))
    (own,) = tmp_path.iterdir()
    outcome(members(replace(kept, seed=1), None, (0.01,)))
    (other,) = set(tmp_path.iterdir()) - {own}
    other.replace(own)
    assert outcome(members(kept, None, (0.01,))) == expected
    assert f"{own} is the checkpoint of another one" in caplog.text
