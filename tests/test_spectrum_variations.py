"""Varied spectra: what they are, and what they do to a map, its metrics, its page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data.gaussian import Gaussian
from calibrate.errors import ConfigurationError
from calibrate.estimate import Varied
from calibrate.evaluators.transport import Transport
from calibrate.loading import load
from calibrate.methods.none import Uncalibrated
from calibrate.methods.ot import OptimalTransport
from calibrate.methods.response_transport import ResponseTransport
from calibrate.methods.spectrum_variations import DOWN, UP, varied
from calibrate.records import SpectrumShift
from calibrate.report.html import render
from calibrate.storage import save_state
from calibrate.study import Study, run
from calibrate.task import TransportTask

METHOD = ResponseTransport(anchor="spectrum")


@pytest.fixture(scope="module")
def task() -> TransportTask:
    return Gaussian(n=20000, controls=[[1.0, 1.0]]).transport(Context())


def test_a_tilt_moves_a_gaussian_spectrum_by_its_size(task: TransportTask):
    """e^{tz/σ} N(μ, σ²) is N(μ + tσ, σ²), in every region the same weights at the same z."""
    tilted = varied(task, 0.1)
    assert list(tilted) == [UP, DOWN]
    for name, shift in ((UP, 0.1), (DOWN, -0.1)):
        for pair, nominal in (
            (tilted[name].train, task.train),
            (tilted[name].controls["control1"], task.controls["control1"]),
        ):
            s, z = pair.simulation, nominal.simulation.z[:, 0]
            assert np.average(z, weights=s.w) - z.mean() == pytest.approx(shift, abs=0.005)
            assert pair.data is nominal.data
    assert varied(task, 0) == {}


def test_jets_of_one_event_keep_one_weight():
    task = Gaussian(n=1000).transport(Context())
    s = task.train.simulation
    pairs = replace(s, group=np.arange(1000) // 2)
    tilted = varied(replace(task, train=replace(task.train, simulation=pairs)), 0.2)[UP]
    w = tilted.train.simulation.w
    np.testing.assert_allclose(w[0::2], w[1::2])


def test_the_shift_of_the_map_follows_the_tilt(task: TransportTask, tmp_path: Path):
    """Simulation at μ + t for data at μ: the offset makes up for it, the scale does not change."""
    found = METHOD.fit(replace(task, controls={}), Context())
    for name, sign in ((UP, 1), (DOWN, -1)):
        other = found.variations[name]
        assert other.offset - found.offset == pytest.approx(-sign * 0.05, abs=0.004)
        assert other.slopes[0] == pytest.approx(found.slopes[0], abs=0.02)
    assert isinstance(found, Varied)
    assert "varied spectra shift the map: softer: offset -0.05" in found.summary.notes[-1]
    save_state(tmp_path / "fitted.h5", found.kind, found.state())
    again = load(tmp_path)
    assert again.variations[UP].offset == found.variations[UP].offset
    assert ResponseTransport("spectrum", spectrum_variation=0).fit(task, Context()).variations == {}


def test_the_shift_is_quoted_in_metrics_record_and_page():
    study = Study(
        Gaussian(n=4000),
        {"response_transport": METHOD, "ot": OptimalTransport(), "none": Uncalibrated()},
        {"transport": Transport(refits=2, replicas=20)},
    )
    outcome = run(study, Context(), {}, "").outcome
    metrics = outcome.metrics["response_transport"]
    for test in ("nominal", "shifted"):
        assert metrics[f"transport/{test}/mean_spectrum"].value == pytest.approx(0.05, abs=0.01)
        assert metrics[f"transport/{test}/iqr_spectrum"].value < 0.02
        assert metrics[f"transport/{test}/std_spectrum"].error is None
    assert "transport/nominal/mean_spectrum" not in outcome.metrics["ot"]
    shifts = [r for r in outcome.records if isinstance(r, SpectrumShift)]
    assert [s.method for s in shifts] == ["response_transport"] * 2
    assert np.all(shifts[0].low <= shifts[0].high)
    page = render(outcome, {})
    assert "response_transport is universal under the anchor" in page
    assert re.search(r"A varied spectrum shifts, beside .*: nominal: mean ±0\.0[45]", page)
    assert "ot is universal" not in page


def test_the_size_is_a_positive_number_or_none():
    with pytest.raises(ConfigurationError, match=r"method\.spectrum_variation must be positive"):
        ResponseTransport(anchor="spectrum", spectrum_variation=-0.1)
