"""Fewer training events and smeared labels, of any dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from calibrate.cli.evaluate import evaluate
from calibrate.cli.planning import plan
from calibrate.cli.run import run
from calibrate.context import Context
from calibrate.data.asymmetric import Asymmetric
from calibrate.data.dijet import Dijet
from calibrate.data.training_sample import TrainingSample, trained_on
from calibrate.errors import ConfigurationError, DataError
from calibrate.evaluators.uncertainty import Uncertainty
from calibrate.methods.none import Uncalibrated
from calibrate.protocols import CheckingDataset, FromFiles
from calibrate.study import Study
from calibrate.study import run as run_study
from calibrate.task import RegressionTask

JETS = Asymmetric(n=4000)
SMEARED = ("data=asymmetric", "method=mse", "data.n=300")


def smeared(width: float | str) -> RegressionTask:
    return TrainingSample(JETS, label_smearing=width).regression(Context())


def test_labels_move_by_the_relative_width_and_nothing_else_does():
    found, plain = smeared(0.1), JETS.regression(Context())
    relative = (found.train.z / plain.train.z - 1)[:, 0]
    assert relative.std() == pytest.approx(0.1, abs=4 * 0.1 / np.sqrt(8000))
    assert relative.mean() == pytest.approx(0.0, abs=4 * 0.1 / np.sqrt(4000))
    np.testing.assert_array_equal(found.train.x, plain.train.x)
    np.testing.assert_array_equal(found.unsmeared.z, plain.train.z)
    for name, sample in plain.tests.items():
        np.testing.assert_array_equal(found.tests[name].z, sample.z)
    assert found.closed_forms == {}
    assert "smeared (data.label_smearing=0.1)" in found.notes[-1]


def test_a_width_may_depend_on_the_truth():
    found = smeared("2/sqrt(pt_true)")
    z = found.unsmeared.z[:, 0]
    standard = (found.train.z[:, 0] / z - 1) * np.sqrt(z) / 2
    assert standard.std() == pytest.approx(1.0, abs=0.05)
    assert standard[z < 600].std() == pytest.approx(standard[z > 800].std(), rel=0.1)


def test_one_seed_smears_all_widths_by_the_same_numbers():
    narrow, wide = smeared(0.05), smeared(0.1)
    shifts = [each.train.z - each.unsmeared.z for each in (narrow, wide)]
    np.testing.assert_allclose(2 * shifts[0], shifts[1])


@pytest.mark.parametrize("nothing", [{}, {"label_smearing": None}, {"train_events": None}])
def test_without_options_a_dataset_is_left_alone(nothing):
    assert trained_on(JETS, nothing) is JETS


def test_no_smearing_is_a_smearing_of_zero():
    task = TrainingSample(JETS, label_smearing=0).regression(Context())
    assert task.unsmeared is None
    assert task.closed_forms


def test_more_events_hold_those_of_fewer():
    few, more = (
        TrainingSample(JETS, train_events=n).regression(Context()).train for n in (500, 2000)
    )
    assert (len(few), len(more)) == (500, 2000)
    assert set(few.z[:, 0]) < set(more.z[:, 0])


def test_events_are_counted_as_groups():
    data = TrainingSample(Dijet(target="jet_pt"), train_events=300)
    train = data.regression(Context()).train
    assert len(train) == 600
    assert train.groups.number == 300


def test_the_files_and_the_checks_are_those_of_the_dataset():
    data = TrainingSample(Dijet(), train_events=300)
    assert isinstance(data, FromFiles)
    assert data.inputs() == Dijet().inputs()
    assert TrainingSample(JETS, train_events=300).inputs() == ()
    assert isinstance(data, CheckingDataset)
    table = plan(["data=table", "data.path=jets.root", "data.x=[pt]", "data.z=[gen]",
                  "method=mse", "data.label_smearing=0.1"]).study  # fmt: skip
    assert isinstance(table.data, TrainingSample)


@dataclass(frozen=True)
class Watching:
    """A method that refuses true labels beside smeared ones."""

    def fit(self, task, context):
        if task.unsmeared is not None:
            raise AssertionError("a method sees the true labels")
        return Uncalibrated().fit(task, context)


def test_methods_never_see_the_true_labels():
    data = TrainingSample(JETS, label_smearing=0.1)
    study = Study(data, {"watching": Watching()}, {"uncertainty": Uncertainty()}, replicas=2)
    run_study(study, Context(), {}, "")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"label_smearing": 0.5}, DataError, r"=0.5 makes \d+ of 4000 labels 'pt_true' negative, "),
        ({"label_smearing": "pt/100"}, DataError, "no column 'pt' .* available: pt_true"),
        ({"label_smearing": "pt_true - 500"}, DataError, "finite width ≥ 0: it is -.* for .* of"),
        ({"label_smearing": "1/0*pt_true"}, DataError, "finite width ≥ 0: it is inf"),
        ({"label_smearing": -0.1}, ConfigurationError, "must not be negative, got -0.1"),
        ({"label_smearing": True}, ConfigurationError, "must be a finite number, got True"),
        ({"train_events": 5000}, ConfigurationError, "=5000: the training sample holds 4000 "),
        ({"train_events": 0}, ConfigurationError, "must be a positive integer, got 0"),
        ({"train_events": 50}, DataError, "training sample holds 50 usable events"),
    ],
)
def test_what_cannot_be_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        TrainingSample(JETS, **options).regression(Context())


def test_negative_truths_may_be_smeared_where_they_are_natural(gaussian_task):
    @dataclass(frozen=True)
    class Toy:
        def regression(self, context):
            return gaussian_task

    found = TrainingSample(Toy(), label_smearing=0.2).regression(Context())
    shift = (found.train.z - gaussian_task.train.z) / np.abs(gaussian_task.train.z)
    assert shift.std() == pytest.approx(0.2, rel=0.1)


def test_the_options_belong_to_every_dataset_and_to_regressions():
    study = plan([*SMEARED, "data.label_smearing=0.1", "data.train_events=200"]).study
    assert study.data == TrainingSample(replace(JETS, n=300), 200, 0.1)
    with pytest.raises(ConfigurationError, match="training sample of a regression, and ot, none"):
        plan(["data=gaussian", "method=ot", "data.train_events=200"])


def test_a_stored_calibration_is_evaluated_with_true_labels(tmp_path):
    options = ["data.label_smearing=0.1", "report.figures=false", "evaluator=[curves]"]
    assert run([*SMEARED, *options, "method.epochs=1", f"output={tmp_path}"]) == 0
    (folder,) = (str(path.parent) for path in tmp_path.glob("*/*/*/report.json"))
    with pytest.raises(ConfigurationError, match="give them to calibrate run, not to evaluate"):
        evaluate(folder, ["data=asymmetric", "data.label_smearing=0.1"])
