"""A calibration applied to many files: each output once and whole, whatever fails or dies."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest

from calibrate.apply import Options, apply, apply_each, outputs
from calibrate.apply.files import RECORD
from calibrate.cli.main import cli, guarded
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError
from calibrate.estimate import Calibration
from calibrate.loading import load_calibration
from calibrate.methods.mse import MSE
from calibrate.sample import Column, Sample
from calibrate.storage import save_state
from calibrate.sweep.job import DONE, FAILED
from calibrate.sweep.ledger import Ledger
from calibrate.task import RegressionTask

FILES = 7
BASIC = "hydra/launcher=basic"


def write(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gen = np.exp(rng.normal(5, 0.4, 200 + seed))
    with h5py.File(path, "w") as file:
        file["gen"], file["pt"] = gen, 0.9 * gen * rng.normal(1, 0.05, gen.size)


@pytest.fixture
def fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calibration:
    """A calibration in `fitted.h5`, and seven files in `in`."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for i in range(FILES):
        write(Path("in") / f"{i}.h5", i)
    with h5py.File("in/6.h5") as file:
        columns = Column("pt", positive=True), Column("gen", positive=True)
        sample = Sample(
            file["pt"][:][:, None], file["gen"][:], np.ones(206), *((c,) for c in columns)
        )
    task = RegressionTask(sample, {"nominal": sample}, ("pt",))
    polynomial = MSE(degree=1).fit(task, Context())
    save_state(Path("fitted.h5"), polynomial.kind, polynomial.state())
    return polynomial


def calibrate(*arguments: str) -> int:
    return guarded(lambda: cli.main(list(arguments), "calibrate", standalone_mode=False))


def applied(*more: str, pattern: str = "in/*.h5") -> int:
    return calibrate("apply", "fitted.h5", pattern, "out", BASIC, *more)


def contents(folder: str = "out") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.h5")}


def rows() -> list[dict[str, str]]:
    with open("out/files.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_output_is_what_the_single_command_writes(fitted):
    assert applied() == 0
    assert len(contents()) == FILES
    for i in range(FILES):
        apply(fitted, Path(f"in/{i}.h5"), Path(f"{i}.h5"), Options(), Context())
        with h5py.File(f"out/{i}.h5") as many, h5py.File(f"{i}.h5") as one:
            assert set(many) == set(one)
            for name in one:
                np.testing.assert_array_equal(many[name][:], one[name][:])
    assert [int(row["rows"]) for row in rows()] == [200 + i for i in range(FILES)]


def test_the_same_command_skips_what_is_done(fitted, capsys):
    assert applied() == 0
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.h5")}
    assert applied() == 0
    assert f"{FILES} jobs, 0 to be done" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in Path("out").glob("*.h5")} == before


def test_new_files_are_added_and_lost_outputs_made_again(fitted, capsys):
    assert applied(pattern="in/[0-3].h5") == 0
    Path("out/2.h5").unlink()
    capsys.readouterr()
    assert applied() == 0
    assert f"{FILES} jobs, {FILES - 4 + 1} to be done" in capsys.readouterr().out
    assert len(contents()) == FILES


def test_a_broken_file_stops_no_other_and_is_told(fitted, capsys):
    Path("in/3.h5").write_bytes(b"\x89HDF\r\n\x1a\nand nothing more")
    assert applied() == 1
    told = capsys.readouterr()
    assert "7 jobs: 6 done, 1 failed" in told.out
    assert "job 3     failed" in told.err
    assert "3.h5" in told.err
    broken = [row for row in rows() if row["state"] == FAILED]
    assert [Path(row["input"]).name for row in broken] == ["3.h5"]
    assert broken[0]["error"]
    write(Path("in/3.h5"), 3)
    assert applied("sweep.retry=failed") == 0
    assert len(contents()) == FILES


def test_a_calibration_that_is_gone_stops_the_others(fitted, capsys):
    assert applied() == 0
    with Ledger(Path("out")) as ledger:
        ledger.again(DONE)
    Path("fitted.h5").unlink()
    capsys.readouterr()
    assert calibrate("sweep", "retry", "out") == 1
    told = capsys.readouterr()
    assert f"{FILES} jobs: {FILES - 1} planned, 1 failed" in told.out
    assert "no further job is started: no run folder" in told.err


@pytest.mark.parametrize("size", [2, 3, 100])
def test_one_broken_file_of_a_chunk_leaves_the_others_done(fitted, size):
    Path("in/0.h5").write_bytes(b"")
    assert applied(f"sweep.files={size}") == 1
    assert sorted(contents()) == [f"{i}.h5" for i in range(1, FILES)]
    assert [row["state"] for row in rows()] == [FAILED, *[DONE] * (FILES - 1)]
    before = contents()
    write(Path("in/0.h5"), 0)
    assert applied(f"sweep.files={size}", "sweep.retry=failed") == 0
    assert before.items() <= contents().items()
    assert len(contents()) == FILES


def test_an_interrupted_command_goes_on(fitted, monkeypatch: pytest.MonkeyPatch, capsys):
    real, calls = apply, []

    def interrupted(*given: object) -> object:
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr("calibrate.apply.files.apply", interrupted)
    assert applied("sweep.files=3") == 1
    assert "interrupted: 1 of 3 jobs are done" in capsys.readouterr().err
    assert len(contents()) == 3
    assert applied("sweep.files=3") == 0
    assert len(calls) == FILES + 1
    assert len(contents()) == FILES


def test_a_killed_command_goes_on_and_leaves_nothing_half_written(fitted):
    command = [sys.executable, "-m", "calibrate.cli.main", "apply", "fitted.h5", "in/*.h5", "out"]
    with subprocess.Popen([*command, BASIC], stdout=subprocess.DEVNULL) as process:
        while not list(Path("out").glob("*.h5")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert applied() == 0
    assert len(contents()) == FILES
    assert all(h5py.is_hdf5(path) for path in Path("out").glob("*.h5"))
    left = {p.suffix for p in Path("out/runs").glob("*/*")} | {
        p.suffix for p in Path("out").glob(".*")
    }
    assert left == {".json", ".log"}


@pytest.mark.parametrize("published", [True, False])
def test_an_attempt_that_died_around_the_rename_is_taken_over(fitted, published: bool):
    """After the record, before or after the file took its place."""
    pairs = [(Path("in/0.h5").absolute(), Path("out.h5").absolute())]
    for name in ("first", "second"):
        Path(name).mkdir()
    apply_each(fitted, pairs, Path("first"), [], Options(), Context())
    if not published:
        os.rename("out.h5", "first/out.h5")
    done = apply_each(fitted, pairs, Path("second"), [Path("first")], Options(), Context())
    assert done[0].applied.rows == 200
    assert Path("out.h5").is_file()
    assert list(Path("second").iterdir()) == []
    assert [path.name for path in Path("first").iterdir()] == [f"out.h5{RECORD}"]


MEMORY = Path("/dev/shm")


@pytest.mark.skipif(not MEMORY.is_dir(), reason="needs a second file system")
def test_jobs_on_another_file_system_are_refused_before_the_first(fitted, capsys):
    if MEMORY.stat().st_dev == Path.cwd().stat().st_dev:
        pytest.skip("temporary files are in memory here")
    with TemporaryDirectory(dir=MEMORY) as other:
        assert applied(f"sweep.dir={other}") == 2
        assert "is on another file system than the outputs" in capsys.readouterr().err
        assert list(Path(other).iterdir()) == []


def test_what_stands_in_the_way_is_kept(fitted, capsys):
    Path("out").mkdir()
    Path("out/4.h5").write_text("mine")
    assert applied() == 1
    assert "4.h5 exists: it is kept" in capsys.readouterr().err
    assert Path("out/4.h5").read_text() == "mine"
    assert len(contents()) == FILES


def test_a_changed_input_or_another_calibration_is_refused(fitted, capsys):
    assert applied() == 0
    before = contents()
    assert applied("--outside", "clamp") == 2
    assert "holds another sweep" in capsys.readouterr().err
    write(Path("in/2.h5"), 20)
    assert applied() == 1
    assert "2.h5 has changed since" in capsys.readouterr().err
    assert contents() == before


def test_several_inputs_need_no_quotes_and_two_workers_do_them(fitted):
    sources = [f"in/{i}.h5" for i in range(FILES)]
    workers = "hydra.launcher.workers=2"
    assert calibrate("apply", "fitted.h5", *sources, "out", workers) == 0
    assert len(contents()) == FILES
    with Ledger(Path("out")) as ledger:
        assert {job.state for job in ledger.jobs()} == {DONE}
        assert len({job.pid for job in ledger.jobs()} - {os.getpid()}) >= 1


def test_a_job_that_is_done_says_what_it_did(fitted):
    assert applied() == 0
    (first,) = (row for row in rows() if row["input"].endswith("/0.h5"))
    source = Path("in/0.h5")
    with h5py.File(source) as file:
        inside = load_calibration("fitted.h5").estimate(file["pt"][:][:, None]).inside
    assert int(first["outside"]) == np.count_nonzero(~inside)


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        (("out",), 2, "apply takes RUN INPUT… OUTPUT"),
        (("nothing/*.h5", "out"), 1, "nothing/*.h5 matches no file"),
        (("in/*.h5", "in"), 2, "is in the folder of the outputs"),
        (("in/*.h5", "out", "sweep.files=0"), 2, "sweep.files must be a positive integer"),
        (("in/*.h5", "out", "hydra/launcher=nowhere"), 2, "no hydra/launcher 'nowhere'"),
        (("in/*.h5", "out", "sweep.file=2"), 2, "no option 'sweep.file'"),
        (("in/*.h5", "out", "--column", "eta=1"), 2, "the calibration has the features pt"),
        (("in/*.h5", "in/0.h5/x"), 1, "cannot create the folder"),
    ],
)
def test_what_cannot_be_done_is_told(fitted, capsys, given, status, message):
    assert calibrate("apply", "fitted.h5", *given) == status
    assert message in capsys.readouterr().err


def test_outputs_of_one_name_are_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"a/x.root and b/x.root would both become"):
        outputs([Path("a/x.root"), Path("b/x.root")], tmp_path)


def test_all_failures_of_a_chunk_are_told(fitted):
    pairs = [(Path(f"in/{name}").absolute(), Path(name).absolute()) for name in ("no.h5", "not.h5")]
    Path("run").mkdir()
    with pytest.raises(DataError, match=r"no file .*in/no.h5; no file .*in/not.h5"):
        apply_each(fitted, pairs, Path("run"), [], Options(), Context())
