"""The generator of the bundled dijet samples: its detector, its bookkeeping, and a tiny run."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))

detector = importlib.import_module("detector")
events = importlib.import_module("dijet_events")
jets_of = importlib.import_module("jets")
chunks_of = importlib.import_module("chunks")
columns_of = importlib.import_module("columns")
script = importlib.import_module("generate_dijets")

BOTH = pytest.mark.parametrize("constants", detector.DETECTORS.values(), ids=lambda d: d.name)
TINY = 60  # events


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def particles(species, energy, eta=0.01, phi=0.01, event=0):
    """Particles from numbers that broadcast against each other."""
    columns = np.broadcast_arrays(event, species, energy, eta, phi)
    kinds = (np.int64, np.int64, float, float, float)
    return detector.Particles(
        *(np.atleast_1d(c).astype(k) for c, k in zip(columns, kinds, strict=True))
    )


# --- Response of the instruments ------------------------------------------------------------------


@BOTH
def test_hadron_response_rises_from_h_over_e_towards_one(constants):
    energy = np.geomspace(0.1, 1e4, 400)
    response = detector.pi_over_e(energy, constants.hadrons)
    above = energy > constants.hadrons.scale
    assert np.all(response[~above] == constants.hadrons.h_over_e)
    assert np.all(np.diff(response[above]) > 0)
    assert np.all(response < 1)


def test_hadron_response_is_groom_s_formula():
    hadrons = detector.HadronResponse(h_over_e=0.6, scale=2.0, power=0.8)
    np.testing.assert_allclose(
        detector.pi_over_e(np.array([64.0]), hadrons), 1 - 0.4 * 32.0**-0.2, rtol=1e-14
    )


@BOTH
@pytest.mark.parametrize("name", ["electromagnetic", "hadronic"])
def test_calorimeter_terms_dominate_in_turn(constants, name):
    instrument = getattr(constants, name)
    low, high = detector.calorimeter_resolution(np.array([1e-5, 1e9]), instrument)
    assert low * 1e-5 == pytest.approx(instrument.noise, rel=1e-3)
    assert high == pytest.approx(instrument.constant, rel=1e-3)
    stochastic = replace(instrument, noise=0.0, constant=0.0)
    middle = detector.calorimeter_resolution(np.array([25.0]), stochastic)
    assert middle == pytest.approx(instrument.stochastic / 5)


@BOTH
def test_track_resolution_adds_in_quadrature(constants):
    pt = np.array([0.0, 300.0])
    tracker = constants.tracker
    expected = [tracker.constant, np.sqrt(tracker.constant**2 + (tracker.slope * 300) ** 2)]
    np.testing.assert_allclose(detector.track_resolution(pt, tracker), expected)


@BOTH
def test_track_efficiency_limits(constants):
    tracker = constants.tracker
    crowd = np.arange(50)
    efficiency = detector.track_efficiency(np.full(50, 10.0), np.zeros(50), crowd, tracker)
    assert efficiency[0] == tracker.plateau
    assert np.all(np.diff(efficiency) < 0)
    assert efficiency[-1] < 1e-3
    outside = np.array([tracker.max_eta + 0.1, 0.0])
    soft = np.array([10.0, 0.9 * tracker.min_pt])
    assert not detector.track_efficiency(soft, outside, np.zeros(2, int), tracker).any()


@BOTH
def test_muons_are_found_among_hadrons(constants, rng):
    number = 2000
    event = np.repeat(np.arange(number), 21)
    crowd = particles([*[211] * 20, detector.MUON] * number, 10.0, event=event)
    found = (detector.measure(crowd, constants, rng).species == detector.MUON).sum() / number
    assert found == pytest.approx(constants.tracker.plateau, abs=5 * 0.5 / np.sqrt(number))


def test_neighbours_are_counted_within_cell_and_event():
    crowd = detector.neighbours(
        particles(211, 5.0, eta=[0.01, 0.015, 0.01, 0.5], event=[0, 0, 1, 0]), side=0.02
    )
    assert crowd.tolist() == [1, 1, 0, 0]


@BOTH
def test_isolated_photons_come_out_with_the_calorimeter_s_resolution(constants, rng):
    number, energy = 20_000, 200.0
    photons = particles(detector.PHOTON, energy, event=np.arange(number))
    measured = detector.measure(photons, constants, rng).energy / energy
    ecal = constants.electromagnetic
    width = detector.calorimeter_resolution(np.array([energy]), ecal)[0]
    expected = np.hypot(width, constants.wedges.spread)
    assert measured.mean() == pytest.approx(1, abs=5 * expected / np.sqrt(number))
    assert measured.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * number))


def test_calorimeters_share_the_gain_of_a_wedge(rng):
    side, number = 0.35, 20_000
    eta = np.tile([0.1, 0.2, 0.4], number)
    towers = particles(0, 1.0, eta=eta, event=np.repeat(np.arange(number), 3))
    wedges = detector.Wedges(side=side, spread=0.1)
    first, same, other = detector.apply_gains(towers, wedges, rng).energy.reshape(number, 3).T
    assert np.array_equal(first, same)
    assert abs(np.corrcoef(first, other)[0, 1]) < 5 / np.sqrt(number)
    assert first.mean() == pytest.approx(1, abs=5 * wedges.spread / np.sqrt(number))
    assert np.log(first).std() == pytest.approx(wedges.spread, rel=5 / np.sqrt(2 * number))


@BOTH
def test_neutral_hadrons_come_out_low_by_pi_over_e(constants, rng):
    number, energy = 20_000, 300.0
    neutrons = particles(2112, energy, event=np.arange(number))
    measured = detector.measure(neutrons, constants, rng).energy / energy
    expected = detector.pi_over_e(np.array([energy]), constants.hadrons)[0]
    error = measured.std() / np.sqrt(number)
    assert measured.mean() == pytest.approx(expected, abs=5 * error)


@BOTH
def test_a_hadron_is_measured_once_and_neutrals_never_by_the_tracker(constants, rng):
    pions = particles(211, 50.0, event=np.arange(500))
    assert np.bincount(detector.measure(pions, constants, rng).event).max() == 1
    neutrons = particles(2112, 50.0, event=np.arange(500))
    assert not detector.measure(neutrons, constants, rng).species.any()


def test_measured_objects_are_ordered_by_event(rng):
    mixed = particles([211, 22, 130, 13] * 100, 20.0, event=np.repeat(np.arange(100), 4))
    measured = detector.measure(mixed, detector.FULL, rng)
    assert np.all(np.diff(measured.event) >= 0)


# --- Rounding and matching ------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [4, 12, 20])
def test_mantissa_rounding_error(rng, bits):
    values = rng.lognormal(3, 3, 10_000) * rng.choice([-1, 1], 10_000)
    rounded = columns_of.round_mantissa(values, bits)
    assert np.max(np.abs(rounded / values - 1)) <= 2.0 ** -(bits + 1)
    assert np.array_equal(rounded, columns_of.round_mantissa(rounded, bits))
    assert columns_of.round_mantissa(np.zeros(1), bits) == 0


def test_stored_columns_are_exact_in_single_precision(rng):
    angles = rng.uniform(-np.pi, np.pi, 1000)
    stored = columns_of.storable("gen1_phi", angles)
    assert np.max(np.abs(stored - angles)) <= 2.0 ** -(columns_of.ANGLE_BITS + 1)
    momenta = rng.uniform(500, 3000, 1000)
    rounded = columns_of.round_mantissa(momenta, columns_of.MANTISSA_BITS)
    assert np.array_equal(columns_of.storable("gen1_pt", momenta), rounded)


def jets(y, phi):
    """One event per row; pT and mass play no part in the match."""
    y, phi = np.atleast_2d(y).astype(float), np.atleast_2d(phi).astype(float)
    return jets_of.Jets(pt=np.ones_like(y), y=y, phi=phi, m=np.ones_like(y))


@pytest.mark.parametrize(
    ("y", "phi", "nearest", "good"),
    [
        ([0.0, 1.0], [0.0, 3.1], [0, 1], True),
        ([1.0, 0.0], [3.1, 0.0], [1, 0], True),
        ([0.2, 0.1, 1.0], [0.0, 0.0, -3.15], [1, 2], True),  # the nearer one; across phi = pi
        ([0.0, 1.0], [0.0, 2.7], [0, 1], False),  # too far
        ([0.0, np.nan], [0.0, np.nan], [0, 0], False),  # a lost jet
    ],
)
def test_match(y, phi, nearest, good):
    index, matched = events.match(jets([0.0, 1.0], [0.0, 3.1]), jets(y, phi))
    assert index[0].tolist() == nearest
    assert matched.tolist() == [good]


def test_match_wants_distinct_jets():
    _, matched = events.match(jets([0.0, 0.4], [0.0, 0.0]), jets([0.2, 2.0], [0.0, 0.0]))
    assert not matched.any()


def test_pairs_follow_the_generated_jets():
    columns = events.pair_columns(jets([0.0, 1.0], [0.0, 3.1]), jets([1.1, 0.1], [3.1, 0.0]))
    assert columns["reco1_y"] == [0.1]
    assert columns["reco2_y"] == [1.1]


# --- Bookkeeping ----------------------------------------------------------------------------------


def job(folder=Path(), name="full", n=200_000, seed=1):
    return script.Job(detector.DETECTORS[name], n, seed, folder)


def test_chunks_hold_all_events():
    held = [0] * len(events.BINS)
    for chunk in job().chunks:
        held[chunk.bin - 1] += chunk.events
    assert held == script.bin_events(200_000)
    assert sum(held) == 200_000


def test_chunk_seeds_are_distinct_and_valid_for_pythia():
    jobs = [job(name=name, seed=seed) for name in detector.DETECTORS for seed in (1, 2)]
    seeds = [
        chunks_of.pythia_seed(script.seed_sequence(one, chunk.bin, chunk.index))
        for one in jobs
        for chunk in one.chunks
    ]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 1
    assert max(seeds) <= 900_000_000


@pytest.mark.parametrize("text", ["200", "m=200", "n=0", "n=many"])
def test_event_count_is_checked(text, capsys):
    with pytest.raises(SystemExit):
        script.parse([text])
    assert "n=NUMBER" in capsys.readouterr().err


def test_interrupted_write_leaves_no_file(tmp_path):
    def write_half(target):
        with columns_of.replacing(target) as path:
            path.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "chunk.npz")
    assert not (tmp_path / "chunk.npz").exists()


def test_ctrl_c_ends_with_one_line(monkeypatch, capsys):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "run", interrupt)
    assert script.main([]) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_missing_package_names_the_extra(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    assert script.main(["--output", str(tmp_path)]) == 1
    assert "pip install 'hep-calibrate[generate]'" in capsys.readouterr().err


# --- A tiny generation ----------------------------------------------------------------------------


@pytest.fixture
def small_chunks(monkeypatch):
    """Several chunks in a tiny run."""
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    monkeypatch.setattr(script, "CHUNK_EVENTS", 12)


def generate(folder, workers=1, n=TINY, *more):
    arguments = [f"n={n}", "--detector=full", f"--output={folder}", f"--workers={workers}", *more]
    return script.main(arguments)


def columns(folder):
    with h5py.File(folder / "dijet_full.h5") as file:
        return {name: file[name][:] for name in file}


@pytest.mark.usefixtures("small_chunks")
def test_columns_do_not_depend_on_the_number_of_workers(tmp_path):
    runs = [tmp_path / name for name in ("one", "again", "two")]
    assert [generate(folder, w) for folder, w in zip(runs, (1, 1, 2), strict=True)] == [0, 0, 0]
    first = columns(runs[0])
    for folder in runs[1:]:
        assert all(np.array_equal(first[name], found) for name, found in columns(folder).items())


@pytest.mark.usefixtures("small_chunks")
def test_file_describes_itself(tmp_path):
    generate(tmp_path)
    found = columns(tmp_path)
    assert len(found) == 3 + 4 * 4
    assert len(np.unique(found["event"])) == len(found["event"])
    with h5py.File(tmp_path / "dijet_full.h5") as file:
        generated, kept = file.attrs["n_generated"], file.attrs["n_kept"]
        sigma = file.attrs["cross_section_mb"]
        assert np.array_equal(kept + file.attrs["n_dropped"], generated)
    assert generated.tolist() == script.bin_events(TINY)
    assert np.bincount(found["bin"])[1:].tolist() == kept.tolist()
    np.testing.assert_allclose(found["weight"], (sigma / generated)[found["bin"] - 1])
    assert 3e-10 < sigma[0] < 5e-10  # mb


@pytest.mark.usefixtures("small_chunks")
def test_restart_reuses_chunks(tmp_path, monkeypatch):
    generate(tmp_path)
    before = columns(tmp_path)
    (tmp_path / "dijet_full.h5").unlink()
    monkeypatch.setattr(script, "generate", None)
    assert generate(tmp_path) == 0
    after = columns(tmp_path)
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.usefixtures("small_chunks")
def test_existing_output_and_foreign_chunks_are_refused(tmp_path, capsys):
    generate(tmp_path)
    assert generate(tmp_path) == 1
    assert "--force" in capsys.readouterr().err
    assert generate(tmp_path, 1, TINY, "--force") == 0
    (tmp_path / "dijet_full.h5").unlink()
    assert generate(tmp_path, 1, TINY + 1) == 1
    assert "other settings (events)" in capsys.readouterr().err
