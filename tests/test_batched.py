"""`hydra/launcher=batched`: jobs trained side by side are the jobs done one by one."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from calibrate.checkpoints import FileCheckpoint
from calibrate.cli.main import cli, guarded
from calibrate.cli.side_by_side import work_together
from calibrate.data.gaussian import Gaussian
from calibrate.errors import ConfigurationError
from calibrate.study import Fits, Loaded, fit
from calibrate.sweep.job import DONE, FAILED, PLANNED, RUNNING
from calibrate.sweep.ledger import FILE, Ledger
from calibrate.sweep.rows import CODES

NETWORKS = ("data=gaussian", "method=mse", "~specialise", "method.hidden=[8]", "method.epochs=3",
            "method.batch=100", "evaluator=[curves]", "report.figures=false",
            "compare_with=[]", "data.n=300")  # fmt: skip
BATCHED = ("hydra/launcher=batched", "hydra.launcher.workers=1")

Swept = Callable[..., tuple[int, Path]]


@pytest.fixture
def swept(tmp_path: Path) -> Swept:
    """A sweep in this process: exit status and folder."""

    def run(*overrides: str, launcher: tuple[str, ...] = BATCHED, folder: str = "swept"):
        return sweep_in(tmp_path / folder, *overrides, launcher=launcher)

    return run


def sweep_in(
    folder: Path, *overrides: str, launcher: tuple[str, ...] = BATCHED
) -> tuple[int, Path]:
    arguments = ["run", "-m", *overrides, f"sweep.dir={folder}", *launcher]
    command = lambda: cli.main(arguments, "calibrate", standalone_mode=False)  # noqa: E731
    return guarded(command), folder


def states(folder: Path) -> list[str]:
    with Ledger(folder) as opened:
        return [job.state for job in opened.jobs()]


def metrics(folder: Path) -> list[dict[str, object]]:
    """The metrics of all runs without times, in the order of the jobs."""
    found = []
    for path in sorted(folder.glob("runs/*/report.json")):
        document = json.loads(path.read_text("utf-8"))
        given = {k: v["value"] for k, v in document["metrics"].items() if "seconds" not in k}
        found.append(given)
    return found


def test_jobs_side_by_side_are_those_one_by_one(swept: Swept, capsys):
    """Other seeds, means, rates: each has its own data, standardisation, shuffles and schedule."""
    axes = ("seed=range(0,2)", "data.mu=0,1", "method.learning_rate=1e-3,1e-2")
    status, batched = swept(*NETWORKS, *axes)
    assert status == 0
    assert "batched: 8 jobs trained side by side, 1 batch\n" in capsys.readouterr().out
    _, basic = swept(*NETWORKS, *axes, launcher=("hydra/launcher=basic",), folder="basic")
    found, expected = metrics(batched), metrics(basic)
    assert len(found) == 8
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert value == pytest.approx(other[name], rel=1e-3, abs=1e-4), name
    assert {p.name for p in next(iter(batched.glob("runs/*"))).iterdir()} == {
        p.name for p in next(iter(basic.glob("runs/*"))).iterdir()
    }


def test_one_that_fails_does_so_alone(swept: Swept, capsys):
    given = [item for item in NETWORKS if not item.startswith("data.n=")]
    status, folder = swept(*given, "data.n=300,50,310")
    assert status == 1
    assert states(folder) == [DONE, FAILED, DONE]
    told = capsys.readouterr().out
    assert "failed in" in told
    assert "the training sample holds 50 usable events" in told
    assert "usable events" in next(iter(folder.glob("runs/0001*/run.log"))).read_text("utf-8")


def test_what_gains_nothing_is_done_one_by_one_and_said(swept: Swept, capsys):
    given = [item for item in NETWORKS if item != "~specialise"]
    status, folder = swept(*given, "seed=0,1")
    assert status == 0
    told = capsys.readouterr().out
    assert "batched: 2 jobs one by one on 1 core (no company for closed forms" in told
    assert states(folder) == [DONE, DONE]
    status, folder = swept(*NETWORKS, "method.hidden=[4],[5]", folder="shapes")
    assert "batched: 2 jobs one by one" in capsys.readouterr().out
    assert states(folder) == [DONE, DONE]


def test_jobs_of_a_batch_that_died_are_started_again_one_by_one(swept: Swept, capsys):
    _, folder = swept(*NETWORKS, "seed=range(0,3)")
    with Ledger(folder) as opened, sqlite3.connect(folder / FILE) as file:
        file.execute("UPDATE jobs SET born = 0")
        file.execute("UPDATE states SET state = ? WHERE number > 0", (CODES[RUNNING],))
        file.commit()
        for job in opened.jobs()[1:]:
            (folder / str(job.folder) / "report.json").unlink()
    file.close()
    capsys.readouterr()
    assert swept(*NETWORKS, "seed=range(0,3)")[0] == 0
    assert "batched: 2 jobs one by one" in capsys.readouterr().out
    assert states(folder) == [DONE] * 3


LONG = [item for item in NETWORKS if not item.startswith(("method.epochs", "method.batch"))]
LONG += ["method.batch=300", "method.epochs=1000", "seed=0,1"]
KEPT = "sweep.checkpoint=0.02"


def kept(folder: Path) -> bool:
    """Whether every job of `LONG` has a checkpoint."""
    return len(list(folder.glob("checkpoints/*/*.h5"))) == 2


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """The metrics of a sweep that nothing disturbed."""
    return metrics(sweep_in(tmp_path_factory.mktemp("calm"), *LONG)[1])


def test_a_batch_that_was_killed_goes_on_job_by_job(
    swept: Swept, calm: list[dict[str, object]], tmp_path: Path, capsys
):
    folder = tmp_path / "swept"
    command = [sys.executable, "-m", "calibrate.cli.main", "run", "-m", *LONG, *BATCHED, KEPT]
    with subprocess.Popen(
        [*command, f"sweep.dir={folder}"], stdout=subprocess.DEVNULL
    ) as sweep:  # fmt: skip
        while not kept(folder):
            assert sweep.poll() is None, "the sweep was over before both checkpoints were seen"
            time.sleep(0.01)
        sweep.kill()
    assert states(folder) == [RUNNING] * 2
    status, _ = swept(*LONG, KEPT)
    assert status == 0
    assert "batched: 2 jobs one by one" in capsys.readouterr().out
    for job in ("0000", "0001"):
        (log,) = folder.glob(f"runs/{job}_*_2/run.log")
        assert "a training goes on from its checkpoint, after" in log.read_text("utf-8")
    for one, other in zip(metrics(folder), calm, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)
    assert not list(folder.glob("checkpoints/*"))


def test_a_batch_that_was_interrupted_goes_on_as_one_to_the_same_bits(
    swept: Swept,
    calm: list[dict[str, object]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys,
):
    folder, keep, once = tmp_path / "swept", FileCheckpoint.keep, Lock()

    def keep_and_press(self: FileCheckpoint, state: Callable[[], Any], over: bool) -> bool:
        written = keep(self, state, over)
        if kept(folder) and once.acquire(blocking=False):
            signal.raise_signal(signal.SIGINT)
        return written

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    try:
        with monkeypatch.context() as patched:
            patched.setattr(FileCheckpoint, "keep", keep_and_press)
            assert swept(*LONG, KEPT)[0] == 1, "two checkpoints were never there at once"
    finally:
        signal.signal(signal.SIGINT, before)
    assert states(folder) == [PLANNED] * 2
    capsys.readouterr()
    assert swept(*LONG, KEPT)[0] == 0
    assert "batched: 2 jobs trained side by side" in capsys.readouterr().out
    assert metrics(folder) == calm
    assert not list(folder.glob("checkpoints/*"))


@pytest.fixture
def planned(swept: Swept) -> Path:
    """A sweep of three jobs, all planned."""
    _, folder = swept(*NETWORKS, "seed=range(0,3)")
    with Ledger(folder) as opened:
        opened.again(DONE)
    return folder


def test_an_interrupted_batch_is_planned_again(planned: Path, monkeypatch: pytest.MonkeyPatch):
    loads = []
    regression = Gaussian.regression

    def interrupted(self: Gaussian, context: object):
        loads.append(context)
        if len(loads) == 2:
            raise KeyboardInterrupt
        return regression(self, context)

    monkeypatch.setattr(Gaussian, "regression", interrupted)
    with pytest.raises(KeyboardInterrupt):
        work_together(planned, [0, 1, 2])
    assert states(planned) == [PLANNED] * 3


def test_an_interrupt_that_a_library_makes_an_error_of_fails_no_job_of_a_batch(
    planned: Path, monkeypatch: pytest.MonkeyPatch
):
    def hit(self: Gaussian, context: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise ConfigurationError("half a configuration")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    monkeypatch.setattr(Gaussian, "regression", hit)
    try:
        with pytest.raises(KeyboardInterrupt):
            work_together(planned, [0, 1, 2])
    finally:
        signal.signal(signal.SIGINT, before)
    assert states(planned) == [PLANNED] * 3


def test_a_training_that_breaks_as_a_whole_is_done_one_by_one(
    planned: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    def broken(studies: Sequence[Loaded]) -> list[Fits]:
        if len(studies) > 1:
            raise RuntimeError("out of memory")
        return fit(studies)

    monkeypatch.setattr("calibrate.study.fit", broken)
    work_together(planned, [0, 1, 2])
    told = capsys.readouterr().out
    assert "the common training broke (RuntimeError: out of memory): 3 jobs one by one" in told
    assert states(planned) == [DONE] * 3


def test_another_process_may_have_taken_a_job(planned: Path):
    with Ledger(planned) as opened:
        opened.claim(1)
    work_together(planned, [0, 1, 2])
    assert states(planned) == [DONE, RUNNING, DONE]


@pytest.mark.parametrize("option", ["together", "workers"])
def test_options_out_of_range_are_refused(swept: Swept, option: str, capsys):
    launcher = ("hydra/launcher=batched", f"hydra.launcher.{option}=0")
    assert swept(*NETWORKS, "seed=0,1", launcher=launcher)[0] == 2
    assert f"hydra.launcher.{option} must be a positive integer" in capsys.readouterr().err
