"""Dijets of Delphes: matching against a slow twin, files that cannot be used, and real files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from calibrate.cli.run import run
from calibrate.context import Context
from calibrate.data.delphes_dijet import DelphesDijet
from calibrate.data.delphes_files import read_dijets
from calibrate.data.matching import leading_pair, match_distinct, padded
from calibrate.errors import ConfigurationError, DataError
from calibrate.kinematics import Jets, delta_phi, dijet_mass, pseudorapidity, rapidity
from calibrate.statistics import weighted_mean, weighted_quantile
from calibrate.tables import Jagged
from calibrate.task import RegressionTask

REAL_ROW = (
    "0 960.283 0.405912 -2.75399 45.5495 1 987.996 0.406273 -2.75291 45.5495 "
    "1 665.562 -0.274401 0.401456 22.2392 0 1014.06 -0.279573 0.386054 22.2392"
)
CROSS_SECTIONS = {
    "cms": (4.0868e-10, 1.2378e-11, 3.881e-13),
    "atlas": (4.0982e-10, 1.2438e-11, 3.935e-13),
}
Event = list[tuple[float, float, float]]  # (pT, η, φ) of each jet
Collection = dict[str, list[list[float]]]


# Kinematics


def test_rapidity_is_the_inverse_of_pseudorapidity():
    rng = np.random.default_rng(1)
    pt, y, m = rng.uniform(1, 1000, 500), rng.uniform(-5, 5, 500), rng.uniform(0, 300, 500)
    np.testing.assert_allclose(rapidity(pt, pseudorapidity(pt, y, m), m), y, atol=1e-12)


def test_rapidity_is_that_of_energy_and_momentum():
    pt, eta, m = np.array([50.0]), np.array([1.7]), np.array([12.0])
    pz = pt * np.sinh(eta)
    energy = np.sqrt(pt**2 + pz**2 + m**2)
    np.testing.assert_allclose(rapidity(pt, eta, m), 0.5 * np.log((energy + pz) / (energy - pz)))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(3.0, -3.0, 6 - 2 * math.pi), (-3.0, 3.0, 2 * math.pi - 6), (1.0, 0.5, 0.5), (9.0, 9.0, 0.0)],
)
def test_angles_wrap_around(first: float, second: float, expected: float):
    assert delta_phi(np.array(first), np.array(second)) == pytest.approx(expected)


# Matching


def slow_delta_r(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    phi = abs(one[2] - other[2]) % (2 * math.pi)
    return math.hypot(one[1] - other[1], min(phi, 2 * math.pi - phi))


def slow_match(gen: Event, reco: Event, radius: float) -> tuple[int, int] | None:
    """The rule, event by event, without arrays."""
    first, second = sorted(gen, key=lambda jet: -jet[0])[:2]

    def nearest(jet: tuple[float, float, float], without: int = -1) -> tuple[float, int]:
        near = [(slow_delta_r(jet, other), i) for i, other in enumerate(reco) if i != without]
        return min((pair for pair in near if pair[0] < radius), default=(math.inf, -1))

    (near_first, i), (near_second, j) = nearest(first), nearest(second)
    if i == j and i >= 0:
        if near_first <= near_second:
            j = nearest(second, without=i)[1]
        else:
            i = nearest(first, without=j)[1]
    return (i, j) if i >= 0 and j >= 0 else None


def jagged(events: Sequence[Event], part: int) -> Jagged:
    counts = np.array([len(event) for event in events], dtype=np.int64)
    return Jagged(np.array([jet[part] for event in events for jet in event]), counts)


def fast_match(
    gen: Sequence[Event], reco: Sequence[Event], radius: float
) -> list[tuple[int, int] | None]:
    pt, eta, phi = (padded(jagged(gen, i), fill) for i, fill in enumerate((-np.inf, np.inf, 0)))
    order = leading_pair(pt)
    eta, phi = (np.take_along_axis(part, order, axis=1) for part in (eta, phi))
    jets = [padded(jagged(reco, 1), np.inf), padded(jagged(reco, 2), 0.0)]
    found = match_distinct(eta, phi, *jets, radius)
    return [
        (int(i), int(j)) if both else None
        for (i, j), both in zip(found.column, found.both, strict=True)
    ]


def on_a_grid(rng: np.random.Generator, n: int) -> Event:
    """Jets on a grid of binary fractions, where distances and momenta are often equal."""
    eta, phi = rng.integers(-4, 5, (2, n)) * 0.125
    return list(zip(rng.integers(20, 25, n) * 10.0, eta, phi, strict=True))


def around_pi(rng: np.random.Generator, n: int) -> Event:
    """Jets on both sides of φ = ±π."""
    turn = rng.normal(0, 0.4, n)
    phi = np.where(turn > 0, turn - math.pi, turn + math.pi)
    return list(zip(rng.uniform(20, 200, n), rng.normal(0, 0.4, n), phi, strict=True))


@pytest.mark.parametrize("radius", [0.3, 0.55, 5.0])
@pytest.mark.parametrize("jets", [on_a_grid, around_pi])
def test_the_matching_is_that_of_a_slow_twin(radius: float, jets):
    rng = np.random.default_rng(int(100 * radius))
    gen = [jets(rng, int(rng.integers(2, 6))) for _ in range(3000)]
    reco = [jets(rng, int(rng.integers(0, 6))) for _ in range(3000)]
    expected = [slow_match(*pair, radius) for pair in zip(gen, reco, strict=True)]
    assert fast_match(gen, reco, radius) == expected
    assert 100 < sum(pair is None for pair in expected) < 2900


def test_the_closer_gen_jet_keeps_a_contested_jet():
    gen = [[(100.0, 0.0, 0.0), (90.0, 0.25, 0.0)]] * 3
    contested = [(80.0, 0.2, 0.0), (30.0, 0.4, 0.0)]
    alone = contested[:1]
    equal = [(80.0, 0.125, 0.0), (30.0, 0.0, 0.25)]
    found = fast_match(gen, [contested, alone, equal], 0.3)
    assert found == [None, None, None]  # the farther jet has no other within the radius
    wide = fast_match(gen, [contested, alone, equal], 0.5)
    assert wide == [(1, 0), None, (0, 1)]


def test_events_without_reco_jets_are_unmatched():
    gen = [[(100.0, 0.0, 0.0), (90.0, 1.0, 3.0)]] * 2
    assert fast_match(gen, [[], []], 0.3) == [None, None]


def test_a_distance_equal_to_the_radius_is_too_far():
    gen = [[(100.0, 0.0, 0.0), (90.0, 1.0, 3.0)]]
    reco = [[(100.0, 0.25, 0.0), (90.0, 1.0, 3.0)]]
    assert fast_match(gen, reco, 0.25) == [None]
    assert fast_match(gen, reco, 0.2500001) == [(0, 1)]


# Synthetic Delphes files


def gen_events(n: int, seed: int = 0) -> Collection:
    """Back-to-back jets and soft ones, not in the order of their pT."""
    rng = np.random.default_rng(seed)
    columns: Collection = {part: [] for part in ("PT", "Eta", "Phi", "Mass")}
    for _ in range(n):
        pt, phi = 500 * (1 + rng.pareto(8)), rng.uniform(-math.pi, 0)
        columns["PT"].append([25.0, pt, 0.9 * pt])
        columns["Eta"].append([3.0, rng.normal(0, 0.5), rng.normal(0, 0.5)])
        columns["Phi"].append([0.0, phi, phi + math.pi])
        columns["Mass"].append([3.0, 0.1 * pt, 0.08 * pt])
    return columns


def reco_events(gen: Collection, seed: int = 1) -> Collection:
    """The gen jets in reverse order, with a response of 0.95 ± 0.05 and shifted axes."""
    rng = np.random.default_rng(seed)
    reco: Collection = {part: [] for part in gen}
    for pt, eta, phi, m in zip(*gen.values(), strict=True):
        response = rng.normal(0.95, 0.05, len(pt))
        reco["PT"].append(list((np.array(pt) * response)[::-1]))
        reco["Eta"].append(list((np.array(eta) + rng.normal(0, 0.02, len(pt)))[::-1]))
        reco["Phi"].append(list((np.array(phi) + rng.normal(0, 0.02, len(pt)))[::-1]))
        reco["Mass"].append(list((np.array(m) * response)[::-1]))
    return reco


def delphes(path: Path, collections: Mapping[str, Collection], tree: str = "Delphes") -> Path:
    """A tree with jagged branches `Jet.PT` …, as Delphes names them."""
    records = {
        name: ak.zip({part: ak.values_astype(ak.Array(v), float) for part, v in columns.items()})
        for name, columns in collections.items()
    }
    with uproot.recreate(path) as file:
        file.mktree(
            tree,
            {name: ak.type(record).content for name, record in records.items()},
            counter_name=lambda record: f"{record}_size",
            field_name=lambda record, field: f"{record}.{field}",
        ).extend(records)
    return path


def both_levels(n: int, seed: int = 0) -> dict[str, Collection]:
    gen = gen_events(n, seed)
    return {"GenJet": gen, "Jet": reco_events(gen, seed + 1)}


def loaded(path: str | Sequence[str] | Path, **options: object) -> RegressionTask:
    """Without the resonance, for which the small files have too few events."""
    given = str(path) if isinstance(path, Path) else path
    return DelphesDijet(given, **{"resonance_mass": None, **options}).regression(Context())  # type: ignore[arg-type]


def test_the_two_leading_gen_jets_are_matched(tmp_path: Path):
    events = both_levels(400)
    found = read_dijets(delphes(tmp_path / "a.root", events), 0.3, None)
    assert (found.read, found.two_gen_jets, found.matched) == (400, 400, 400)
    gen, reco = events["GenJet"], events["Jet"]
    for i, column in enumerate((1, 2)):
        np.testing.assert_array_equal(found.gen.pt[:, i], np.array(gen["PT"])[:, column])
        np.testing.assert_array_equal(found.reco.pt[:, i], np.array(reco["PT"])[:, 2 - column])
        eta, m, pt = (np.array(reco[k])[:, 2 - column] for k in ("Eta", "Mass", "PT"))
        np.testing.assert_allclose(
            found.reco.y[:, i], np.arcsinh(pt * np.sinh(eta) / np.hypot(pt, m)), atol=1e-12
        )


def test_a_task_of_delphes_has_masses_and_spectators(tmp_path: Path):
    task = loaded(delphes(tmp_path / "a.root", both_levels(400)))
    for sample in (task.train, task.tests["nominal"]):
        assert len(sample) == 200
        assert sample.w.tolist() == [1.0] * 200
        assert np.median(sample.x / sample.z) == pytest.approx(0.95, abs=0.01)
        assert sample.column("dr").max() < 0.3
        assert sample.column("abs_eta_true").min() >= 0
    assert task.uncalibrated == ("mjj_reco",)
    assert set(task.tests) == {"nominal"}
    (name,) = task.files
    assert (name, len(task.files[name])) == (str(tmp_path / "a.root"), 64)


def test_the_notes_count_what_was_read(tmp_path: Path):
    events = both_levels(400)
    for values in events["GenJet"].values():
        values[:7] = [row[:1] for row in values[:7]]
    for values in events["Jet"].values():
        values[10:20] = [[] for _ in range(10)]
    notes = loaded(delphes(tmp_path / "a.root", events)).notes
    assert notes[0].startswith(f"{tmp_path}/a.root: 400 events read, 393 with two gen jets, 383 (0")
    assert "Event.CrossSection and Event.Weight are not reliable" in notes[1]
    assert "beyond ±20 % of the median" in notes[2]


def test_an_event_weighs_its_cross_section_over_the_events_read(tmp_path: Path):
    events = both_levels(300)
    for values in events["Jet"].values():
        values[:50] = [[] for _ in range(50)]
    for name, n in (("b_1", 200), ("b_2", 400)):
        delphes(tmp_path / f"{name}.root", both_levels(n, seed=n))
    delphes(tmp_path / "a.root", events)
    task = loaded([f"{tmp_path}/a.root", f"{tmp_path}/b_*.root"], cross_section=[30.0, 6e-3])
    w = np.concatenate([task.train.w, task.tests["nominal"].w])
    weights, counts = np.unique(w, return_counts=True)
    np.testing.assert_allclose(weights, [6e-3 / 600, 30.0 / 300])
    np.testing.assert_array_equal(counts, [600, 250])
    assert "event weight 0.1 = 30 mb / 300" in task.notes[0]


def test_a_single_cross_section_needs_no_list(tmp_path: Path):
    task = loaded(delphes(tmp_path / "a.root", both_levels(300)), cross_section=3e-10)
    np.testing.assert_allclose(task.train.w, 1e-12)


def test_chunks_and_limits_give_the_first_events(tmp_path: Path, monkeypatch):
    path = delphes(tmp_path / "a.root", both_levels(500))
    whole = read_dijets(path, 0.3, None)
    monkeypatch.setattr("calibrate.data.delphes_files.CHUNK", 130)
    for limit, n in ((None, 500), (300, 300), (130, 130), (7, 7), (900, 500)):
        found = read_dijets(path, 0.3, limit)
        assert found.read == found.matched == n
        np.testing.assert_array_equal(found.reco.m, whole.reco.m[:n])


def test_both_jets_of_an_event_are_one_group(tmp_path: Path):
    task = loaded(delphes(tmp_path / "a.root", both_levels(400)), target="jet_pt")
    assert [c.name for c in task.train.x_columns] == ["pt_reco", "eta_reco", "m_reco"]
    for sample in (task.train, task.tests["nominal"]):
        assert (np.unique(sample.group, return_counts=True)[1] == 2).all()
    assert not np.isin(task.train.group, task.tests["nominal"].group).any()


def test_the_split_follows_the_seed(tmp_path: Path):
    data = DelphesDijet(str(delphes(tmp_path / "a.root", both_levels(400))), resonance_mass=None)
    one, same, other = (data.regression(Context(seed=s)).train.group for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_resonance_is_made_where_it_is_asked_for(tmp_path: Path):
    path = str(delphes(tmp_path / "a.root", both_levels(4000)))
    task = DelphesDijet(path, resonance_mass=1100.0, resonance_width=60.0).regression(Context())
    resonance = task.tests["resonance"]
    assert weighted_mean(resonance.z[:, 0], resonance.w) == pytest.approx(1100, abs=10)


@pytest.mark.parametrize(
    ("mass", "message"),
    [
        (9000.0, "no overlap with the sample.*leave it out with data.resonance_mass=null"),
        (1900.0, "'resonance' would hold .* at least 100 are needed; most true m_jj lie in"),
    ],
)
def test_a_resonance_beyond_the_events_is_refused(tmp_path: Path, mass: float, message: str):
    path = delphes(tmp_path / "a.root", both_levels(1000))
    with pytest.raises(DataError, match=message):
        loaded(path, resonance_mass=mass)


# The text


def text(path: Path, rows: int = 300, extra: Sequence[str] = ()) -> Path:
    """Copies of the real row with another pT, and further lines in front and behind."""
    fields = REAL_ROW.split()
    lines = [" ".join([fields[0], f"{900 + i}", *fields[2:]]) for i in range(rows)]
    path.write_text("\n".join([*extra, *lines, *extra]) + "\n", "utf-8")
    return path


def test_the_real_row_has_its_jets(tmp_path: Path):
    path = tmp_path / "dijets.txt"
    path.write_text(REAL_ROW + "\n", "utf-8")
    found = read_dijets(path, 0.3, None)
    expected = [
        (found.gen, 0, (960.283, 0.405912, -2.75399, 45.5495)),
        (found.reco, 0, (987.996, 0.406273, -2.75291, 45.5495)),
        (found.gen, 1, (665.562, -0.274401, 0.401456, 22.2392)),
        (found.reco, 1, (1014.06, -0.279573, 0.386054, 22.2392)),
    ]
    for jets, i, components in expected:
        assert [float(part[0, i]) for part in jets] == list(components)
    assert (found.read, found.matched, found.incomplete) == (1, 1, 0)


def test_the_masses_of_the_real_row(tmp_path: Path):
    path = tmp_path / "dijets.txt"
    path.write_text(REAL_ROW + "\n", "utf-8")
    found = read_dijets(path, 0.3, None)
    for jets, expected in ((found.gen, four_vector_mass(found.gen)), (found.reco, None)):
        mass = dijet_mass(*(Jets(*(part[:, i] for part in jets)) for i in (0, 1)))
        assert mass[0] == pytest.approx(expected or four_vector_mass(jets), rel=1e-9)


def four_vector_mass(jets: Jets) -> float:
    energy = px = py = pz = 0.0
    for i in (0, 1):
        pt, y, phi, m = (float(part[0, i]) for part in jets)
        transverse = math.hypot(pt, m)
        energy, pz = energy + transverse * math.cosh(y), pz + transverse * math.sinh(y)
        px, py = px + pt * math.cos(phi), py + pt * math.sin(phi)
    return math.sqrt(energy**2 - px**2 - py**2 - pz**2)


def test_incomplete_lines_are_counted_wherever_they_are(tmp_path: Path):
    short = " ".join(REAL_ROW.split()[:15])
    path = text(tmp_path / "dijets14.txt", 300, [short, "0", short + " 0 1 2 3 4 5 6"])
    task = loaded(path)
    assert "306 lines read, 6 incomplete ones left out; event weight 1.38e-11" in task.notes[0]
    assert len(task.train) + len(task.tests["nominal"]) == 300


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("dijets.txt", 4.568e-10),
        ("dijets14.txt", 1.380e-11),
        ("dijets18.txt", 4.347e-13),
        ("mine.txt", 1.0),
    ],
)
def test_texts_have_the_weights_of_their_names(tmp_path: Path, name: str, weight: float):
    task = loaded(text(tmp_path / name))
    assert set(task.train.w) == {weight}
    said = "known by the names" if weight < 1 else "no event weight is known"
    assert any(said in note for note in task.notes)
    assert any("every reco mass equals the true mass" in note for note in task.notes)


def test_a_cross_section_wins_over_a_known_weight(tmp_path: Path):
    short = " ".join(REAL_ROW.split()[:15])
    path = text(tmp_path / "dijets.txt", 300, [short])
    np.testing.assert_allclose(loaded(path, cross_section=604.0).train.w, 2.0)
    limited = loaded(path, cross_section=604.0, max_events=250)
    np.testing.assert_allclose(limited.train.w, 604.0 / 252)


def test_a_glob_of_texts_has_the_weight_of_each(tmp_path: Path):
    for name in ("dijets.txt", "dijets14.txt", "dijets18.txt"):
        text(tmp_path / name)
    task = loaded(f"{tmp_path}/dijets*.txt")
    assert set(task.train.w) == {4.568e-10, 1.380e-11, 4.347e-13}


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": []}, "data.path names no file"),
        ({"path": 3}, "data.path takes a text"),
        ({"path": "a", "cross_section": [1.0, 2.0]}, "one number for each .*: got 2 for 1"),
        ({"path": ["a", "b"], "cross_section": 1.0}, "one number for each .*: got 1 for 2"),
        ({"path": "a", "cross_section": [-1.0]}, "each of data.cross_section must be positive"),
        ({"path": "a", "cross_section": "1"}, "each of data.cross_section must be a finite"),
        ({"path": "a", "target": "mj"}, "data.target='mj': did you mean mjj"),
        ({"path": "a", "matching_radius": 0}, "data.matching_radius must be positive, got 0"),
        ({"path": "a", "max_events": 1.5}, "data.max_events must be a positive integer, got 1.5"),
        ({"path": "a", "train_fraction": 1}, "data.train_fraction must be < 1, got 1"),
        ({"path": "a", "resonance_width": -1}, "data.resonance_width must be positive, got -1"),
        ({"path": "a", "resonance_mass": "x"}, "data.resonance_mass must be a finite number"),
    ],
)
def test_wrong_options_are_named(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        DelphesDijet(**options)


def test_every_option_is_documented_by_name():
    text = str(DelphesDijet.__doc__)
    assert [f.name for f in fields(DelphesDijet) if f.name not in text] == []


def test_a_file_that_is_named_twice_is_refused(tmp_path: Path):
    path = delphes(tmp_path / "a.root", both_levels(200))
    with pytest.raises(ConfigurationError, match=r"a\.root twice: its events would train and test"):
        loaded([str(path), f"{tmp_path}/*.root"])


def test_known_and_unknown_weights_are_not_mixed(tmp_path: Path):
    text(tmp_path / "dijets.txt")
    delphes(tmp_path / "a.root", both_levels(300))
    paths = [f"{tmp_path}/dijets.txt", f"{tmp_path}/a.root"]
    with pytest.raises(ConfigurationError, match=r"known of dijets\.txt, not of a\.root"):
        loaded(paths)
    assert len(set(loaded(paths, cross_section=[2.0, 1.0]).train.w)) == 2


@pytest.mark.parametrize(("n", "matched"), [(99, 99), (300, 60), (0, 0)])
def test_too_few_events_are_counted(tmp_path: Path, n: int, matched: int):
    events = both_levels(n)
    for values in events["Jet"].values():
        values[matched:] = [[] for _ in values[matched:]]
    if not n:
        events = both_levels(1)
        for columns in events.values():
            for values in columns.values():
                values[:] = [[1.0][:0]]
    expected = f"{max(n, 1)} events read, {n} with two gen jets, {matched} with both matched"
    with pytest.raises(DataError, match=f"{expected}: at least 100"):
        loaded(delphes(tmp_path / "a.root", events))


def with_value(
    level: str, part: str, value: float
) -> Callable[[dict[str, Collection]], dict[str, Collection]]:
    def change(events: dict[str, Collection]) -> dict[str, Collection]:
        events[level][part][17][1] = value
        return events

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_value("Jet", "PT", math.nan), r"'Jet\.PT' holds 1 values of 600 that are not finite"),
        (with_value("GenJet", "Phi", math.inf), r"'GenJet\.Phi' holds 1 values .* not finite"),
        (with_value("GenJet", "PT", -5.0), r"'GenJet\.PT' is a transverse momentum, but 1 values"),
        (with_value("Jet", "PT", 0.0), r"events 0 to 199: column 'Jet\.PT' is a transverse"),
    ],
)
def test_values_that_cannot_be_are_named(tmp_path: Path, change, message: str):
    path = delphes(tmp_path / "a.root", change(both_levels(200)))
    with pytest.raises(DataError, match=message):
        loaded(path)


def test_a_file_without_gen_jets_is_named(tmp_path: Path):
    path = delphes(tmp_path / "a.root", {"Jet": both_levels(200)["Jet"]})
    with pytest.raises(DataError, match=r"no branch 'GenJet\.Eta', .*jets at both levels"):
        loaded(path)


def test_another_tree_is_named(tmp_path: Path):
    path = delphes(tmp_path / "a.root", both_levels(200), tree="Events")
    with pytest.raises(DataError, match=r"a\.root has no tree 'Delphes': .*Events"):
        loaded(path)


def test_flat_branches_are_refused(tmp_path: Path):
    columns = {f"{k}.{p}": np.ones(200) for k in ("Jet", "GenJet") for p in gen_events(0)}
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("Delphes", {k: v.dtype for k, v in columns.items()}).extend(columns)
    with pytest.raises(DataError, match=r"'GenJet\.PT' must hold one value for each GenJet"):
        loaded(tmp_path / "a.root")


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.95])
def test_a_truncated_tree_is_named(tmp_path: Path, kept: float):
    path = delphes(tmp_path / "a.root", both_levels(2000))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=r"a\.root"):
        loaded(path)


def test_a_damaged_basket_is_named(tmp_path: Path):
    path = delphes(tmp_path / "a.root", both_levels(5000))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.root"):
        loaded(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row[:15], "is a text without the 20 columns of Delphes dijets"),
        (lambda row: [*row, "1"], "is a text without the 20 columns"),
        (lambda row: ["7", *row[1:]], "column 'c0' is a marker, 0 or 1, but holds 7"),
        (lambda row: [*row[:6], "-1", *row[7:]], "'c6' is a transverse momentum, but 300 values"),
        (lambda row: [*row[:3], "nan", *row[4:]], "'c3' holds 300 values of 300 that are not fin"),
        (lambda row: [*row[:3], "many", *row[4:]], "'c3' holds text such as 'many'"),
    ],
)
def test_a_text_of_other_content_is_named(tmp_path: Path, change, message: str):
    path = tmp_path / "dijets.txt"
    path.write_text((" ".join(change(REAL_ROW.split())) + "\n") * 300, "utf-8")
    with pytest.raises(DataError, match=message):
        loaded(path)


def test_other_formats_and_missing_files_are_named(tmp_path: Path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["weights"] = np.ones(300)
    with pytest.raises(DataError, match=r"a\.h5 has no column 'weight': did you mean weights"):
        loaded(tmp_path / "a.h5")
    np.savez(tmp_path / "a.npz", c0=np.ones(3))
    with pytest.raises(DataError, match="neither a Delphes ROOT file nor a text"):
        loaded(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"data.path=.*\*\.root matches no file"):
        loaded(f"{tmp_path}/*.root")
    with pytest.raises(DataError, match=r"no file .*nowhere\.root"):
        loaded(tmp_path / "nowhere.root")
    with pytest.raises(DataError, match="is a folder: name its files"):
        loaded(tmp_path)


# The command


def test_a_run_leaves_the_notes_and_the_checksum(tmp_path: Path):
    path = delphes(tmp_path / "a.root", both_levels(2000))
    options = (f"data.path={path}", "data.resonance_mass=null", "data.cross_section=1e-9")
    small = ("report.figures=false", "evaluator.closure.replicas=2", f"output={tmp_path}/out")
    assert run(["method=none", "data=delphes_dijet", *options, *small]) == 0
    (report,) = (tmp_path / "out").glob("*/*/*/report.json")
    content = json.loads(report.read_text("utf-8"))
    assert list(content["run"]["data_sha256"]) == [str(path)]
    assert any("2000 events read" in note for note in content["notes"])


# Real files


def real(shared_data: Path, detector: str) -> tuple[list[str], Path]:
    folder = shared_data / "delphes_dijet" / detector
    paths = [str(folder / f"delphes_{detector}_bin{b}.root") for b in (1, 2, 3)]
    return paths, folder / f"delphes_dijet_{detector}.h5"


@pytest.mark.parametrize("detector", ["cms", "atlas"])
def test_the_jets_equal_those_of_an_independent_program(shared_data: Path, detector: str):
    """The HDF5 file, whose first events of each bin are those of the trees, was matched by
    another program."""
    paths, independent = real(shared_data, detector)
    with h5py.File(independent) as file:
        for number, path in enumerate(paths, start=1):
            found = read_dijets(Path(path), 0.3, None)
            rows = (file["bin"][()] == number) & (file["event"][()] < found.read)
            assert found.matched == np.count_nonzero(rows)
            for level, jets in (("gen", found.gen), ("reco", found.reco)):
                for part, values in zip(("pt", "y", "phi", "m"), jets, strict=True):
                    expected = [file[f"{level}{i}_{part}"][()][rows] for i in (1, 2)]
                    np.testing.assert_allclose(values, np.column_stack(expected), rtol=1e-7)


@pytest.mark.parametrize(
    ("detector", "mean", "median", "width"),
    [("cms", 1.0017, 1.0009, 0.0314), ("atlas", 0.9914, 0.9915, 0.0182)],
)
def test_the_raw_response_is_that_of_the_readme(
    shared_data: Path, detector: str, mean: float, median: float, width: float
):
    paths, _ = real(shared_data, detector)
    task = DelphesDijet(paths, CROSS_SECTIONS[detector]).regression(Context())
    samples = (task.train, task.tests["nominal"])
    u = np.concatenate([s.x[:, 0] / s.z[:, 0] for s in samples])
    w = np.concatenate([s.w for s in samples])
    n_effective = w.sum() ** 2 / np.sum(w**2)
    low, middle, high = weighted_quantile(u, w, [0.16, 0.5, 0.84])
    spread = float(np.sqrt(weighted_mean((u - mean) ** 2, w)))
    assert weighted_mean(u, w) == pytest.approx(mean, abs=3 * spread / np.sqrt(n_effective))
    assert middle == pytest.approx(median, abs=4 * width / np.sqrt(n_effective))
    assert (high - low) / 2 == pytest.approx(width, rel=0.04)
    matched = len(samples[0]) + len(samples[1])
    assert matched / 10_500 == pytest.approx(0.9985, abs=0.001)
    weights = np.array(CROSS_SECTIONS[detector]) / (6000, 3000, 1500)
    np.testing.assert_allclose(np.unique(w), np.sort(weights))


def test_the_text_equals_the_third_bin(shared_data: Path):
    found = read_dijets(shared_data / "delphes_dijet/cms/dijets18.txt", 0.3, None)
    with h5py.File(shared_data / "delphes_dijet/cms/delphes_dijet_cms.h5") as file:
        rows = file["bin"][()] == 3
        for level, jets in (("gen", found.gen), ("reco", found.reco)):
            for part, values in zip(("pt", "y", "phi", "m"), jets, strict=True):
                expected = [file[f"{level}{i}_{part}"][()][rows] for i in (1, 2)]
                np.testing.assert_allclose(values, np.column_stack(expected), rtol=1e-5, atol=1e-6)
    assert (found.read, found.incomplete) == (9977, 0)


def test_twenty_five_events_are_too_few(shared_data: Path):
    counts = r"25 events read, \d+ with two gen jets, \d+ with both matched: at least 100"
    with pytest.raises(DataError, match=counts):
        loaded(shared_data / "delphes.root")


@pytest.mark.parametrize("name", ["nano_dimuon.root", "nano_tt_v12.root"])
def test_nanoaod_is_no_delphes(shared_data: Path, name: str):
    with pytest.raises(
        DataError, match=f"{name} has no tree 'Delphes': available: Events.*a tree Delphes"
    ):
        loaded(shared_data / name)
