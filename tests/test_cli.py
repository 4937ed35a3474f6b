"""The command: exit statuses, one clear line for every failure, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from pathlib import Path

import click
import h5py
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from calibrate.cli.completion import complete_override, complete_run_folder
from calibrate.cli.groups import choices
from calibrate.cli.main import cli, guarded
from calibrate.data.dijet import Dijet
from calibrate.report.files import create_run_folder

COMMAND = [sys.executable, "-m", "calibrate.cli.main"]
PAIR = ("data=gaussian", "method=mse")
FIGURES = ("1", "2a", "2b", "3", "4", "5", "6", "7")
QUICK = (*PAIR, "data.n=150", "evaluator.closure.replicas=5", "report.figures=false")


def calibrate(*arguments: str) -> int:
    """The command in this process; its exit status."""
    return guarded(lambda: cli.main(list(arguments), "calibrate", standalone_mode=False))


def subprocess_of(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the command runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def error(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """The one line on stderr, checked to be one."""

    def read() -> str:
        return one_line(capsys.readouterr().err)

    return read


def one_line(text: str) -> str:
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("calibrate: error: ")
    assert "Traceback" not in text
    return lines[0]


def reports(folder: Path) -> list[Path]:
    return sorted(folder.glob("**/report.json"))


# What a finished run leaves


def test_a_run_leaves_a_report_and_says_where(empty: Path, capsys):
    assert calibrate("run", *QUICK, "seed=3") == 0
    printed = capsys.readouterr()
    (report,) = reports(empty)
    folder = report.parent
    assert folder.parent == empty / "outputs" / "gaussian" / "mse"
    *verdicts, path = printed.out.splitlines()
    assert (empty / path).resolve() == folder / "report.html"
    assert [line.split()[0] for line in verdicts] == ["mse", "none"]
    assert "calibrate: error" not in printed.err
    about = json.loads(report.read_text("utf-8"))["run"]
    assert about["command"] == f"calibrate run {' '.join(QUICK)} seed=3"
    assert about["seed"] == 3
    assert about["compare_with"] == ["none"]
    assert set(about["seconds"]) == {"load", "fit", "evaluate", "report"}
    assert {"python", "torch", "numpy"} <= set(about["environment"])
    assert {"version", "commit", "data_sha256"} <= set(about)
    assert "report written" in (folder / "run.log").read_text("utf-8")
    content = OmegaConf.load(folder / "config.yaml")
    assert (content.seed, content.data.n) == (3, 150)


def test_the_same_command_twice_gives_the_same_numbers_in_two_folders(empty: Path):
    assert calibrate("run", *QUICK, "seed=1") == calibrate("run", *QUICK, "seed=1") == 0
    one, other = (json.loads(path.read_text("utf-8")) for path in reports(empty))
    for document in (one, other):
        for name in [name for name in document["metrics"] if name.endswith("fit/seconds")]:
            del document["metrics"][name]
    assert one["metrics"] == other["metrics"]
    assert one["tables"] == other["tables"]


def test_a_note_stands_in_the_report(empty: Path):
    assert calibrate("run", *QUICK, "note='for the meeting'") == 0
    (report,) = reports(empty)
    assert "for the meeting" in json.loads(report.read_text("utf-8"))["notes"]
    assert "for the meeting" in report.with_name("report.html").read_text("utf-8")


def test_output_names_another_folder(empty: Path):
    assert calibrate("run", *QUICK, f"output={empty / 'else where'}") == 0
    (report,) = reports(empty)
    assert report.is_relative_to(empty / "else where" / "gaussian" / "mse")


def test_figures_are_drawn_later_by_report(empty: Path, capsys):
    overrides = [item for item in QUICK if "closure" not in item]
    assert calibrate("run", *overrides, "evaluator=[curves]") == 0
    (report,) = reports(empty)
    capsys.readouterr()
    assert calibrate("report", str(report.parent)) == 0
    assert capsys.readouterr().out.strip() == str(report.with_name("report.html"))
    assert {path.suffix for path in (report.parent / "figures").iterdir()} == {".png", ".pdf"}


# What is wrong before a run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "a run needs data=… and method=…. Choices: data: "),
        (("run", "data=gaussian"), "a run needs method=…"),
        (("run", "data=gaussian", "methd=mse"), "methd=… is no option: did you mean method=…?"),
        (("run", "method=gausian_ansatz", "data=dijet"), "did you mean gaussian_ansatz"),
        (("run", "method=mse", "data=gausian"), "did you mean gaussian"),
        (("run", *PAIR, "data.sgima=1"), "no option 'data.sgima': did you mean sigma"),
        (("run", *PAIR, "data.sigma=-1"), "data.sigma must be positive, got -1"),
        (("run", *PAIR, "data.n=0"), "data.n must be a positive integer, got 0"),
        (("run", *PAIR, "data._target_=os.system"), "only targets of calibrate"),
        (("run", *PAIR, "data.mu=0,1"), "data.mu=0,1 are several values: calibrate run -m"),
        (("run", "-m", *PAIR, "data.sigma=-1,1"), "data.sigma must be positive, got -1"),
        (("run", *PAIR, "--sigma"), "no option '--sigma'"),
        (("rnu",), "No such command 'rnu'. Did you mean 'run'? (see calibrate --help)"),
        (("report",), "Missing argument 'RUN'. (see calibrate report --help)"),
        ((), "Missing command. (see calibrate --help)"),
    ],
)
def test_a_wrong_command_line_has_status_two_and_leaves_nothing(
    empty: Path, error, arguments: tuple[str, ...], message: str
):
    assert calibrate(*arguments) == 2
    assert message in error()
    assert list(empty.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_refused_even_where_nothing_needs_it(empty: Path, error):
    assert calibrate("run", *QUICK, "method.degree=1", "device=cuda") == 2
    assert "device=cuda, but torch finds no GPU here: use device=cpu" in error()
    assert list(empty.iterdir()) == []


def test_a_folder_without_a_finished_run_has_no_figures(empty: Path, error):
    assert calibrate("report", str(empty)) == 1
    assert "holds no finished run: there is no report.json in it" in error()
    assert calibrate("report", str(empty / "nowhere")) == 1
    assert "holds no finished run" in error()
    assert list(empty.iterdir()) == []


# Runs that fail


@pytest.mark.parametrize("n", [1, 99])
def test_too_few_events_have_status_one_and_their_number(empty: Path, error, n: int):
    assert calibrate("run", *PAIR, f"data.n={n}") == 1
    assert f"the training sample holds {n} usable events" in error()
    assert_unfinished(empty, "DataError")


def assert_unfinished(folder: Path, cause: str) -> None:
    """One run folder with the traceback in its log, and nothing that looks complete."""
    (log,) = folder.glob("outputs/*/*/*/run.log")
    text = log.read_text("utf-8")
    assert "Traceback (most recent call last)" in text
    assert cause in text
    assert [path.name for path in log.parent.iterdir()] == ["run.log"]
    assert calibrate("report", str(log.parent)) == 1


def thinned(path: Path, rows: slice = slice(None, None, 100)) -> h5py.File:
    """Some of the bundled events in a file of the same layout."""
    with h5py.File(Dijet().source()) as source, h5py.File(path, "w") as file:
        for name, column in source.items():
            file[name] = column[rows]
    return h5py.File(path, "r+")


def not_a_number(path: Path) -> None:
    with thinned(path) as file:
        file["reco1_pt"][3] = np.nan


def weightless(path: Path) -> None:
    with thinned(path) as file:
        file["weight"][:] = 0.0


def one_event(path: Path) -> None:
    thinned(path, slice(0, 1)).close()


def without_a_column(path: Path) -> None:
    with thinned(path) as file:
        file.move("gen2_phi", "gen2_ph")


def half_a_file(path: Path) -> None:
    content = Dijet().source().read_bytes()
    path.write_bytes(content[: len(content) // 2])


def text_file(path: Path) -> None:
    path.write_text("these are no events\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (not_a_number, "column 'reco1_pt' holds 1 values of 1600 that are not finite"),
        (weightless, "all 1600 weights are zero"),
        (one_event, ""),
        (without_a_column, "has no column 'gen2_phi': did you mean gen2_ph"),
        (half_a_file, "cannot be read as HDF5 dijets"),
        (text_file, "cannot be read as HDF5 dijets"),
        (Path.mkdir, "a folder; an HDF5 file with dijets is needed"),
        (lambda path: None, "no such file"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_file_that_cannot_be_used_has_status_one(empty: Path, error, damage, message: str):
    damage(empty / "events.h5")
    assert calibrate("run", "method=none", "data=dijet", "data.path=events.h5") == 1
    assert message in error()
    assert_unfinished(empty, "DataError")


def test_an_output_below_a_file_has_status_one(empty: Path, error):
    (empty / "file").write_text("kept")
    assert calibrate("run", *QUICK, "output=file/x") == 1
    assert "cannot create the run folder file/x" in error()
    assert (empty / "file").read_text() == "kept"
    assert [path.name for path in empty.iterdir()] == ["file"]


def test_numbers_that_overflow_have_status_one(empty: Path, error):
    assert calibrate("run", *PAIR, "data.n=150", "data.mu=1e308", "data.sigma=1e308") == 1
    assert "not finite" in error()
    assert_unfinished(empty, "DataError")


# Sweeps


def test_a_sweep_leaves_a_run_for_every_combination(tmp_path: Path):
    done = subprocess_of("run", "-m", *QUICK, "data.mu=0,1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    documents = [json.loads(path.read_text("utf-8")) for path in reports(tmp_path)]
    assert len({path.parent for path in reports(tmp_path)}) == 2
    assert {command["run"]["command"].split("data.mu=")[1] for command in documents} == {"0", "1"}
    *_, verdict, page = done.stdout.splitlines()
    assert verdict.startswith("2 jobs: 2 done in ")
    assert (tmp_path / page).is_file()


def test_a_sweep_over_methods_specialises_each_of_them(tmp_path: Path):
    options = [item for item in QUICK if not item.startswith("method=")]
    done = subprocess_of("run", "-m", *options, "method=mse,none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [OmegaConf.load(path.parent / "config.yaml") for path in reports(tmp_path)]
    degrees = {
        config.method._target_.split(".")[-1]: config.method.get("degree") for config in found
    }
    assert degrees == {"MSE": 1, "Uncalibrated": None}


# Interruptions, concurrency


def test_an_interrupted_run_has_status_one_and_no_report(tmp_path: Path):
    overrides = (*PAIR, "method.degree=null", "method.epochs=100000")
    with subprocess.Popen(
        [*COMMAND, "run", *overrides],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background job ignores SIGINT, and hands that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while not list(tmp_path.glob("outputs/*/*/*/run.log")):
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        _, written = process.communicate()
    assert process.returncode == 1
    assert "interrupted" in one_line(written.strip())
    (log,) = tmp_path.glob("outputs/*/*/*/run.log")
    assert "interrupted" in log.read_text("utf-8")
    assert [path.name for path in log.parent.iterdir()] == ["run.log"]


def test_runs_that_start_together_get_folders_of_their_own(tmp_path: Path):
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: create_run_folder(tmp_path, "d", "m"), range(200)))
    assert len(set(folders)) == 200
    assert all(folder.is_dir() for folder in folders)
    assert len({folder.name.rpartition("_")[0] for folder in folders}) < 200


def test_the_installed_command_is_this_one(tmp_path: Path):
    (entry,) = (e for e in entry_points(group="console_scripts") if e.name == "calibrate")
    assert entry.value == "calibrate.cli.main:main"
    done = subprocess_of("run", *PAIR, "data.sigma=-1", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert one_line(done.stderr) == "calibrate: error: data.sigma must be positive, got -1"


# Help and completion


def test_help_names_commands_groups_and_choices(capsys):
    assert calibrate("--help") == 0
    assert {"run", "report"} <= set(capsys.readouterr().out.split())
    assert calibrate("run", "--help") == 0
    text = capsys.readouterr().out
    for group in ("data", "method", "experiment", "evaluator"):
        assert f"{group}=\n" in text
        assert all(f"  {name} " in text for name in choices(group))
    assert "report.figures=true" in text
    assert calibrate("report", "-h") == 0
    assert "RUN" in capsys.readouterr().out


def test_help_lists_the_options_of_a_choice(capsys):
    assert calibrate("run", "data=gaussian", "method=mse", "--help") == 0
    text = capsys.readouterr().out
    assert "Options of data=gaussian:" in text
    assert "data.sigma=1.0" in text
    assert "method.degree=null" in text


def test_cfg_prints_the_configuration_and_runs_nothing(empty: Path, capsys):
    assert calibrate("run", *PAIR, "data.mu=2.5", "--cfg") == 0
    content = OmegaConf.create(capsys.readouterr().out)
    assert content.data.mu == 2.5
    assert content.method.degree == 1
    assert list(empty.iterdir()) == []


def completed(incomplete: str, *given: str) -> list[str]:
    command = cli.commands["run"]
    context = click.Context(command)
    context.params["overrides"] = given
    return [item.value for item in complete_override(context, command.params[0], incomplete)]


@pytest.mark.parametrize(
    ("incomplete", "given", "expected"),
    [
        ("met", (), ["method="]),
        ("method=g", (), ["method=gaussian_ansatz"]),
        ("data=", (), [f"data={name}" for name in choices("data")]),
        ("sweep.d", (), ["sweep.dir=", "sweep.detach="]),
        ("hydra/launcher=l", (), ["hydra/launcher=local"]),
        ("data.s", ("data=gaussian",), ["data.sigma=", "data.sigma_test="]),
        ("data.s", (), []),
        ("method.deg", ("data=gaussian", "method=mse"), ["method.degree="]),
        ("exp", (), ["experiment="]),
        ("experiment=fig", (), [f"experiment=fig{n}" for n in FIGURES]),
        ("se", (), ["seed="]),
        ("zzz", (), []),
    ],
)
def test_overrides_are_completed(incomplete: str, given: tuple[str, ...], expected: list[str]):
    assert completed(incomplete, *given) == expected


def test_the_shell_completes_with_what_was_typed_before(tmp_path: Path):
    words = "calibrate run data=gaussian data.s"
    asked = {"_CALIBRATE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "3"}
    code = "from calibrate.cli.main import cli; cli(prog_name='calibrate')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["plain,data.sigma=", "plain,data.sigma_test="]


def test_finished_runs_are_completed_newest_first(empty: Path):
    for name in ("2026-01-01_00-00-00_aaaaaa", "2026-01-02_00-00-00_bbbbbb"):
        folder = empty / "outputs" / "gaussian" / "mse" / name
        folder.mkdir(parents=True)
        (folder / "report.json").write_text("{}")
    (empty / "outputs" / "gaussian" / "mse" / "unfinished").mkdir()
    command = cli.commands["report"]
    items = complete_run_folder(click.Context(command), command.params[0], "outputs/g")
    assert [Path(item.value).name[:10] for item in items] == ["2026-01-02", "2026-01-01"]
