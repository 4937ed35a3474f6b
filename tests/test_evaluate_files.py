"""Closure of many files in parts: the numbers of a single pass, with memory that does not grow."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from calibrate.cli.main import cli, guarded
from calibrate.context import Context
from calibrate.errors import DataError
from calibrate.estimate import Calibration
from calibrate.evaluators.closure import Closure
from calibrate.evaluators.parts import StoredPart
from calibrate.evaluators.shared_groups import refuse_shared_groups
from calibrate.methods.ensemble import Ensemble
from calibrate.methods.mse import MSE
from calibrate.methods.none import Uncalibrated
from calibrate.records import Findings
from calibrate.sample import Column, Sample, concatenate
from calibrate.statistics import Poisson, long_sums, on_disk, summarise, weighted_quantile
from calibrate.statistics.long_summary import Run, summarise_on_disk
from calibrate.statistics.long_sums import ExactSums, InterpolatedSums, known_rows
from calibrate.statistics.on_disk import RowsOnDisk, Space
from calibrate.statistics.prefix import SortedPowers
from calibrate.sweep.job import DONE
from calibrate.sweep.ledger import Ledger
from calibrate.task import RegressionTask

FILES, N = 7, 600
EXACT = 1e-12
ERRORS = ("density_error", "below_error", "above_error")
"""Errors that are no bootstrap anywhere."""
FROM_ERRORS = ("chi2_per_bin", "noise", "stochastic", "constant")
"""Numbers that follow from bootstrap errors in the single pass."""

# Parts against the whole


def sample(seed: int, kind: str) -> Sample:
    """Jets of one file: `unit` weights, `pairs` of jets with weights, `negative` weights, or
    `differences`, of a truth that is not positive by nature."""
    rng = np.random.default_rng(seed)
    n = N + 40 * seed
    gen, eta = 60 * np.exp(rng.normal(0, 0.4, n)), rng.uniform(-2.5, 2.5, n)
    reco = 0.9 * gen * rng.normal(1, 0.04 + 0.02 * np.abs(eta))
    reco[: n // 50] *= 0.5
    w = {"unit": np.ones(n), "negative": rng.choice([1.0, 1.0, 1.0, -0.5], n)}
    positive = kind != "differences"
    return Sample(
        np.column_stack([reco, eta]),
        gen,
        w.get(kind, rng.random(n)),
        (Column("jet_pt", "GeV", positive), Column("jet_eta")),
        (Column("gen_pt", "GeV", positive),),
        10**6 * seed + np.arange(n) // (2 if kind == "pairs" else 1),
        {"vertices": rng.uniform(0, 50, n)},
    )


def refitted(task: RegressionTask) -> tuple[Calibration, tuple[Calibration, ...]]:
    """A fit, and three to a third of the events each."""
    thirds = [replace(task, train=task.train.take(slice(i, None, 3))) for i in range(3)]
    fits = tuple(MSE(degree=2).fit(each, Context()) for each in (task, *thirds))
    return fits[0], fits[1:]


def both(kind: str, folder: Path, cuts: tuple[int, ...]) -> tuple[Findings, Findings]:
    """Findings of a single pass, and of the same events in parts of so many files each."""
    samples = [sample(seed, kind) for seed in range(FILES)]
    whole = concatenate(samples)
    whole = whole.take(np.random.default_rng(7).permutation(len(whole)))
    task = RegressionTask(whole, {"nominal": whole}, ("jet_pt",))
    train = RegressionTask(sample(99, kind), {"nominal": sample(98, kind)}, ("jet_pt",))
    fits: dict[str, Calibration] = {
        "mse": MSE(degree=2).fit(train, Context()),
        "none": Uncalibrated().fit(train, Context()),
        "refitted": Ensemble(*refitted(train)),
    }
    closure = Closure(by={"abs(jet_eta)": [0, 1, 2.5], "vertices": 2}, bins=6)
    parts = []
    ends = np.cumsum(cuts)
    for number, (start, stop) in enumerate(zip([0, *ends], ends, strict=False)):
        where = folder / str(number)
        where.mkdir()
        part = concatenate(samples[start:stop])
        StoredPart.written(where, number, part, fits, closure.columns)
        parts.append(StoredPart.at(where))
    scratch = folder / "scratch"
    scratch.mkdir()
    merged = closure.merged(parts, fits, Context(), scratch)
    assert list(scratch.iterdir()) == []
    return closure(fits, task, lambda other: fits["mse"], Context()), merged


@pytest.mark.parametrize(
    ("kind", "cuts"),
    [("unit", (1,) * 7), ("pairs", (3, 3, 1)), ("negative", (2, 5)), ("differences", (1,) * 7)],
)
def test_merged_parts_are_the_single_pass(
    kind: str, cuts: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In whatever order the events of the single pass are, and where not all are asked for the
    error of the calibration."""
    monkeypatch.setattr("calibrate.evaluators.shared_error.SHARED_EVENTS", 100)
    one, parts = both(kind, tmp_path, cuts)
    for method, scalars in one.scalars.items():
        assert scalars.keys() == parts.scalars[method].keys()
        for name, quantity in scalars.items():
            if name.rpartition("/")[2] not in FROM_ERRORS:
                found = parts.scalars[method][name]
                assert found.value == pytest.approx(quantity.value, rel=EXACT, abs=EXACT), name
                assert found.unit == quantity.unit
                assert (found.error is None) == (quantity.error is None)
    assert [type(r) for r in parts.records] == [type(r) for r in one.records]
    for a, b in zip(one.records, parts.records, strict=True):
        for each in fields(a):
            if each.name in ERRORS or not each.name.endswith("_error"):
                same(getattr(a, each.name), getattr(b, each.name), f"{type(a)} {each.name}")
    assert {k: v.keys() for k, v in one.tables.items()} == {
        k: v.keys() for k, v in parts.tables.items()
    }


def same(one: object, other: object, what: str) -> None:
    if isinstance(one, str | bool):
        assert one == other, what
    elif "ResolutionFit" not in what:
        np.testing.assert_allclose(other, one, rtol=EXACT, atol=EXACT, err_msg=what)


def test_errors_agree_within_their_own_errors(tmp_path: Path):
    """100 replicas tell an error to 7 %; on average over bins and methods to 2 %."""
    one, parts = both("pairs", tmp_path, (1,) * 7)
    ratios: dict[str, list[float]] = {}
    for a, b in zip(one.records, parts.records, strict=True):
        for each in fields(a):
            if each.name.endswith("_error") and np.ndim(getattr(a, each.name)):
                error, other = getattr(a, each.name), getattr(b, each.name)
                known = np.isfinite(error) & np.isfinite(other) & (error > 0)
                ratios.setdefault(each.name, []).extend(np.log(other[known] / error[known]))
    for name in ("mean_error", "median_error", "std_error", "iqr_error", "mode_error", "fit_error"):
        assert abs(np.mean(ratios[name])) < 0.1, name
        assert np.std(ratios[name]) < 0.45, name


# Rows on disk


@pytest.fixture
def runs(tmp_path: Path) -> Callable[..., tuple[RowsOnDisk, list[Run], np.ndarray]]:
    """Rows in three runs, with ties, and all of them: values, weights, bins."""

    def make(bins: int = 3) -> tuple[RowsOnDisk, list[Run], np.ndarray]:
        rng = np.random.default_rng(0)
        made, everything, space, start = [], [], Space.of(tmp_path / "runs", 1401), 0
        for k, n in enumerate((500, 1, 900)):
            u, w = rng.normal(size=n).round(2), rng.random(n)
            index = rng.integers(-1, bins + 1, n)
            sequence = np.random.SeedSequence(k)
            groups = Sample(np.ones((n, 1)), np.ones(n), w, (Column("x"),), (Column("z"),)).groups
            made.append(Run.sorted(space, start, u, w, index, bins,
                                   lambda g=groups, s=sequence: Poisson(g, 50, s)))  # fmt: skip
            start += n
            everything.append([u, w, index])
        rows = RowsOnDisk.merged(tmp_path / "all", [run.rows for run in made])
        return rows, made, np.concatenate(everything, axis=1)

    return make


@pytest.mark.parametrize("at_once", [50, 10**6])
def test_rows_are_put_together_in_order(runs, monkeypatch: pytest.MonkeyPatch, at_once: int):
    monkeypatch.setattr(on_disk, "AT_ONCE", at_once)
    rows, _, (u, w, index) = runs()
    for b in range(3):
        order = np.argsort(u[index == b], kind="stable")
        values, weights = rows.bin(b)
        np.testing.assert_array_equal(values, u[index == b][order])
        assert weights.sum() == pytest.approx(w[index == b].sum(), rel=1e-14)


@pytest.mark.parametrize("at_once", [50, 10**6])
def test_quantiles_on_disk_are_the_weighted_ones(runs, monkeypatch, at_once: int):
    monkeypatch.setattr(on_disk, "AT_ONCE", at_once)
    rows, _, (u, w, index) = runs(bins=1)
    here, levels = index == 0, [1e-4, 0.1587, 0.5, 0.9, 1.0]
    np.testing.assert_array_equal(
        rows.quantile(levels), weighted_quantile(u[here], w[here], levels)
    )


def test_sums_that_are_known_everywhere_need_no_interpolation(runs):
    rows, _, _ = runs()
    exact = SortedPowers.of(np.asarray(rows.values), np.asarray(rows.w))
    rng = np.random.default_rng(1)
    counts = rng.poisson(1, (rows.values.size, 5)).astype(np.uint8)
    sums, every = exact.sums(counts), np.arange(rows.values.size + 1)
    found = InterpolatedSums(rows.values, every, np.swapaxes(sums.before(every), 0, 1))
    where, replica = rng.integers(0, every.size, 40), rng.integers(0, 5, 40)
    np.testing.assert_allclose(found.before(where), sums.before(where), rtol=1e-12)
    np.testing.assert_allclose(found.at(where, replica), sums.at(where, replica), rtol=1e-12)
    target = rng.random((20, 5)) * sums.before(every[-1:])[0]
    np.testing.assert_array_equal(found.row_reaching(target), sums.row_reaching(target))


def test_sums_between_known_rows_are_exact(runs):
    rows, _, _ = runs()
    sums = SortedPowers.of(np.asarray(rows.values), np.asarray(rows.w)).once()
    found = ExactSums.of(rows, known_rows(rows)[1])
    assert found.known.size < rows.values.size
    where = np.arange(rows.values.size + 1)
    np.testing.assert_allclose(found.before(where), sums.before(where), rtol=1e-12, atol=1e-12)
    target = np.linspace(0.01, 0.99, 50)[:, None] * sums.before(where[-1:])[0]
    np.testing.assert_array_equal(found.row_reaching(target), sums.row_reaching(target))


def test_a_summary_on_disk_is_the_one_in_memory(runs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(long_sums, "IN_ALL", 100)
    rows, made, (u, w, index) = runs()
    groups = Sample(np.ones((u.size, 1)), np.ones(u.size), w, (Column("x"),), (Column("z"),)).groups
    poisson = Poisson(groups, 50, np.random.SeedSequence(9))
    memory = summarise(u, w, index.astype(np.int64), 3, poisson, mode=True)
    disk = summarise_on_disk(rows, made, 50, 0.0, negative=False, mode=True)
    for name in ("mean", "std", "median", "iqr", "mode", "fit"):
        np.testing.assert_allclose(getattr(disk, name), getattr(memory, name), rtol=1e-12)
        ratio = getattr(disk, f"{name}_error") / getattr(memory, f"{name}_error")
        assert np.all((ratio > 0.5) & (ratio < 2)), name


def test_groups_in_two_parts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("calibrate.evaluators.shared_groups.AT_ONCE", 10)
    keys = np.sort(np.random.default_rng(0).integers(0, 2**64, 60, dtype=np.uint64))
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for path, mine in zip(paths, (keys[::2], keys[1::2]), strict=True):
        np.save(path, mine)
    refuse_shared_groups(paths)
    np.save(paths[1], np.sort(np.append(keys[1::2], keys[[0, 40]])))
    with pytest.raises(DataError, match="2 events"):
        refuse_shared_groups(paths)


# The command

COLUMNS = ("data=table", "data.x=[pt,eta]", "data.z=gen", "data.w=w")
QUICK = ("evaluator=[closure]", "report.figures=false", "evaluator.closure.replicas=20")
BASIC = "hydra/launcher=basic"


NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


def write(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gen = np.exp(rng.normal(5, 0.4, 500 + seed))
    with h5py.File(path, "w") as file:
        file["gen"], file["pt"] = gen, 0.9 * gen * rng.normal(1, 0.05, gen.size)
        file["eta"], file["w"] = rng.uniform(-2, 2, gen.size), rng.uniform(0.5, 1.5, gen.size)
        file["event"] = np.arange(gen.size) // 2
        file["run"] = np.full(gen.size, seed)


def calibrate(*arguments: str) -> int:
    return guarded(lambda: cli.main(list(arguments), "calibrate", standalone_mode=False))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A finished run, and seven other files in `in`."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for i in range(FILES):
        write(Path("in") / f"{i}.h5", i)
    write(Path("train.h5"), 100)
    options = ("method=mse", "method.degree=2", "data.path=train.h5", "output=first")
    assert calibrate("run", *COLUMNS, *QUICK, *options) == 0
    return str(next(Path("first").glob("table/mse/*")))


def evaluated(run: str, *more: str, path: str = "in/*.h5") -> int:
    options = (*COLUMNS, *QUICK, f"data.path={path}", "sweep.dir=jobs", "output=many", BASIC)
    return calibrate("evaluate", "-m", run, *options, *more)


def last(output: str) -> dict:
    path = max(Path(output).glob("table/mse/*/report.json"), key=lambda p: p.stat().st_mtime_ns)
    return json.loads(path.read_text("utf-8"))


def test_the_merged_report_is_that_of_the_single_pass(run):
    slices = "evaluator.closure.by={|eta|: [0,1,2]}"
    column = ("method=column", "method.z=pt/0.9", "method.sigma=w")
    assert evaluated(run, slices, *column) == 0
    options = (*COLUMNS, *QUICK, "data.path=in/*.h5", "output=one", slices, *column)
    assert calibrate("evaluate", run, *options) == 0
    many, one = last("many"), last("one")
    assert many["metrics"].keys() == one["metrics"].keys()
    for name, found in one["metrics"].items():
        if not name.endswith(FROM_ERRORS):
            assert many["metrics"][name]["value"] == pytest.approx(found["value"], rel=EXACT), name
    assert many["tables"].keys() == one["tables"].keys()
    assert many["run"]["data_sha256"] == one["run"]["data_sha256"]
    assert many["run"]["compare_with"] == one["run"]["compare_with"] == ["column", "none"]
    assert many["run"]["command"].startswith("calibrate evaluate -m")
    assert set(one["notes"]) <= set(many["notes"])


def test_the_calibrations_own_error_is_that_of_the_single_pass(
    run, monkeypatch: pytest.MonkeyPatch
):
    """Of replicas, and where not all events are asked for it."""
    monkeypatch.setattr("calibrate.evaluators.shared_error.SHARED_EVENTS", 50)
    options = ("method=mse", "method.degree=2", "data.path=train.h5", "output=refitted")
    assert calibrate("run", *COLUMNS, *QUICK, *options, "replicas=3") == 0
    replicated = str(next(Path("refitted").glob("table/mse/*")))
    assert evaluated(replicated) == 0
    single = (*COLUMNS, *QUICK, "data.path=in/*.h5", "output=one")
    assert calibrate("evaluate", replicated, *single) == 0
    found, expected = (own_errors(last(output)) for output in ("many", "one"))
    assert found == pytest.approx(expected, rel=EXACT)
    assert min(expected) > 0


def own_errors(document: dict) -> list[float]:
    """The column of the table of closure."""
    table = document["tables"]["closure/nominal"]
    return [row[table["columns"].index("calibration_error")] for row in table["rows"]]


def test_chunks_do_not_change_the_numbers_and_finished_ones_are_kept(run, capsys):
    assert evaluated(run, "sweep.files=3") == 0
    first = last("many")["metrics"]["closure/nominal/median"]
    capsys.readouterr()
    assert evaluated(run, "sweep.files=3") == 0
    assert "3 jobs, 0 to be done" in capsys.readouterr().out
    assert last("many")["metrics"]["closure/nominal/median"] == first
    assert evaluated(run, "sweep.dir=other") == 0
    found = last("many")["metrics"]["closure/nominal/median"]
    assert found["value"] == pytest.approx(first["value"], rel=EXACT)


def test_a_broken_file_leaves_no_report_until_it_is_asked_for(run, capsys):
    Path("in/5.h5").write_bytes(b"")
    assert evaluated(run) == 1
    told = capsys.readouterr()
    assert "5.h5 is empty" in told.err
    assert "7 jobs: 6 done, 1 failed" in told.out
    assert "calibrate sweep collect jobs makes it" in told.out
    assert not Path("many").exists()
    assert calibrate("sweep", "collect", "jobs") == 0
    assert (
        "not in this report, since their jobs are not done: in/5.h5" in last("many")["warnings"][0]
    )
    write(Path("in/5.h5"), 5)
    assert calibrate("sweep", "retry", "jobs") == 0
    assert not any("not in this report" in text for text in last("many")["warnings"])


def test_a_run_that_is_gone_stops_the_others(run, capsys):
    assert evaluated(run) == 0
    with Ledger(Path("jobs")) as ledger:
        ledger.again(DONE)
    Path(run, "fitted.h5").unlink()
    capsys.readouterr()
    assert calibrate("sweep", "retry", "jobs") == 1
    told = capsys.readouterr()
    assert f"{FILES} jobs: {FILES - 1} planned, 1 failed" in told.out
    assert "no further job is started: no " in told.err


def test_an_interrupted_evaluation_goes_on(run, monkeypatch: pytest.MonkeyPatch, capsys):
    real, calls = StoredPart.written, []

    def interrupted(*given: object) -> StoredPart:
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(StoredPart, "written", interrupted)
    assert evaluated(run) == 1
    assert "2 of 7 jobs are done" in capsys.readouterr().err
    assert evaluated(run) == 0
    assert len(calls) == FILES + 1


def test_a_changed_file_is_not_mixed_with_what_is_done(run, capsys):
    assert evaluated(run) == 0
    write(Path("in/1.h5"), 50)
    assert evaluated(run) == 1
    assert "in/1.h5 has changed since" in capsys.readouterr().err


def test_events_in_two_files_are_refused(run, capsys):
    assert evaluated(run, "data.group=event") == 1
    assert "253 events (data.group) are in files of more than one job" in capsys.readouterr().err
    assert evaluated(run, "data.group=[run,event]", "sweep.dir=other") == 0


def test_training_events_are_not_tested(run, capsys):
    assert evaluated(run, path="[in/0.h5,train.h5]") == 1
    assert "train.h5 holds events that the calibration was derived from" in capsys.readouterr().err


def test_files_that_differ_in_what_is_positive_are_refused(run, capsys):
    with h5py.File("in/2.h5", "a") as file:
        file["gen"][0] = -1.0
    assert evaluated(run) == 1
    assert "say what is positive by nature with data.positive" in capsys.readouterr().err
    assert evaluated(run, "data.positive=[]", "sweep.dir=other") == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["evaluator=[closure,spectra,curves]"], "spectra, curves cannot be merged from parts"),
        (["method=mse"], "method=mse would be fitted to each chunk"),
        (["data=gaussian"], "data=gaussian cannot be taken file by file"),
        (["sweep.files=0"], "sweep.files must be a positive integer"),
        (["replicas=3"], "replicas are refits"),
        pytest.param(["device=cuda"], "device=cuda, but torch finds no GPU here", marks=NO_GPU),
    ],
)
def test_what_cannot_be_done_in_parts_is_refused_before_any_job(run, capsys, more, message):
    given = [item for item in COLUMNS if "gaussian" not in str(more) or item == ""]
    options = (*given, *([] if "data=gaussian" in more else ["data.path=in/*.h5"]))
    quick = [item for item in QUICK if not more[0].startswith(item.partition("=")[0] + "=")]
    assert calibrate("evaluate", "-m", run, *options, *quick, *more, BASIC) == 2
    assert message in capsys.readouterr().err
    assert not Path("outputs/sweeps").exists()


@pytest.mark.parametrize("option", ["data.max_events=100", "data.tests={more: train.h5}"])
def test_options_over_all_files_are_refused(run, capsys, option):
    assert evaluated(run, option) == 1
    assert "is about all files together" in capsys.readouterr().err
