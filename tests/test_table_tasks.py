"""data=table with a file of data: simulation and data as pairs, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from calibrate.cli.main import guarded
from calibrate.cli.run import run
from calibrate.context import Context
from calibrate.data.table import Table
from calibrate.errors import CalibrateError, ConfigurationError, DataError
from calibrate.methods.ot import OptimalTransport
from calibrate.sample import Sample, concatenate
from calibrate.task import TransportTask
from tests.test_table_data import Columns, jets, only_line
from tests.test_tables import WRITERS, csv, parquet, written

N = 1000


def measured(n: int = N, seed: int = 7, scale: float = 1.05) -> Columns:
    """Jets as data has them: without truth, and with another response."""
    columns = jets(n, seed)
    return {
        **{k: v for k, v in columns.items() if k not in ("gen", "weight")},
        "pt": scale * columns["pt"],
    }


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return parquet(tmp_path / "sim", jets()), parquet(tmp_path / "data", measured())


def posed(simulation: Path, data: Path | list[str], **options: object) -> TransportTask:
    given = str(data) if isinstance(data, Path) else data
    needed = {"x": ["pt"], "z": ["gen"], "target_path": given}
    return Table(path=str(simulation), **{**needed, **options}).transport(Context(seed=1))


def whole(task: TransportTask, side: str) -> Sample:
    """Both halves of simulation or data, in the order of x."""
    halves = [getattr(pair, side) for pair in (task.train, task.tests["nominal"])]
    both = concatenate(halves)
    return both.take(np.argsort(both.x[:, 0], kind="stable"))


# What is read


@pytest.mark.parametrize("kind", WRITERS)
def test_data_has_the_features_of_the_simulation_and_no_truth(kind: str, tmp_path: Path):
    (tmp_path / "sim").mkdir()
    (tmp_path / "data").mkdir()
    paths = (
        written(kind, tmp_path / "sim", jets()),
        written(kind, tmp_path / "data", measured()),
    )
    task = posed(*paths, x=["pt", "abs(eta)"], w="weight", units={"pt": "GeV"}, spectators="eta")
    data, simulation = whole(task, "data"), whole(task, "simulation")
    expected = measured()
    order = np.argsort(expected["pt"], kind="stable")
    np.testing.assert_array_equal(data.x[:, 0], expected["pt"][order])
    np.testing.assert_array_equal(data.x[:, 1], np.abs(expected["eta"])[order])
    assert data.z_columns == ()
    assert not data.spectators
    assert [c.label for c in data.x_columns] == ["pt [GeV]", "abs(eta)"]
    assert set(data.w) == {1.0}
    assert "every row of data.target_path has weight 1 (data.target_w names a weight)" in task.notes
    np.testing.assert_array_equal(np.sort(simulation.z[:, 0]), np.sort(jets()["gen"]))
    assert set(task.files) == {str(path) for path in paths}


def test_both_sides_are_split_by_the_fraction(files: tuple[Path, Path]):
    task = posed(*files, train_fraction=0.25, group="event")
    for side in ("simulation", "data"):
        train, test = getattr(task.train, side), getattr(task.tests["nominal"], side)
        assert len(train) + len(test) == N
        assert train.groups.number == round(0.25 * whole(task, side).groups.number)
        assert not np.isin(train.group, test.group).any()


def test_the_split_of_a_side_does_not_depend_on_the_other(files, tmp_path: Path):
    other = parquet(tmp_path / "other", measured(2 * N, 9))
    first, second = posed(*files), posed(files[0], other)
    np.testing.assert_array_equal(first.train.simulation.x, second.train.simulation.x)


def test_data_has_its_own_weight_scale_and_selection(tmp_path: Path):
    columns = measured() | {"sweight": np.linspace(0.5, 1.5, N)}
    one, other = parquet(tmp_path / "a", columns), parquet(tmp_path / "b", columns)
    simulation = parquet(tmp_path / "sim", jets())
    data = whole(
        posed(
            simulation, [str(one), str(other)], select="gen > 120", target_select="eta > 0",
            target_w="sweight", target_scale=[1.0, 3.0],
        ),
        "data",
    )  # fmt: skip
    kept = columns["eta"] > 0
    w = columns["sweight"][kept]
    np.testing.assert_allclose(np.sort(data.w), np.sort(np.concatenate([w, 3 * w])))


def test_the_selection_holds_for_data_where_it_has_none_of_its_own(files: tuple[Path, Path]):
    task = posed(*files, select="pt > 120")
    data = whole(task, "data")
    assert "data.target_path is selected as the simulation: pt > 120" in task.notes
    assert (data.x > 120).all()
    assert 0 < len(data) < N


def test_trees_and_headers_of_data_are_its_own(tmp_path: Path):
    simulation = csv(tmp_path / "sim.csv", jets())
    np.savetxt(tmp_path / "data.txt", np.column_stack([measured()["eta"], measured()["pt"]]))
    task = posed(simulation, tmp_path / "data.txt", target_names=["eta", "pt"])
    np.testing.assert_allclose(whole(task, "data").x[:, 0], np.sort(measured()["pt"]))


def test_no_truth_is_needed_where_the_method_needs_none(files: tuple[Path, Path]):
    task = posed(*files, z=())
    assert task.train.simulation.z.shape == (N // 2, 0)
    moved = OptimalTransport().fit(task, Context()).transport(task.train.simulation.x, np.empty(0))
    assert np.mean(moved) == pytest.approx(np.mean(task.train.data.x), rel=0.01)


def test_a_feature_is_positive_where_it_is_so_on_both_sides(files, tmp_path: Path):
    task = posed(*files)
    assert all(s.x_columns[0].positive for s in (task.train.simulation, task.train.data))
    assert any("their response is the ratio x/z" in note for note in task.notes)
    noise = parquet(tmp_path / "noise", measured(scale=-1.0))
    assert not posed(files[0], noise).train.data.x_columns[0].positive


def test_rows_of_data_that_are_not_finite_are_refused_or_dropped(files, tmp_path: Path):
    columns = measured()
    columns["pt"][:3] = np.nan
    broken = parquet(tmp_path / "broken", columns)
    message = r"data\.target_path: 3 of 1000 rows are not finite \(pt: 3\): repair"
    with pytest.raises(DataError, match=message):
        posed(files[0], broken)
    task = posed(files[0], broken, missing="drop")
    assert len(whole(task, "data")) == N - 3
    assert "data.target_path: 3 of 1000 rows are not finite (pt: 3): left out" in task.notes


# Further tests


def test_further_tests_are_pairs(files, tmp_path: Path):
    simulation, data = (
        parquet(tmp_path / "s2", jets(N, 3)),
        parquet(tmp_path / "d2", measured(N, 4)),
    )
    task = posed(*files, tests={"high": str(simulation)}, target_tests={"high": str(data)})
    assert list(task.tests) == ["nominal", "high"]
    np.testing.assert_array_equal(task.tests["high"].simulation.z[:, 0], jets(N, 3)["gen"])
    np.testing.assert_array_equal(task.tests["high"].data.x[:, 0], measured(N, 4)["pt"])
    assert len(task.files) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tests": {"a": "b"}}, r"'a' has no files in data\.target_tests: write 'data\.target_te"),
        ({"target_tests": {"a": "b"}}, r"'a' has no files in data\.tests: write 'data\.tests="),
        ({"tests": {"a": "b"}, "target_tests": {"c": "d"}}, "'a' has no files in data.target_t"),
    ],
)  # fmt: skip
def test_a_test_without_its_partner_is_refused(files, options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        posed(*files, **options)


def test_one_file_on_both_sides_is_warned_of(files, tmp_path: Path):
    simulation = files[0]
    (warning,) = posed(simulation, simulation).warnings
    assert warning == "data.target_path reads sim, which holds the training events of data.path"
    again = {"tests": {"b": str(files[0])}, "target_tests": {"b": str(files[1])}}
    texts = posed(*files, **again).warnings
    assert [text.split()[0] for text in texts] == ["data.tests.b", "data.target_tests.b"]


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_path": 3}, "data.target_path takes a text or a list of them, got 3"),
        ({"target_path": "a", "target_w": 1}, "data.target_w takes one text, got 1"),
        ({"target_path": "a", "target_scale": 2.0}, "each of data.target_path, which are 1: got 2"),
        ({"target_path": "a", "target_scale": ["a"]}, "each of data.target_scale must be a finite"),
        ({"target_path": "a", "target_tests": {"nominal": "b"}}, "'nominal' is what the training"),
        ({"target_path": "a", "target_tests": "b"}, "data.target_tests takes pairs, such as"),
        ({"target_w": "w"}, "data.target_w is about the files of data: name them with data.target"),
        ({"target_tests": {"a": "b"}}, "data.target_tests is about the files of data"),
    ],
)
def test_wrong_options_of_data_are_named(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        Table(path="a.root", x="pt", z="gen", **options)


def renamed(columns: Columns) -> Columns:
    return {("ptt" if name == "pt" else name): values for name, values in columns.items()}


def only(number: int) -> Callable[[Columns], Columns]:
    return lambda columns: {name: values[:number] for name, values in columns.items()}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (renamed, {}, r"data: no column 'pt': did you mean ptt"),
        (renamed, {"x": ["log(pt)"]}, r"data: no column 'pt' \(in 'log\(pt\)'\): did you mean ptt"),
        (dict, {"group": "lumi"}, r"sim: no column 'lumi'"),
        (dict, {"target_w": "weight"}, r"data: no column 'weight': "),
        (dict, {"select": "gen > 110"},
         r"data, data.target_select \(by default data.select\): no column 'gen' \(in 'gen > 1"),
        (dict, {"target_select": "pt < 0"}, "data.target_select='pt < 0' keeps no row of 1000 ent"),
        (dict, {"target_select": "pt"}, "data.target_select='pt' gives numbers, not true or false"),
        (only(0), {}, "no row in 0 entries of data: choose another file"),
        (only(1), {}, "data.target_path: 1 usable rows of 1 entries read: at least 100 are needed"),
        (dict, {"target_w": "0*pt"}, "data.target_path: all 1000 weights are zero: check the w"),
        (dict, {"positive": ["eta"], "x": ["eta"]}, "data.path: column 'eta' is positive by n"),
    ],
)  # fmt: skip
def test_files_of_data_that_cannot_be_used_are_named(
    change: Callable[[Columns], Columns],
    options: Mapping[str, object],
    message: str,
    tmp_path: Path,
):
    simulation = parquet(tmp_path / "sim", jets())
    data = parquet(tmp_path / "data", change(measured()))
    with pytest.raises(DataError, match=message):
        posed(simulation, data, **options)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (measured(scale=1000.0), {}, "do not overlap|disjoint"),
        (measured() | {"w": np.where(np.arange(N) % 5, 1.0, -0.1)}, {"target_w": "w"}, "negative"),
    ],
)
def test_data_that_nothing_can_be_carried_to_is_refused(
    columns: Columns, options: Mapping[str, object], message: str, tmp_path: Path
):
    simulation, data = parquet(tmp_path / "sim", jets()), parquet(tmp_path / "data", columns)
    with pytest.raises(CalibrateError, match=message):
        OptimalTransport().fit(posed(simulation, data, **options), Context())


# The command


def command(*overrides: str) -> int:
    given = ["data=table", "report.figures=false", "evaluator.transport.refits=2"]
    return guarded(lambda: run([*given, *overrides]))


def test_a_run_without_truth_leaves_a_report(files, tmp_path: Path, capsys):
    status = command(
        "method=ot", f"data.path={files[0]}", f"data.target_path={files[1]}", "data.x=pt",
        "data.w=weight", f"output={tmp_path}/out",
    )  # fmt: skip
    assert status == 0, capsys.readouterr().err
    (report,) = (tmp_path / "out").glob("*/*/*/report.json")
    content = json.loads(report.read_text("utf-8"))
    assert {"transport/nominal/mean", "none:transport/nominal/ks"} <= set(content["metrics"])
    assert set(content["run"]["data_sha256"]) == {str(path) for path in files}


@pytest.mark.parametrize(
    ("overrides", "status", "message"),
    [
        ((), 2, r"data\.target_path=…"),
        (("data.target_pth=b",), 2, "no option 'data.target_pth': did you mean target_path"),
        (("data.target_path=nowhere",), 1, "no file .*nowhere"),
        (
            ("data.target_path=nowhere/*.root",),
            1,
            r"data.target_path=nowhere/\*.root matches no fi",
        ),
    ],
)
def test_a_mistake_is_one_line(overrides, status: int, message: str, files, tmp_path, capsys):
    needed = ("method=ot", f"data.path={files[0]}", "data.x=[pt]", f"output={tmp_path}/out")
    assert command(*needed, *overrides) == status
    line = only_line(capsys)
    assert re.search(message, line), line
    assert status == 1 or not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["root", "hdf5", "parquet", "npz", "gzip"])
def test_a_truncated_file_of_data_is_one_line(kind: str, files, tmp_path: Path, capsys):
    path = written(kind, tmp_path, measured())
    with path.open("rb+") as opened:
        opened.truncate(path.stat().st_size * 2 // 3)
    options = ("method=ot", f"data.path={files[0]}", "data.x=[pt]", f"output={tmp_path}/out")
    assert command(*options, f"data.target_path={path}") == 1
    assert "may be truncated or damaged: fetch or write it again" in only_line(capsys)


def test_a_method_that_needs_truth_says_so(files, tmp_path: Path, capsys):
    options = ("method=response_transport", "method.anchor=spectrum", "data.x=[pt]")
    paths = (f"data.path={files[0]}", f"data.target_path={files[1]}", f"output={tmp_path}/out")
    assert command(*options, *paths) == 2
    assert "the one truth that it measures, got ['pt'] and []" in only_line(capsys)
