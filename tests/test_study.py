"""A study from events to report, on a small Gaussian example."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from calibrate.cli.report import redraw
from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.errors import FitError, MisfitError, StorageError
from calibrate.evaluators.closure import Closure
from calibrate.evaluators.curves import Curves
from calibrate.evaluators.spectra import Spectra
from calibrate.loading import load
from calibrate.methods.gaussian_ansatz import GaussianAnsatz
from calibrate.methods.mse import MSE
from calibrate.methods.none import Uncalibrated
from calibrate.records import ClosureCurve, Findings, Quantity, TrainingCurve
from calibrate.report.files import create_run_folder, read, write
from calibrate.study import Result, Study, run

ABOUT = {
    "command": "calibrate run method=mse data=gaussian",
    "data": "gaussian",
    "method": "mse",
    "compare_with": ["none", "network"],
    "seed": 4,
    "version": "0.0",
    "commit": None,
    "environment": {"python": "3"},
}
CONFIGURATION = "seed: 4\n"
METHODS = {"mse": MSE(degree=1), "none": Uncalibrated(), "network": MSE(hidden=(4,), epochs=2)}
EVALUATORS = {
    "closure": Closure(bins=3, replicas=10),
    "curves": Curves(points=5),
    "spectra": Spectra(bins=10),
}
STUDY = Study(Gaussian(n=300), METHODS, EVALUATORS)
WRITTEN = {"report.json", "report.html", "findings.h5", "fitted.h5", "config.yaml"}


def studied(study: Study = STUDY, seed: int = 4) -> Result:
    return run(study, Context(seed=seed), ABOUT, CONFIGURATION)


@pytest.fixture(scope="module")
def result() -> Result:
    return studied()


@pytest.fixture(scope="module")
def folder(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run without figures."""
    folder = tmp_path_factory.mktemp("run")
    write(folder, result, figures=False, context=Context())
    return folder


@pytest.fixture(scope="module")
def document(folder: Path) -> dict:
    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads((folder / "report.json").read_text("utf-8"), parse_constant=refused)


def assert_same(one: object, other: object) -> None:
    """Equal field by field, where not a number equals itself."""
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif hasattr(one, "__dataclass_fields__"):
        assert type(one) is type(other)
        for f in fields(one):
            assert_same(getattr(one, f.name), getattr(other, f.name))
    else:
        assert one == other or (one != one and other != other)


# report.json


def test_the_report_follows_its_schema(document: dict):
    assert document["schema"] == 1
    assert {"run", "metrics", "tables", "warnings"} <= set(document)
    about = document["run"]
    assert {key: about[key] for key in ABOUT} == ABOUT
    assert set(about["seconds"]) == {"load", "fit", "evaluate", "report"}
    assert all(seconds >= 0 for seconds in about["seconds"].values())
    assert about["data_sha256"] == {}
    for metric in document["metrics"].values():
        assert set(metric) == {"value", "error", "unit"}
        assert math.isfinite(metric["value"])
        assert metric["error"] is None or math.isfinite(metric["error"])
    for table in document["tables"].values():
        assert set(table) == {"columns", "units", "rows"}
        widths = {len(table["columns"]), len(table["units"]), *map(len, table["rows"])}
        assert len(widths) == 1
    assert isinstance(document["warnings"], list)


def test_methods_compared_with_have_their_name_before_the_metric(document: dict):
    metrics = document["metrics"]
    for test in ("nominal", "shifted", "wide"):
        for prefix in ("", "none:", "network:"):
            assert f"{prefix}closure/{test}/mean" in metrics
            assert f"{prefix}closure/{test}" in document["tables"]
    assert {name.split(":")[0] for name in metrics if ":" in name} == {"none", "network"}


def test_every_metric_of_the_plan_is_there(document: dict):
    closure = ("mean", "median", "bias_slope", "max_abs_bias", "chi2_per_bin")
    resolution = ("std", "iqr")
    point = ("mean_sigma", "pull_mean", "pull_width", "coverage_68", "coverage_95")
    expected = {f"closure/nominal/{name}" for name in closure}
    expected |= {f"resolution/nominal/{name}" for name in resolution}
    expected |= {f"point_resolution/nominal/{name}" for name in point}
    expected |= {"fit/seconds", "fit/steps", "network:fit/loss", "network:fit/restarts"}
    assert expected <= set(document["metrics"])
    assert not any(name.startswith("none:fit/") for name in document["metrics"])
    assert not any(name.startswith("none:point_resolution") for name in document["metrics"])


def test_an_error_that_does_not_exist_is_null(document: dict):
    assert document["metrics"]["closure/nominal/chi2_per_bin"]["error"] is None
    assert document["metrics"]["fit/seconds"] | {"value": 0} == {
        "value": 0,
        "error": None,
        "unit": "s",
    }
    table = document["tables"]["none:closure/nominal"]
    sigma = table["columns"].index("sigma")
    assert {row[sigma] for row in table["rows"]} == {None}


def test_a_fit_with_mutual_information_reports_it():
    ansatz = GaussianAnsatz((4,), (), (), None, steps=5, precision="double")
    study = replace(STUDY, methods={"ansatz": ansatz}, evaluators={})
    metrics = studied(study).outcome.metrics["ansatz"]
    assert metrics["fit/mutual_information"].unit == "nat"
    assert {"fit/loss", "fit/steps", "fit/restarts", "fit/seconds"} <= set(metrics)


# The numbers


def test_the_same_seed_gives_the_same_metrics_and_tables(result: Result):
    again = studied().outcome
    for method, metrics in result.outcome.metrics.items():
        timeless = {k: v for k, v in metrics.items() if k != "fit/seconds"}
        assert timeless == {k: v for k, v in again.metrics[method].items() if k != "fit/seconds"}
        assert result.outcome.tables[method] == again.tables[method]
    for one, other in zip(result.outcome.records, again.records, strict=True):
        assert_same(one, other)


def test_another_seed_gives_other_numbers(result: Result):
    other = studied(seed=5).outcome
    name = "closure/nominal/mean"
    assert result.outcome.metrics["mse"][name] != other.metrics["mse"][name]


def test_what_it_is_compared_with_does_not_change_a_method(result: Result):
    alone = studied(replace(STUDY, methods={"mse": METHODS["mse"]})).outcome
    for name, quantity in alone.metrics["mse"].items():
        if name != "fit/seconds":
            assert result.outcome.metrics["mse"][name] == quantity


def test_all_methods_are_fitted_on_one_split_and_evaluated_on_common_bins(result: Result):
    curves = [r for r in result.outcome.records if isinstance(r, ClosureCurve)]
    assert {(c.method, c.test) for c in curves} == {
        (m, t) for m in METHODS for t in ("nominal", "shifted", "wide")
    }
    for test in ("nominal", "shifted", "wide"):
        first, *others = (c.edges for c in curves if c.test == test)
        for edges in others:
            np.testing.assert_array_equal(first, edges)


def test_training_curves_carry_the_label_of_their_method(result: Result):
    curves = [r for r in result.outcome.records if isinstance(r, TrainingCurve)]
    assert [curve.method for curve in curves] == ["network"]


class Refitting:
    """Asks for the studied method fitted on half of the training sample."""

    def __call__(self, fits, task, refit, context) -> Findings:
        half = replace(task, train=task.train.take(slice(0, 150)))
        found = [refit(half), refit(half), refit(task)]
        values = [fit.estimate(np.ones((1, 1))).z.item() for fit in found]
        first = next(iter(fits.values())).estimate(np.ones((1, 1))).z.item()
        scalars = {f"value{i}": Quantity(v) for i, v in enumerate([*values, first])}
        return Findings({"mse": scalars}, warnings=("refitted",))


def test_an_evaluator_can_have_the_method_fitted_again():
    outcome = studied(replace(STUDY, evaluators={"refitting": Refitting()})).outcome
    found = [outcome.metrics["mse"][f"value{i}"].value for i in range(4)]
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert found[2] == found[3]
    assert "refitted" in outcome.warnings


class DataWithoutTruth:
    def transport(self, context: Context) -> None:
        raise AssertionError("refused before any work")


def test_a_dataset_without_truth_is_refused_before_any_work():
    with pytest.raises(MisfitError, match="DataWithoutTruth offers transport, but mse need") as e:
        Study(DataWithoutTruth(), {"mse": METHODS["mse"]}, {})
    assert e.value.exit_status == 2


class Diverging:
    def fit(self, task, context) -> None:
        raise FitError("the fit diverged")


def test_a_fit_that_fails_stops_the_study():
    with pytest.raises(FitError, match="the fit diverged"):
        studied(replace(STUDY, methods={"diverging": Diverging()}))


# The run folder


def test_a_run_leaves_its_files(folder: Path):
    assert {path.name for path in folder.iterdir()} == WRITTEN
    assert (folder / "config.yaml").read_text("utf-8") == CONFIGURATION


def test_report_json_is_written_last(folder: Path):
    written = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert max(written, key=written.__getitem__) == "report.json"


def test_what_was_written_is_read_again(result: Result, tmp_path: Path):
    outcome = write(tmp_path, result, figures=False, context=Context())
    again = read(tmp_path)
    assert again.methods == outcome.methods
    assert again.metrics == {method: dict(m) for method, m in outcome.metrics.items()}
    assert again.tables == {method: dict(t) for method, t in outcome.tables.items()}
    assert again.configuration == outcome.configuration
    assert dict(again.run) == dict(outcome.run)
    assert (again.notes, again.warnings) == (outcome.notes, outcome.warnings)
    for method, summary in outcome.summaries.items():
        assert again.summaries[method] == replace(summary, curve=None)
    assert len(again.records) == len(outcome.records)
    for one, other in zip(again.records, outcome.records, strict=True):
        assert_same(one, other)


def test_the_stored_calibration_is_that_of_the_studied_method(folder: Path, result: Result):
    x = np.linspace(-3, 3, 7)[:, None]
    np.testing.assert_array_equal(load(folder).estimate(x).z, result.fits["mse"].estimate(x).z)


def test_figures_can_be_drawn_later_from_the_findings(tmp_path: Path):
    result = studied(replace(STUDY, methods={"mse": METHODS["mse"]}))
    write(tmp_path, result, figures=False, context=Context())
    before = (tmp_path / "report.json").read_bytes()
    assert not (tmp_path / "figures").exists()
    assert redraw(str(tmp_path)) == tmp_path / "report.html"
    drawn = {path.suffix for path in (tmp_path / "figures").iterdir()}
    assert drawn == {".png", ".pdf"}
    assert "data:image/png;base64" in (tmp_path / "report.html").read_text("utf-8")
    assert (tmp_path / "report.json").read_bytes() == before


def test_a_write_that_fails_midway_leaves_no_report_json(result: Result, tmp_path: Path):
    (tmp_path / "figures").write_text("not a folder")
    with pytest.raises(StorageError, match="cannot write figures"):
        write(tmp_path, result, figures=True, context=Context())
    assert not (tmp_path / "report.json").exists()
    with pytest.raises(StorageError, match=r"no finished run: there is no report\.json"):
        read(tmp_path)


def test_a_run_folder_is_never_one_that_exists(tmp_path: Path):
    folders = [create_run_folder(tmp_path, "gaussian", "mse") for _ in range(20)]
    assert len(set(folders)) == 20
    assert all(folder.parent == tmp_path / "gaussian" / "mse" for folder in folders)


def test_a_run_folder_below_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose another with output=FOLDER"):
        create_run_folder(tmp_path / "file", "gaussian", "mse")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "damaged run"),
        ("{}", "damaged run"),
        ('{"schema": 99}', "schema 99: upgrade calibrate"),
    ],
)
def test_a_damaged_run_is_named(folder: Path, tmp_path: Path, content: str, message: str):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(StorageError, match=message):
        read(tmp_path)


def test_a_run_without_its_findings_is_named(folder: Path, tmp_path: Path):
    for name in ("report.json", "config.yaml"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(StorageError, match=r"findings\.h5"):
        read(tmp_path)
