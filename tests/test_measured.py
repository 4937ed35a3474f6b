"""What is said, and shown at a glance, of a run without a verdict on closure."""

from __future__ import annotations

import numpy as np
import pytest

from calibrate.cli.planning import plan
from calibrate.cli.run import execute
from calibrate.errors import ConfigurationError
from calibrate.records import CalibrationCurve, Outcome, Quantity, TrainingCurve
from calibrate.report import measured

UNCERTAINTY = {
    "uncertainty/nominal/sigma_stoch": Quantity(0.8942, 0.0012, "GeV"),
    "uncertainty/nominal/rmse": Quantity(0.8959, 0.0063, "GeV"),
    "uncertainty/nominal/coverage_68": Quantity(0.6812, 0.0046),
    "uncertainty/nominal/nll": Quantity(1.3, 0.1, "nat"),
    "uncertainty/wide/x_1-2/coverage_68": Quantity(0.55, 0.02),
}
FIT = {"fit/seconds": Quantity(3.0, None, "s")}


def outcome_of(records: tuple = (), **metrics: dict[str, Quantity]) -> Outcome:
    return Outcome(tuple(metrics), metrics, {}, records, {}, (), (), {}, "")


def test_main_numbers_stand_in_columns():
    found = outcome_of(bayesian=UNCERTAINTY | FIT, mse={}, none=FIT)
    (table,) = measured.main_numbers(found)
    assert table.lines == [
        "method    on          σ_stoch              RMSE                 coverage of 68.3 %",
        "bayesian  nominal     0.8942 ± 0.0012 GeV  0.8959 ± 0.0063 GeV  0.6812 ± 0.0046",
        "bayesian  wide/x_1-2  –                    –                    0.550 ± 0.020",
    ]
    assert measured.told(found) == ["bayesian"]
    assert measured.sentence("bayesian", found) == (
        "No closure was measured of bayesian, but the quoted uncertainty on nominal, wide/x_1-2."
    )


def test_numbers_without_a_place_need_no_column_for_it():
    prior = {"prior/verdict": Quantity("universal"), "prior/sensitivity": Quantity(0.01, 0.002)}
    (table,) = measured.main_numbers(found := outcome_of(mse=prior, none=prior))
    assert table.heads == ("method", "dependence on the spectrum", "largest change")
    assert table.rows[1] == ("none", "universal", "0.0100 ± 0.0020")
    assert measured.told(found) == ["mse", "none"]
    assert measured.sentence("mse", found) == (
        "No closure was measured of mse, but the dependence on the training spectrum."
    )


def test_each_family_has_a_table_of_its_own():
    both = {"score/1.57/auc": Quantity(0.9, 0.01), "score/max_mean_abs_difference": Quantity(0.1),
            "likelihood/mu1/mu_hat": Quantity(1.0, 0.2)}  # fmt: skip
    score, likelihood = measured.main_numbers(outcome_of(oracle=both))
    assert score.rows == (("oracle", "1.57", "0.900 ± 0.010"),)
    assert likelihood.heads == ("method", "on", "best μ")


def test_nothing_and_figures_alone_are_said():
    training = TrainingCurve("mse", np.ones(3), "loss")
    nothing = outcome_of((training,), mse=FIT)
    assert measured.sentence("mse", nothing) == "Nothing was measured of mse."
    assert list(measured.main_numbers(nothing)) == []
    empty = np.empty(0)
    drawn = CalibrationCurve("mse", *["x", "", "z", ""], *[empty] * 5)
    assert measured.sentence("mse", outcome_of((drawn,), mse=FIT)) == (
        "No number was measured of mse: there are figures alone."
    )


def test_a_run_of_one_evaluator_tells_its_numbers(tmp_path, capsys):
    given = ["data=gaussian", "data.n=300", "method=mse", f"output={tmp_path}",
             "report.figures=false"]  # fmt: skip
    execute(plan([*given, "evaluator=[uncertainty]"]), "calibrate run")
    told = capsys.readouterr().out.splitlines()
    assert (
        told[0]
        == "No closure was measured of mse, but the quoted uncertainty on nominal, shifted, wide."
    )
    assert told[1].split() == ["method", "on", "σ_tot", "RMSE", "coverage", "of", "68.3", "%"]
    assert [line.split()[:2] for line in told[2:5]] == [
        ["mse", "nominal"], ["mse", "shifted"], ["mse", "wide"]
    ]  # fmt: skip
    execute(plan([*given, "evaluator=[closure]"]), "calibrate run")
    closed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in closed[:-1]] == ["mse", "none"]


def test_a_run_without_evaluators_is_refused():
    with pytest.raises(ConfigurationError, match="a run needs an evaluator: closure, curves"):
        plan(["data=gaussian", "method=mse", "evaluator=[]"])
