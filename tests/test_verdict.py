"""Verdicts on constructed closure curves, and the rounding of the numbers in them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from calibrate.records import ClosureCurve
from calibrate.report import verdict
from calibrate.report.rounding import formatted, rounded_up
from calibrate.sample import FloatArray


def curve(
    bias: Sequence[float],
    error: float | Sequence[float] = 0.001,
    *,
    test: str = "nominal",
    method: str = "mse",
    n_effective: float | Sequence[float] = 1000.0,
    relative: bool = True,
    tolerance: float = 0.01,
    unit: str = "GeV",
    name: str = "mjj",
    low: float = 1000.0,
    width: float = 100.0,
) -> ClosureCurve:
    """A closure curve with the given biases in bins of equal width."""
    bias = np.asarray(bias, dtype=float)

    def full(value: float | Sequence[float]) -> FloatArray:
        return np.broadcast_to(np.asarray(value, dtype=float), bias.shape).copy()

    edges = low + width * np.arange(bias.size + 1.0)
    reference = 1.0 if relative else 0.0
    spread = full(0.03)
    unknown = full(np.nan)
    return ClosureCurve(
        method=method, test=test, z_name=name, z_unit=unit, relative=relative,
        tolerance=tolerance, edges=edges, z_mean=0.5 * (edges[1:] + edges[:-1]),
        n_effective=full(n_effective), mean=reference + bias, mean_error=full(error),
        median=reference + bias, median_error=full(error), std=spread, std_error=full(error),
        iqr=spread, iqr_error=full(error), sigma=unknown, sigma_error=unknown,
        exact_bias=unknown, exact_resolution=unknown,
    )  # fmt: skip


def test_bins_of_few_events_have_no_say() -> None:
    few = curve([0.0, 0.5, 0.5], n_effective=[200.0, 199.0, math.nan])
    assert verdict.overall([few]) == "closes"


def test_closure_on_samples_of_equal_bins_is_said_once() -> None:
    curves = [curve([0.0027] * 12, 0.0003, test=test) for test in ("nominal", "resonance")]
    assert verdict.sentence(curves) == (
        "mse closes within 0.27 % in all 12 bins on nominal and resonance (tolerance 1 %)."
    )


def test_closure_names_each_number_of_bins_and_a_comparable_error() -> None:
    curves = [curve([0.001, -0.002]), curve([-0.003], 0.002, test="resonance")]
    assert verdict.sentence(curves) == (
        "mse closes within 0.30 ± 0.20 % in both bins on nominal and in the only bin on "
        "resonance (tolerance 1 %)."
    )


def test_a_bias_beyond_the_tolerance_but_within_two_errors_is_stated_as_such() -> None:
    assert verdict.sentence([curve([0.0, -0.0148], 0.0033)]) == (
        "mse closes within the tolerance of 1 % and two errors in both bins on nominal "
        "(largest -1.48 ± 0.33 % at 1100-1200 GeV)."
    )


def test_failure_counts_bins_and_names_the_largest() -> None:
    curves = [
        curve([0.021, 0.0, 0.0, -0.015], [0.002, 0.001, 0.001, 0.001]),
        curve([0.0081, 0.0], test="resonance"),
    ]
    assert verdict.overall(curves) == "fails"
    assert verdict.sentence(curves) == (
        "mse does not close: 2 of 4 bins on nominal are off by more than 1 % (largest "
        "+2.10 ± 0.20 % at 1000-1100 GeV); it closes within 0.81 % in both bins on resonance "
        "(tolerance 1 %)."
    )


def test_failure_of_one_bin_is_in_the_singular() -> None:
    text = verdict.sentence([curve([0.0, -0.05, 0.0], [0.001, 0.001, 0.02])])
    assert text == (
        "mse does not close: 1 of 3 bins on nominal is off by more than 1 % "
        "(-5.00 ± 0.10 % at 1100-1200 GeV), for 1 bin the statistics cannot tell."
    )


def test_large_errors_leave_the_question_open() -> None:
    curves = [curve([0.004, 0.0], [0.02, 0.001]), curve([0.0], test="resonance")]
    assert verdict.overall(curves) == "cannot tell"
    assert verdict.sentence(curves) == (
        "mse may close, but the statistics cannot tell: in 1 of 2 bins on nominal twice the "
        "statistical error exceeds the tolerance of 1 % (largest +0.4 ± 2.0 % at 1000-1100 GeV); "
        "it closes within 0.00 ± 0.10 % in the only bin on resonance (tolerance 1 %)."
    )


def test_no_bin_of_enough_events_allows_no_verdict() -> None:
    curves = [curve([0.0], n_effective=153.4), curve([0.0], n_effective=20, test="wide")]
    assert verdict.overall(curves) == "cannot tell"
    assert verdict.sentence(curves) == (
        "The statistics allow no verdict on mse: no bin on nominal or wide has 200 effective "
        "events (at most 153)."
    )


def test_a_silent_sample_withholds_the_verdict_that_it_closes() -> None:
    curves = [curve([0.002]), curve([0.0], n_effective=150, test="resonance")]
    assert verdict.overall(curves) == "cannot tell"
    assert verdict.sentence(curves).endswith(
        "; no bin on resonance has 200 effective events (at most 150)."
    )


def test_additive_bias_is_stated_in_the_unit_of_truth() -> None:
    one = curve([0.04, -0.05], 0.01, relative=False, tolerance=0.1, unit="GeV", low=-100)
    assert verdict.sentence([one]) == (
        "mse closes within 0.05 GeV in both bins on nominal (tolerance 0.1 GeV)."
    )
    off = curve([0.4], 0.01, relative=False, tolerance=0.1, unit="", low=-2, width=0.5)
    assert "the only bin on nominal is off by more than 0.1 (+0.400 ± 0.010 at -2 to -1.5)" in (
        verdict.sentence([off])
    )


def test_several_truth_columns_are_told_apart() -> None:
    curves = [curve([0.001], 0.0001, name="pt1"), curve([0.001], 0.0001, name="pt2")]
    assert "on nominal (pt1) and nominal (pt2)" in verdict.sentence(curves)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.00034, 0.00123, "1.0003 ± 0.0012"),
        (1.0, 0.0996, "1.00 ± 0.10"),
        (0.3, 120.0, "0 ± 120"),
        (12346.0, 678.0, "12350 ± 680"),
        (-0.0001, 0.02, "0.000 ± 0.020"),
        (2.5, 1.0, "2.5 ± 1.0"),
        (1.23e-7, 4.5e-8, "(1.23 ± 0.45)·10⁻⁷"),
        (3.2e9, 1.1e8, "(3.20 ± 0.11)·10⁹"),
        (0.95, None, "0.95"),
        (13024.7, None, "13025"),
        (0.00123456, None, "0.001235"),
        (1e-10, None, "1·10⁻¹⁰"),
        (0.0, None, "0"),
        (0.0, 0.0, "0"),
        (1.5, math.nan, "1.5"),
        (math.nan, 0.1, "n/a"),
        (-math.inf, None, "-infinite"),
        (100.0, None, "100"),
    ],
)
def test_two_digits_of_the_error_round_the_value(
    value: float, error: float | None, text: str
) -> None:
    assert formatted(value, error) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.271, 2, "0.28"), (0.27, 2, "0.27"), (0.21, 1, "0.3"), (0.996, 2, "1"), (0.0, 2, "0")],
)
def test_a_bound_is_rounded_up(value: float, digits: int, text: str) -> None:
    assert rounded_up(value, digits) == text
