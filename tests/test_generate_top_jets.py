"""The generator of the bundled top jets: its match, its observables, its spectrum, a tiny run."""

import importlib
import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from calibrate.data.top_jets import FEATURES

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))

jets_of = importlib.import_module("jets")
events = importlib.import_module("top_jet_events")
script = importlib.import_module("generate_top_jets")

EVENTS = 60


def jets(pt, y, phi, m=0.0):
    """One event per row, from numbers that broadcast against each other."""
    columns = np.broadcast_arrays(*(np.atleast_2d(c).astype(float) for c in (pt, y, phi, m)))
    return jets_of.Jets(*columns)


# --- Matching and observables ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pt", "y", "phi", "good"),
    [
        ([500, 500], [0.1, 1.0], [0.0, 3.1], [True, True]),
        ([500, 500], [0.1, 1.0], [1.15, 3.1], [True, True]),  # still within Delta R = 1.2
        ([500, 500], [0.1, 1.0], [1.25, 3.1], [False, True]),
        ([399, 1001], [0.1, 1.0], [0.0, 3.1], [False, False]),  # outside the range of true pT
        ([500, 500], [0.1, 0.2], [0.0, 0.1], [False, False]),  # the same jet twice
    ],
)
def test_a_top_lies_in_a_jet_of_its_own(pt, y, phi, good):
    index, used = events.matched(jets(pt, y, phi), jets(300.0, [0.0, 1.0, np.nan], [0.0, 3.1, 0.0]))
    assert used.tolist() == [good]
    assert index[0, 0] == 0


def test_a_jet_beyond_the_acceptance_is_not_used():
    tops = jets(500.0, [1.9, -2.1], [0.0, 3.1])
    assert events.matched(tops, tops)[1].tolist() == [[True, False]]
    heavy = jets(500.0, [1.9, 0.0], [0.0, 3.1], m=500.0)  # |eta| > |y| for a massive jet
    assert events.matched(heavy, heavy)[1].tolist() == [[False, True]]


def test_pseudorapidity_is_that_of_the_momentum():
    pt, pz, m = 300.0, 450.0, 170.0
    energy = np.sqrt(pt**2 + pz**2 + m**2)
    eta = events.pseudorapidity(jets(pt, np.arctanh(pz / energy), 0.0, m))
    assert eta == pytest.approx(-np.log(np.tan(0.5 * np.arctan2(pt, pz))))


@pytest.fixture
def constituents():
    """Two jets: three massless particles about (0, 0), and one across phi = pi."""
    ak = pytest.importorskip("awkward")
    pt = ak.Array([[100.0, 60.0, 40.0], [50.0]])
    eta = ak.Array([[0.0, 0.5, 0.0], [1.0]])
    phi = ak.Array([[0.1, 0.0, -0.6], [-3.1]])
    parts = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)
    return importlib.import_module("pythia_events").four_vectors(*parts)


def test_girth_and_number_of_constituents(constituents):
    axes = jets_of.Jets(*np.array([[200.0, 50.0], [0.0, 1.0], [0.0, 3.1], [0.0, 0.0]]))
    columns = events.constituent_columns(constituents, axes)
    assert columns["jet_constituents"].tolist() == [3, 1]
    across = 2 * np.pi - 6.2
    expected = [(100 * 0.1 + 60 * 0.5 + 40 * 0.6) / 200, across]
    np.testing.assert_allclose(columns["jet_girth"], expected, rtol=1e-12)


def test_subjets_are_ordered_and_missing_ones_zero(constituents):
    pytest.importorskip("fastjet")
    columns = events.subjet_columns(constituents)
    found = np.column_stack([columns[f"subjet{i}_pt"] for i in (1, 2, 3)])
    np.testing.assert_allclose(found, [[100, 60, 40], [50, 0, 0]], rtol=1e-12)


# --- The flat spectrum ----------------------------------------------------------------------------


def test_every_step_of_true_pt_keeps_the_same_number_of_jets():
    rng = np.random.default_rng(3)
    pt = 400 + 600 * rng.beta(1, 2, 20_000)
    rows = script.flat(pt, rng)
    edges = np.arange(400, 1001, script.STEP)
    before, after = (np.histogram(values, edges)[0] for values in (pt, pt[rows]))
    assert np.all(after == before.min())
    assert np.all(np.diff(rows) > 0)


def test_jets_below_their_pthat_are_thinned_as_a_falling_spectrum_would_have_them():
    """The spectrum of pT-hat at given true pT: flat above it as generated, then times pT-hat^-6."""
    rng = np.random.default_rng(4)
    pthat, top_pt = rng.uniform(300, 1000, 200_000), np.full(200_000, 500.0)
    left = np.histogram(pthat[script.mixed(top_pt, pthat, rng)], np.arange(300, 1001, 100))[0]
    per_step = pthat.size / 7
    above = np.arange(500, 901, 100)
    integral = (above**-5.0 - (above + 100) ** -5.0) / 5 * 500**6 / 100
    expected = per_step * np.array([1, 1, *integral])
    assert np.all(np.abs(left - expected) < 5 * np.sqrt(expected))


def test_too_few_jets_to_be_flat_are_refused(tmp_path, capsys):
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    assert script.main(["n=5", f"--output={tmp_path}", "--isr=off", "--workers=1"]) == 1
    assert "leave a step of 25 GeV in true pT empty: raise n" in capsys.readouterr().err
    assert not (tmp_path / "top_jets_isr_off.h5").exists()


# --- A tiny generation ----------------------------------------------------------------------------


@pytest.fixture
def coarse(monkeypatch):
    """Several chunks, and a spectrum that few events can fill."""
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    monkeypatch.setattr(script, "CHUNK_EVENTS", 24)
    monkeypatch.setattr(script, "STEP", 200.0)


def generate(folder, isr="off", workers=1):
    return script.main(
        [f"n={EVENTS}", f"--isr={isr}", f"--output={folder}", f"--workers={workers}"]
    )


def opened(folder, isr="off"):
    with h5py.File(folder / f"top_jets_isr_{isr}.h5") as file:
        return {name: file[name][()] for name in file}, dict(file.attrs)


@pytest.mark.usefixtures("coarse")
def test_a_file_holds_what_the_dataset_reads_and_describes_itself(tmp_path):
    assert generate(tmp_path, "both") == 0
    for isr in ("on", "off"):
        columns, about = opened(tmp_path, isr)
        assert {*FEATURES, "top_pt", "event", "pthat"} == set(columns)
        assert about["isr"] == (isr == "on")
        assert f"PartonLevel:ISR = {isr}" in about["pythia_settings"]
        assert about["command"].endswith(f"n={EVENTS} --seed 1 --isr {isr}")
        assert json.loads(about["detector_constants"])["name"] == "full"
        assert about["n_generated"] == EVENTS
        assert about["n_kept"] == columns["event"].size <= about["n_matched"]
        assert np.unique(columns["event"], return_counts=True)[1].max() == 2
        assert columns["event"].max() < EVENTS
        assert np.ptp(np.histogram(columns["top_pt"], [400, 600, 800, 1000])[0]) == 0
        assert np.abs(columns["jet_eta"]).max() < events.MAX_ETA
        subjets = np.column_stack([columns[f"subjet{i}_pt"] for i in (1, 2, 3)])
        assert np.all(np.diff(subjets) <= 0)
        assert 0.8 < np.median(columns["jet_pt"] / columns["top_pt"]) < 1.2


@pytest.mark.usefixtures("coarse")
def test_columns_do_not_depend_on_the_number_of_workers(tmp_path):
    runs = [(tmp_path / str(workers), workers) for workers in (1, 2)]
    assert [generate(folder, workers=workers) for folder, workers in runs] == [0, 0]
    one, two = (opened(folder)[0] for folder, _ in runs)
    assert all(np.array_equal(one[name], two[name]) for name in one)
