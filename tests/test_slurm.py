"""Sweeps in Slurm: on a real cluster of this machine (marked `slurm`), and what it says, read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from calibrate.cli.main import cli, guarded
from calibrate.cli.order import Order
from calibrate.cli.slurm import follow, forget_unsent
from calibrate.errors import StorageError
from calibrate.sweep import slurm
from calibrate.sweep.batch import carry_over, recover
from calibrate.sweep.job import (
    APPLY,
    DONE,
    FAILED,
    KIND,
    LOST,
    PLANNED,
    QUEUED,
    RUNNING,
    Job,
)
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.outcome import Outcome, folders, outcome, requeued
from calibrate.sweep.runs import checkpoints
from tests.test_sweep import planned

START = "scripts/slurm_here.sh start, then pytest -m slurm"
SWEEP = ("data=gaussian", "method=mse", "evaluator=[curves]", "compare_with=[]",
         "report.figures=false", "hydra/launcher=slurm")  # fmt: skip
SMALL = "data.n=150"
NETWORK = ("method.degree=null", "method.hidden=[4]", "method.epochs=1")
LONG = ("data.n=2000", "method.degree=null", "method.hidden=[4]", "method.epochs=30000")
HELD = "+hydra.launcher.additional_parameters.begin=now+1hour"
CONF = Path("/etc/slurm/slurm.conf")
LIMIT = 300.0


def calibrate(*arguments: str) -> int:
    """The command in this process; its exit status."""
    return guarded(lambda: cli.main(list(arguments), "calibrate", standalone_mode=False))


def jobs(folder: Path) -> list[Job]:
    with Ledger(folder) as opened:
        return opened.jobs()


def states(folder: Path) -> list[str]:
    return [job.state for job in jobs(folder)]


def until(true: Callable[[], object]) -> None:
    """Wait for something that others do."""
    deadline = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.1)


def told(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# On a cluster


@pytest.fixture(scope="module")
def cluster() -> None:
    """The cluster of scripts/slurm_here.sh; no other one is meddled with."""
    pytest.importorskip("submitit", reason="submitit is missing: pip install '.[slurm]'")
    if not (CONF.is_file() and "scripts/slurm_here.sh" in CONF.read_text("utf-8")):
        pytest.skip(f"no cluster of this project's is set up: {START}")
    if subprocess.run(["scontrol", "ping"], capture_output=True).returncode:
        pytest.skip(f"this project's cluster does not answer: {START}")


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def in_slurm(folder: Path, number: int) -> str:
    """Wait until Slurm has started a job's script, which gets signals, before it has imported
    anything; its number there."""
    until((folder / "slurm").is_dir)  # the ledger is whole by then
    until(lambda: jobs(folder)[number].slurm)
    known = str(jobs(folder)[number].slurm)
    until(lambda: "JobState=RUNNING" in told("scontrol", "show", "job", known))
    until(lambda: list((folder / "slurm").glob(f"{known}_0_log.*")))
    return known


def followed(
    background: ThreadPoolExecutor, folder: Path, *overrides: str
) -> Future[subprocess.CompletedProcess[str]]:
    command = [sys.executable, "-m", "calibrate.cli.main", "run", "-m", *SWEEP, *overrides]
    return background.submit(
        subprocess.run, [*command, f"sweep.dir={folder}"], capture_output=True, text=True
    )


@pytest.mark.slurm
@pytest.mark.usefixtures("cluster")
def test_a_sweep_survives_what_a_cluster_does_to_it(
    tmp_path: Path, background: ThreadPoolExecutor, capsys
):
    """Of four jobs one is killed, one runs out of time, one out of memory."""
    folder = tmp_path / "sweep"
    sizes = ("data.n=150,160,170,1500000", "hydra.launcher.mem_per_cpu=600M")
    sweep = followed(background, folder, *sizes)
    killed, slow = in_slurm(folder, 0), in_slurm(folder, 1)
    told("scancel", "--batch", "--signal=KILL", killed)
    told("scancel", "--batch", "--signal=STOP", slow)
    told("scontrol", "update", f"JobId={slow}", "EndTime=now+1second")
    done = sweep.result(LIMIT)
    assert done.returncode == 1
    assert "4 jobs: 2 done, 2 failed" in done.stdout
    again, late, fine, large = jobs(folder)
    assert [job.state for job in jobs(folder)] == [DONE, FAILED, DONE, FAILED]
    assert (again.attempt, late.attempt, fine.attempt, large.attempt) == (2, 1, 1, 1)
    assert again.slurm != killed
    assert "timed out at the limit of 00:01:00: more time with" in str(late.error)
    assert f"(Slurm job {slow} on " in str(late.error)
    assert "out of memory at the limit of 600M: more with hydra.launcher.mem_gb" in str(large.error)
    wider = ("hydra.launcher.mem_gb=2", "sweep.retry=failed", f"sweep.dir={folder}")
    assert calibrate("run", "-m", *SWEEP, sizes[0], *wider) == 0
    assert "4 jobs: 4 done" in capsys.readouterr().out
    for job in jobs(folder):
        reports = list(folder.glob(f"runs/{job.number:04d}_*/report.json"))
        assert len(reports) == 1


@pytest.mark.slurm
@pytest.mark.usefixtures("cluster")
def test_a_preempted_job_goes_on_from_its_checkpoint_in_a_folder_of_its_own(
    tmp_path: Path, background: ThreadPoolExecutor
):
    folder = tmp_path / "sweep"
    sweep = followed(background, folder, *LONG, "sweep.checkpoint=0.1")
    number = in_slurm(folder, 0)
    until(lambda: list(folder.glob("checkpoints/*/*.h5")))
    here = f"--nodelist={slurm.standings([number])[number].node}"
    told("sbatch", "--partition=urgent", "--exclusive", here, "--output=/dev/null", "--wrap=true")
    until(lambda: states(folder) == [QUEUED])
    (job,) = jobs(folder)
    assert job.error == f"Slurm job {number} waits: BeginTime (requeued, start 2)"
    told("scontrol", "update", f"JobId={number}", "StartTime=now")
    assert sweep.result(LIMIT).returncode == 0
    (job,) = jobs(folder)
    assert (job.state, job.attempt, job.slurm) == (DONE, 1, number)
    assert str(job.folder).endswith("_1r01")
    assert "a training goes on from its checkpoint, after" in (
        (folder / str(job.folder) / "run.log").read_text("utf-8")
    )
    assert not list(folder.glob("checkpoints/*"))


@pytest.mark.slurm
@pytest.mark.usefixtures("cluster")
def test_a_detached_sweep_is_followed_cancelled_and_gone_on_with(tmp_path: Path, capsys):
    folder = tmp_path / "sweep"
    overrides = (*SWEEP, SMALL, "data.mu=0,1", "sweep.detach=true", f"sweep.dir={folder}")
    assert calibrate("run", "-m", *overrides, HELD) == 0
    assert f"calibrate sweep status {folder} follows them" in capsys.readouterr().out
    until(lambda: calibrate("sweep", "status", str(folder)) == 0
          and "waits: BeginTime" in capsys.readouterr().out)  # fmt: skip
    assert states(folder) == [QUEUED] * 2
    array = str(jobs(folder)[0].slurm).partition("_")[0]
    assert calibrate("sweep", "cancel", str(folder)) == 0
    assert "2 jobs were cancelled in Slurm" in capsys.readouterr().out
    assert not told("squeue", "--noheader", "--states=PENDING,RUNNING", f"--jobs={array}").strip()
    assert states(folder) == [PLANNED] * 2
    assert calibrate("run", "-m", *overrides) == 0
    until(lambda: calibrate("sweep", "status", str(folder)) == 0 and set(states(folder)) == {DONE})


@pytest.mark.slurm
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("hydra.launcher.partition=nowhere", "invalid partition specified: nowhere"),
        ("hydra.launcher.gpus_per_node=1", "Invalid generic resource"),
        ("hydra.launcher.mem_gb=99999", "Memory specification can not be satisfied"),
    ],
)
def test_what_slurm_does_not_take_is_told_and_stays_planned(
    tmp_path: Path, capsys, option: str, message: str
):
    folder = tmp_path / "sweep"
    assert calibrate("run", "-m", *SWEEP, SMALL, option, f"sweep.dir={folder}") == 2
    assert f"error: Slurm does not take the jobs: {message}" in capsys.readouterr().err
    assert states(folder) == [PLANNED]


@pytest.mark.slurm
@pytest.mark.usefixtures("cluster")
def test_a_node_without_the_environment_is_told(tmp_path: Path):
    """The interpreter is gone when the job begins."""
    folder, link = tmp_path / "sweep", tmp_path / "python"
    link.symlink_to(sys.executable)
    code = (
        f"import sys; sys.executable = {str(link)!r}; from calibrate.cli.main import main; main()"
    )
    held = [*SWEEP, SMALL, "sweep.detach=true", f"sweep.dir={folder}", HELD]
    subprocess.run([sys.executable, "-c", code, "run", "-m", *held], check=True)
    link.unlink()
    (job,) = jobs(folder)
    told("scontrol", "update", f"JobId={job.slurm}", "StartTime=now")
    until(lambda: calibrate("sweep", "status", str(folder)) == 0 and states(folder) == [FAILED])
    (job,) = jobs(folder)
    assert "could not run, exit status 127: " in str(job.error)
    assert f"{link}: No such file or directory (Slurm job {job.slurm} on " in str(job.error)


@pytest.mark.slurm
@pytest.mark.usefixtures("cluster")
def test_a_gpu_that_is_not_there_and_a_folder_that_is_away_for_a_while(
    tmp_path: Path, background: ThreadPoolExecutor
):
    folder, away = tmp_path / "sweep", tmp_path / "away"
    sweep = followed(background, folder, SMALL, *NETWORK, "device=cpu,cuda")
    in_slurm(folder, 0)
    folder.rename(away)
    time.sleep(3)
    assert not folder.exists(), "somebody made the folder that is away"
    away.rename(folder)
    done = sweep.result(LIMIT)
    assert "trying again" in done.stderr
    assert done.returncode == 1
    cpu, cuda = jobs(folder)
    assert cuda.state == FAILED
    if cpu.state == FAILED:  # it, or Slurm for it, was about to write
        words = "No such file or directory", "cannot write to the sweep's folder"
        assert any(each in str(cpu.error) for each in words), cpu.error
        assert calibrate("sweep", "retry", str(folder)) == 1
        cpu, cuda = jobs(folder)
    assert cpu.state == DONE
    assert "device=cuda, but torch finds no GPU here" in str(cuda.error)


# What Slurm says


ARRAY = """\
JobId=7 ArrayJobId=7 ArrayTaskId=4-5,8%2 JobState=PENDING Reason=JobArrayTaskLimit Restarts=0 \
ExitCode=0:0 TimeLimit=01:00:00 EndTime=Unknown NodeList=(null) TRES=cpu=1,mem=200M,node=1
JobId=9 ArrayJobId=7 ArrayTaskId=1 JobState=FAILED Reason=JobLaunchFailure Restarts=1 \
ExitCode=0:9 TimeLimit=01:00:00 EndTime=1795405479 NodeList=n3 TRES=cpu=1,mem=200M,node=1
"""
ACCOUNTS = """\
7_1|COMPLETED|0:0|n3|01:00:00|200M|None|1795405479
7_2|CANCELLED by 1000|0:15|None assigned|01:00:00|200M|None|1795405480
"""


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Programs of Slurm's that print what real ones have printed."""

    def put(name: str, text: str, complaint: str = "", status: int = 0) -> None:
        (tmp_path / f"{name}.txt").write_text(text)
        program = tmp_path / name
        lines = f"cat {tmp_path / name}.txt; echo '{complaint}' >&2; exit {status}"
        program.write_text(f"#!/bin/sh\n{lines}\n")
        program.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return put


def test_jobs_of_an_array_are_told_apart(says):
    says("scontrol", ARRAY)
    says("sacct", ACCOUNTS)
    found = slurm.standings(["7_1", "7_2", "7_4", "7_5", "7_6", "7_8"])
    assert {job: each.state for job, each in found.items()} == {
        "7_1": "FAILED", "7_2": "CANCELLED",
        **dict.fromkeys(("7_4", "7_5", "7_8"), "PENDING"),
    }  # fmt: skip
    failed = found["7_1"]
    assert (failed.signal, failed.node, failed.restarts, failed.memory) == (9, "n3", 1, "200M")
    assert (failed.over, failed.ended) == (True, 1795405479.0)
    assert found["7_4"].waits
    assert found["7_2"].node == ""


def test_a_job_that_slurm_has_forgotten_is_looked_up_in_the_accounts(says):
    says("scontrol", "", "slurm_load_jobs error: Invalid job id specified", 1)
    says("sacct", ACCOUNTS)
    assert slurm.standings(["7_1"])["7_1"].state == "COMPLETED"
    says("sacct", "", "Slurm accounting storage is disabled", 1)
    assert slurm.standings(["7_1"]) == {}


def test_a_slurm_that_does_not_answer_is_an_error_and_nothing_is_lost(sent: Ledger, says):
    says("scontrol", "", "slurm_load_jobs error: Unable to contact slurm controller", 1)
    with pytest.raises(StorageError, match=r"Slurm does not answer: .*Unable to contact"):
        carry_over(sent)
    assert [job.state for job in sent.jobs()] == [QUEUED]
    folder = sent.folder / str(sent.jobs()[0].folder)
    Outcome("abc", "n3", 1.0, 2.0, "cannot read").write(folder)
    with pytest.raises(StorageError, match="does not answer"):
        carry_over(sent)
    assert [job.error for job in sent.jobs()] == ["cannot read (Slurm job 7)"]


ENDINGS = [
    ("TIMEOUT", "0:15", FAILED, "timed out at the limit of 01:00:00"),
    ("OUT_OF_MEMORY", "0:125", FAILED, "out of memory at the limit of 200M"),
    ("NODE_FAIL", "0:0", LOST, "the node failed"),
    ("PREEMPTED", "0:0", LOST, "preempted and not requeued"),
    ("CANCELLED", "0:15", FAILED, "cancelled in Slurm"),
    ("DEADLINE", "0:15", FAILED, "Slurm's deadline passed"),
    ("FAILED", "0:9", LOST, "killed by signal 9"),
    ("FAILED", "0:53", FAILED, "the node cannot write to the sweep's folder"),
    ("FAILED", "127:0", FAILED, "could not run, exit status 127: python: not found"),
    ("COMPLETED", "0:0", FAILED, "ended without a report: is the sweep's folder shared"),
    ("COMPLETING", "0:0", RUNNING, "Slurm job 7 on n3"),
    ("REQUEUED", "0:0", QUEUED, "Slurm job 7 on n3 waits"),
]


@pytest.fixture
def sent(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger whose only job Slurm knows as 7."""
    with Ledger(tmp_path, new=True) as ledger:
        ledger.plan(planned("abc"), fail_fast=False)
        ledger.queue()
        ledger.submitted({0: "7"})
        yield ledger


@pytest.mark.parametrize(("state", "code", "known", "why"), ENDINGS, ids=[e[0] for e in ENDINGS])
def test_what_slurm_says_of_a_silent_job(
    sent: Ledger, says, state: str, code: str, known: str, why: str
):
    (sent.folder / "slurm").mkdir()
    (sent.folder / "slurm" / "7_0_log.err").write_text("start\npython: not found\n")
    says("scontrol", f"JobId=7 JobState={state} Reason=None ExitCode={code} TimeLimit=01:00:00 "
         "EndTime=1795405479 NodeList=n3 TRES=cpu=1,mem=200M,node=1")  # fmt: skip
    ended = carry_over(sent)
    (job,) = sent.jobs()
    assert (job.state, len(ended)) == (known, known in (FAILED, LOST))
    assert str(job.error).startswith(why)
    assert "Slurm job 7 on n3" in str(job.error)


LIMITED = "Reason=None ExitCode=0:15 TimeLimit=00:01:00 NodeList=n3 TRES=cpu=1,mem=200M,node=1"


@pytest.mark.parametrize(("kept", "told"), [(True, "; done again it goes on"), (False, " (Slurm")])
def test_a_time_limit_below_the_first_checkpoint_promises_none(
    sent: Ledger, says, kept: bool, told: str
):
    if kept:
        checkpoints(sent.folder, sent.jobs()[0]).mkdir(parents=True)
    says("scontrol", f"JobId=7 JobState=TIMEOUT EndTime=1795405479 {LIMITED}")
    (job,) = carry_over(sent)
    limit = "timed out at the limit of 00:01:00: more time with hydra.launcher.timeout_min=…"
    assert (job.state, str(job.error).startswith(limit + told)) == (FAILED, True)


def test_what_keeps_every_job_from_being_done_stops_the_sweep(tmp_path: Path, says):
    """The run folder is gone whose calibration the jobs apply."""
    given = {"calibration": str(tmp_path / "no_run"), "options": {}, "files": []}
    says("scontrol", f"JobId=7 ArrayJobId=7 ArrayTaskId=0 JobState=RUNNING EndTime=0 {LIMITED}\n"
         f"JobId=8 ArrayJobId=7 ArrayTaskId=1 JobState=PENDING EndTime=0 {LIMITED}")  # fmt: skip
    says("scancel", "")
    (tmp_path / "scancel").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/cancelled\n')
    with Ledger(tmp_path, new=True) as ledger:
        ledger.plan(planned("abc", "def"), fail_fast=False)
        first, _ = ledger.queue()
        ledger.submitted({0: "7_0", 1: "7_1"})
        recipe = {KIND: APPLY, "configuration": given}
        Order(tmp_path / str(first.folder), first.content, "", recipe, None, None)()
        assert [job.number for job in carry_over(ledger)] == [0]
        assert [job.state for job in ledger.jobs()] == [FAILED, PLANNED]
        assert "no_run" in str(ledger.stopped())
    assert (tmp_path / "cancelled").read_text().strip() == "--quiet 7_1"


def test_a_completed_job_has_time_for_its_report_to_be_seen(sent: Ledger, says):
    says("scontrol", "JobId=7 JobState=COMPLETED Reason=None ExitCode=0:0 TimeLimit=01:00:00 "
         f"EndTime={time.time() - 5:.0f} NodeList=n3 TRES=cpu=1,mem=200M,node=1")  # fmt: skip
    assert carry_over(sent) == []
    (job,) = sent.jobs()
    assert job.state == QUEUED


def test_memory_that_slurm_did_not_notice_is_told_by_the_log(sent: Ledger, says):
    (sent.folder / "slurm").mkdir()
    log = "slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch.\n"
    (sent.folder / "slurm" / "7_0_log.err").write_text(log)
    says("scontrol", "JobId=7 JobState=FAILED Reason=None ExitCode=0:9 TimeLimit=01:00:00 "
         "EndTime=1795405479 NodeList=n3 TRES=cpu=1,mem=200M,node=1")  # fmt: skip
    (job,) = carry_over(sent)
    assert (job.state, str(job.error)[:13]) == (FAILED, "out of memory")


def test_what_was_sent_by_a_process_that_died_is_cancelled_and_sent_again(tmp_path: Path, says):
    """Between sbatch and the ledger: nobody knows the numbers, only the name."""
    code = """
import sys
from pathlib import Path
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.runs import checkpoints
from tests.test_sweep import planned
with Ledger(Path(sys.argv[1]), new=True) as ledger:
    ledger.plan(planned("abc"), submission="calibrate_1f")
    ledger.queue()
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    says("scancel", f"{tmp_path}")
    (tmp_path / "scancel").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/cancelled\n')
    with Ledger(tmp_path) as ledger:
        forget_unsent(ledger)
        assert [job.state for job in ledger.jobs()] == [PLANNED]
    assert (tmp_path / "cancelled").read_text().strip() == "--quiet --name=calibrate_1f"


@pytest.mark.parametrize(
    ("message", "overrides"),
    [
        ("hydra.launcher.timeout_min must be a positive", ("hydra.launcher.timeout_min=0",)),
        ("no option 'hydra.launcher.timeout': did you mean", ("hydra.launcher.timeout=3",)),
        ("could not be converted to Integer", ("hydra.launcher.timeout_min=soon",)),
        ("sweep.detach=true needs a batch system", ("hydra/launcher=local", "sweep.detach=true")),
    ],
)
def test_a_wrong_option_is_refused_at_once(capsys, message: str, overrides: tuple[str, ...]):
    pytest.importorskip("submitit", reason="submitit is missing: pip install '.[slurm]'")
    assert calibrate("run", "-m", *SWEEP, SMALL, *overrides) == 2
    assert message in capsys.readouterr().err


# How a job tells its end


def a_job(**changed: object) -> Job:
    values = {"number": 0, "content": "abc", "overrides": (), "parameters": {}, "state": RUNNING,
              "attempt": 1, "started": 0.0, "finished": None, "host": None, "pid": None,
              "folder": "runs/0000_abc_1", "error": None, "slurm": "7_0"}  # fmt: skip
    return Job(**{**values, **changed})


def test_an_end_is_told_once_the_report_is_there_too(tmp_path: Path):
    job = a_job()
    folder = tmp_path / str(job.folder)
    assert outcome(folder, job) is None
    done = Outcome("abc", "n3", 1.0, 2.0, None)
    done.write(folder)
    assert outcome(folder, job) is None
    (folder / "report.json").write_text('{"run": {"content": "other"}}')
    assert outcome(folder, job) is None
    (folder / "report.json").write_text('{"run": {"content": "abc"}}')
    assert outcome(folder, job) == done
    failed = Outcome("abc", "n3", 1.0, 2.0, "cannot read")
    again = requeued(folder, 1)
    failed.write(again)
    assert outcome(again, job) == failed
    assert list(folders(tmp_path, job)) == [again, folder]


def test_a_folder_that_is_not_there_is_not_made_but_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("calibrate.sweep.outcome.PATIENCE", 0.1)
    monkeypatch.setattr("calibrate.sweep.outcome.PAUSE", 0.01)
    with pytest.raises(StorageError, match="cannot write"):
        Outcome("abc", "n3", 1.0, 2.0, None).write(tmp_path / "sweep" / "runs" / "0000_abc_1")
    assert not (tmp_path / "sweep").exists()


def test_a_folder_that_comes_back_gets_the_end_of_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("calibrate.sweep.outcome.PAUSE", 0.01)
    sweep, run = tmp_path / "sweep", tmp_path / "sweep" / "runs" / "0000_abc_1"
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(Outcome("abc", "n3", 1.0, 2.0, "cannot read").write, run)
        time.sleep(0.1)
        assert not sweep.exists()
        sweep.mkdir()
        said.result()
    assert outcome(run, a_job()) == Outcome("abc", "n3", 1.0, 2.0, "cannot read")


def test_a_sweep_whose_folder_is_away_is_followed_again_when_it_is_back(
    tmp_path: Path, says, background: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, capsys
):
    """Between two looks of the driver; the job ends meanwhile."""
    monkeypatch.setattr("calibrate.cli.slurm.SHORTEST", 0.05)
    monkeypatch.setattr("calibrate.cli.slurm.LONGEST", 0.05)
    sweep, away = tmp_path / "sweep", tmp_path / "away"
    sweep.mkdir()
    says("scontrol", f"JobId=7 JobState=RUNNING EndTime=0 {LIMITED}")
    with Ledger(sweep, new=True) as ledger:
        ledger.plan(planned("abc"), fail_fast=False)
        (job,) = ledger.queue()
        ledger.submitted({0: "7"})
    follows = background.submit(follow, sweep)
    until(lambda: states(sweep) == [RUNNING])
    sweep.rename(away)
    until(lambda: "trying again" in capsys.readouterr().err)
    assert not sweep.exists()
    Outcome("abc", "n3", 1.0, 2.0, "cannot read").write(away / str(job.folder))
    away.rename(sweep)
    follows.result(LIMIT)
    assert [job.error for job in jobs(sweep)] == ["cannot read (Slurm job 7)"]


def test_a_report_that_comes_late_is_not_done_again(tmp_path: Path):
    with Ledger(tmp_path, new=True) as ledger:
        ledger.plan(planned("abc", "def"))
        first, second = ledger.queue()
        ledger.submitted({0: "7_0", 1: "7_1"})
        ledger.lose(first, "gone")
        ledger.fail(second, "timed out")
        for job in (first, second):
            (tmp_path / str(job.folder)).mkdir(parents=True)
        report = tmp_path / str(first.folder) / "report.json"
        report.write_text('{"run": {"content": "abc"}}')
        recover(ledger)
        assert [job.state for job in ledger.jobs()] == [DONE, FAILED]
