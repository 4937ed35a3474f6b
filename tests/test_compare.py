"""`calibrate compare`: finished runs of one dataset side by side."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from calibrate.cli.completion import complete_run_folder
from calibrate.cli.main import cli, guarded
from calibrate.errors import ConfigurationError, MisfitError
from calibrate.records import FitSummary, Outcome, Quantity
from calibrate.report.comparison.comparison import compare
from calibrate.report.comparison.labels import labelled
from calibrate.report.comparison.numbers import best, difference
from calibrate.report.comparison.page import figures_of, said
from calibrate.report.comparison.runs import INDEPENDENT, SAME, Run, differing, shown
from calibrate.report.files import read
from tests.test_html import Page, curve

TOY = ("data=gaussian", "data.n=300")
QUICK = ("report.figures=false", "evaluator=[closure]", "evaluator.closure.replicas=10")
TABLE = ("data=table", "data.x=[pt]", "data.z=gen")
MSE = ("method=mse", "method.degree=1")
RUNS = {
    "line": (*TOY, *QUICK, *MSE),
    "cubic": (*TOY, *QUICK, "method=mse", "method.degree=3"),
    "inversion": (*TOY, *QUICK, "method=numerical_inversion"),
    "seeded": (*TOY, *QUICK, *MSE, "seed=1"),
    "moved": (*TOY, *QUICK, *MSE, "data.mu=1"),
    "smeared": (*TOY, *QUICK, *MSE, "data.label_smearing=0.1", "data.train_events=200"),
    "coarse": (*TOY, *QUICK, *MSE, "evaluator.closure.bins=6"),
    "ot": (*TOY, "method=ot", "report.figures=false", "evaluator.transport.refits=2"),
    "a": (*TABLE, "data.path=a.h5", *QUICK, *MSE),
    "copied": (*TABLE, "data.path=copy.h5", *QUICK, *MSE),
    "other": (*TABLE, "data.path=b.h5", *QUICK, *MSE),
    "resplit": (*TABLE, "data.path=a.h5", *QUICK, *MSE, "seed=1"),
}


def calibrate(*arguments: str) -> int:
    return guarded(lambda: cli.main(list(arguments), "calibrate", standalone_mode=False))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with finished runs, each by its name."""
    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name, seed in (("a.h5", 0), ("b.h5", 1)):
            gen = np.exp(np.random.default_rng(seed).normal(5, 0.4, 3000))
            with h5py.File(name, "w") as file:
                file["gen"], file["pt"] = gen, 0.9 * gen * (1 + 0.05 * np.sin(1e3 * gen))
        shutil.copy("a.h5", "copy.h5")
        for name, options in RUNS.items():
            assert calibrate("run", *options, f"output={name}.d") == 0
            (run,) = Path(f"{name}.d").glob("*/*/*")
            run.rename(name)
    return place


@pytest.fixture
def runs(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the command runs in, beside copies of the finished runs."""
    for name in RUNS:
        shutil.copytree(finished / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compared(*arguments: str, figures: str = "--no-figures") -> dict:
    assert calibrate("compare", *arguments, "--output", "out", figures) == 0
    return json.loads(Path("out/comparison.json").read_text("utf-8"))


# What it leaves


def test_numbers_are_those_of_the_runs(runs: Path):
    found = compared("line", "inversion")
    assert (found["schema"], found["data"], found["task"]) == (1, "gaussian", "regression")
    assert [run["label"] for run in found["runs"]] == ["mse", "numerical_inversion"]
    for label, name in (("mse", "line"), ("numerical_inversion", "inversion")):
        report = json.loads(Path(name, "report.json").read_text("utf-8"))["metrics"]
        for metric, quantity in report.items():
            if ":" not in metric:
                shown_here = found["metrics"][metric][label]
                assert {key: shown_here[key] for key in quantity} == quantity


def test_differences_are_to_the_first_run_with_an_error_that_holds_for_any_correlation(runs):
    found = compared("line", "inversion")["metrics"]["closure/nominal/bias_slope"]
    first, second = found["mse"], found["numerical_inversion"]
    assert first["difference"] is None
    assert second["difference"]["value"] == second["value"] - first["value"]
    assert second["difference"]["error"] == second["error"] + first["error"]
    assert second["difference"]["error_is_bound"]
    assert second["best"]
    assert not first["best"]


def test_another_seed_of_a_toy_is_an_independent_sample(runs):
    found = compared("line", "seeded")
    assert [run["label"] for run in found["runs"]] == ["mse seed=0", "mse seed=1"]
    assert [run["samples"] for run in found["runs"]] == ["reference", "independent"]
    metric = found["metrics"]["closure/nominal/mean"]
    errors = [metric[label]["error"] for label in ("mse seed=0", "mse seed=1")]
    quoted = metric["mse seed=1"]["difference"]
    assert quoted["error"] == pytest.approx(math.hypot(*errors))
    assert not quoted["error_is_bound"]
    assert "none" not in metric
    assert any("other test events than mse seed=0's" in note for note in found["notes"])
    assert any("uncalibrated response is left out" in note for note in found["notes"])


def test_another_split_of_the_same_file_is_warned_of(runs):
    found = compared("a", "resplit")
    assert found["runs"][1]["samples"] == "overlapping"
    assert any("overlap in part" in text for text in found["warnings"])
    assert found["metrics"]["closure/nominal/mean"]["mse seed=1"]["difference"]["error_is_bound"]


def test_the_uncalibrated_response_stands_there_once(runs):
    found = compared("line", "inversion", "cubic")
    assert list(found["metrics"]["closure/nominal/mean"])[-1] == "none"
    assert [run["label"] for run in found["runs"]][-1] == "mse degree=3"
    page = Page(Path("out/comparison.html").read_text("utf-8"))
    assert page.texts["h1"] == ["3 runs", "gaussian"]


def test_only_options_that_differ_are_listed(runs):
    assert compared("line", "cubic")["differs"] == {
        "method.degree": {"mse degree=1": 1, "mse degree=3": 3}
    }


def test_another_training_sample_is_compared_on_the_same_events(runs):
    found = compared("line", "smeared")
    assert found["runs"][1]["samples"] == "same"
    assert set(found["differs"]) == {"data.label_smearing", "data.train_events"}


def test_options_of_a_method_are_compared_within_that_method(runs):
    found = compared("line", "cubic", "inversion")["differs"]
    assert found == {
        "method": {"mse degree=1": "mse", "mse degree=3": "mse",
                   "numerical_inversion": "numerical_inversion"},
        "method.degree": {"mse degree=1": 1, "mse degree=3": 3},
    }  # fmt: skip


def test_links_lead_to_the_reports_of_the_runs(runs):
    found = compared("line", "inversion")
    page = Page(Path("out/comparison.html").read_text("utf-8"))
    links = [Path("out", str(each["href"])) for each in page.attributes("a")]
    assert [link.resolve() for link in links] == [
        (runs / name / "report.html").resolve() for name in ("line", "inversion")
    ]
    assert all(Path("out", run["folder"], "report.json").is_file() for run in found["runs"])


def test_the_page_holds_figures_and_loads_nothing_from_elsewhere(runs):
    compared("a", "copied", figures="--figures")
    page = Page(Path("out/comparison.html").read_text("utf-8"))
    images = page.attributes("img")
    assert images
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in images)
    assert {path.suffix for path in Path("out/figures").iterdir()} == {".png", ".pdf"}


def test_runs_lie_over_each_other_in_one_figure(runs):
    given = [Run.of(Path(name), read(Path(name)), {}) for name in ("line", "cubic")]
    drawn = figures_of(compare(given, ["first", "second"]))
    gids = {line.get_gid() for axes in drawn["closure_nominal"].axes for line in axes.lines}
    assert {"first:mean", "second:mean", "none:mean"} <= gids
    assert not [key for key in drawn if key.startswith(("samples_", "training_"))]


def test_transports_are_compared_too(runs):
    shutil.copytree("ot", "again")
    found = compared("ot", "again", "--label", "a", "--label", "b")
    assert found["task"] == "transport"
    metric = found["metrics"]["transport/nominal/wasserstein"]
    assert metric["b"]["difference"]["value"] == 0
    assert set(metric) == {"a", "b", "none"}


def test_the_default_folder_is_new_each_time(runs, capsys):
    for _ in range(2):
        assert calibrate("compare", "line", "cubic", "--no-figures") == 0
    places = list(Path("outputs/comparisons/gaussian").iterdir())
    assert len(places) == 2
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] in {str(place / "comparison.html") for place in places}
    assert any(line.startswith("mse degree=3 ") for line in printed)


def test_what_is_not_of_one_definition_is_warned_of(runs, capsys):
    document = json.loads(Path("cubic/report.json").read_text("utf-8"))
    document["run"]["version"] = "9.9"
    document["warnings"] = ["mse: on the studied method", "none: on another", "on the data"]
    Path("cubic/report.json").write_text(json.dumps(document), "utf-8")
    found = compared("coarse", "cubic")["warnings"]
    assert any("evaluator.closure.bins" in text for text in found)
    assert any("different versions (mse degree=1 0.1.0, mse degree=3 9.9)" in t for t in found)
    assert "mse degree=3: on the studied method" in found
    assert "mse degree=3: on the data" in found
    assert not any("on another" in text for text in found)
    assert capsys.readouterr().err.count("warning: ") == len(found)


def test_a_file_elsewhere_is_the_same_dataset_by_its_content(runs):
    found = compared("a", "copied")
    assert found["runs"][1]["samples"] == "same"
    assert found["differs"]["data.path"] == {
        run["label"]: f"{name}.h5" for run, name in zip(found["runs"], ("a", "copy"), strict=True)
    }


def test_a_stored_calibration_is_told_apart_from_its_run(runs, finished: Path):
    shutil.copy(finished / "a.h5", "a.h5")
    options = (*TABLE, "data.path=a.h5", *QUICK, "output=evaluated")
    assert calibrate("evaluate", "a", *options) == 0
    (evaluated,) = map(str, Path("evaluated").glob("*/*/*"))
    found = compared("a", evaluated)
    assert found["differs"]["stored"] == {found["runs"][1]["label"]: "a"}
    assert found["metrics"]["closure/nominal/mean"][found["runs"][1]["label"]]["difference"][
        "value"
    ] == pytest.approx(0, abs=1e-12)


# What is refused


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "at least two runs, got 0"),
        (("line",), 2, "at least two runs, got 1"),
        (("line", "./line"), 2, "line is given twice"),
        (("line", "moved"), 2, "moved differs from line in data.mu=1 against 0"),
        (("line", "a"), 2, "a differs from line in data=table against gaussian"),
        (("a", "other"), 2, "other differs from a in the content of its files (sha256)"),
        (("line", "ot"), 2, "ot is a transport and line a regression"),
        (("line", "nowhere"), 1, "nowhere holds no finished run: there is no report.json"),
        (("line", "cubic", "--label", "x"), 2, "1 labels for 2 runs"),
        (("line", "cubic", "--label", "x", "--label", "x"), 2, "--label 'x' is given twice"),
        (("line", "cubic", "--label", "none", "--label", "x"), 2, "'none' cannot name a run"),
        (("line", "cubic", "--output", "line"), 1, "cannot create the folder line: File exists"),
    ],
)
def test_a_mistake_is_answered_in_one_line(runs, capsys, arguments, status: int, message: str):
    assert calibrate("compare", *arguments) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("report.json", "{", "cubic holds a damaged run"),
        ("report.json", "[]", "cubic holds a damaged run"),
        ("report.json", None, "cubic holds no finished run"),
        ("findings.h5", "text", "findings.h5 cannot be read"),
        ("findings.h5", None, "no file cubic/findings.h5"),
        ("config.yaml", "seed: [", "cubic holds a damaged configuration"),
        ("config.yaml", None, "cubic holds a damaged run"),
    ],
)
def test_a_damaged_run_is_named(runs, capsys, file: str, content: str | None, message: str):
    place = Path("cubic", file)
    place.unlink()
    if content is not None:
        place.write_text(content, "utf-8")
    assert calibrate("compare", "line", "cubic") == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_run_without_numbers_to_compare_is_refused(runs):
    outcome = Outcome(("none",), {"none": {}}, {"none": {}}, (), {}, (), (), {}, "")
    bare = [Run(Path(name), outcome, {}) for name in ("a", "b")]
    with pytest.raises(MisfitError, match="neither closure, uncertainty"):
        compare(bare)


def test_uncertainties_alone_can_be_compared():
    numbers = {"mse": {"uncertainty/nominal/rmse": Quantity(1.0, 0.1)}}
    summaries = {"mse": FitSummary()}
    outcome = Outcome(("mse",), numbers, {"mse": {}}, (), summaries, (), (), {}, "")
    found = compare([Run(Path(name), outcome, {"seed": seed}) for seed, name in enumerate("ab")])
    assert [list(each) for each in found.outcome.metrics.values()] == [
        ["uncertainty/nominal/rmse"]
    ] * 2


def test_a_comparison_is_no_run_to_complete(runs):
    assert calibrate("compare", "line", "cubic", "--no-figures") == 0
    assert [item.value for item in complete_run_folder(None, None, "out")] == ["out"]  # type: ignore[arg-type]


# The parts


def outcome(**values: Quantity) -> Outcome:
    """Methods with one metric each, on a relative truth."""
    return Outcome(
        methods=tuple(values),
        metrics={m: {"closure/nominal/mean": q, "resolution/nominal/std": q,
                     "closure/nominal/chi2_per_bin": Quantity(q.value)}
                 for m, q in values.items()},
        tables={m: {} for m in values},
        records=(curve("a", (0.0,)),),
        summaries={m: FitSummary() for m in values},
        notes=(), warnings=(), run={}, configuration="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "expected"), [(SAME, {"a", "b"}), (INDEPENDENT, {"a"})], ids=[SAME, INDEPENDENT]
)
def test_the_best_is_nearest_to_the_reference_as_far_as_errors_tell(samples, expected):
    """1.001 and 1.0045, errors 0.001: apart by 3.5, the bound is 4 and the quadrature 2.8."""
    found = outcome(a=Quantity(1.001, 0.001), b=Quantity(1.0045, 0.001), c=Quantity(0.9, 0.001))
    related = {"a": "reference", "b": samples, "c": samples}
    assert best("closure/nominal/mean", found, "abc", related) == expected


def test_runs_of_another_seed_may_share_their_events_with_each_other():
    """Both are independent of the first: between them only the bound is certain."""
    found = outcome(a=Quantity(0.9, 0.001), b=Quantity(1.001, 0.001), c=Quantity(1.0045, 0.001))
    related = {"a": "reference", "b": INDEPENDENT, "c": INDEPENDENT}
    assert best("closure/nominal/mean", found, "abc", related) == {"b", "c"}


@pytest.mark.parametrize("name", ["resolution/nominal/std", "closure/nominal/chi2_per_bin"])
def test_there_is_no_best_where_it_means_nothing(name: str):
    found = outcome(a=Quantity(1.0, 0.001), b=Quantity(2.0, 0.001))
    assert best(name, found, "ab", {"a": "reference", "b": SAME}) == set()


def test_nothing_is_the_best_if_all_are():
    found = outcome(a=Quantity(1.0, 0.01), b=Quantity(1.001, 0.01))
    assert best("closure/nominal/mean", found, "ab", {"a": "reference", "b": SAME}) == set()


def test_the_bound_holds_for_every_correlation():
    """Two means of correlated numbers: their difference scatters by at most the sum of errors."""
    rng = np.random.default_rng(0)
    for correlation in (-1.0, -0.5, 0.0, 0.9):
        both = rng.multivariate_normal([0, 0], [[1, 2 * correlation], [2 * correlation, 4]], 4000)
        bound = difference(Quantity(0.0, 1.0), Quantity(0.0, 2.0), SAME)
        assert np.std(both[:, 0] - both[:, 1]) < 1.03 * bound.error


def test_each_truth_column_has_its_own_reference():
    found = outcome(a=Quantity(0.0, 0.01), b=Quantity(1.0, 0.01))
    relative, absolute = (replace(curve("a", (0.0,)), z_name=n, relative=n == "p") for n in "pq")
    metrics = {m: {f"closure/nominal.{n}/mean": found.metrics[m]["closure/nominal/mean"]
                   for n in "pq"} for m in "ab"}  # fmt: skip
    found = replace(found, records=(relative, absolute), metrics=metrics)
    related = {"a": "reference", "b": SAME}
    assert best("closure/nominal.p/mean", found, "ab", related) == {"b"}
    assert best("closure/nominal.q/mean", found, "ab", related) == {"a"}


def test_a_verdict_has_no_difference():
    assert difference(Quantity("universal"), Quantity("cannot tell"), SAME) is None


@pytest.mark.parametrize(
    ("first", "second", "samples", "text"),
    [
        (Quantity(1.0, 0.01), Quantity(1.05, 0.01), SAME, "+0.050 (≥ 2.5 σ)"),
        (Quantity(1.0, 0.03), Quantity(0.9, 0.04), INDEPENDENT, "-0.100 (2.0 σ)"),
        (Quantity(1.0, 1e-5), Quantity(2.0, 1e-5), SAME, "+1.000000 (> 100 σ)"),
        (Quantity(1.0, 0.01), Quantity(1.0, 0.01), SAME, ""),
        (Quantity(1.0), Quantity(2.0), SAME, ""),
    ],
)
def test_a_difference_is_told_with_its_significance(first, second, samples, text):
    assert said(difference(second, first, samples)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), ([50, 50], "[50,50]"), (0.001, "0.001"), (1.0, "1"),
     (0.123456789, "0.123456789"), ("relu", "relu")],
)  # fmt: skip
def test_options_are_written_as_on_the_command_line(value, text: str):
    assert shown(value) == text


def test_labels_fall_back_on_the_folder():
    found = outcome(mse=Quantity(1.0, 0.1))
    given = [Run(Path(f"2026_{name}"), found, {"seed": 0}) for name in ("aaaaaa", "bbbbbb")]
    assert list(labelled(given, ())) == ["mse aaaaaa", "mse bbbbbb"]
    assert differing(labelled(given, ())) == {}
    with pytest.raises(ConfigurationError, match="'' cannot name a run"):
        labelled(given, [" ", "b"])
