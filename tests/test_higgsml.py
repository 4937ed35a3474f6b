"""The Higgs to tau tau sets: shifts against four-vectors, yields, splits, all sorts of files."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from calibrate.cli.planning import plan
from calibrate.context import Context
from calibrate.data.copies import Copies
from calibrate.data.fair_universe import FairUniverse
from calibrate.data.higgsml import COMPLETE, HiggsML
from calibrate.data.higgsml_columns import DERIVED, PRIMARY, derived_columns, primary_columns
from calibrate.data.higgsml_events import HiggsEvents, Yields
from calibrate.data.higgsml_shifts import (
    Momenta,
    Primaries,
    add_soft,
    scale_jets,
    scale_lepton,
    scale_tau,
)
from calibrate.errors import CalibrateError, ConfigurationError, DataError, MisfitError

UNDEFINED = -999.0
ROWS = 1500
Columns = dict[str, np.ndarray]


def table(n: int = ROWS, seed: int = 3) -> Columns:
    """A table in the layout of Kaggle's training.csv: 0 to 3 jets, light signal weights."""
    rng = np.random.default_rng(seed)
    jets = rng.integers(0, 4, n)
    columns: Columns = {"EventId": 100_000 + np.arange(n), "PRI_jet_num": jets}
    for name, needed in {"tau": 0, "lep": 0, "jet_leading": 1, "jet_subleading": 2}.items():
        values = {
            "pt": 20 + rng.exponential(20, n),
            "eta": rng.uniform(-2.5, 2.5, n),
            "phi": rng.uniform(-np.pi, np.pi, n),
        }
        for part, each in values.items():
            columns[f"PRI_{name}_{part}"] = np.where(jets >= needed, each.round(3), UNDEFINED)
    columns["PRI_met"] = rng.exponential(30, n).round(3)
    columns["PRI_met_phi"] = rng.uniform(-np.pi, np.pi, n).round(3)
    columns["PRI_met_sumet"] = rng.uniform(50, 500, n).round(3)
    seen = [np.maximum(columns[f"PRI_jet_{name}_pt"], 0) for name in ("leading", "subleading")]
    columns["PRI_jet_all_pt"] = sum(seen) + 30.0 * (jets == 3)
    columns["Weight"] = rng.uniform(0.5, 1.5, n)
    columns["Label"] = np.where(rng.random(n) < 0.3, "s", "b")
    columns["Weight"][columns["Label"] == "s"] *= 1e-3
    return columns


def written(columns: Mapping[str, np.ndarray], path: Path) -> Path:
    """As CSV, packed where the name says so."""
    with path.open("wb") as file:
        csv.write_csv(pa.table(dict(columns)), file, csv.WriteOptions(quoting_style="none"))
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
    return path


@pytest.fixture
def training(tmp_path: Path) -> Path:
    return written(table(), tmp_path / "training.csv")


def events_of(path: Path, **options: object) -> HiggsEvents:
    return HiggsML(str(path), **options).events(Context())


@pytest.fixture
def events(training: Path) -> HiggsEvents:
    return events_of(training)


# Shifts, against four-vectors added one by one


def four_vector(momenta: Momenta, row: int, mass: float = 0.0) -> np.ndarray:
    """(E, px, py, pz) of one event's object; nothing where it does not exist."""
    pt, eta, phi = (values[row] for values in momenta)
    if np.isnan(pt):
        return np.zeros(4)
    x, y, z = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return np.array([np.sqrt(x**2 + y**2 + z**2 + mass**2), x, y, z])


def invariant_mass(p: np.ndarray) -> float:
    return float(np.sqrt(max(p[0] ** 2 - p[1] ** 2 - p[2] ** 2 - p[3] ** 2, 0)))


def slow(events: Primaries, row: int) -> dict[str, float]:
    """The derived quantities of one event that have four-vectors, as the definitions say."""
    tau = four_vector(events.tau, row, events.tau_mass)
    lepton = four_vector(events.lepton, row)
    first, second = (four_vector(each, row) for each in (events.leading, events.subleading))
    met, phi = events.met[row], events.met_phi[row]
    missing = np.array([met, met * np.cos(phi), met * np.sin(phi), 0.0])
    transverse = lepton * [0, 1, 1, 0] + [np.hypot(lepton[1], lepton[2]), 0, 0, 0]
    visible = lepton + tau + missing
    found = {
        "DER_mass_vis": invariant_mass(lepton + tau),
        "DER_mass_transverse_met_lep": invariant_mass(transverse + missing),
        "DER_pt_h": float(np.hypot(*visible[1:3])),
        "DER_pt_tot": float(np.hypot(*(visible + first + second)[1:3])),
    }
    if events.jet_num[row] > 1:
        found["DER_mass_jet_jet"] = invariant_mass(first + second)
    return found


@pytest.mark.parametrize("shift", [{}, {"tau": 0.8, "jet": 1.1, "lepton": 0.95, "soft": 3.0}])
def test_derived_quantities_are_those_of_four_vectors(events: HiggsEvents, shift):
    primaries = events.shifted(**shift).primaries
    derived = derived_columns(primaries)
    for row in range(0, ROWS, 60):
        for name, value in slow(primaries, row).items():
            assert derived[name][row] == pytest.approx(value, rel=1e-9, abs=2e-5), name


def missing_of(events: Primaries, row: int) -> np.ndarray:
    return events.met[row] * np.array([np.cos(events.met_phi[row]), np.sin(events.met_phi[row])])


@pytest.mark.parametrize(
    ("scale", "names"),
    [
        (scale_tau, ["tau"]),
        (scale_lepton, ["lepton"]),
        (scale_jets, ["leading", "subleading"]),
    ],
)
def test_the_missing_momentum_balances_what_an_object_gains(events: HiggsEvents, scale, names):
    """The sum of all that is known as vectors stays as it was."""
    before = events.primaries
    factor = np.random.default_rng(0).uniform(0.7, 1.2, ROWS)
    after = scale(before, factor)
    for row in range(0, ROWS, 60):
        total = [
            missing_of(each, row) + sum(four_vector(getattr(each, n), row)[1:3] for n in names)
            for each in (before, after)
        ]
        np.testing.assert_allclose(*total, atol=1e-9)
        for name in names:
            pt = (getattr(each, name).pt[row] for each in (before, after))
            np.testing.assert_allclose(next(pt) * factor[row], next(pt))


def assert_same(one: Primaries, other: Primaries) -> None:
    """Equal within rounding; an angle of -π is that of π."""
    columns, others = primary_columns(one), primary_columns(other)
    for name, values in columns.items():
        if name.endswith("_phi"):
            apart = np.remainder(values - others[name] + np.pi, 2 * np.pi) - np.pi
            np.testing.assert_allclose(apart[~np.isnan(apart)], 0, atol=1e-9)
        else:
            np.testing.assert_allclose(values, others[name], rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("scale", [scale_tau, scale_lepton, scale_jets])
def test_a_scale_is_undone_by_its_inverse(events: HiggsEvents, scale):
    factor = np.linspace(0.7, 1.3, ROWS)
    assert_same(scale(scale(events.primaries, factor), 1 / factor), events.primaries)


def test_shifts_of_different_objects_commute(events: HiggsEvents):
    together = events.shifted(tau=1.1, jet=0.9, lepton=1.02, soft=2.0)
    apart = events.shifted(soft=2.0).shifted(lepton=1.02).shifted(jet=0.9).shifted(tau=1.1)
    assert_same(together.primaries, apart.primaries)


def test_one_value_for_all_events_is_that_value_for_each(events: HiggsEvents):
    one = events.shifted(tau=0.9, soft=2.0).primaries
    each = events.shifted(tau=np.full(ROWS, 0.9), soft=np.full(ROWS, 2.0)).primaries
    assert_same(one, each)


def test_the_soft_term_has_its_width_in_both_directions(events: HiggsEvents):
    before, after = (each.primaries.missing for each in (events, events.shifted(soft=5.0)))
    for old, new in zip(before, after, strict=True):
        assert np.std(new - old) == pytest.approx(5.0, rel=4 / np.sqrt(2 * ROWS))
    undone = add_soft(events.shifted(soft=5.0).primaries, *(-5.0 * events.noise).T)
    assert_same(undone, events.primaries)


def test_nothing_is_touched_at_the_nominal_values(events: HiggsEvents):
    assert events.shifted(tau=1.0, soft=0.0).primaries is events.primaries


def test_the_number_of_jets_and_the_summed_energy_stay(events: HiggsEvents):
    shifted = events.shifted(tau=0.8, jet=0.8, lepton=0.8, soft=4.0).primaries
    np.testing.assert_array_equal(shifted.jet_num, events.primaries.jet_num)
    np.testing.assert_array_equal(shifted.sumet, events.primaries.sumet)


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        ({"tau": 0.0}, "the tau energy scale must be finite and positive, got 0"),
        ({"jet": -1.0}, "jet energy scale must be finite and positive, got -1"),
        ({"lepton": float("nan")}, "lepton energy scale must be finite .*, got nan"),
        ({"soft": -1.0}, "soft term must be finite and ≥ 0 GeV, got -1"),
        ({"tau": np.array([1.0, np.inf, *np.ones(ROWS - 2)])}, "tau energy scale .* got inf"),
        ({"tau": np.ones(3)}, r"one for each of 1500 events: got shape \(3,\)"),
    ],
)
def test_impossible_shifts_are_refused(events: HiggsEvents, shift, message: str):
    with pytest.raises(ConfigurationError, match=message):
        events.shifted(**shift)


def test_centralities_of_known_events():
    """A missing momentum along the bisector of tau and lepton: √2; a lepton midway between two jets
    in η: 1; one at a jet's η: 1/e."""
    one = np.ones(2)
    momenta = {
        "tau": Momenta(40 * one, 0 * one, 0 * one),
        "lepton": Momenta(40 * one, np.array([0.0, 1.0]), np.pi / 2 * one),
        "leading": Momenta(60 * one, -one, 0 * one),
        "subleading": Momenta(50 * one, one, 1.0 * one),
    }
    events = Primaries(
        met=20 * one, met_phi=np.pi / 4 * one, sumet=None, jet_num=2 * np.ones(2, int),
        jet_all_pt=110 * one, **momenta,
    )  # fmt: skip
    found = derived_columns(events)
    np.testing.assert_allclose(found["DER_met_phi_centrality"], np.sqrt(2))
    np.testing.assert_allclose(found["DER_lep_eta_centrality"], [1, np.exp(-1)])
    np.testing.assert_allclose(found["DER_deltaeta_jet_jet"], 2)
    np.testing.assert_allclose(found["DER_prodeta_jet_jet"], -1)
    np.testing.assert_allclose(found["DER_sum_pt"], 190)


# Yields, splits, samples


def test_the_test_events_are_those_of_their_numbers(events: HiggsEvents):
    train, test = events.split()
    assert set(test.number % 3) == {1}
    assert set(train.number % 3) == {0, 2}
    assert len(train) + len(test) == len(events)


def test_every_part_has_the_expected_events_of_both_classes(events: HiggsEvents):
    for part in (events, *events.split(), *events.split(5, 0)):
        np.testing.assert_allclose(part.yields, COMPLETE)


def test_yields_are_those_asked_for(training: Path):
    columns = table()
    sums = [columns["Weight"][columns["Label"] == label].sum() for label in ("s", "b")]
    np.testing.assert_allclose(events_of(training, yields="read").yields, sums, rtol=1e-9)
    np.testing.assert_allclose(events_of(training, yields=[10, 1000]).yields, [10, 1000])


def test_rescaling_keeps_the_ratios_within_a_class(events: HiggsEvents):
    ratio = events.with_yields(Yields(1.0, 2.0)).w / events.w
    assert np.ptp(ratio[events.signal]) < 1e-12 * ratio[events.signal][0]
    assert np.ptp(ratio[~events.signal]) < 1e-12 * ratio[~events.signal][0]


def test_the_cut_takes_events_away_and_no_weight_is_given_back(events: HiggsEvents):
    cut = events.cut(22.0)
    assert 0 < len(cut) < len(events)
    assert cut.primaries.tau.pt.min() > 22
    assert sum(cut.yields) < sum(events.yields)
    assert events.shifted(tau=1.1).above(22.0).sum() > events.above(22.0).sum()


def test_undefined_features_are_the_value_asked_for(events: HiggsEvents):
    few = events.primaries.jet_num < 2
    for value in (0.0, -999.0):
        column = events.sample(undefined=value).column("DER_mass_jet_jet")
        assert set(column[few]) == {value}
        assert (column[~few] > 0).all()


def test_the_sample_has_the_features_of_the_file(events: HiggsEvents):
    sample = events.sample()
    assert [column.name for column in sample.x_columns] == [*DERIVED, *PRIMARY]
    np.testing.assert_array_equal(sample.column("PRI_tau_pt"), table()["PRI_tau_pt"])
    np.testing.assert_array_equal(sample.z[:, 0] == 1, table()["Label"] == "s")
    np.testing.assert_array_equal(sample.group, table()["EventId"])
    chosen = events.sample(["PRI_met", "DER_sum_pt"])
    np.testing.assert_array_equal(chosen.x[:, 1], sample.column("DER_sum_pt"))


def test_the_task_gives_labelled_events_at_any_nuisance(training: Path):
    task = HiggsML(str(training), nuisances={"tau": 0.05, "soft": 1.0}).inference(Context())
    assert [(n.name, n.nominal, n.width, n.unit) for n in task.nuisances] == [
        ("tau", 1.0, 0.05, ""),
        ("soft", 0.0, 1.0, "GeV"),
    ]
    scale = np.random.default_rng(0).uniform(0.7, 1.14, len(task.train))
    sample = task.train.at({"tau": scale, "soft": 2.0})
    assert sample.column("PRI_tau_pt").min() > 22
    assert set(sample.spectators["soft"]) == {2.0}
    kept = np.isin(scale, sample.spectators["tau"])
    assert np.count_nonzero(kept) == len(sample) < len(task.train)
    raw = table()["PRI_tau_pt"][table()["EventId"] % 3 != 1]
    np.testing.assert_allclose(sample.column("PRI_tau_pt"), (raw * scale)[kept])
    assert not set(sample.group) & set(task.test.at({}).group)
    assert any("PRI_tau_pt > 22 GeV" in note for note in task.notes)


def test_a_task_without_nuisances_is_refused(training: Path):
    task = HiggsML(str(training)).inference(Context())
    with pytest.raises(ConfigurationError, match="an inference task needs a nuisance"):
        replace(task, nuisances=())


@pytest.mark.parametrize("given", [{"jet": 0.03}, {"tau": 0.1, "soft": 2.0}, None])
def test_nuisances_of_the_command_line_are_those_of_the_task(training: Path, given):
    option = ",".join(f"{name}:{width}" for name, width in (given or {}).items())
    overrides = [f"data.nuisances={{{option}}}"] if given else []
    chosen = ["data=higgsml", "method=baseline_classifier", f"data.path={training}"]
    task = plan([*chosen, *overrides]).study.data.inference(Context())
    assert {each.name: each.width for each in task.nuisances} == (given or {"tau": 0.05})


def test_nuisances_range_over_six_widths_and_points_lie_inside(training: Path):
    widths = {"tau": 0.05, "jet": 0.03, "soft": 1.0}
    task = HiggsML(str(training), nuisances=widths).inference(Context())
    found = {each.name: (each.low, each.high) for each in task.nuisances}
    assert found["tau"] == pytest.approx((0.7, 1.14))
    assert found["jet"] == pytest.approx((0.82, 1.18))
    assert found["soft"] == (0.0, 6.0)
    assert [(p.strength, p.values["tau"]) for p in task.points] == [
        (mu, tau) for tau in (0.8, 1.0, 1.1) for mu in (1.0, 2.0)
    ]
    assert {(p.values["jet"], p.values["soft"]) for p in task.points} == {(1.0, 0.0)}


def test_ranges_and_points_may_be_given(training: Path):
    given = {"ranges": {"tau": [0.9, 1.05]}, "points": [{"mu": 3, "tau": 0.95}]}
    task = HiggsML(str(training), **given).inference(Context())
    assert (task.nuisances[0].low, task.nuisances[0].high) == (0.9, 1.05)
    assert [(p.strength, dict(p.values)) for p in task.points] == [(3.0, {"tau": 0.95})]
    narrow = HiggsML(str(training), ranges={"tau": [0.9, 1.05]}).inference(Context())
    assert {p.values["tau"] for p in narrow.points} == {1.0}
    jets = HiggsML(str(training), nuisances={"jet": 0.03}).inference(Context())
    assert [p.strength for p in jets.points] == [1.0, 2.0]


def test_without_a_threshold_nothing_is_cut(training: Path):
    task = HiggsML(str(training), tau_threshold=None).inference(Context())
    assert len(task.test.at({"tau": 0.7})) == len(task.test)


def test_the_same_seed_gives_the_same_soft_term(training: Path):
    one, same, other = (
        HiggsML(str(training)).inference(Context(seed)).test.at({"soft": 3.0}).x
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tua": 1.0}, "nuisance='tua': did you mean tau"),
        ({"tau": -1.0}, "the tau energy scale must be finite and positive"),
        ({"tau": 1e-3}, "no tau is above data.tau_threshold=22 GeV"),
    ],
)
def test_impossible_values_of_nuisances_are_refused(training: Path, values, message: str):
    with pytest.raises(CalibrateError, match=message):
        HiggsML(str(training)).inference(Context()).train.at(values)


# Files


def test_packed_and_plain_files_and_both_layouts_are_the_same(tmp_path: Path, training: Path):
    columns = table()
    kaggle = {"KaggleSet": np.full(ROWS, "t"), "KaggleWeight": 3 * columns["Weight"]}
    packed = written({**columns, **kaggle}, tmp_path / "v2.csv.gz")
    one, other = (events_of(path).sample() for path in (training, packed))
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_allclose(one.w, other.w)


def test_labels_may_be_numbers(tmp_path: Path, events: HiggsEvents):
    columns = table()
    columns["Label"] = (columns["Label"] == "s").astype(int)
    found = events_of(written(columns, tmp_path / "numbers.csv"))
    np.testing.assert_array_equal(found.signal, events.signal)


def test_parts_of_a_set_are_read_together(tmp_path: Path, events: HiggsEvents):
    for number, rows in enumerate((slice(0, 700), slice(700, None))):
        part = {name: values[rows] for name, values in table().items()}
        written(part, tmp_path / f"part{number}.csv")
    found = events_of(tmp_path / "part*.csv")
    np.testing.assert_array_equal(found.number, events.number)
    np.testing.assert_array_equal(found.noise, events.noise)


def test_rows_may_be_limited(training: Path):
    assert len(events_of(training, max_events=600)) == 600


def repeated() -> Columns:
    """Rows 100 to 149 stand twice, as in a damaged gzip stream."""
    rows = np.r_[0:150, 100:ROWS]
    return {name: values[rows] for name, values in table().items()}


def test_repeated_events_are_refused(tmp_path: Path):
    path = written(repeated(), tmp_path / "again.csv.gz")
    first = (
        r"50 of 1550 rows repeat an EventId \(first: 100100 in again.csv.gz, row 101 and "
        r"again.csv.gz, row 151\).*data.duplicates=drop"
    )
    with pytest.raises(DataError, match=first):
        events_of(path)


def test_repeated_events_are_dropped_on_request(tmp_path: Path, events: HiggsEvents):
    path = written(repeated(), tmp_path / "again.csv")
    found = events_of(path, duplicates="drop")
    np.testing.assert_array_equal(found.number, events.number)
    np.testing.assert_allclose(found.w, events.w)
    task = HiggsML(str(path), duplicates="drop").inference(Context())
    assert "50 of 1550 rows repeat an EventId" in task.notes[0]
    assert "0 events whose rows differ were left out" in task.notes[0]


def test_an_event_whose_rows_differ_is_dropped_altogether(tmp_path: Path, events: HiggsEvents):
    columns = repeated()
    columns["PRI_tau_pt"][[120, 160]] += 1  # the first row of event 120, the second of event 110
    found = events_of(written(columns, tmp_path / "again.csv"), duplicates="drop")
    expected = events.number[~np.isin(events.number, [100_110, 100_120])]
    np.testing.assert_array_equal(found.number, expected)


def test_a_stream_that_jumps_back_within_a_line_loses_nothing(tmp_path: Path, events: HiggsEvents):
    """Bytes 30 000 to 60 000 stand twice: a line breaks where the copies meet."""
    content = written(table(), tmp_path / "a.csv").read_bytes()
    path = tmp_path / "again.csv.gz"
    path.write_bytes(gzip.compress(content[:60_000] + content[30_000:]))
    with pytest.raises(DataError, match=r"1 lines of again\.csv\.gz have missing or surplus"):
        events_of(path)
    found = events_of(path, duplicates="drop")
    np.testing.assert_array_equal(np.sort(found.number), events.number)


def test_copies_are_found_as_by_looking_at_every_pair():
    rng = np.random.default_rng(5)
    number, values = rng.integers(0, 30, 80), rng.integers(0, 2, 80).astype(float)
    copies = Copies.of(number, [values, np.ones(80)])
    for row in range(80):
        same = number == number[row]
        assert copies.first[row] == (row == np.flatnonzero(same)[0])
        assert copies.differing[row] == (len(set(values[same])) > 1)


def test_the_same_file_twice_is_refused(training: Path):
    with pytest.raises(DataError, match="1500 of 3000 rows repeat an EventId"):
        HiggsML([str(training), str(training)]).events(Context())


def test_a_stream_that_repeats_blocks_is_refused(tmp_path: Path):
    """Two members of one gzip file with common lines: a valid stream."""
    lines = written(table(), tmp_path / "a.csv").read_bytes().splitlines(keepends=True)
    path = tmp_path / "blocks.csv.gz"
    path.write_bytes(gzip.compress(b"".join(lines[:800])) + gzip.compress(b"".join(lines[500:])))
    with pytest.raises(DataError, match="300 of 1800 rows repeat an EventId"):
        events_of(path)


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.999])
def test_a_truncated_stream_is_refused(tmp_path: Path, kept: float):
    path = written(table(), tmp_path / "cut.csv.gz")
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(
        DataError,
        match=r"cut\.csv\.gz cannot be read as text: "
        r".*truncated or damaged",
    ):
        events_of(path)


def test_a_damaged_stream_is_refused(tmp_path: Path):
    path = written(table(), tmp_path / "damaged.csv.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged\.csv\.gz"):
        events_of(path)


def test_a_line_that_ends_early_is_refused(training: Path):
    training.write_bytes(training.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"1 lines of training\.csv have missing .* truncated"):
        events_of(training)


def changed(name: str, row: int, value: object) -> Columns:
    columns = table()
    columns[name] = columns[name].astype(object if isinstance(value, str) else float)
    columns[name][row] = value
    return columns


TWO, NONE = (int(np.argmax(table()["PRI_jet_num"] == n)) for n in (2, 0))


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("PRI_met", 5, float("nan"), r"'PRI_met' is not finite in 1 of 1500 rows \(.*row 6\)"),
        ("Weight", 5, float("inf"), "'Weight' is not finite in 1 of 1500"),
        ("PRI_tau_pt", 7, UNDEFINED, "'PRI_tau_pt' is undefined .*row 8"),
        ("PRI_lep_pt", 7, -3.0, "'PRI_lep_pt' is not positive in 1"),
        ("PRI_met", 7, -3.0, "'PRI_met' is negative in 1"),
        ("PRI_jet_num", 7, 1.5, "'PRI_jet_num' is no number of jets"),
        ("PRI_jet_subleading_eta", TWO, UNDEFINED, "'PRI_jet_subleading_eta' is undefined"),
        ("PRI_jet_leading_pt", NONE, 31.0, "'PRI_jet_leading_pt' is defined"),
        ("EventId", 7, 3.5, "'EventId' is no whole number"),
        ("Label", 7, "x", r"'Label' holds 'x' \(1 such values\): only b, s are understood"),
    ],
)
def test_impossible_values_are_refused(tmp_path: Path, name, row, value, message: str):
    path = written(changed(name, row, value), tmp_path / "a.csv")
    with pytest.raises(DataError, match=message):
        events_of(path)


def without(*names: str) -> Columns:
    return {name: values for name, values in table().items() if name not in names}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (without("PRI_met_phi"), "no column 'PRI_met_phi': did you mean .*PRI_met"),
        (without("Label", "Weight"), r"'Label' \(2 .*Kaggle's test.csv has neither labels"),
        ({**table(), "Label": np.full(ROWS, "b")}, "the signal has 0 events of 1500"),
        ({**table(), "Label": np.full(ROWS, "s")}, "the background has 0 events of 1500"),
        ({**table(), "Weight": -table()["Weight"]}, "signal has .* summed weight of -"),
        (table(250), "signal of the training sample holds .* at least 100 are needed"),
    ],
)
def test_unusable_tables_are_refused(tmp_path: Path, columns: Columns, message: str):
    path = written(columns, tmp_path / "a.csv")
    with pytest.raises(DataError, match=message):
        HiggsML(str(path)).inference(Context())


def test_an_empty_file_is_refused(tmp_path: Path):
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataError, match="empty"):
        events_of(tmp_path / "empty.csv")
    header = written({name: values[:0] for name, values in table().items()}, tmp_path / "a.csv")
    with pytest.raises(DataError, match="no row"):
        events_of(header)


def test_negative_weights_are_kept_and_noted(tmp_path: Path):
    columns = table()
    columns["Weight"][::10] *= -1
    task = HiggsML(str(written(columns, tmp_path / "a.csv"))).inference(Context())
    assert "150 of 1500 weights are negative: counted as they are" in task.notes
    sample = task.test.at({"tau": 1.1})
    assert (sample.w < 0).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"duplicates": "keep"}, "data.duplicates='keep': available: drop, refuse"),
        ({"yields": "full"}, "data.yields='full': available: complete, read"),
        ({"yields": [1.0]}, r"data.yields takes a word or \[signal, background\], got \[1.0\]"),
        ({"yields": [1.0, -1.0]}, "each of data.yields must be positive, got -1.0"),
        ({"nuisances": {}}, "data.nuisances takes names and widths"),
        ({"nuisances": {"tua": 0.1}}, "data.nuisances='tua': did you mean tau"),
        ({"nuisances": {"tau": 0}}, "data.nuisances.tau must be positive, got 0"),
        ({"tau_threshold": -1.0}, "data.tau_threshold must be positive"),
        ({"features": []}, "data.features is empty"),
        ({"features": ["DER_mass_MMC"]}, "data.features='DER_mass_MMC': did you mean"),
        ({"features": ["PRI_met", "PRI_met"]}, "data.features names a feature twice"),
        ({"undefined": float("nan")}, "data.undefined must be a finite number"),
        ({"test_modulus": 1, "test_remainder": 0}, "data.test_remainder must be below"),
        ({"test_remainder": 3}, "data.test_remainder must be below"),
        ({"max_events": 0}, "data.max_events must be a positive integer"),
        ({"ranges": {"jet": [0.9, 1.1]}}, "data.ranges='jet': available: tau"),
        ({"ranges": {"tau": [1.01, 1.1]}}, "data.ranges.tau must begin at 0.05 or above and hold"),
        ({"ranges": {"tau": [0.9]}}, r"data.ranges.tau takes \[low, high\], got \[0.9\]"),
        ({"points": [[1, 1.2]]}, "tau=1.2, outside the range 0.7 to 1.14 that simulation covers"),
        ({"path": []}, "data.path is empty"),
    ],
)
def test_wrong_options_are_refused(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        HiggsML(**{"path": "training.csv", **options})


@pytest.mark.parametrize("data", ["higgsml", "fair_universe"])
def test_a_regression_is_refused_before_any_work(data: str):
    with pytest.raises(MisfitError, match=f"data={data} offers inference, but mse"):
        plan([f"data={data}", "data.path=absent.csv", "method=mse"])


# FAIR Universe


def fair_table() -> Columns:
    names = {"PRI_jet_num": "PRI_n_jets", "Weight": "weights"}
    columns = {
        names.get(name, name.replace("PRI_tau", "PRI_had")): np.where(
            values == UNDEFINED, -25.0, values
        ).astype(np.float32)
        for name, values in table().items()
        if name not in ("EventId", "Label", "PRI_met_sumet")
    }
    return {**columns, "labels": (table()["Label"] == "s").astype(np.float32)}


def test_fair_universe_has_the_same_events_under_its_own_names(tmp_path, events: HiggsEvents):
    pq.write_table(pa.table(fair_table()), tmp_path / "a.parquet")
    found = FairUniverse(str(tmp_path / "a.parquet")).events(Context()).sample()
    expected = events.sample([column.name for column in found.x_columns])
    assert "PRI_met_sumet" not in {column.name for column in found.x_columns}
    away = np.abs(found.x - expected.x) > 1e-3 + 1e-5 * np.abs(expected.x)
    assert {found.x_columns[i].name for i in np.flatnonzero(away.any(axis=0))} == {"DER_mass_vis"}
    np.testing.assert_allclose(found.w.sum(), table()["Weight"].sum(), rtol=1e-6)
    np.testing.assert_array_equal(found.group, np.arange(ROWS))


def test_the_other_set_is_named(tmp_path: Path, training: Path):
    pq.write_table(pa.table(fair_table()), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="data=fair_universe reads this set"):
        events_of(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="data=higgsml reads this set"):
        FairUniverse(str(training)).events(Context())


def test_features_that_a_set_has_not_are_refused(tmp_path: Path):
    pq.write_table(pa.table(fair_table()), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"data\.features: this set has no 'PRI_met_sumet'"):
        FairUniverse(str(tmp_path / "a.parquet"), features=["PRI_met_sumet"]).inference(Context())
    with pytest.raises(ConfigurationError, match=r"data\.yields='complete': available: read"):
        FairUniverse("a.parquet", yields="complete")


# Real files


def file_columns(path: Path, rename: tuple[str, str] = ("", "")) -> Columns:
    """The derived columns of a file under their names in HiggsML."""
    read = csv.read_csv if path.name.endswith(".csv.gz") else pq.read_table
    found = read(path)
    return {name: found[name.replace(*rename)].to_numpy().astype(float) for name in DERIVED}


MASSES_OF_JETS = 8.4
"""99 % of the real DER_mass_jet_jet are this close [GeV] to those of massless jets."""


def test_the_derived_columns_of_the_real_file_are_reproduced(shared_data: Path):
    path = shared_data / "higgsml_15000.csv.gz"
    derived = derived_columns(events_of(path).primaries)
    for name, column in file_columns(path).items():
        np.testing.assert_array_equal(np.isnan(derived[name]), column == UNDEFINED)
        off = np.quantile(np.abs(derived[name] - column)[column != UNDEFINED], 0.99)
        tolerance = 0.095 if DERIVED[name] else 0.004
        assert off < (MASSES_OF_JETS if name == "DER_mass_jet_jet" else tolerance), name


def test_the_real_file_stands_for_all_expected_events(shared_data: Path):
    events = events_of(shared_data / "higgsml_15000.csv.gz")
    assert len(events) == 15_000
    assert (events.number[0], events.number[-1]) == (100_000, 114_999)
    assert np.count_nonzero(events.signal) == 5124
    np.testing.assert_allclose(events.yields, COMPLETE)
    read = events_of(shared_data / "higgsml_15000.csv.gz", yields="read").yields
    np.testing.assert_allclose(np.array(read) * 818_238 / 15_000, COMPLETE, rtol=0.05)


def test_the_derived_columns_of_the_real_fair_universe_are_reproduced(shared_data: Path):
    path = shared_data / "fair_universe_higgsml_1000.parquet"
    derived = derived_columns(FairUniverse(str(path)).events(Context()).primaries)
    for name, column in file_columns(path, ("_tau", "_had")).items():
        np.testing.assert_array_equal(np.isnan(derived[name]), column == -25)
        np.testing.assert_allclose(derived[name][column != -25], column[column != -25], atol=0.01)


def test_the_real_tau_scale_moves_the_visible_mass(shared_data: Path):
    """m_vis ∝ √Z up to the tau's mass; a hole opens at the threshold where Z is large."""
    events = events_of(shared_data / "higgsml_15000.csv.gz")
    mass = [derived_columns(events.shifted(tau=z).primaries)["DER_mass_vis"] for z in (1.0, 1.1)]
    assert np.median(mass[1] / mass[0]) == pytest.approx(np.sqrt(1.1), rel=1e-3)
    assert events.shifted(tau=1.2).cut(22.0).primaries.tau.pt.min() > 23.9
