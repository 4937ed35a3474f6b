"""Sweeps: every job is done once, none is lost, and what they found is one table."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from calibrate import provenance
from calibrate.cli.collect import collect_folder
from calibrate.cli.compose import compose
from calibrate.cli.launchers import launcher_of
from calibrate.cli.main import cli, guarded
from calibrate.cli.sweep import request
from calibrate.cli.worker import do
from calibrate.errors import ConfigurationError, StorageError
from calibrate.sweep.collect import Averaged, Point
from calibrate.sweep.gallery import figures
from calibrate.sweep.job import (
    DONE,
    FAILED,
    LOST,
    PLANNED,
    QUEUED,
    RUNNING,
    Planned,
    content_hash,
    unique,
)
from calibrate.sweep.ledger import FILE, Ledger
from calibrate.sweep.process import Process, this_process
from calibrate.sweep.rows import CODES
from calibrate.sweep.runs import settle

COMMAND = [sys.executable, "-m", "calibrate.cli.main", "run", "-m"]
QUICK = ("data=gaussian", "method=mse", "data.n=150", "evaluator=[curves]", "report.figures=false")
CLOSURE = ("data=gaussian", "method=mse", "data.n=300", "evaluator=[closure]",
           "evaluator.closure.replicas=5", "report.figures=false", "compare_with=[]")  # fmt: skip
BASIC = "hydra/launcher=basic"


def calibrate(*arguments: str) -> int:
    """The command in this process; its exit status."""
    return guarded(lambda: cli.main(list(arguments), "calibrate", standalone_mode=False))


@pytest.fixture
def swept(tmp_path: Path) -> Callable[..., tuple[int, Path]]:
    """A sweep in this process, one job after the other: exit status and folder."""

    def run(*overrides: str, folder: str = "swept") -> tuple[int, Path]:
        where = tmp_path / folder
        return calibrate("run", "-m", *overrides, f"sweep.dir={where}", BASIC), where

    return run


def planned(*names: str) -> list[Planned]:
    return [Planned((f"name={n}",), {"name": n}, _recipe(n), n) for n in names]


def _recipe(name: str) -> dict[str, object]:
    return {"method": "mse", "configuration": {"name": name}}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path, new=True) as opened:
        opened.plan(planned("a", "b", "c"))
        opened.note(fail_fast=False)
        yield opened


def states(folder: Path) -> list[str]:
    with Ledger(folder) as opened:
        return [job.state for job in opened.jobs()]


# The ledger


def test_a_job_is_claimed_once_whoever_asks(tmp_path: Path):
    with Ledger(tmp_path, new=True) as opened:
        opened.plan(planned(*map(str, range(40))))

    def claimed(_: int) -> list[int]:
        with Ledger(tmp_path) as own:
            return [job.number for job in iter(own.claim, None)]

    with ThreadPoolExecutor(8) as pool:
        found = [number for numbers in pool.map(claimed, range(8)) for number in numbers]
    assert sorted(found) == list(range(40))


def test_a_claimed_job_says_where_it_runs(ledger: Ledger):
    job = ledger.claim()
    assert job is not None
    ((running, process),) = ledger.running()
    assert running == job
    assert process == this_process()
    assert (job.state, job.attempt, job.folder) == (RUNNING, 1, "runs/0000_a_1")


def test_every_attempt_has_a_folder_of_its_own(ledger: Ledger):
    first = ledger.claim(1)
    assert first is not None
    ledger.lose(first, "gone")
    ledger.again(LOST)
    second = ledger.claim(1)
    assert second is not None
    assert {first.folder, second.folder} == {"runs/0001_b_1", "runs/0001_b_2"}


def test_an_attempt_that_was_given_up_has_no_say_any_more(ledger: Ledger):
    """A process that was stopped, taken for dead, and goes on."""
    first = ledger.claim(0)
    assert first is not None
    ledger.lose(first, "gone")
    ledger.again(LOST)
    ledger.finish(first)
    assert ledger.counts() == {PLANNED: 3, RUNNING: 0, DONE: 0, FAILED: 0, LOST: 0, QUEUED: 0}


def test_a_stopped_sweep_gives_no_jobs(ledger: Ledger):
    ledger.stop("enough")
    assert ledger.claim() is None
    assert ledger.stopped() == "enough"


def test_a_longer_sweep_goes_on_where_a_shorter_one_ended(ledger: Ledger):
    ledger.plan(planned("d", "c", "b", "a"))
    assert [job.content for job in ledger.jobs()] == ["a", "b", "c", "d"]


def test_another_sweep_is_refused_and_nothing_is_mixed(ledger: Ledger):
    with pytest.raises(ConfigurationError, match=r"holds another sweep: its job 'name=c' is not"):
        ledger.plan(planned("a", "b", "d"))
    assert [job.content for job in ledger.jobs()] == ["a", "b", "c"]


def test_a_sweep_is_driven_by_one_process_at_a_time(ledger: Ledger, tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        me = this_process()
        ledger.note(driver=vars(Process(me.host, other.pid, _born(other.pid))))
        with pytest.raises(StorageError, match=f"process {other.pid} runs this sweep; wait for"):
            ledger.drive()
        other.kill()
    ledger.drive()
    ledger.release()
    ledger.note(driver=vars(Process("elsewhere", 1, 0.0)))
    with pytest.raises(StorageError, match="was started on elsewhere and has not ended"):
        ledger.drive()
    ledger.stop("cancelled")
    ledger.drive()


def _born(pid: int) -> float:
    import psutil

    return float(psutil.Process(pid).create_time())


def test_a_number_that_is_used_again_is_another_process():
    me = this_process()
    assert me.alive
    assert not Process(me.host, me.pid, me.born - 60).alive
    assert not Process("elsewhere", me.pid, me.born).alive


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("PRAGMA user_version = 7", r"has schema 7, this version of calibrate reads 2: use the"),
        ("PRAGMA application_id = 7", "is no ledger of calibrate"),
    ],
)
def test_a_ledger_of_another_version_is_refused(
    ledger: Ledger, tmp_path: Path, statement: str, message: str
):
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute(statement)
    file.close()
    with pytest.raises(StorageError, match=message):
        Ledger(tmp_path)


def test_what_is_no_ledger_is_refused(tmp_path: Path, capsys):
    assert calibrate("sweep", "status", str(tmp_path)) == 1
    assert "holds no sweep: there is no sweep.db in it" in capsys.readouterr().err
    (tmp_path / FILE).write_text("no database " * 100)
    assert calibrate("sweep", "status", str(tmp_path)) == 1
    assert "file is not a database" in capsys.readouterr().err


FULL = """
import resource, sys
from pathlib import Path
from calibrate.sweep.ledger import Ledger
folder = Path(sys.argv[1])
size = max(path.stat().st_size for path in folder.iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
with Ledger(folder) as ledger:
    for _ in range(3):
        while job := ledger.claim():
            ledger.fail(job, "cannot write report.json: No space left on device" * 20)
        print(ledger.counts())
        ledger.again("failed")
"""


def test_states_are_written_where_the_file_cannot_grow(tmp_path: Path):
    """As on a full disk: neither the ledger nor its journal needs another page."""
    with Ledger(tmp_path, new=True) as opened:
        opened.plan(planned(*map(str, range(300))))
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("'failed': 300") == 3


def test_a_hash_tells_content_from_where_it_is_written():
    recipe = {"configuration": {"seed": 1, "output": "a"}}
    other = {"configuration": {"seed": 1, "output": "b"}}
    assert content_hash(recipe, "1", {}) == content_hash(other, "1", {})
    found = {
        content_hash(recipe, "1", {}),
        content_hash(recipe, "2", {}),
        content_hash(recipe, "1", {"file": "abc"}),
        content_hash({"configuration": {"seed": 2}}, "1", {}),
    }
    assert len(found) == 4


def test_of_equal_jobs_the_first_is_kept():
    assert [job.content for job in unique(planned("a", "b", "a"))] == ["a", "b"]


# What is planned


def test_combinations_composed_together_are_those_composed_alone():
    from calibrate.cli.recipe import recipe

    overrides = ("data=gaussian,dijet", "method=mse,none", "seed=range(0,2)", "replicas=0,2",
                 "evaluator.closure.bins=3,4", "note=a,null")  # fmt: skip
    jobs = request(overrides).jobs
    assert len(jobs) == 64
    for job in random.Random(0).sample(jobs, 4):
        assert recipe(job.overrides).plain() == job.recipe


@pytest.mark.parametrize(
    "given",
    [
        ("experiment=label_smearing",),
        ("data=asymmetric", "method=mse", "evaluator=[uncertainty]",
         "evaluator.uncertainty.input_smearing=${data.label_smearing}"),
    ],
)  # fmt: skip
def test_a_value_that_follows_from_a_swept_one_follows_it(given: tuple[str, ...]):
    jobs = request((*given, "data.label_smearing=0.04,0.1", "seed=0")).jobs
    widths = [job.recipe["configuration"]["evaluator"]["uncertainty"]["input_smearing"]
              for job in jobs]  # fmt: skip
    assert widths == [0.04, 0.1]


def test_the_parameters_of_a_job_are_what_was_swept():
    jobs = request((*QUICK, "data.mu=0,0.5", "seed=range(0,2)")).jobs
    assert [dict(job.parameters) for job in jobs] == [
        {"data.mu": mu, "seed": seed} for mu in (0, 0.5) for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("data.sgima=1,2",), "no option 'data.sgima': did you mean sigma"),
        (("data.mu=range(3,3)",), r"data.mu=range\(3,3\) names no value"),
        (("data.mu=choice()",), r"data.mu=choice\(\) names no value"),
        (("data.mu=interval(0,1)",), r"has no steps: list the values, or use range"),
        (("data.sigma=1,-1",), "data.sigma=-1: data.sigma must be positive, got -1"),
        (("method=mse,nnone",), "method='nnone': did you mean none"),
        (("sweep.retry=all", "data.mu=0,1"), "sweep.retry='all': did you mean|failed"),
        (("sweep.fail_fast=1", "data.mu=0,1"), "sweep.fail_fast is true or false: 1"),
        (("sweep.metrics=a", "data.mu=0,1"), "sweep.metrics takes a list"),
        (("sweep.dri=a", "data.mu=0,1"), "no option 'sweep.dri': did you mean dir"),
        (("hydra.launcher.workers=0", "data.mu=0,1"), "hydra.launcher.workers must be a positive"),
        (
            ("method=mse,gaussian_ansatz", "method.epochs=3"),
            "method=gaussian_ansatz: no option 'method.epochs': .*option of mse: one sweep for",
        ),
    ],
)
def test_a_mistake_anywhere_is_refused_before_the_first_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...], message: str
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        request((*QUICK, *overrides))
    assert calibrate("run", "-m", *QUICK, *overrides) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize(
    ("launcher", "device"),
    [("local", "cuda"), ("batched", "cpu,cuda"), ("basic", "cuda"), ("joblib", "cuda")],
)
def test_a_device_that_is_not_there_is_refused_before_the_first_job(
    tmp_path: Path, capsys, launcher: str, device: str
):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    folder = tmp_path / "sweep"
    given = (*QUICK, f"device={device}", f"sweep.dir={folder}", f"hydra/launcher={launcher}")
    assert calibrate("run", "-m", *given) == 2
    assert capsys.readouterr().err == (
        "calibrate: error: device=cuda, but torch finds no GPU here: use device=cpu\n"
    )
    assert not folder.exists()


def test_who_sends_jobs_to_others_need_not_have_their_device():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    asked = request([*QUICK, "device=cuda", "hydra/launcher=slurm"])
    assert [job.recipe["configuration"]["device"] for job in asked.jobs] == ["cuda"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_sweep_is_not_gone_on_with_where_its_device_is_missing(tmp_path: Path, capsys):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    asked = request([*QUICK, "device=cuda", "hydra/launcher=slurm"])
    with Ledger(tmp_path, new=True) as opened:
        opened.plan(asked.jobs, overrides=[*QUICK], version=provenance.version(), fail_fast=False)
    assert calibrate("sweep", "retry", str(tmp_path)) == 2
    assert "device=cuda, but torch finds no GPU here" in capsys.readouterr().err
    assert states(tmp_path) == [PLANNED]


def test_a_folder_with_other_files_is_refused(tmp_path: Path, capsys):
    (tmp_path / "thesis.tex").write_text("")
    assert calibrate("run", "-m", *QUICK, "data.mu=0,1", f"sweep.dir={tmp_path}") == 2
    assert "holds other files and no sweep" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


# A sweep


def test_done_jobs_are_skipped_and_another_sweep_is_refused(swept, capsys):
    status, folder = swept(*QUICK, "data.mu=0,1")
    assert status == 0
    before = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/report.json")}
    assert len(before) == 2
    assert swept(*QUICK, "data.mu=0,1,2")[0] == 0
    assert "3 jobs, 1 to be done" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/report.json")}
    assert len(after) == 3
    assert before.items() <= after.items()
    assert swept(*QUICK, "data.mu=0,2")[0] == 2
    assert "holds another sweep: its job '" in capsys.readouterr().err
    assert states(folder) == [DONE] * 3


def test_a_failure_stops_nothing_and_is_done_again_if_asked(swept, capsys):
    overrides = [item for item in QUICK if not item.startswith("data.n")]
    status, folder = swept(*overrides, "data.n=50,150")
    told = capsys.readouterr()
    assert status == 1
    assert states(folder) == [FAILED, DONE]
    assert "data.n=50" in told.err
    assert "the training sample holds 50 usable events" in told.err
    assert "2 jobs: 1 done, 1 failed" in told.out
    page = (folder / "sweep.html").read_text("utf-8")
    assert "the training sample holds 50 usable events" in page
    assert swept(*overrides, "data.n=50,150")[0] == 1
    assert "2 jobs, 0 to be done" in capsys.readouterr().out
    assert swept(*overrides, "data.n=50,150", "sweep.retry=failed")[0] == 1
    assert "2 jobs, 1 to be done" in capsys.readouterr().out
    assert len(list(folder.glob("runs/0000_*"))) == 2


def test_fail_fast_starts_nothing_more(swept, capsys):
    overrides = [item for item in QUICK if not item.startswith("data.n")]
    status, folder = swept(*overrides, "data.n=50,150", "sweep.fail_fast=true")
    assert status == 1
    assert states(folder) == [FAILED, PLANNED]
    assert "no further job is started: a job failed" in capsys.readouterr().err
    assert swept(*overrides, "data.n=50,150")[0] == 1
    assert states(folder) == [FAILED, DONE]


def test_retry_and_status_and_cancel_and_collect(swept, capsys, monkeypatch: pytest.MonkeyPatch):
    overrides = [item for item in QUICK if not item.startswith("data.n")]
    _, folder = swept(*overrides, "data.n=50,150")
    capsys.readouterr()
    assert calibrate("sweep", "status", str(folder)) == 0
    told = capsys.readouterr().out
    assert "2 jobs: 1 done, 1 failed" in told
    assert "usable events" in told
    assert calibrate("sweep", "retry", str(folder)) == 1
    assert "2 jobs, 1 to be done" in capsys.readouterr().out
    assert calibrate("sweep", "cancel", str(folder)) == 0
    assert "no further job is started" in capsys.readouterr().out
    (folder / "sweep.csv").unlink()
    assert calibrate("sweep", "collect", str(folder)) == 0
    assert (folder / "sweep.csv").is_file()


def test_a_sweep_of_another_version_is_not_gone_on_with(swept, capsys):
    _, folder = swept(*QUICK, "data.mu=0,1")
    with Ledger(folder) as opened:
        opened.note(version="0.0.1")
    assert calibrate("sweep", "retry", str(folder)) == 2
    assert r"was made by calibrate 0.0.1" in capsys.readouterr().err


def test_other_data_is_another_sweep(swept, tmp_path: Path, capsys):
    path = tmp_path / "jets.csv"
    rows = [f"{i / 100 + (i * 7919) % 13 / 10},{i / 100}" for i in range(400)]
    path.write_text("\n".join(["x,z", *rows]))
    overrides = ("data=table", "data.x=x", "data.z=z", f"data.path={path}", "method=none",
                 "evaluator=[curves]", "report.figures=false", "compare_with=[]",
                 "seed=0,1")  # fmt: skip
    assert swept(*overrides)[0] == 0
    path.write_text("\n".join(["x,z", *rows, "1,1"]))
    capsys.readouterr()
    assert swept(*overrides)[0] == 2
    assert "(other options, version or data)" in capsys.readouterr().err


# What dies


def test_a_job_without_a_process_is_lost_unless_its_report_is_whole(swept):
    _, folder = swept(*QUICK, "data.mu=0,1,2")
    with Ledger(folder) as opened, sqlite3.connect(folder / FILE) as file:
        file.execute("UPDATE jobs SET born = 0")
        file.execute("UPDATE states SET state = ?", (CODES[RUNNING],))
        file.commit()
        half, other = (folder / str(job.folder) / "report.json" for job in opened.jobs()[1:])
        half.unlink()
        document = json.loads(other.read_text("utf-8"))
        document["run"]["content"] = "of another job"
        other.write_text(json.dumps(document))
        assert settle(opened) == [1, 2]
    assert states(folder) == [DONE, LOST, LOST]
    assert swept(*QUICK, "data.mu=0,1,2")[0] == 0
    assert states(folder) == [DONE] * 3
    file.close()


def test_an_interrupted_job_is_planned_again(
    swept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    _, folder = swept(*QUICK, "data.mu=0,1")
    with Ledger(folder) as opened:
        opened.again(DONE)
        job = opened.claim()
        assert job is not None

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("calibrate.data.gaussian.Gaussian.regression", interrupt)
        with pytest.raises(KeyboardInterrupt):
            do(opened, job)
        assert opened.counts()[PLANNED] == 2


def numbers(folder: Path) -> dict[str, list[list[object]]]:
    """Both tables as rows, without times and run folders, which differ from sweep to sweep."""
    found = {}
    for stem in ("jobs", "sweep"):
        document = json.loads((folder / f"{stem}.json").read_text("utf-8"))
        kept = [i for i, name in enumerate(document["columns"])
                if "seconds" not in name and name != "folder"]  # fmt: skip
        rows = [[row[i] for i in kept] for row in document["rows"]]
        found[stem] = sorted(rows, key=str)
    return found


def test_killed_again_and_again_every_job_is_done_once_and_the_tables_are_the_same(tmp_path: Path):
    overrides = [*CLOSURE, "data.mu=0,1", "seed=range(0,3)"]
    assert calibrate("run", "-m", *overrides, f"sweep.dir={tmp_path / 'calm'}", BASIC) == 0
    killed = tmp_path / "killed"
    random_time = random.Random(1)
    for _ in range(3):
        sweep = [*COMMAND, *overrides, f"sweep.dir={killed}", "hydra.launcher.workers=2"]
        with subprocess.Popen(sweep, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as it:
            while not list(killed.glob("runs/*")) and it.poll() is None:
                time.sleep(0.02)
            time.sleep(random_time.uniform(0, 0.5))
            it.send_signal(signal.SIGKILL)
    done = subprocess.run([*COMMAND, *overrides, f"sweep.dir={killed}"], capture_output=True)
    assert done.returncode == 0, done.stderr
    with Ledger(killed) as opened:
        jobs = opened.jobs()
    assert [job.state for job in jobs] == [DONE] * 6
    for job in jobs:
        attempts = list(killed.glob(f"runs/{job.number:04d}_*"))
        assert len([path for path in attempts if (path / "report.json").is_file()]) == 1
    assert numbers(killed) == numbers(tmp_path / "calm")


def test_a_worker_that_is_killed_is_replaced_and_its_job_done_again(tmp_path: Path):
    folder = tmp_path / "sweep"
    overrides = [*QUICK, "data.mu=range(0,6)", f"sweep.dir={folder}", "hydra.launcher.workers=2"]
    with subprocess.Popen([*COMMAND, *overrides], stdout=subprocess.PIPE) as sweep:
        while not list(folder.glob("runs/*")):
            assert sweep.poll() is None
            time.sleep(0.02)
        with Ledger(folder) as opened:
            running = [process for _, process in opened.running()]
        os.kill(running[0].pid, signal.SIGKILL)
        sweep.communicate()
    assert sweep.returncode == 0
    with Ledger(folder) as opened:
        assert [job.state for job in opened.jobs()] == [DONE] * 6


def test_what_a_job_did_not_expect_is_told_in_one_line_and_stops_no_other(tmp_path: Path):
    with Ledger(tmp_path, new=True) as opened:
        opened.plan(planned("a", "b"), command="", version="", fail_fast=False, checkpoint=None)
    launcher_of(compose([*QUICK[:2], BASIC])).launch(tmp_path)
    with Ledger(tmp_path) as opened:
        jobs = opened.jobs()
    assert [job.state for job in jobs] == [FAILED] * 2
    for job in jobs:
        assert re.search(r"^unexpected TypeError: .*argument.*; traceback in .*run.log$", job.error)
        assert "Traceback" in (tmp_path / job.folder / "run.log").read_text("utf-8")


def test_what_keeps_hydras_launcher_from_a_job_is_told(tmp_path: Path):
    launcher = launcher_of(compose([*QUICK[:2], BASIC]))
    with Ledger(tmp_path, new=True) as opened:
        opened.plan(planned("a"), command="", version="", kind="another")
    with pytest.raises(KeyError, match="another"):
        launcher.launch(tmp_path)


def test_the_launcher_of_joblib_does_the_same_and_leaves_no_process(tmp_path: Path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    overrides = [*QUICK, "data.mu=0,1,2", f"sweep.dir={tmp_path / 'sweep'}"]
    done = subprocess.run(
        [*COMMAND, *overrides, "hydra/launcher=joblib"], capture_output=True, text=True
    )  # its workers hold the pipes: this would wait for them
    assert done.returncode == 0, done.stderr
    assert "3 jobs: 3 done" in done.stdout
    assert states(tmp_path / "sweep") == [DONE] * 3


def test_an_interrupted_sweep_says_how_it_goes_on(tmp_path: Path):
    folder = tmp_path / "sweep"
    overrides = [*QUICK, "data.mu=range(0,400)", f"sweep.dir={folder}", "hydra.launcher.workers=2"]
    with subprocess.Popen(
        [*COMMAND, *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as sweep:
        while len(list(folder.glob("runs/*/report.json"))) < 2:
            assert sweep.poll() is None
            time.sleep(0.02)
        sweep.send_signal(signal.SIGINT)
        _, told = sweep.communicate()
    assert sweep.returncode == 1
    assert "of 400 jobs are done; calibrate sweep retry" in told
    assert "Traceback" not in told
    assert set(states(folder)) == {DONE, PLANNED}


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as in a terminal: in the background it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("lost", [False, True])
def test_an_interrupt_that_a_library_swallows_fails_no_job_and_ends_the_sweep(
    swept, monkeypatch: pytest.MonkeyPatch, lost: bool
):
    """OmegaConf raises an error of its own where Ctrl-C hits it; a destructor loses it."""
    _, folder = swept(*QUICK, "data.mu=0,1")
    with Ledger(folder) as opened:
        opened.again(DONE)
        job = opened.claim(0)

        def hit(*_: object) -> None:
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            if not lost:
                raise ConfigurationError("half a configuration")

        monkeypatch.setattr("calibrate.cli.order.Order.run", hit)
        with pytest.raises(KeyboardInterrupt):
            do(opened, job)
    assert states(folder) == [DONE if lost else PLANNED, PLANNED]


# What was found


def test_the_tables_hold_every_metric_with_errors_and_the_seeds_averaged(swept):
    import pyarrow.parquet as pq

    _, folder = swept(*CLOSURE, "data.mu=0,1", "seed=range(0,3)")
    name = "closure/nominal/bias_slope"
    runs = json.loads((folder / "jobs.json").read_text("utf-8"))
    assert runs["columns"][:4] == ["job", "data.mu", "seed", "folder"]
    rows = [dict(zip(runs["columns"], row, strict=True)) for row in runs["rows"]]
    report = json.loads((folder / rows[4]["folder"] / "report.json").read_text("utf-8"))
    assert rows[4][name] == report["metrics"][name]["value"]
    assert rows[4][f"{name}_error"] == report["metrics"][name]["error"]
    table = pq.read_table(folder / "sweep.parquet").to_pydict()
    assert table["runs"] == [3, 3]
    values = [row[name] for row in rows if row["data.mu"] == 1]
    mean = sum(values) / 3
    assert table[name][1] == pytest.approx(mean)
    spread = (sum((v - mean) ** 2 for v in values) / 2) ** 0.5
    assert table[f"{name}_spread"][1] == pytest.approx(spread)
    assert pq.read_table(folder / "jobs.parquet").num_rows == 6
    lines = (folder / "sweep.csv").read_text("utf-8").splitlines()
    assert lines[0].split(",")[:2] == ["data.mu", "runs"]
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("axes", "figures"),
    [
        (("data.mu=0,1",), {"bias", "closure_nominal_bias_slope"}),
        (
            ("data.mu=0,1", "data.sigma=1,2"),
            {"closure_nominal_bias_slope", "map_closure_nominal_bias_slope"},
        ),
        (
            ("data.mu=0,1", "data.sigma=1,2", "data.epsilon=1,2"),
            {"closure_nominal_bias_slope", "map_closure_nominal_bias_slope"},
        ),
        (("method=none,mse", "data.mu=0,1"), {"closure_nominal_bias_slope"}),
        (("method=none,mse",), {"closure_nominal_bias_slope"}),
    ],
    ids=["one parameter", "two", "three", "methods and a parameter", "methods"],
)
def test_a_sweep_is_drawn(swept, axes: tuple[str, ...], figures: set[str]):
    wanted = "sweep.metrics=[closure/nominal/bias_slope]"
    given = [item for item in CLOSURE if not (axes[0].startswith("method") and "method=" in item)]
    status, folder = swept(*given, *axes, wanted)
    assert status == 0
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    assert figures - drawn == set()
    assert drawn - figures <= {"bias"}
    page = (folder / "sweep.html").read_text("utf-8")
    assert page.count("data:image/png;base64") == len(drawn)


def against_training_events(ledger: Ledger, **metrics: tuple[float, ...]) -> list[Point]:
    """Points of a sweep over three sizes with metrics of the evaluator `uncertainty`."""
    jobs = tuple(ledger.jobs())
    return [
        Point(
            {"data.train_events": n},
            jobs,
            {f"uncertainty/nominal/{name}": Averaged(values[i], 0.01, 0.02, "GeV")
             for name, values in metrics.items()},
        )
        for i, n in enumerate((2000, 20000, 200000))
    ]  # fmt: skip


def test_parts_of_an_uncertainty_share_a_frame_with_logarithmic_axes(ledger: Ledger):
    points = against_training_events(
        ledger,
        sigma_stoch=(0.9, 0.9, 0.9),
        sigma_pred=(0.03, 0.01, 0.003),
        coverage_68=(0.7, 0.68, 0.68),
    )
    drawn = {each.name: each for each in figures(points, ledger.folder, "bayesian", None)}
    assert drawn.keys() == {"uncertainties", "uncertainty_nominal_coverage_68"}
    (axes,) = drawn["uncertainties"].figure.axes
    assert axes.get_xscale() == "log"
    texts = {text.get_text() for text in axes.get_legend().get_texts()}
    assert {"σ_stoch", "σ_pred", "± spread over seeds"} <= texts
    assert "σ_stoch, σ_pred of bayesian against data.train_events" in drawn["uncertainties"].text


def test_sigma_cal_is_drawn_on_the_smearing_of_the_labels(ledger: Ledger):
    points = against_training_events(
        ledger, sigma_cal=(30.0, 45.0, 60.0), sigma_smear=(29.0, 44.0, 58.0)
    )
    (drawn,) = figures(points, ledger.folder, "bayesian", None)
    (axes,) = drawn.figure.axes
    (dashed,) = axes.findobj(lambda artist: artist.get_gid() == "closed form")
    np.testing.assert_allclose(dashed.get_ydata(), [29.0, 44.0, 58.0])
    texts = {text.get_text() for text in axes.get_legend().get_texts()}
    assert "smearing of the labels" in texts


def of_scores(ledger: Ledger, key: str, values: tuple, **others: float) -> list[Point]:
    """Points of a sweep with likelihoods at two observed points, and those of other methods."""
    jobs, at = tuple(ledger.jobs()), ("mu1_nuisance0.7854", "mu1_nuisance1.571")
    numbers = {"width": 0.05, "coverage_68": 0.69, "mu_hat": 1.0, "over_constraint": 0.4}
    named = {f"likelihood/{point}/{last}": value
             for point in at for last, value in numbers.items()}  # fmt: skip
    named |= {f"{label}:likelihood/{at[0]}/width": value for label, value in others.items()}
    metrics = {name: Averaged(value, 0.01, 0.02, "") for name, value in named.items()}
    return [Point({key: value}, jobs, metrics) for value in values]


def test_likelihoods_are_drawn_with_all_observed_points_in_a_frame(ledger: Ledger):
    points = of_scores(ledger, "method", ("uncertainty_aware", "baseline_classifier"), baseline=0.1)
    drawn = {each.name: each for each in figures(points, ledger.folder, "uncertainty_aware", None)}
    names = [f"likelihood_{last}" for last in ("width", "coverage_68", "over_constraint")]
    assert list(drawn) == names
    (axes,) = drawn["likelihood_coverage_68"].figure.axes
    texts = {text.get_text() for text in axes.get_legend().get_texts()}
    assert {"mu1_nuisance0.7854", "mu1_nuisance1.571", "level of the interval"} <= texts
    first = {float(container.lines[0].get_xdata()[0]) for container in axes.containers}
    assert len(first) == 2
    levels = axes.findobj(lambda artist: artist.get_gid() == "closed form")
    np.testing.assert_allclose([line.get_ydata() for line in levels], 0.6827)


def test_likelihoods_of_several_methods_are_drawn_point_by_point(ledger: Ledger):
    """Against a number: the methods share a frame, the observed points do not."""
    points = of_scores(ledger, "data.width", (0.1, 0.5), baseline_classifier=0.1)
    drawn = {each.name: each for each in figures(points, ledger.folder, "uncertainty_aware", None)}
    (axes,) = drawn["likelihood_mu1_nuisance0.7854_width"].figure.axes
    texts = {text.get_text() for text in axes.get_legend().get_texts()}
    assert {"uncertainty_aware", "baseline_classifier"} <= texts
    assert len(drawn) == 6


def test_a_metric_that_does_not_exist_is_told_with_the_nearest(swept, capsys):
    assert swept(*CLOSURE, "data.mu=0,1", "sweep.metrics=[closure/nominal/men]")[0] == 0
    assert "no metric 'closure/nominal/men': did you mean closure/nominal/mean" in (
        capsys.readouterr().err
    )


def test_a_page_can_be_written_while_jobs_are_missing(ledger: Ledger):
    ledger.note(command="calibrate run -m", version="1")
    page = collect_folder(str(ledger.folder)).read_text("utf-8")
    assert "3 jobs: 3 planned" in page


def test_the_experiments_of_fig2_are_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    overrides = ("experiment=fig2a", "data.n=300", "evaluator.closure.replicas=5", BASIC)
    assert calibrate("run", *overrides) == 0
    (folder,) = tmp_path.glob("outputs/sweeps/*")
    rows = json.loads((folder / "sweep.json").read_text("utf-8"))["rows"]
    assert [row[0] for row in rows] == [-2, -1, 0, 1, 2]
    assert (folder / "figures" / "bias.png").is_file()
    assert len(request(("experiment=fig2b", "data.sigma=1,2")).jobs) == 2
    assert len(request(("experiment=sweep_gaussian",)).jobs) == 30
