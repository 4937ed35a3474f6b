"""Top jets: the bundled samples with and without initial-state radiation, and wrong input."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np
import pytest

from calibrate.context import Context
from calibrate.data.top_jets import FEATURES, TopJets
from calibrate.errors import ConfigurationError, DataError
from calibrate.provenance import sha256
from calibrate.sample import Sample, concatenate
from calibrate.task import RegressionTask

MEGABYTES = 1024**2
ISR = pytest.mark.parametrize("isr", [True, False], ids=["on", "off"])
SLICE = (600.0, 620.0)


@pytest.fixture(scope="module")
def tasks() -> dict[bool, RegressionTask]:
    return {isr: TopJets(isr=isr, slice=SLICE).regression(Context()) for isr in (True, False)}


def everything(task: RegressionTask) -> Sample:
    return concatenate([task.train, task.tests["nominal"]])


@ISR
def test_the_bundled_top_jets_say_where_they_come_from(isr: bool):
    path = TopJets(isr=isr).source()
    with h5py.File(path) as file:
        about = dict(file.attrs)
        units = {name: file[name].attrs["unit"] for name in file}
        rows = file["top_pt"].size
    assert "Pythia 8" in about["generator"]
    assert {"seed", "command", "version_pythia8mc", "version_fastjet"} <= set(about)
    assert f"PartonLevel:ISR = {'on' if isr else 'off'}" in about["pythia_settings"]
    assert json.loads(about["detector_constants"])["name"] == about["detector"]
    assert rows == about["n_kept"] < about["n_matched"] < 2 * about["n_generated"]
    assert (units["jet_pt"], units["jet_girth"], units["jet_constituents"]) == ("GeV", "rad", "1")
    assert (units["subjet1_pt"], units["top_pt"], units["jet_m"]) == ("GeV", "GeV", "GeV")


def test_the_bundled_top_jets_are_small_and_large_enough():
    paths = [TopJets(isr=isr).source() for isr in (True, False)]
    assert sum(path.stat().st_size for path in paths) <= 6 * MEGABYTES
    for path in paths:
        with h5py.File(path) as file:
            assert file["top_pt"].size >= 50_000


@ISR
def test_columns_and_ranges(tasks, isr: bool):
    task = tasks[isr]
    sample = everything(task)
    assert sample.x_columns == tuple(FEATURES.values())
    assert [column.name for column in sample.z_columns] == ["pt_true"]
    assert task.uncalibrated == ("pt_reco",)
    assert np.all((sample.z >= 400) & (sample.z <= 1000))
    assert np.all(np.abs(sample.column("eta_reco")) <= 2)
    assert np.all(sample.column("constituents") == np.round(sample.column("constituents")))
    assert np.all((sample.column("girth") >= 0) & (sample.column("girth") < 1.5))
    subjets = np.column_stack([sample.column(f"subjet{i}_pt") for i in (1, 2, 3)])
    assert np.all(np.diff(subjets) <= 0)
    assert np.all(subjets >= 0)
    assert np.all(sample.w == 1)


@ISR
def test_the_true_pt_is_flat(tasks, isr: bool):
    sample = everything(tasks[isr])
    counts = np.histogram(sample.z[:, 0], np.linspace(400, 1000, 25))[0]
    assert np.ptp(counts) <= 0.01 * counts.mean()  # rounding carries a few across an edge


@ISR
def test_jets_of_an_event_stay_on_one_side(tasks, isr: bool):
    train, test = tasks[isr].train, tasks[isr].tests["nominal"]
    assert not np.isin(train.group, test.group).any()
    assert np.unique(train.group, return_counts=True)[1].max() == 2
    assert len(train) / len(test) == pytest.approx(1, abs=0.02)


@ISR
def test_the_slice_is_part_of_the_test_sample(tasks, isr: bool):
    test, inside = (tasks[isr].tests[name] for name in ("nominal", "slice"))
    pt = inside.column("pt_reco")
    assert np.all((pt >= SLICE[0]) & (pt < SLICE[1]))
    selected = (test.column("pt_reco") >= SLICE[0]) & (test.column("pt_reco") < SLICE[1])
    np.testing.assert_array_equal(inside.x, test.x[selected])
    np.testing.assert_array_equal(inside.z, test.z[selected])
    assert list(TopJets(isr=isr).regression(Context()).tests) == ["nominal"]


def response(task: RegressionTask) -> np.ndarray:
    """Quantiles of pT/true pT: 2.5, 16, 50, 84 and 97.5 %."""
    sample = everything(task)
    levels = [0.025, 0.16, 0.5, 0.84, 0.975]
    return np.quantile(sample.column("pt_reco") / sample.z[:, 0], levels)


def test_radiation_adds_to_the_jet_and_washes_out_the_peak_of_the_mass(tasks):
    with_isr, without = response(tasks[True]), response(tasks[False])
    assert with_isr[3] - with_isr[1] > 1.1 * (without[3] - without[1])
    assert with_isr[2] > without[2]
    on, off = (everything(tasks[isr]) for isr in (True, False))
    near = [np.mean(np.abs(s.column("m_reco") - 170) < 20) for s in (on, off)]
    assert near[0] < 0.95 * near[1]
    assert np.median(on.column("constituents")) > np.median(off.column("constituents"))


def test_without_radiation_a_jet_can_only_miss_constituents(tasks):
    """arXiv:2003.11099, Fig. 4, but for the detector's resolution."""
    lowest, _, middle, _, highest = response(tasks[False])
    assert 0.9 < middle < 1
    assert middle - lowest > 1.3 * (highest - middle)


@ISR
def test_a_tight_jet_has_a_large_leading_subjet(tasks, isr: bool):
    sample = everything(tasks[isr])
    share = sample.column("subjet1_pt") / sample.column("pt_reco")
    assert np.corrcoef(share, sample.column("girth"))[0, 1] < -0.5


def test_the_split_follows_the_seed_and_the_fraction(tasks):
    again, other = (TopJets(isr=False).regression(Context(seed=s)).train for s in (0, 1))
    np.testing.assert_array_equal(again.group, tasks[False].train.group)
    assert again.group.size != other.group.size or np.any(again.group != other.group)
    quarter = TopJets(train_fraction=0.25).regression(Context())
    assert len(quarter.train) / len(quarter.tests["nominal"]) == pytest.approx(1 / 3, rel=0.03)


# Input of the user


def copied(folder: Path, **changes: np.ndarray | None) -> Path:
    """Four thousand of the bundled jets, with columns changed or (None) left out."""
    path = folder / "jets.h5"
    with h5py.File(TopJets().source()) as source, h5py.File(path, "w") as file:
        columns = {name: values[:4000] for name, values in source.items()}
        for name, values in (columns | changes).items():
            if values is not None:
                file[name] = values
    return path


def test_another_file_of_the_same_layout_is_read(tmp_path: Path):
    path = copied(tmp_path)
    task = TopJets(path=str(path)).regression(Context())
    assert len(everything(task)) == 4000
    assert task.files == {"jets.h5": sha256(path)}
    assert TopJets(path=str(path)).inputs() == [path]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jet_girth": None}, "jets.h5 has no column 'jet_girth': "),
        ({"jet_pt": np.zeros(4000)}, "'jet_pt' is a transverse momentum, but 4000 values of 4000"),
        ({"jet_m": np.full(4000, np.nan)}, "column 'jet_m' holds 4000 values of 4000 that are not"),
        ({"top_pt": np.full(3999, 500.0)}, "must hold columns of one length"),
        ({"top_pt": np.full(4000, 500.0)}, "'pt_true' is 500 in every training event"),
        ({"jet_constituents": np.zeros(4000)}, "'constituents' is positive by nature, but 4000"),
    ],
)
def test_a_file_with_wrong_columns_is_named(tmp_path: Path, changes, message: str):
    data = TopJets(path=str(copied(tmp_path, **changes)))
    with pytest.raises(DataError, match=message):
        data.regression(Context())


def test_a_slice_with_too_few_jets_is_counted(tmp_path: Path):
    data = TopJets(path=str(copied(tmp_path)), slice=(600, 601))
    with pytest.raises(DataError, match=r"'slice' would hold \d+ jets: at least 100 .* widen data"):
        data.regression(Context())


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="no such file; an HDF5 file with top jets is needed"):
        TopJets(path=str(tmp_path / "none.h5")).regression(Context())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"isr": "off"}, "data.isr is true or false, got 'off'"),
        ({"path": 3}, "data.path must be a path, got 3"),
        ({"train_fraction": 1.0}, "data.train_fraction must be < 1, got 1.0"),
        ({"slice": 600}, r"data.slice takes two values of pT such as \[600,620\], got 600"),
        ({"slice": [600]}, r"data.slice takes two values of pT such as \[600,620\], got \[600\]"),
        ({"slice": [620, 600]}, r"data.slice must rise, got \[620,600\]"),
        ({"slice": ["a", 600]}, "each of data.slice must be a finite number, got 'a'"),
    ],
)
def test_wrong_options_are_named(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        TopJets(**options)


def test_every_option_is_documented_by_name():
    text = str(TopJets.__doc__)
    assert [
        f.name for f in fields(TopJets) if f.name not in text and "fraction" not in f.name
    ] == []
