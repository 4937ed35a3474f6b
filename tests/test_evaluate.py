"""`calibrate evaluate`: a stored calibration, or a column, on another dataset."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from calibrate.cli.main import cli, guarded
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError, MisfitError
from calibrate.methods.column import ColumnEstimate
from calibrate.methods.mse import MSE
from calibrate.sample import Sample
from calibrate.stored import AllEvents, Stored
from calibrate.task import RegressionTask

N = 3000
COLUMNS = ("data.x=[pt,eta]", "data.z=gen", "data.w=w", "data.group=event")
QUICK = ("report.figures=false", "evaluator.closure.replicas=5")


def write(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gen = np.exp(rng.normal(5, 0.4, N))
    columns = {
        "gen": gen,
        "pt": 0.9 * gen * rng.normal(1, 0.05, N),
        "eta": rng.uniform(-2, 2, N),
        "w": rng.uniform(0.5, 1.5, N),
        "event": np.arange(N) // 2,
    }
    columns["official"], columns["error"] = columns["pt"] / 0.9, 0.05 * columns["pt"] / 0.9
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name] = values


def calibrate(*arguments: str) -> int:
    return guarded(lambda: cli.main(list(arguments), "calibrate", standalone_mode=False))


def last_report(*pattern: str) -> dict:
    path = max(Path("outputs").glob("/".join([*pattern, "*", "report.json"])))
    return json.loads(path.read_text("utf-8"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A finished run of a polynomial on a.h5; b.h5 is another file."""
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a.h5", 0), ("b.h5", 1)):
        write(tmp_path / name, seed)
    options = ("method=mse", "method.degree=2", "data=table", "data.path=a.h5", *COLUMNS, *QUICK)
    assert calibrate("run", *options, "output=first") == 0
    return str(next(Path("first").glob("table/mse/*")))


def test_the_stored_calibration_is_evaluated_not_fitted(run: str):
    assert calibrate("evaluate", run, "data=table", "data.path=b.h5", *COLUMNS, *QUICK) == 0
    found = last_report("table", "mse")
    assert found["run"]["method"] == "mse"
    assert found["run"]["compare_with"] == ["none"]
    assert found["run"]["stored"]["path"] == run
    assert found["run"]["command"].startswith(f"calibrate evaluate {run} data=table")
    assert found["metrics"]["closure/nominal/mean"]["value"] == pytest.approx(1, abs=0.01)
    assert found["metrics"]["none:closure/nominal/mean"]["value"] == pytest.approx(0.9, abs=0.01)


def test_another_file_is_tested_as_a_whole(run: str):
    assert calibrate("evaluate", run, "data=table", "data.path=b.h5", *COLUMNS, *QUICK) == 0
    assert any(
        f"all {N} events are tested" in note for note in last_report("table", "mse")["notes"]
    )


@pytest.mark.parametrize("more", [(), ("data.units={pt: GeV}", "data.target_path=b.h5")])
def test_the_training_events_of_the_same_file_are_not_tested(run: str, more: tuple[str, ...]):
    options = ("data=table", "data.path=a.h5", *COLUMNS, *QUICK, *more)
    assert calibrate("evaluate", run, *options) == 0
    first = json.loads((Path(run) / "report.json").read_text("utf-8"))["metrics"]
    again = last_report("table", "mse")
    assert again["metrics"]["closure/nominal/mean"] == first["closure/nominal/mean"]
    assert any("complement" in note for note in again["notes"])


@pytest.mark.parametrize("change", ["seed=1", "data.select='pt > 1'", "data.train_fraction=0.3"])
def test_another_split_of_the_same_file_is_warned_of(run: str, capsys, change: str):
    options = ("data=table", "data.path=a.h5", *COLUMNS, *QUICK, change)
    assert calibrate("evaluate", run, *options) == 0
    assert "were trained with" in capsys.readouterr().err
    assert not any("complement" in note for note in last_report("table", "mse")["notes"])


def test_another_name_of_the_truth_is_warned_of(run: str, capsys):
    options = ["data.z=official" if c == "data.z=gen" else c for c in COLUMNS]
    assert calibrate("evaluate", run, "data=table", "data.path=b.h5", *options, *QUICK) == 0
    assert "estimates gen, compared here with official" in capsys.readouterr().err


def test_an_estimate_in_a_column_stands_beside_it(run: str):
    column = ("method=column", "method.z=pt/0.9", "method.sigma=error")
    options = ("data=table", "data.path=b.h5", *COLUMNS, *QUICK)
    assert calibrate("evaluate", run, *options, *column) == 0
    found = last_report("table", "mse")
    assert found["run"]["compare_with"] == ["column", "none"]
    assert found["metrics"]["column:closure/nominal/mean"]["value"] == pytest.approx(1, abs=0.005)
    width = found["metrics"]["column:point_resolution/nominal/pull_width"]["value"]
    assert width == pytest.approx(1, abs=0.05)


def test_a_column_may_be_studied_by_itself(run: str):
    options = ("data=table", "data.path=b.h5", *COLUMNS, *QUICK)
    assert calibrate("run", "method=column", "method.z=official", *options) == 0
    found = last_report("table", "column")["metrics"]["closure/nominal/mean"]["value"]
    assert found == pytest.approx(1, abs=0.005)


def test_a_new_fit_of_the_same_name_is_compared_with(run: str):
    options = ("data=table", "data.path=b.h5", *COLUMNS, *QUICK)
    assert calibrate("evaluate", run, *options, "method=mse", "method.degree=1") == 0
    found = last_report("table", "stored")
    assert found["run"]["compare_with"] == ["mse", "none"]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"data.x=[pt,eta]": "data.x=[pt]"}, 1, "no column 'eta' in the sample"),
        ({"data.z=gen": "data.z=[gen,w]", "data.w=w": "data.w=null"}, 2, "the data has gen, w"),
        ({"data.w=w": "replicas=3"}, 2, "replicas are refits"),
        ({"data.w=w": "evaluator.prior_stress.refits=2"}, 2, "prior_stress.refits are refits"),
        ({"data.w=w": "method=column"}, 2, "method.z"),
    ],
)
def test_what_does_not_fit_is_refused(run: str, capsys, change, status, message):
    options = [change.get(item, item) for item in (*COLUMNS, *QUICK)]
    assert calibrate("evaluate", run, "data=table", "data.path=b.h5", *options) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_evaluate_needs_data_and_a_run(run: str, capsys):
    assert calibrate("evaluate", run) == 2
    assert "a run needs data=" in capsys.readouterr().err
    assert calibrate("evaluate", "nothing", "data=gaussian") == 1
    assert "no run folder nothing" in capsys.readouterr().err


# The parts


def test_a_column_estimate_needs_one_column_for_each_truth(planar_task: RegressionTask):
    with pytest.raises(ConfigurationError, match=r"method\.z needs 2 columns"):
        ColumnEstimate("x0").fit(planar_task, Context())
    with pytest.raises(ConfigurationError, match=r"method\.sigma needs 2 columns"):
        ColumnEstimate(["x0", "x1"], "x2").fit(planar_task, Context())
    with pytest.raises(DataError, match="no column 'x7'"):
        ColumnEstimate(["x0", "x7"]).fit(planar_task, Context())


def test_a_column_estimate_quotes_its_sigma(planar_task: RegressionTask):
    fitted = ColumnEstimate(["x0", "x1"], ["x2", "x0"]).fit(planar_task, Context())
    sample = planar_task.tests["nominal"]
    found = fitted.estimate(fitted.domain.features(sample))
    np.testing.assert_array_equal(found.z, sample.x[:, :2])
    np.testing.assert_allclose(found.sigma, np.abs(sample.x[:, [2, 0]]))


def test_features_are_found_by_name(planar_task: RegressionTask):
    fitted = MSE(degree=1).fit(planar_task, Context())
    test = planar_task.tests["nominal"]
    turned = Sample(
        test.x[:, [2, 0]], test.z, test.w, (test.x_columns[2], test.x_columns[0]), test.z_columns,
        spectators={"x1": test.x[:, 1]},
    )  # fmt: skip
    np.testing.assert_array_equal(fitted.domain.features(turned), test.x)


def test_a_stored_calibration_refuses_another_number_of_truths(planar_task, gaussian_task):
    fitted = MSE(degree=1).fit(gaussian_task, Context())
    with pytest.raises(DataError, match="no column 'x'"):
        Stored(fitted).fit(planar_task, Context())
    train = replace(planar_task.train, spectators={"x": planar_task.train.x[:, 0]})
    task = replace(planar_task, train=train)
    with pytest.raises(MisfitError, match="estimates z; the data has z0, z1"):
        Stored(fitted).fit(task, Context())


def test_toys_without_files_keep_their_split(gaussian_task: RegressionTask):
    class Toy:
        def regression(self, context: Context) -> RegressionTask:
            return gaussian_task

    assert AllEvents(Toy(), frozenset(), False, ["z"]).regression(Context()) is gaussian_task
