"""The limits of the dependence on the spectrum: coverage, scaling, and verdicts of both kinds of
task against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data.dijet import Dijet
from calibrate.data.gaussian import Gaussian
from calibrate.errors import DataError, FitError
from calibrate.evaluators.prior_stress import PriorStress
from calibrate.evaluators.spectra_family import trained
from calibrate.evaluators.subjects import Regressed, Transported, reshaped
from calibrate.figures import figures_for
from calibrate.methods.mse import MSE
from calibrate.methods.none import Uncalibrated
from calibrate.methods.numerical_inversion import NumericalInversion
from calibrate.methods.ot import OptimalTransport
from calibrate.methods.response_transport import ResponseTransport
from calibrate.records import (
    CANNOT_TELL,
    DEPENDENT,
    UNIVERSAL,
    Findings,
    PriorSensitivity,
    TransportApplication,
)
from calibrate.report.captions import caption
from calibrate.sample import Sample
from calibrate.statistics import weighted_mean, weighted_std
from calibrate.study import Study, run
from calibrate.task import NOMINAL, Pair, RegressionTask, TransportTask

LINE = NumericalInversion(shape="polynomial", degree=1)
RESPONSE = ResponseTransport(anchor="spectrum")


def gaussian(n: int, seed: int = 0, epsilon: float = 2.0, width: float = 1.0) -> RegressionTask:
    """The Gaussian example, its nominal test no larger than its training sample."""
    task = Gaussian(n=n, epsilon=epsilon, sigma=width).regression(Context(seed))
    return replace(task, tests={NOMINAL: task.tests[NOMINAL].take(slice(0, n))})


def stressed(method, task, seed: int = 0, **options: object) -> Findings:
    def refit(other, label: str = "studied"):
        return method.fit(other.hidden() if isinstance(other, TransportTask) else other, Context())

    stress = PriorStress(replicas=10, **options)  # type: ignore[arg-type]
    return stress({"studied": refit(task)}, task, refit, Context(seed))


def numbers(found: Findings) -> dict[str, object]:
    table = found.tables["studied"]["prior/sensitivity"]
    return dict(zip(table.columns, table.rows[0], strict=True))


def record_of(found: Findings, kind: type):
    (record,) = [record for record in found.records if isinstance(record, kind)]
    return record


# Limits


def test_the_limits_cover_the_change_that_equation_39_predicts():
    """A tilt by one standard deviation s of the sample moves N(0, σ²) by σ²/s, hence the
    posterior mean by ε²/(σ²+ε²)·σ²/s: 0.5 of s where ε = σ, more than the flat spectrum does."""
    below, above, width = [], [], 3.0
    for seed in range(24):
        task = gaussian(3000, seed, epsilon=width, width=width)
        s = float(weighted_std(task.train.z, task.train.w)[0])
        exact = 0.5 * (width / s) ** 2
        found = numbers(stressed(MSE(degree=1), task, seed, refits=3))
        below.append(found["lower_95"] <= exact)
        above.append(found["upper_95"] >= exact)
    assert sum(below) >= 20
    assert sum(above) >= 20


def test_the_upper_limit_covers_zero_change_and_is_tighter_than_the_band_of_all_curves():
    tighter = []
    for seed in range(4):
        found = stressed(LINE, gaussian(3000, seed), seed, refits=3)
        record, limits = record_of(found, PriorSensitivity), numbers(found)
        assert limits["lower_95"] == 0.0
        tighter.append(limits["upper_95"] < limits["sensitivity"] + record.band)
    assert all(tighter)


def test_bootstrap_samples_of_fewer_events_give_the_limits_of_all():
    """√(m/n) times the deviations of m events: errors of 20000 from samples of 5000."""
    task = gaussian(20_000)
    errors = [
        numbers(stressed(MSE(degree=1), task, refits=2, refit_replicas=40, refit_events=m))[
            "sensitivity_error"
        ]
        for m in (20_000, 5000)
    ]
    assert errors[1] == pytest.approx(errors[0], rel=0.3)


def test_the_events_to_tell_shrink_the_nearer_limit_to_the_threshold():
    """Errors fall as 1/√n: the amplitude stays, its limits approach it."""
    task = gaussian(5000)
    first = numbers(stressed(LINE, task, refits=2, threshold=1.0))
    amplitude, upper = first["sensitivity"], first["upper_95"]
    assert first["verdict"] == UNIVERSAL
    assert first["n_effective_to_tell"] is None
    threshold = amplitude + 0.5 * (upper - amplitude)
    second = numbers(stressed(LINE, task, refits=2, threshold=threshold))
    assert second["verdict"] == CANNOT_TELL
    assert second["n_effective_to_tell"] == pytest.approx(4 * 5000)


def test_a_spectrum_beyond_the_bulk_of_the_test_is_left_out_by_name():
    task = gaussian(2000)
    far = {NOMINAL: replace(task.tests[NOMINAL], z=task.tests[NOMINAL].z + 5)}
    found = stressed(LINE, replace(task, tests=far), refits=1)
    assert "prior/sensitivity" not in found.tables["studied"]
    assert any("training spectrum 'flat' lies in" in text for text in found.warnings)


def test_training_spectra_with_too_few_events_are_left_out_by_name():
    found = stressed(MSE(degree=1), gaussian(450), refits=2)
    assert record_of(found, PriorSensitivity).spectra == ("flat",)
    (text,) = [text for text in found.warnings if text.startswith("the training sample has fewer")]
    assert "'steeper' (" in text
    assert "'flat'" not in text


class FailsWithFewer:
    """A method that cannot fit a bootstrap sample."""

    def fit(self, task: RegressionTask, context: Context):
        if len(task.train) < 2000:
            raise FitError("too few")
        return LINE.fit(task, context)


def test_bootstrap_samples_that_cannot_be_fitted_are_counted():
    with pytest.raises(FitError, match="10 of 10 bootstrap fits"):
        stressed(FailsWithFewer(), gaussian(2000), refits=1)


# Verdicts at moderate statistics


@pytest.mark.parametrize(
    ("method", "verdict"), [(LINE, UNIVERSAL), (MSE(degree=1), DEPENDENT)], ids=["line", "mse"]
)
def test_verdicts_on_regressions(method, verdict: str):
    task = gaussian(40_000, epsilon=0.5)
    found = stressed(method, task, refits=3, refit_replicas=5, threshold=0.05)
    assert found.scalars["studied"]["prior/verdict"].value == verdict


@pytest.mark.parametrize(
    ("method", "verdict"),
    [(OptimalTransport(), DEPENDENT), (RESPONSE, UNIVERSAL)],
    ids=["ot", "response transport"],
)
def test_verdicts_on_transport_maps(method, verdict: str):
    task = Gaussian(n=60_000, epsilon=1.0, epsilon_sim=0.5).transport(Context(1))
    found = stressed(method, task, refits=3, refit_replicas=4, refit_events=10_000, threshold=0.1)
    assert found.scalars["studied"]["prior/verdict"].value == verdict
    record = record_of(found, PriorSensitivity)
    assert record.quantity == "x'"
    assert "prior/application" not in found.scalars["studied"]


def test_a_small_sample_cannot_tell_of_response_transport():
    task = Gaussian(n=3000).transport(Context(1))
    found = stressed(RESPONSE, task, refits=2, refit_replicas=3, threshold=0.03)
    assert found.scalars["studied"]["prior/verdict"].value == CANNOT_TELL


def test_optimal_transport_changes_by_its_closed_form():
    """Tilted by one σ, the prior is N(±1, 1), where the right map is αx ± (1 - α)."""
    task = Gaussian(n=40_000).transport(Context(2))
    record = record_of(
        stressed(OptimalTransport(), task, refits=3, refit_replicas=3), PriorSensitivity
    )
    alpha = np.sqrt(5 / 2)
    for k, centre in ((1, -1.0), (2, 1.0)):
        known = np.isfinite(record.difference[k])
        np.testing.assert_allclose(record.difference[k, known], centre * (1 - alpha), atol=0.08)


# Transport maps on other spectra


def test_maps_are_applied_to_both_sides_under_each_spectrum():
    """Under every spectrum data has mean μ' and OT αμ', response transport follows data."""
    task = Gaussian(n=40_000).transport(Context(3))
    fits = {"ot": OptimalTransport().fit(task, Context()), "rt": RESPONSE.fit(task, Context())}
    found = PriorStress(replicas=20)(fits, task, lambda *_: None, Context())
    ot, rt = found.records
    assert ot.spectra == rt.spectra
    assert len(ot.spectra) == 7
    offset, error = rt.offset
    assert np.all(np.abs(offset) < 4 * error + 0.02)
    k = ot.spectra.index("steeper")
    assert ot.data_mean[k] == pytest.approx(-1, abs=0.06)
    assert ot.mean[k] == pytest.approx(-np.sqrt(5 / 2), abs=0.08)
    ratio, error = ot.ratio
    k = ot.spectra.index("resonance at middle z")
    assert abs(ratio[k] - np.sqrt(5 / 2) / 2) < 4 * error[k], "α·ε_sim beside ε"
    assert len(found.tables["rt"]["prior/application"].rows) == 7


def test_the_figures_show_every_map_and_every_curve_where_it_is_known():
    task = Gaussian(n=4000).transport(Context())
    found = stressed(OptimalTransport(), task, refits=3, refit_replicas=3)
    figures = figures_for(found.records, ("studied",))
    assert list(figures) == ["prior_carried_nominal", "prior_sensitivity_studied"]
    upper, lower = figures["prior_carried_nominal"].axes[::-1]
    offset, _ = found.records[0].offset
    drawn = {line.get_gid(): line for axes in (upper, lower) for line in axes.lines}
    np.testing.assert_allclose(drawn["studied:mean"].get_ydata(), offset)
    (axes,) = figures["prior_sensitivity_studied"].axes
    assert "x'" in axes.get_ylabel()
    low, high = axes.get_ylim()
    assert high > low
    titles = [caption(name)[0] for name in figures]
    assert titles == [
        "Simulation and data under other spectra: nominal",
        "Dependence on the training spectrum: studied",
    ]


def test_data_without_truth_stays_on_its_own_spectrum_and_that_is_said():
    task = Gaussian(n=2000).transport(Context()).hidden()
    found = stressed(OptimalTransport(), task, refits=2)
    assert record_of(found, TransportApplication).spectra == (NOMINAL,)
    assert not found.scalars
    assert "prior/sensitivity" not in found.tables["studied"]
    (warning,) = found.warnings
    assert "truth of data is unknown" in warning
    assert "refits=2" in warning


def test_spectra_with_too_few_events_of_a_pair_are_left_out_by_name():
    task = Gaussian(n=1500).transport(Context())
    found = stressed(OptimalTransport(), task)
    assert "resonance at low z" not in record_of(found, TransportApplication).spectra
    assert any("'resonance at low z'" in text and "simulation or data" in text
               for text in found.warnings)  # fmt: skip


def test_negative_weights_leave_the_widths_of_a_pair_empty():
    task = Gaussian(n=20_000).transport(Context())
    pair, w = task.tests[NOMINAL], np.where(np.arange(20_000) % 5 == 0, -1.0, 1.0)
    negative = pair.with_weights(w, pair.data.w)
    task = replace(task, tests={**task.tests, NOMINAL: negative})
    rows = stressed(Uncalibrated(), task).tables["studied"]["prior/application"].rows
    assert rows[0][3] == pytest.approx(0, abs=0.1)
    assert rows[0][7] is None


def test_a_test_too_small_for_any_spectrum_leaves_one_warning_alone():
    task = Gaussian(n=150).transport(Context())
    found = stressed(Uncalibrated(), task)
    assert found.records == ()
    (text,) = found.warnings
    assert text.count("(") == 7


# Both sides under one spectrum


def spectrum(sample: Sample) -> tuple[float, float]:
    mean, width = weighted_mean(sample.z, sample.w), weighted_std(sample.z, sample.w)
    return float(mean[0]), float(width[0])


@pytest.mark.parametrize(
    "data", [Gaussian(n=40_000), Dijet(resonance_masses=())], ids=["gaussian", "dijet"]
)
def test_both_sides_of_a_pair_get_the_same_spectrum(data):
    pair = data.transport(Context()).train
    for name, reshape in trained(pair.simulation):
        moved = reshaped(pair, reshape)
        (a, b), (c, d) = spectrum(moved.simulation), spectrum(moved.truth)
        assert c == pytest.approx(a, abs=0.1 * b), name
        assert d == pytest.approx(b, rel=0.1), name
        assert np.array_equal(moved.data.w, moved.truth.w)
        assert moved.data.z_columns == ()


def test_counts_are_drawn_per_event_of_either_side():
    subject = Transported(Gaussian(n=5000).transport(Context()))
    counts = subject.counts(0.5, np.random.default_rng(0))
    assert [each.size for each in counts] == [5000, 5000]
    assert np.corrcoef(*counts)[0, 1] == pytest.approx(0, abs=0.06)
    drawn = subject.drawn(subject.task, counts).train
    assert np.sum(drawn.simulation.w) == np.sum(counts[0])
    assert drawn.truth is None
    jets = Regressed(gaussian(200))
    two = replace(jets.task, train=replace(jets.train, group=np.repeat(np.arange(100), 2)))
    (each,) = Regressed(two).counts(1.0, np.random.default_rng(0))
    assert np.array_equal(each[::2], each[1::2]), "rows of one event are drawn together"


# The truth of data


def test_the_truth_of_data_belongs_to_its_events_and_is_hidden_from_methods():
    task = Gaussian(n=500).transport(Context())
    pair = task.train
    assert pair.truth is not None
    assert np.array_equal(pair.truth.x, pair.data.x)
    assert task.hidden().train.truth is None
    assert all(each.truth is None for each in task.hidden().tests.values())
    with pytest.raises(DataError, match="same events in the same order"):
        Pair(pair.simulation, pair.data, pair.truth.take(np.arange(499, -1, -1)))
    with pytest.raises(DataError, match="must be z, as in simulation, got nothing"):
        Pair(pair.simulation, pair.data, pair.data)


def test_a_study_hides_the_truth_of_data_from_its_methods():
    seen: list[object] = []

    class Looks(OptimalTransport):
        def fit(self, task: TransportTask, context: Context):
            seen.extend(pair.truth for pair in (task.train, *task.tests.values()))
            return super().fit(task, context)

    stress = PriorStress(refits=1, refit_replicas=3)
    run(Study(Gaussian(n=500), {"ot": Looks()}, {"stress": stress}), Context(), {}, "")
    assert len(seen) == 3 * (1 + 1 + 3 * 2)
    assert not any(seen)
