"""Dependence on the spectrum against closed forms: posterior means shift, likelihoods do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.errors import ConfigurationError
from calibrate.estimate import Calibration
from calibrate.evaluators.prior_stress import PriorStress
from calibrate.evaluators.spectra_family import applied, trained
from calibrate.methods.mse import MSE
from calibrate.methods.none import Uncalibrated
from calibrate.methods.numerical_inversion import NumericalInversion
from calibrate.records import (
    CANNOT_TELL,
    DEPENDENT,
    UNIVERSAL,
    Findings,
    PriorApplication,
    PriorSensitivity,
)
from calibrate.sample import Column, Sample
from calibrate.statistics import weighted_mean, weighted_std
from calibrate.task import RegressionTask


def relative_task(n: int = 40_000, bias: float = 0.0, seed: int = 0) -> RegressionTask:
    """x = z(0.95 + bias·log(z/100)) with 5 % resolution on a log-normal spectrum."""
    rng = np.random.default_rng(seed)

    def draw() -> Sample:
        z = 100 * np.exp(rng.normal(0, 0.3, n))
        x = z * (0.95 + bias * np.log(z / 100)) * rng.normal(1, 0.05, n)
        columns = (Column("pt", "GeV", positive=True),), (Column("pt_true", "GeV", positive=True),)
        return Sample(x[:, None], z[:, None], np.ones(n), *columns)

    return RegressionTask(draw(), {"nominal": draw()}, ("pt",))


def stressed(method, task: RegressionTask, **options: object) -> Findings:
    def refit(other: RegressionTask) -> Calibration:
        return method.fit(other, Context())

    stress = PriorStress(replicas=20, **options)  # type: ignore[arg-type]
    return stress({"studied": refit(task)}, task, refit, Context())


def record_of(found: Findings, kind: type):
    (record,) = [record for record in found.records if isinstance(record, kind)]
    return record


# Spectra


def test_spectra_keep_the_events_and_have_the_shape_they_are_named_after():
    sample = Gaussian(n=50_000).regression(Context()).train
    found = {name: reshape(sample) for name, reshape in applied(sample).items()}
    assert list(found)[:4] == ["nominal", "flat", "steeper", "softer"]
    assert all(each.x is sample.x or np.array_equal(each.x, sample.x) for each in found.values())
    for name, sign in (("steeper", -1), ("softer", 1)):
        assert weighted_mean(found[name].z, found[name].w)[0] == pytest.approx(sign, abs=0.05)
        assert weighted_std(found[name].z, found[name].w)[0] == pytest.approx(1, abs=0.05)
    counts, _ = np.histogram(sample.z[:, 0], np.linspace(-1.5, 1.5, 7), weights=found["flat"].w)
    np.testing.assert_allclose(counts, counts.mean(), rtol=0.06)
    middle = found["resonance at middle z"]
    assert weighted_std(middle.z, middle.w)[0] == pytest.approx(0.05, rel=0.05)
    assert [name for name, _ in trained(sample)][:3] == ["flat", "steeper", "softer"]


# (a) applied


def test_the_mean_response_is_measured_under_each_spectrum():
    """Without calibration: E[x/z] = 0.95 + bias·E[log(z/100)] under each spectrum."""
    task = relative_task(bias=0.2)
    found = record_of(stressed(Uncalibrated(), task), PriorApplication)
    for name, mean, error in zip(found.spectra, found.mean, found.mean_error, strict=True):
        sample = applied(task.tests["nominal"])[name](task.tests["nominal"])
        exact = 0.95 + 0.2 * weighted_mean(np.log(sample.z[:, 0] / 100), sample.w)
        assert mean == pytest.approx(float(exact), abs=4 * error + 1e-4)
        assert 0 < error < 0.02
    worst = np.max(np.abs(found.mean - 1))
    scalar = stressed(Uncalibrated(), task).scalars["studied"]["prior/application"]
    assert scalar.value == pytest.approx(worst)


def test_spectra_with_too_few_events_are_left_out_by_name():
    found = stressed(Uncalibrated(), relative_task(n=1500))
    assert "resonance at low z" not in record_of(found, PriorApplication).spectra
    assert any("'resonance at low z'" in text and "200" in text for text in found.warnings)


def test_negative_weights_leave_out_what_they_cannot_tell():
    task = relative_task()
    w = np.where(np.arange(40_000) % 5 == 0, -1.0, 1.0)
    found = stressed(
        Uncalibrated(), replace(task, tests={"nominal": task.tests["nominal"].with_weights(w)})
    )
    record = record_of(found, PriorApplication)
    assert {"nominal", "softer"} <= set(record.spectra)
    assert np.all(np.abs(record.mean - 0.95) < 4 * record.mean_error + 1e-3)


def test_differences_have_no_application_metric(gaussian_task: RegressionTask):
    found = stressed(Uncalibrated(), gaussian_task)
    assert "prior/application" not in found.scalars.get("studied", {})
    assert "prior/application" in found.tables["studied"]


def test_several_truths_are_left_alone(planar_task: RegressionTask):
    assert stressed(Uncalibrated(), planar_task) == Findings()


# (b) derived again


def test_a_posterior_mean_moves_with_the_spectrum_as_its_formula_says():
    """Tilted by one σ, the prior N(0, 1) becomes N(±1, 1): f moves by ε²/(σ²+ε²) = 0.5 σ."""
    task = Gaussian(epsilon=1.0, n=40_000).regression(Context(1))
    found = stressed(MSE(degree=1), task, refits=3, refit_replicas=5, threshold=0.03)
    record = record_of(found, PriorSensitivity)
    assert record.spectra == ("flat", "steeper", "softer")
    for k, exact in ((1, -0.5), (2, 0.5)):
        known = np.isfinite(record.difference[k])
        np.testing.assert_allclose(record.difference[k, known], exact, atol=0.05)
        assert 20 < np.count_nonzero(known) < 50, "curves end with the bulk of their spectrum"
    assert record.verdict == DEPENDENT
    sensitivity = found.scalars["studied"]["prior/sensitivity"]
    assert sensitivity.value == pytest.approx(np.nanmax(np.abs(record.difference)))
    assert 0 < sensitivity.error < record.band
    assert found.scalars["studied"]["prior/verdict"].value == DEPENDENT


def test_a_likelihood_does_not_move():
    found = stressed(
        NumericalInversion(shape="polynomial", degree=1), relative_task(), refits=2, threshold=0.01
    )
    record = record_of(found, PriorSensitivity)
    assert record.verdict == UNIVERSAL
    assert np.nanmax(np.abs(record.difference)) < 2 * record.band


def test_methods_compared_with_are_derived_again_where_asked_for():
    """As if each were studied alone; what learns from no sample is left out."""
    task = relative_task(n=4000)
    methods = {"mse": MSE(degree=1), "line": NumericalInversion(shape="polynomial", degree=1),
               "none": Uncalibrated()}  # fmt: skip
    fits = {label: method.fit(task, Context()) for label, method in methods.items()}

    def refit(other: RegressionTask, label: str = "mse") -> Calibration:
        return methods[label].fit(other, Context())

    options = {"replicas": 5, "refits": 1, "refit_replicas": 3}
    together = PriorStress(**options, compared=True)(fits, task, refit, Context()).scalars
    for label, method in list(methods.items())[:2]:
        alone = PriorStress(**options)(
            {label: fits[label]}, task, lambda other, m=method: m.fit(other, Context()), Context()
        ).scalars
        assert together[label]["prior/sensitivity"] == alone[label]["prior/sensitivity"]
    assert "prior/sensitivity" not in together["none"]
    only = PriorStress(**options)(fits, task, refit, Context()).scalars
    assert "prior/sensitivity" not in only["line"]


def test_nothing_fitted_nothing_moves():
    found = stressed(Uncalibrated(), relative_task(), refits=5, refit_replicas=3)
    assert found.scalars["studied"]["prior/sensitivity"].value == 0.0
    assert found.scalars["studied"]["prior/verdict"].value == UNIVERSAL


def test_too_small_a_sample_cannot_tell_and_says_what_could():
    method = NumericalInversion(shape="polynomial", degree=1)
    found = stressed(method, relative_task(n=1500), refits=2, threshold=1e-3)
    (row,) = found.tables["studied"]["prior/sensitivity"].rows
    table = dict(zip(found.tables["studied"]["prior/sensitivity"].columns, row, strict=True))
    assert table["verdict"] == CANNOT_TELL
    assert table["n_effective_to_tell"] > 1500
    assert table["lower_95"] <= 1e-3 <= table["upper_95"]


def test_the_band_covers_the_change_of_a_universal_method():
    """The true amplitude is zero: in 95 % of samples A lies below the band."""
    method = NumericalInversion(shape="polynomial", degree=1)
    covered = []
    for seed in range(12):
        found = stressed(method, relative_task(n=4000, seed=seed), refits=2)
        record = record_of(found, PriorSensitivity)
        covered.append(np.nanmax(np.abs(record.difference)) <= record.band)
    assert sum(covered) >= 9


@pytest.mark.parametrize(
    "options",
    [
        {"refits": 6},
        {"refits": -1},
        {"refit_replicas": 2},
        {"refit_events": 10},
        {"threshold": 0.0},
        {"replicas": 1},
        {"compared": 1},
    ],
)
def test_bad_options_are_named(options):
    with pytest.raises(ConfigurationError, match=rf"prior_stress\.{next(iter(options))}"):
        PriorStress(**options)
