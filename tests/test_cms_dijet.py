"""CMS dijets of MOD files: pairs against a slow twin, weights of a part of the files, bad files."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data import mod_files, mod_pairs
from calibrate.data.cms_dijet import CmsDijet
from calibrate.data.mod_sets import WEIGHT_SUMS
from calibrate.errors import ConfigurationError, DataError
from calibrate.sample import Sample
from calibrate.task import RegressionTask
from tests.mod_writer import SIM_F, SIM_I, Jets, simulated, write_file, write_set

PARTS = ("pt", "y", "phi", "m")


def masses(path: object, **options: Any) -> Sample:
    given = [str(each) for each in path] if isinstance(path, list) else str(path)
    return CmsDijet(given, **options).masses(Context())


def task_of(path: object, **options: Any) -> RegressionTask:
    given = [str(each) for each in path] if isinstance(path, list) else str(path)
    return CmsDijet(given, resonance_mass=None, **options).regression(Context())


def four_momentum(jets: Jets, row: int, prefix: str, factor: float) -> np.ndarray:
    pt, y, phi, m = (float(jets.column(f"{prefix}{part}")[row]) for part in PARTS)
    pt, m = pt * factor, m * factor
    transverse = math.hypot(pt, m)
    return np.array(
        [
            transverse * math.cosh(y),
            pt * math.cos(phi),
            pt * math.sin(phi),
            transverse * math.sinh(y),
        ]
    )


def slow_masses(jets: Jets, quality: int = 0, eta: float = 9.0, corrected: bool = False):
    """m_jj (reco, true) and weight of every event with exactly two usable jets, jet by jet."""
    events = defaultdict(list)
    for row in range(len(jets.i)):
        usable = jets.column("quality")[row] >= quality and abs(jets.column("jet_eta")[row]) <= eta
        if usable and jets.column("gen_jet_pt")[row] != -1:
            events[tuple(jets.column(name)[row] for name in ("rn", "lbn", "evn"))].append(row)
    found = []
    for pair in events.values():
        if len(pair) == 2:
            sums = []
            for prefix in ("jet_", "gen_jet_"):
                scaled = corrected and prefix == "jet_"
                parts = [
                    four_momentum(jets, r, prefix, jets.column("jec")[r] if scaled else 1.0)
                    for r in pair
                ]
                e, *p = parts[0] + parts[1]
                sums.append(math.sqrt(e**2 - sum(each**2 for each in p)))
            found.append([*sums, jets.column("weight")[pair[0]]])
    return np.array(sorted(found))


def rows_of(sample: Sample) -> np.ndarray:
    rows = np.column_stack([sample.x[:, 0], sample.z[:, 0], sample.w])
    return rows[np.argsort(rows[:, 0])]


# Pairs


@pytest.mark.parametrize("rows", [100, 1 << 15])
@pytest.mark.parametrize("files", [1, 3])
def test_the_masses_are_those_of_a_slow_twin(tmp_path: Path, monkeypatch, rows: int, files: int):
    """Partners are neighbours or far apart, in other blocks, in other files."""
    monkeypatch.setattr(mod_files, "ROWS", rows)
    monkeypatch.setattr(mod_pairs, "MOST_RECENT", 3 * rows)
    jets = simulated(1500, scattered=0.1, unmatched=0.05, repeated=20, reach=1500)
    paths = write_set(tmp_path, "TOY", jets, files)
    found = masses(paths if files == 1 else f"{tmp_path}/TOY*.h5")
    np.testing.assert_allclose(rows_of(found), slow_masses(jets), rtol=1e-9)


def test_the_note_counts_what_was_left_out(tmp_path: Path):
    jets = simulated(1500, scattered=0.1, unmatched=0.05, repeated=20, reach=1500)
    (path,) = write_set(tmp_path, "TOY", jets)
    unmatched = int(np.count_nonzero(jets.column("gen_jet_pt") == -1))
    events = len(slow_masses(jets))
    note = task_of(path).notes[0]
    assert f"3040 jets of 1 file read, {events} events; left out: {unmatched} jets without" in note
    matched = jets.take(jets.column("gen_jet_pt") != -1)
    numbers = np.unique(matched.i[:, 1:4], axis=0, return_counts=True)[1]
    counts = [int(np.count_nonzero(numbers == 1)), int(np.count_nonzero(numbers > 2))]
    assert f"{counts[0]} events with one usable jet, {counts[1]} with more than two" in note
    assert counts[0] > 100
    assert counts[1] > 10


@pytest.mark.parametrize(
    ("options", "cuts"),
    [
        ({"min_quality": 2}, {"quality": 2}),
        ({"max_abs_eta": 0.6}, {"eta": 0.6}),
        ({"min_quality": 1, "max_abs_eta": 1.0}, {"quality": 1, "eta": 1.0}),
        ({"corrected": True}, {"corrected": True}),
    ],
)
def test_cuts_and_corrections_are_those_of_the_slow_twin(tmp_path: Path, options, cuts):
    jets = simulated(1500, unmatched=0.05)
    (path,) = write_set(tmp_path, "TOY", jets)
    np.testing.assert_allclose(
        rows_of(masses(path, **options)), slow_masses(jets, **cuts), rtol=1e-9
    )


def test_columns_are_found_by_name(tmp_path: Path):
    jets = simulated(500)
    first, second = (write_file(tmp_path / f"{name}.h5", jets) for name in "ab")
    with h5py.File(second, "r+") as file:
        for name, columns in (("jets_i", SIM_I), ("jets_f", SIM_F)):
            order = np.random.default_rng(1).permutation(len(columns))
            file[name][...] = file[name][()][:, order]
            file[name].attrs["cols"] = np.array(columns, dtype="S")[order]
    np.testing.assert_array_equal(rows_of(masses(second)), rows_of(masses(first)))


def test_columns_that_are_not_needed_are_not_read(tmp_path: Path):
    path = write_file(tmp_path / "a.h5", simulated(500), chunks=(500, 1))
    expected = rows_of(masses(path))
    damage(path, "hard_y")
    np.testing.assert_array_equal(rows_of(masses(path)), expected)
    damage(path, "jet_y")
    with pytest.raises(DataError, match=r"cannot be read as HDF5: .*truncated or damaged"):
        masses(path)


def damage(path: Path, column: str) -> None:
    """Overwrite a compressed chunk of one column."""
    with h5py.File(path) as file:
        storage = file["jets_f"].id
        chunks = (storage.get_chunk_info(i) for i in range(storage.get_num_chunks()))
        place = next(c for c in chunks if c.chunk_offset == (0, SIM_F.index(column)))
    content = bytearray(path.read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    path.write_bytes(content)


def test_the_events_of_two_sets_are_not_mixed(tmp_path: Path):
    """Every p̂_T set counts its events from the same number."""
    a, b = simulated(400, 1), simulated(400, 2)
    write_set(tmp_path, "SIM1000", a)
    write_set(tmp_path, "SIM1400", b)
    found = masses(f"{tmp_path}/SIM*.h5")
    np.testing.assert_allclose(
        rows_of(found)[:, :2],
        np.array(sorted([*map(tuple, slow_masses(a)), *map(tuple, slow_masses(b))]))[:, :2],
        rtol=1e-9,
    )
    assert len(np.unique(found.group)) == len(found)


def test_jets_of_an_event_stay_together(tmp_path: Path):
    jets = simulated(600)
    (path,) = write_set(tmp_path, "TOY", jets)
    task = task_of(path, target="jet_pt")
    train, test = task.train, task.tests["nominal"]
    assert not set(train.group) & set(test.group)
    assert (len(train) + len(test)) == 2 * len(masses(path))
    usable = jets.column("gen_jet_pt") > 0
    assert set(np.concatenate([train.z[:, 0], test.z[:, 0]])) <= set(
        jets.column("gen_jet_pt")[usable]
    )


def test_resonances_are_tests_of_both_targets(tmp_path: Path):
    (path,) = write_set(tmp_path, "TOY", simulated(4000))
    for target in ("mjj", "jet_pt"):
        options = {"target": target, "resonance_mass": 2300.0, "resonance_width": 50.0}
        task = CmsDijet(str(path), **options).regression(Context())
        assert set(task.tests) == {"nominal", "resonance"}


# Weights


def test_some_files_stand_for_their_whole_set(tmp_path: Path):
    paths = write_set(tmp_path, "SIM1400", simulated(3000, unmatched=0.0, scattered=0.0), 3)
    for chosen in (paths, paths[:1]):
        weights = masses(chosen).w
        assert 2 * weights.sum() == pytest.approx(WEIGHT_SUMS["SIM1400"], rel=1e-3)


def test_the_sum_is_that_of_all_jets_before_any_cut(tmp_path: Path):
    jets = simulated(3000, unmatched=0.1)
    (path,) = write_set(tmp_path, "TOY", jets)
    whole, cut = masses(path, weight_sum=3.0), masses(path, weight_sum=3.0, min_quality=2)
    expected = 3.0 / jets.column("weight").sum()
    assert whole.w.sum() == pytest.approx(expected * slow_masses(jets)[:, 2].sum())
    assert cut.w.sum() == pytest.approx(expected * slow_masses(jets, quality=2)[:, 2].sum())


def test_the_weights_of_unknown_sets_stay_as_they_are(tmp_path: Path):
    jets = simulated(500)
    (path,) = write_set(tmp_path, "TOY", jets)
    assert set(masses(path).w) <= set(jets.column("weight"))
    assert "weights as in the files" in task_of(path).notes[0]


def test_known_and_unknown_sums_are_not_mixed(tmp_path: Path):
    write_set(tmp_path, "SIM1000", simulated(200))
    write_set(tmp_path, "SIM600", simulated(200))
    with pytest.raises(ConfigurationError, match="weights of SIM600 are not known, those of"):
        masses(f"{tmp_path}/*.h5")
    patterns = [f"{tmp_path}/SIM600*.h5", f"{tmp_path}/SIM1000*.h5"]
    weights = masses(patterns, weight_sum=[8.0, 2.0]).w
    assert 2 * weights.sum() == pytest.approx(10.0, rel=0.05)
    with pytest.raises(ConfigurationError, match=r"\*\.h5 names files of SIM1000, SIM600: write"):
        masses(f"{tmp_path}/*.h5", weight_sum=1.0)


# Simulation to data


def delphes_text(path: Path, jets: Jets) -> Path:
    """The 20-column text of adjacent pairs."""
    lines = []
    for row in range(0, len(jets.i), 2):
        parts = []
        for each in (row, row + 1):
            for prefix in ("gen_jet_", "jet_"):
                parts += ["0", *(f"{jets.column(prefix + part)[each]:.6g}" for part in PARTS)]
        lines.append(" ".join(parts))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_transport_carries_delphes_to_the_cms_simulation(tmp_path: Path):
    fast = delphes_text(tmp_path / "dijets14.txt", simulated(3000, 1, 0.0, 0.0))
    jets = simulated(3000, 2, unmatched=0.0)
    (path,) = write_set(tmp_path, "SIM1400", jets)
    data = CmsDijet(
        str(path), simulation=str(fast), resonance_masses=[2300.0], resonance_width=50.0
    )
    task = data.transport(Context())
    assert set(task.tests) == {"nominal", "resonance2300"}
    pair = task.train
    assert (len(pair.simulation), len(pair.data)) == (1500, 1500)
    assert not pair.data.z_columns
    nominal = task.tests["nominal"].data
    seen = np.sort(np.concatenate([pair.data.x[:, 0], nominal.x[:, 0]]))
    np.testing.assert_allclose(seen, slow_masses(jets)[:, 0], rtol=1e-9)
    resonance = task.tests["resonance2300"].simulation
    assert np.average(resonance.z[:, 0], weights=resonance.w) == pytest.approx(2300, abs=15)
    assert any("simulation: event weights [mb] known" in note for note in task.notes)
    assert set(task.files) == {str(path), str(fast)}


def test_transport_needs_a_simulation():
    with pytest.raises(ConfigurationError, match=r"name its Delphes files with data\.simulation"):
        CmsDijet("a.h5").check("transport")


def test_each_jet_can_be_carried(tmp_path: Path):
    fast = delphes_text(tmp_path / "dijets14.txt", simulated(1000, 1, 0.0, 0.0))
    (path,) = write_set(tmp_path, "SIM1400", simulated(1000, 2, unmatched=0.0))
    data = CmsDijet(str(path), target="jet_pt", simulation=str(fast), resonance_masses=[])
    pair = data.transport(Context()).train
    assert (len(pair.simulation), len(pair.data)) == (1000, 1000)
    assert pair.data.groups.number == 500


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": []}, "data.path names no file"),
        ({"path": 3}, "data.path takes a text"),
        ({"path": "a", "weight_sum": [1.0, 2.0]}, "one number for each .*: got 2 for 1"),
        ({"path": "a", "weight_sum": -1.0}, "each of data.weight_sum must be positive"),
        ({"path": "a", "min_quality": 1.5}, "data.min_quality must be an integer"),
        ({"path": "a", "max_abs_eta": 0}, "data.max_abs_eta must be positive, got 0"),
        ({"path": "a", "corrected": "yes"}, "data.corrected is true or false, got 'yes'"),
        ({"path": "a", "target": "mj"}, "data.target='mj': did you mean mjj"),
        ({"path": "a", "train_fraction": 1}, "data.train_fraction must be < 1, got 1"),
        ({"path": "a", "resonance_masses": 3}, "data.resonance_masses takes a list, got 3"),
        ({"path": "a", "simulation": []}, "names no file"),
    ],
)
def test_wrong_options_are_named(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        CmsDijet(**options)


def test_every_option_is_documented_by_name():
    assert [f.name for f in fields(CmsDijet) if f.name not in str(CmsDijet.__doc__)] == []


def test_a_table_without_names_is_named(tmp_path: Path):
    path = write_file(tmp_path / "a.h5", simulated(200))
    with h5py.File(path, "r+") as file:
        del file["jets_f"].attrs["cols"]
    with pytest.raises(DataError, match="table 'jets_f' has no attribute 'cols' with the names of"):
        masses(path)
    with h5py.File(path, "r+") as file:
        file["jets_f"].attrs["cols"] = np.array(SIM_F[:-1], dtype="S")
    with pytest.raises(DataError, match="'jets_f' has 17 columns, but 'cols' names 16"):
        masses(path)


def test_a_file_of_gen_jets_alone_is_named(tmp_path: Path):
    path = write_file(tmp_path / "a.h5", simulated(200))
    with h5py.File(path, "r+") as file:
        renamed = [name.replace("gen_jet_", "other_") for name in SIM_F]
        file["jets_f"].attrs["cols"] = np.array(renamed, dtype="S")
    with pytest.raises(DataError, match=r"no column 'gen_jet_pt'.*are in the files SIM…"):
        masses(path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("jet_pt", math.nan, r"jets 0 to 399: column 'jet_pt' holds 1 values of 400"),
        ("gen_jet_pt", math.nan, "'gen_jet_pt' holds 1 values"),
        ("jet_phi", math.inf, "'jet_phi' holds 1 values"),
        ("jet_pt", 0.0, "'jet_pt' is a transverse momentum, but 1 values"),
        ("weight", math.nan, "'weight' holds 1 values"),
        ("evn", -4, r"'evn' must be in \[0, 1099511627776\), got -4"),
    ],
)
def test_values_that_cannot_be_are_named(tmp_path: Path, column: str, value: float, message: str):
    jets = simulated(200, unmatched=0.0)
    jets.column(column)[7] = value
    with pytest.raises(DataError, match=message):
        masses(write_file(tmp_path / "a.h5", jets))


def test_negative_weights_are_kept(tmp_path: Path):
    jets = simulated(300, unmatched=0.0)
    rows = (jets.column("evn") % 5) == 0
    jets.f[rows, SIM_F.index("weight")] *= -1
    found = masses(write_file(tmp_path / "a.h5", jets))
    np.testing.assert_allclose(rows_of(found), slow_masses(jets), rtol=1e-9)
    assert np.any(found.w < 0)


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.95])
def test_a_truncated_file_is_named(tmp_path: Path, kept: float):
    path = write_file(tmp_path / "a.h5", simulated(2000))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=r"a\.h5"):
        masses(path)


def test_files_of_other_content_are_named(tmp_path: Path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["jets"] = np.ones(3)
    with pytest.raises(DataError, match=r"a\.h5 has no table 'jets_i': did you mean jets"):
        masses(tmp_path / "a.h5")
    with pytest.raises(DataError, match=r"no file .*nowhere\.h5"):
        masses(tmp_path / "nowhere.h5")
    with pytest.raises(DataError, match="is a folder"):
        masses(tmp_path)
    path = write_file(tmp_path / "b.h5", simulated(200))
    with pytest.raises(ConfigurationError, match=r"b\.h5 twice"):
        masses([path, path])


def test_too_few_events_are_counted(tmp_path: Path):
    with pytest.raises(DataError, match=r"\d+ events found \(.*100 jets of 1 file.*at least 100"):
        masses(write_file(tmp_path / "a.h5", simulated(50)))
    lonely = simulated(200, unmatched=0.0, scattered=0.0)
    with pytest.raises(DataError, match=r"no event found: .*200 events with one usable jet"):
        masses(write_file(tmp_path / "b.h5", lonely.take(slice(0, None, 2))))
