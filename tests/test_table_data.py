"""data=table: the user's files as a task, and what is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from calibrate.cli.main import guarded
from calibrate.cli.run import run
from calibrate.context import Context
from calibrate.data.table import Table
from calibrate.errors import CalibrateError, ConfigurationError, DataError
from calibrate.sample import Sample, concatenate
from calibrate.task import RegressionTask
from tests.test_tables import TEXTS, WRITERS, csv, hdf5, npz, parquet, root, written

Columns = dict[str, np.ndarray]
N = 1000
BASIC = {"x": ["pt"], "z": ["gen"]}


def jets(n: int = N, seed: int = 1) -> Columns:
    rng = np.random.default_rng(seed)
    gen = 100 * (1 + rng.pareto(6.0, n))
    return {
        "pt": 0.9 * gen * (1 + 0.1 * rng.normal(size=n)),
        "gen": gen,
        "eta": rng.normal(size=n),
        "weight": rng.uniform(0.5, 1.5, n),
        "run": rng.integers(1, 4, n),
        "event": 2**53 + 1 + rng.integers(0, n // 2, n),
        "tight": rng.integers(0, 2, n).astype(bool),
    }


def task_of(path: Path | list[str], **options: object) -> RegressionTask:
    given = str(path) if isinstance(path, Path) else path
    return Table(path=given, **{**BASIC, **options}).regression(Context(seed=1))


def everything(task: RegressionTask) -> Sample:
    """Both halves, in the order of x: a split shuffles nothing but parts the rows."""
    both = concatenate([task.train, task.tests["nominal"]])
    return both.take(np.argsort(both.x[:, 0], kind="stable"))


def ordered(columns: Columns, *names: str) -> list[np.ndarray]:
    order = np.argsort(columns["pt"], kind="stable")
    return [columns[name][order] for name in names]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return parquet(tmp_path / "a.parquet", jets())


# What is read


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_task(kind: str, tmp_path: Path):
    columns = jets()
    options = {
        "x": ["pt", "log(pt)"], "w": "weight*2", "spectators": ["eta"],
        "group": ["run", "event"], "units": {"pt": "GeV", "gen": "GeV"},
    }  # fmt: skip
    task = task_of(written(kind, tmp_path, columns), **options)
    sample = everything(task)
    pt, gen, weight, eta = ordered(columns, "pt", "gen", "weight", "eta")
    np.testing.assert_array_equal(sample.x, np.column_stack([pt, np.log(pt)]))
    np.testing.assert_array_equal(sample.z[:, 0], gen)
    np.testing.assert_array_equal(sample.w, 2 * weight)
    np.testing.assert_array_equal(sample.spectators["eta"], eta)
    assert [c.label for c in sample.x_columns] == ["pt [GeV]", "log(pt)"]
    assert [c.positive for c in (*sample.x_columns, *sample.z_columns)] == [True, False, True]
    assert task.uncalibrated == ("pt",)


@pytest.mark.parametrize("kind", WRITERS)
def test_rows_of_one_run_and_event_stay_together(kind: str, tmp_path: Path):
    columns = jets()
    task = task_of(written(kind, tmp_path, columns), group=["run", "event"])
    run_, event = ordered(columns, "run", "event")
    names = np.array([f"{r}:{e}" for r, e in zip(run_, event, strict=True)])
    expected = np.unique(names, return_inverse=True)[1]
    found = everything(task).group
    assert np.unique(found).size == np.unique(expected).size
    assert np.unique(np.column_stack([found, expected]), axis=0).shape[0] == np.unique(found).size
    assert not np.isin(task.train.group, task.tests["nominal"].group).any()


def test_event_numbers_that_differ_beyond_double_precision_are_two_events(tmp_path: Path):
    columns = jets()
    columns["event"] = 2**53 + np.arange(N)
    assert everything(task_of(parquet(tmp_path / "a", columns), group="event")).groups.number == N


def test_a_selection_keeps_the_rows_for_which_it_holds(file: Path):
    columns = jets()
    select = "(abs(eta) < 1) & tight & (100 < gen < 150)"
    sample = everything(task_of(file, select=select))
    pt, gen, eta, tight = ordered(columns, "pt", "gen", "eta", "tight")
    kept = (np.abs(eta) < 1) & tight & (gen > 100) & (gen < 150)
    np.testing.assert_array_equal(sample.x[:, 0], pt[kept])


def test_single_texts_stand_for_lists(file: Path):
    one, other = task_of(file, x="pt", z="gen"), task_of([str(file)])
    np.testing.assert_array_equal(one.train.x, other.train.x)


def test_a_column_named_like_a_role_is_not_mistaken_for_it(tmp_path: Path):
    columns = jets()
    columns["group 0"] = np.arange(N, dtype=float)
    path = parquet(tmp_path / "a", columns)
    task = task_of(path, x=["pt", "weight"], w="eta**2", spectators=["group 0"], group="run")
    sample = everything(task)
    weight, eta, number = ordered(columns, "weight", "eta", "group 0")
    np.testing.assert_array_equal(sample.x[:, 1], weight)
    np.testing.assert_array_equal(sample.w, eta**2)
    np.testing.assert_array_equal(sample.spectators["group 0"], number)


COUNTS = np.random.default_rng(5).integers(0, 4, N)


def collections(path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """Jets of events, in ROOT or Parquet; the jets' pT and the events' numbers."""
    columns = jets(int(COUNTS.sum()))
    pt, gen = (ak.unflatten(columns[name], COUNTS) for name in ("pt", "gen"))
    flat = {
        "weight": np.linspace(0.5, 1.5, N),
        "event": np.arange(N) + 2**53,
        "number": np.arange(N),
    }
    if path.suffix == ".root":
        with uproot.recreate(path) as file:
            types = {
                "Jet": "var * {pt: float64, gen: float64}",
                "weight": "f8",
                "event": "i8",
                "number": "i8",
            }
            tree = file.mktree("Events", types)
            for part in (slice(0, 400), slice(400, N)):
                both = ak.zip({"pt": pt[part], "gen": gen[part]})
                tree.extend({"Jet": both, **{k: v[part] for k, v in flat.items()}})
    else:
        lists = {"Jet_pt": pa.array(pt.to_list()), "Jet_gen": pa.array(gen.to_list())}
        pq.write_table(pa.table({**lists, **flat}), path, row_group_size=300)
    return path, columns["pt"], np.repeat(np.arange(N), COUNTS)


JETS = {
    "x": ["Jet_pt"],
    "z": ["Jet_gen"],
    "w": "weight",
    "spectators": ["number"],
}


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
@pytest.mark.parametrize("group", [None, "event"])
def test_objects_of_an_entry_are_rows_of_one_group(suffix: str, group: str | None, tmp_path: Path):
    path, pt, entry = collections(tmp_path / f"a{suffix}")
    sample = everything(task_of(path, **JETS, group=group))
    order = np.argsort(pt, kind="stable")
    np.testing.assert_array_equal(sample.x[:, 0], pt[order])
    np.testing.assert_array_equal(sample.w, np.linspace(0.5, 1.5, N)[entry[order]])
    np.testing.assert_array_equal(sample.group, np.unique(entry, return_inverse=True)[1][order])
    np.testing.assert_array_equal(next(iter(sample.spectators.values())), entry[order])


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
def test_a_selection_may_mix_objects_and_entries(suffix: str, tmp_path: Path):
    path, pt, entry = collections(tmp_path / f"a{suffix}")
    sample = everything(task_of(path, **JETS, select="(Jet_pt > 110) & (weight < 1)"))
    kept = (pt > 110) & (np.linspace(0.5, 1.5, N)[entry] < 1)
    np.testing.assert_array_equal(sample.x[:, 0], np.sort(pt[kept]))


@pytest.mark.parametrize("limit", [300, 399, 400, 401, 999, 1000, 5000])
def test_max_events_counts_entries(limit: int, tmp_path: Path):
    path, pt, entry = collections(tmp_path / "a.root")
    sample = everything(task_of(path, **JETS, max_events=limit))
    np.testing.assert_array_equal(sample.x[:, 0], np.sort(pt[entry < limit]))


def test_objects_of_two_files_are_other_events(tmp_path: Path):
    path, _, entry = collections(tmp_path / "a.root")
    sample = everything(task_of([str(path), str(path)], **JETS))
    assert np.unique(sample.group).size == 2 * np.unique(entry).size


def test_every_file_has_its_own_scale(tmp_path: Path):
    parts = [jets(N, seed) for seed in (1, 2, 3)]
    for name, part in zip("abc", parts, strict=True):
        parquet(tmp_path / f"{name}.parquet", part)
    patterns = [str(tmp_path / "[ab].parquet"), str(tmp_path / "c.parquet")]
    sample = everything(task_of(patterns, scale=[2.0, 0.5], w="weight"))
    together = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
    factor = np.repeat([2.0, 2.0, 0.5], N)
    order = np.argsort(together["pt"], kind="stable")
    np.testing.assert_array_equal(sample.w, (together["weight"] * factor)[order])


def test_formats_may_be_mixed_and_max_events_goes_over_files(tmp_path: Path):
    one = root(tmp_path / "a.root", jets(N, 1))
    other = csv(tmp_path / "b.csv", jets(N, 2))
    sample = everything(task_of([str(one), str(other)], max_events=N + 10))
    expected = np.concatenate([jets(N, 1)["pt"], jets(N, 2)["pt"][:10]])
    np.testing.assert_array_equal(sample.x[:, 0], np.sort(expected))


def test_further_test_samples_have_their_files(tmp_path: Path):
    path, other = (hdf5(tmp_path / name, jets(N, seed)) for seed, name in enumerate(("a", "b")))
    task = task_of(path, tests={"pileup": str(other)}, w="weight")
    assert list(task.tests) == ["nominal", "pileup"]
    np.testing.assert_array_equal(task.tests["pileup"].x[:, 0], jets(N, 1)["pt"])
    np.testing.assert_array_equal(task.tests["pileup"].w, jets(N, 1)["weight"])
    assert set(task.files) == {str(path), str(other)}
    assert all(len(digest) == 64 for digest in task.files.values())


def test_the_split_follows_the_seed_and_the_fraction(file: Path):
    table = Table(path=str(file), **BASIC, train_fraction=0.25)
    first, same, other = (table.regression(Context(seed=s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.train.x, same.train.x)
    assert not np.array_equal(first.train.x, other.train.x)
    assert len(first.train) == N // 4
    assert len(first.tests["nominal"]) == N - N // 4


# What is positive


def test_truth_and_its_measurement_are_positive_where_all_values_are(tmp_path: Path):
    columns = jets()
    path = parquet(tmp_path / "a", columns)
    task = task_of(path, x=["pt", "weight"])
    assert [c.positive for c in task.train.x_columns] == [True, False]
    assert any("judged by the response" in note for note in task.notes)
    assert not task_of(path, x=["eta"]).train.z_columns[0].positive
    assert not task_of(path, positive=[]).train.z_columns[0].positive
    assert task_of(path, positive="gen").train.z_columns[0].positive


def test_a_test_sample_has_a_say_in_what_is_positive(tmp_path: Path):
    columns = jets()
    columns["pt"][0] = -1.0
    path, other = parquet(tmp_path / "a", jets()), parquet(tmp_path / "b", columns)
    task = task_of(path, tests={"noise": str(other)})
    assert not task.train.x_columns[0].positive
    with pytest.raises(DataError, match="column 'pt' is positive by nature, but 1 values"):
        task_of(path, tests={"noise": str(other)}, positive=["pt", "gen"])


# Values that cannot be used


def broken_columns() -> Columns:
    columns = jets()
    columns["pt"][[3, 4]] = np.nan
    columns["gen"][4] = np.inf
    columns["weight"][9] = -np.inf
    return columns


@pytest.mark.parametrize("kind", WRITERS)
def test_values_that_are_not_finite_are_counted_and_refused(kind: str, tmp_path: Path):
    path = written(kind, tmp_path, broken_columns())
    message = r"3 of 1000 rows are not finite \(pt: 2, gen: 1, weight: 1\): repair .*missing=drop"
    with pytest.raises(DataError, match=message):
        task_of(path, w="weight")


@pytest.mark.parametrize("kind", WRITERS)
def test_values_that_are_not_finite_are_left_out_by_option(kind: str, tmp_path: Path):
    task = task_of(written(kind, tmp_path, broken_columns()), w="weight", missing="drop")
    assert len(everything(task)) == N - 3
    assert "3 of 1000 rows are not finite (pt: 2, gen: 1, weight: 1): left out" in task.notes


def test_what_is_selected_away_need_not_be_finite(tmp_path: Path):
    path = parquet(tmp_path / "a", broken_columns())
    assert len(everything(task_of(path, select="isfinite(pt) & isfinite(gen)"))) == N - 2


def test_a_group_must_be_known(tmp_path: Path):
    columns = jets()
    columns["run"] = columns["run"].astype(float)
    columns["run"][7] = np.nan
    with pytest.raises(DataError, match=r"1 of 1000 rows are not finite \(run: 1\)"):
        task_of(parquet(tmp_path / "a", columns), group=["run", "event"])


def test_nothing_but_missing_values_is_refused(tmp_path: Path):
    path = parquet(tmp_path / "a", jets() | {"pt": np.full(N, np.nan)})
    with pytest.raises(DataError, match=r"1000 of 1000 rows are not finite .*: nothing is left"):
        task_of(path, missing="drop")


def test_negative_weights_are_events_and_zero_ones_are_none(tmp_path: Path):
    columns = jets()
    columns["weight"][::5] = -0.1
    path = parquet(tmp_path / "a", columns)
    np.testing.assert_array_equal(
        np.sort(everything(task_of(path, w="weight")).w), np.sort(columns["weight"])
    )
    with pytest.raises(DataError, match="all 1000 weights are zero: check the weight column"):
        task_of(path, w="0*weight")


def test_lines_without_all_fields_are_counted(tmp_path: Path):
    path = csv(tmp_path / "a.csv", jets())
    path.write_text(path.read_text() + "1,2\n3\n1,2,3,4,5,6,7,8\n")
    task = task_of(path)
    assert "3 lines with missing or surplus fields left out" in task.notes
    assert len(everything(task)) == N


# What is refused


def renamed(columns: Columns) -> Columns:
    return {("ptt" if name == "pt" else name): values for name, values in columns.items()}


def texts(columns: Columns) -> Columns:
    return columns | {"pt": np.full(N, "many")}


@pytest.mark.parametrize("writer", [parquet, hdf5, npz, root, csv])
def test_two_files_with_different_columns_are_told_apart(writer: Callable, tmp_path: Path):
    one = writer(tmp_path / "one.npz", jets())
    other = writer(tmp_path / "other.npz", renamed(jets()))
    with pytest.raises(
        DataError, match=r"other\.npz: no column 'pt'( \(in .*\))?: did you mean ptt"
    ):
        task_of([str(one), str(other)])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"x": ["ptt"]}, DataError, r"a\.parquet: no column 'ptt': did you mean pt"),
        ({"x": ["log(ptt)"]}, DataError, r"no column 'ptt' \(in 'log\(ptt\)'\): did you mean pt"),
        ({"w": "__import__('os').system('x')"}, ConfigurationError, "nothing is evaluated as Pyt"),
        ({"select": "pt +"}, ConfigurationError, r"'pt \+' is no arithmetic expression"),
        ({"select": "pt"}, DataError, "gives numbers, not true or false: compare them"),
        ({"select": "pt > 20 & eta < 1"}, ConfigurationError, "with parentheses around each"),
        ({"select": "pt < 0"}, DataError, "data.select='pt < 0' keeps no row of 1000 entries of a"),
        ({"tree": "Events"}, None, ""),
    ],
)
def test_wrong_expressions_are_named(options, error, message: str, file: Path):
    if error is None:
        assert task_of(file, **options)
        return
    with pytest.raises(error, match=message):
        task_of(file, **options)


def test_files_that_are_not_there_are_named(tmp_path: Path, file: Path):
    with pytest.raises(DataError, match=r"data.path=.*/\*.root matches no file in .*: correct"):
        task_of([str(tmp_path / "*.root")])
    with pytest.raises(DataError, match=r"data.tests.b=.*/b\* matches no file"):
        task_of(file, tests={"b": str(tmp_path / "b*")})
    with pytest.raises(DataError, match=r"no file .*nowhere"):
        task_of(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"is a folder: name its files"):
        task_of(tmp_path)


def test_a_name_with_signs_of_a_glob_is_a_name_where_it_exists(tmp_path: Path):
    path = parquet(tmp_path / "a[1].parquet", jets())
    assert len(everything(task_of(path))) == N


@pytest.mark.parametrize("kind", TEXTS)
def test_a_file_without_rows_is_named(kind: str, tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("pt,gen\n")
    with pytest.raises(DataError, match=r"no row in 0 entries of a\.csv: choose another file"):
        task_of(path)
    path.write_text("pt,gen\n1\n2\n")
    with pytest.raises(DataError, match=r"a\.csv \(2 lines have missing or surplus fields\)"):
        task_of(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": []}, "data.path is empty: write data.path=…"),
        ({"path": None}, "data.path takes a text or a list of them, got None"),
        ({"x": []}, "data.x is empty"),
        ({"x": 3}, "data.x takes a text or a list of them, got 3"),
        ({"x": [3]}, r"data.x takes a text or a list of them, got \[3\]"),
        ({"z": [""]}, r"data.z takes a text or a list of them, got \[''\]"),
        ({"x": ["pt", "pt"]}, "'pt' stands twice"),
        ({"x": ["pt"], "z": ["pt"]}, "'pt' stands twice"),
        ({"w": 2}, "data.w takes one text, got 2"),
        ({"w": ["a"]}, r"data.w takes one text, got \['a'\]"),
        ({"select": True}, "data.select takes one text, got True"),
        ({"tree": 1}, "data.tree takes one text, got 1"),
        ({"group": 1}, "data.group takes a text or a list"),
        ({"names": {"a": 1}}, "data.names takes a text or a list"),
        ({"positive": True}, "data.positive takes a text or a list"),
        ({"positive": ["ptt"]}, "no 'ptt': did you mean pt"),
        ({"units": {"ptt": "GeV"}}, "no 'ptt': did you mean pt"),
        ({"units": "GeV"}, r"data.units takes pairs, such as 'data.units=\{jet_pt: GeV\}', got 'G"),
        ({"tests": "b.root"}, r"data.tests takes pairs, such as 'data.tests=\{pileup: b.root\}'"),
        ({"tests": {1: "b.root"}}, "data.tests takes pairs"),
        ({"tests": {"nominal": "b.root"}}, "'nominal' is what the training leaves"),
        ({"tests": {"b": []}}, "data.tests.b names no file"),
        ({"tests": {"b": 1}}, "data.tests.b takes a text or a list of them, got 1"),
        ({"missing": "ignore"}, "data.missing='ignore': available: drop, refuse"),
        ({"max_events": 0}, "data.max_events must be a positive integer, got 0"),
        ({"max_events": "many"}, "data.max_events must be a positive integer, got 'many'"),
        ({"train_fraction": 1}, "data.train_fraction must be < 1, got 1"),
        ({"train_fraction": 0}, "data.train_fraction must be positive, got 0"),
        ({"scale": 2}, "data.scale takes a list of one factor for each of data.path, .* 1: got 2"),
        ({"scale": [1, 2]}, r"one factor for each of data.path, which are 1: got \[1, 2\]"),
        ({"scale": ["a"]}, "each of data.scale must be a finite number, got 'a'"),
        ({"uncalibrated": "eta"}, "data.uncalibrated: no 'eta' in data.x"),
        ({"z": ["gen", "mass"]}, "needs one of data.x that measures it"),
        ({"x": ["pt", "eta"], "uncalibrated": ["pt", "eta"]}, "needs one of data.x that measures"),
    ],
)
def test_wrong_options_are_named(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        Table(**{"path": "a.root", **BASIC, **options})


def test_every_option_is_documented_by_name():
    text = str(Table.__doc__)
    assert [
        f.name for f in fields(Table) if f"`{f.name}`" not in text and f"`{f.name}=" not in text
    ] == []


# The command


def command(*overrides: str) -> int:
    return guarded(lambda: run(["data=table", "method=mse", "report.figures=false", *overrides]))


def only_line(capsys) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("calibrate: error: ")
    assert "unexpected" not in line.replace("Unexpected end of stream", "")
    return line


def test_a_run_on_a_table_leaves_a_report(tmp_path: Path, capsys):
    path, other = (
        parquet(tmp_path / f"{name}.parquet", jets(4000, seed)) for seed, name in enumerate("ab")
    )
    status = command(
        f"data.path={path}", 'data.x=["log(pt)",pt,eta]', "data.z=gen", "data.uncalibrated=pt",
        "data.units={pt: GeV, gen: GeV}", f"data.tests={{pileup: {other}}}", "data.w=weight",
        'data.select="(gen > 100) & (abs(eta) < 2)"', "data.group=[run,event]",
        f"output={tmp_path}/out",
    )  # fmt: skip
    assert status == 0, capsys.readouterr().err
    (report,) = (tmp_path / "out").glob("*/*/*/report.json")
    content = json.loads(report.read_text("utf-8"))
    assert {"closure/nominal/mean", "closure/pileup/mean"} <= set(content["metrics"])
    assert set(content["run"]["data_sha256"]) == {str(path), str(other)}


@pytest.mark.parametrize(
    ("overrides", "status", "message"),
    [
        ((), 2, r"data=table needs data.path=… \(a file, .*\), data.x=… \(features: .*\)"),
        (("data.z=[]",), 2, "data.z is empty: write data.z=…, the truth to be estimated"),
        (("data.x=[pt]", "data.z=gen"), 2, "data=table needs data.path=… .*them.$"),
        (("data.x=[log(pt)]",), 2, r"""an expression needs .* such as 'data.x=\["log\(pt\)"\]'"""),
        (("data.x=log(pt)",), 2, r"""such as 'data.x="log\(pt\)"'"""),
        (("data.x=[log(pt),eta]",), 2, r"""such as 'data.x=\["log\(pt\)",eta\]'"""),
        (("data.select=pt > 20",), 2, """such as 'data.select="pt > 20"'"""),
        (("data.w=__import__('os').system('x')",), 2, "cannot read data.w=.*double quotes"),
        (("data.w=\"__import__('os').system('x')\"",), 2, "nothing is evaluated as Python"),
        (("data.x=[ptt]",), 1, "no column 'ptt': did you mean pt"),
        (("data.path=nowhere/*.root",), 1, "data.path=.* matches no file"),
        (("data.path=.",), 1, "is a folder: name its files"),
        (('data.select="pt < 0"',), 1, "keeps no row of 1000 entries"),
        (("data.max_events=50",), 1, "50 usable rows of 50 entries read: at least 100 are"),
    ],
)
def test_a_mistake_is_one_line(overrides, status: int, message: str, file: Path, tmp_path, capsys):
    needed = {"data.path": f"data.path={file}", "data.x": "data.x=[pt]", "data.z": "data.z=gen"}
    keys = {item.split("=", 1)[0] for item in overrides}
    partial = not overrides or overrides == ("data.x=[pt]", "data.z=gen")
    given = [] if partial else [text for key, text in needed.items() if key not in keys]
    assert command(*given, *overrides, f"output={tmp_path}/out") == status
    line = only_line(capsys)
    assert re.search(message, line), line


@pytest.mark.parametrize("kind", ["root", "hdf5", "parquet", "npz", "gzip"])
def test_a_truncated_file_is_one_line(kind: str, tmp_path: Path, capsys):
    path = written(kind, tmp_path, jets())
    with path.open("rb+") as opened:
        opened.truncate(path.stat().st_size * 2 // 3)
    overrides = (f"data.path={path}", "data.x=[pt]", "data.z=gen", f"output={tmp_path}/out")
    assert command(*overrides) == 1
    assert "may be truncated or damaged: fetch or write it again" in only_line(capsys)


def test_the_libraries_of_tables_are_loaded_with_a_table_only(tmp_path: Path):
    code = (
        "import sys\nfrom calibrate.cli.main import cli\n"
        "cli.main(sys.argv[1:], standalone_mode=False)\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    options = ["run", "data=gaussian", "data.n=200", "method=mse", "report.figures=false"]
    done = subprocess.run(
        [sys.executable, "-c", code, *options], cwd=tmp_path, capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert {"uproot", "awkward", "pyarrow", "pandas"} & set(done.stdout.split()) == set()


# Real files


def test_jets_of_nanoaod_are_calibrated(shared_data: Path):
    task = task_of(
        shared_data / "nano_tt_v12.root", x=["Jet_pt", "Jet_eta"], z=["Jet_mass"], w="genWeight",
        select="(Jet_pt > 20) & (abs(Jet_eta) < 2.5)", group=["run", "luminosityBlock", "event"],
    )  # fmt: skip
    assert (everything(task).x[:, 0] > 20).all()
    assert not np.isin(task.train.group, task.tests["nominal"].group).any()


def test_jets_of_delphes_have_dotted_names(shared_data: Path):
    files = str(shared_data / "delphes_dijet/cms/*.root")
    with uproot.open(shared_data / "delphes_dijet/cms/delphes_cms_bin1.root") as file:
        jets_found = file["Delphes"]["Jet.PT"].array()
    task = task_of([files], x=["Jet.PT", "Jet.Eta"], z=["Jet.Mass"], max_events=1000)
    expected = np.sort(np.asarray(ak.flatten(jets_found[:1000])))
    np.testing.assert_array_equal(everything(task).x[:, 0], expected)


def test_the_dijets_of_another_program_are_a_table(shared_data: Path):
    path = shared_data / "delphes_dijet/cms/delphes_dijet_cms.h5"
    task = task_of(path, x=["mjj_reco"], z=["mjj_true"], w="weight")
    with h5py.File(path) as file:
        truth = np.sort(file["mjj_true"][()])
    np.testing.assert_array_equal(np.sort(everything(task).z[:, 0]), truth)


def test_the_higgs_challenge_is_read_packed(shared_data: Path):
    names = {"x": ["PRI_tau_pt"], "z": ["DER_mass_vis"], "w": "Weight"}
    sample = everything(task_of(shared_data / "higgsml_15000.csv.gz", **names))
    assert len(sample) == 15_000
    assert (sample.w > 0).all()


def test_an_error_is_always_one_of_ours(tmp_path: Path):
    """Whatever stands in a file that is called a table."""
    rng = np.random.default_rng(7)
    for number, head in enumerate(
        [b"root", b"\x89HDF\r\n\x1a\n", b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"pt"]
    ):
        path = tmp_path / str(number)
        path.write_bytes(head + rng.bytes(3000))
        with pytest.raises(CalibrateError) as caught:
            task_of(path)
        assert str(path.name) in str(caught.value)
