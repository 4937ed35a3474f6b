"""NanoAOD: jets and gen jets paired by index against a slow twin, versions, and real files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from calibrate.cli.run import run
from calibrate.context import Context
from calibrate.data import sources
from calibrate.data.nanoaod import FEW, NanoAOD
from calibrate.data.nanoaod_files import Counts, MatchedJets
from calibrate.errors import ConfigurationError, DataError
from calibrate.task import RegressionTask

OLD, NEW = "fixedGridRhoFastjetAll", "Rho_fixedGridRhoFastjetAll"
Branches = dict[str, Any]


def events(n: int, seed: int = 0, index: type = np.int16, rho: str = NEW) -> Branches:
    """Events of 0 to 4 gen jets and 0 to 5 jets. The index of a jet is -1, that of any gen jet, or
    past the end; it leads to a gen jet of half the jet's pT before corrections (times noise)."""
    rng = np.random.default_rng(seed)
    n_gen, n_jet = rng.integers(0, 5, n), rng.integers(0, 6, n)
    gen_pt = [rng.uniform(20, 200, k) for k in n_gen]
    idx = [rng.integers(-1, k + 2, m).astype(index) for k, m in zip(n_gen, n_jet, strict=True)]
    factor = [rng.uniform(0, 0.2, m) for m in n_jet]
    raw = [
        np.array([2 * pt[i] if 0 <= i < len(pt) else 50.0 for i in row]) * rng.uniform(0.9, 1.1)
        for pt, row in zip(gen_pt, idx, strict=True)
    ]
    flat = {"genWeight": rng.uniform(1, 2, n), rho: rng.uniform(5, 40, n)}
    return {
        **{name: values.astype(np.float32) for name, values in flat.items()},
        "PV_npvs": rng.integers(1, 60, n).astype(np.uint8),
        "GenJet_pt": gen_pt,
        "GenJet_eta": [rng.normal(0, 2, k) for k in n_gen],
        "Jet_pt": [r / (1 - f) for r, f in zip(raw, factor, strict=True)],
        "Jet_rawFactor": factor,
        "Jet_eta": [rng.normal(0, 2, k) for k in n_jet],
        "Jet_area": [rng.normal(0.5, 0.01, k) for k in n_jet],
        "Jet_genJetIdx": idx,
    }


def nano(path: Path, branches: Mapping[str, Any], tree: str = "Events") -> Path:
    """A tree as NanoAOD has it: one counter for each collection."""
    flat = {k: v for k, v in branches.items() if isinstance(v, np.ndarray)}
    records: dict[str, dict[str, ak.Array]] = {}
    for name, rows in branches.items():
        if name not in flat:
            collection, _, part = name.partition("_")
            kind = next((row.dtype for row in rows if hasattr(row, "dtype")), np.float64)
            kind = kind if kind.kind == "i" else np.dtype(np.float32)
            records.setdefault(collection, {})[part] = ak.values_astype(ak.Array(rows), kind)
    columns = {**flat, **{name: ak.zip(parts) for name, parts in records.items()}}
    types = {k: v.dtype if k in flat else ak.type(v).content for k, v in columns.items()}
    with uproot.recreate(path) as file:
        file.mktree(tree, types).extend(columns)
    return path


def loaded(path: object, **options: Any) -> RegressionTask:
    given = path if isinstance(path, list) else str(path)
    return NanoAOD(given, **options).regression(Context())


def rows_of(task: RegressionTask) -> np.ndarray:
    """x, z and weight of all jets, in a canonical order."""
    rows = np.concatenate(
        [np.column_stack([s.x, s.z, s.w]) for s in (task.train, task.tests["nominal"])]
    )
    return rows[np.lexsort(rows.T)]


def slow_rows(branches: Branches, pt: str, rho: str) -> np.ndarray:
    """The rule, jet by jet."""
    found = []
    for event, indices in enumerate(branches["Jet_genJetIdx"]):
        for jet, i in enumerate(indices):
            if 0 <= i < len(branches["GenJet_pt"][event]):
                value = branches["Jet_pt"][event][jet]
                if pt == "raw":
                    value *= 1 - branches["Jet_rawFactor"][event][jet]
                parts = [branches[f"Jet_{name}"][event][jet] for name in ("eta", "area")]
                gen = branches["GenJet_pt"][event][i]
                found.append(
                    [value, *parts, branches[rho][event], gen, branches["genWeight"][event]]
                )
    rows = np.array(found)
    return rows[np.lexsort(rows.T)]


# Pairs


@pytest.mark.parametrize("pt", ["raw", "corrected"])
@pytest.mark.parametrize("chunk", [37, 200_000])
def test_the_pairs_are_those_of_a_slow_twin(tmp_path: Path, monkeypatch, pt: str, chunk: int):
    monkeypatch.setattr(sources, "CHUNK", chunk)
    branches = events(400)
    task = loaded(nano(tmp_path / "a.root", branches), pt=pt)
    np.testing.assert_allclose(rows_of(task), slow_rows(branches, pt, NEW), rtol=1e-5, atol=1e-6)


def test_jets_without_a_gen_jet_are_counted(tmp_path: Path):
    branches = events(300)
    pairs = zip(branches["Jet_genJetIdx"], branches["GenJet_pt"], strict=True)
    kinds = [(i < 0, i >= len(gen)) for indices, gen in pairs for i in indices]
    unmatched, unsaved = (sum(bool(kind[k]) for kind in kinds) for k in (0, 1))
    (note,) = loaded(nano(tmp_path / "a.root", branches)).notes
    used = len(kinds) - unmatched - unsaved
    assert f"300 events of 1 file read, {len(kinds)} jets, {used} " in note
    assert f"{unmatched} without a gen jet, {unsaved} whose gen jet was not saved" in note


def test_the_jets_of_an_event_stay_together_and_files_do_not_mix(tmp_path: Path):
    files = [str(nano(tmp_path / f"{i}.root", events(100 + i, i))) for i in range(3)]
    task = loaded(files)
    train, test = task.train, task.tests["nominal"]
    assert not set(train.group) & set(test.group)
    filled = sum(
        any(0 <= i < len(gen) for i in indices)
        for seed in range(3)
        for b in [events(100 + seed, seed)]
        for indices, gen in zip(b["Jet_genJetIdx"], b["GenJet_pt"], strict=True)
    )
    assert train.groups.number + test.groups.number == filled
    assert train.groups.number == round(0.5 * filled)


def test_versions_may_be_mixed_in_one_glob(tmp_path: Path):
    """rho has two names, the index two types, npvs two types."""
    old, new = events(200, 1, np.int32, OLD), events(200, 2)
    old["PV_npvs"] = old["PV_npvs"].astype(np.int32)
    nano(tmp_path / "a.root", old)
    nano(tmp_path / "b.root", new)
    expected = np.concatenate([slow_rows(old, "raw", OLD), slow_rows(new, "raw", NEW)])
    found = rows_of(loaded(f"{tmp_path}/*.root"))
    np.testing.assert_allclose(found, expected[np.lexsort(expected.T)], rtol=1e-5, atol=1e-6)


def test_features_spectators_and_selections_are_expressions(tmp_path: Path):
    path = nano(tmp_path / "a.root", events(900))
    task = loaded(
        path,
        features=["rho*Jet_area", "abs(Jet_eta)"],
        spectators="PV_npvs",
        select="(GenJet_pt > 50) & (abs(Jet_eta) < 2) & (rho < 30)",
        w=None,
    )
    x, z = task.train.x, task.train.z
    assert [c.label for c in task.train.x_columns] == [
        "Jet_pt_raw [GeV]", "rho*Jet_area", "abs(Jet_eta)"
    ]  # fmt: skip
    assert np.all(z > 50)
    assert np.all((x[:, 2] >= 0) & (x[:, 2] < 2))
    assert np.all(x[:, 1] < 30)
    assert set(task.train.w) == {1.0}
    assert set(task.train.spectators) == {"PV_npvs"}


def test_at_most_so_many_events_are_read(tmp_path: Path):
    files = [str(nano(tmp_path / f"{i}.root", events(300, i))) for i in range(2)]
    assert "400 events of 2 files read" in loaded(files, max_events=400).notes[0]


def test_negative_weights_are_told_of(tmp_path: Path):
    branches = events(300)
    branches["genWeight"][::3] *= -1
    path = nano(tmp_path / "a.root", branches)
    positive, kept = loaded(path), loaded(path, negative="keep")
    np.testing.assert_allclose(positive.train.w, np.abs(kept.train.w))
    assert np.any(kept.train.w < 0)
    assert any("have a negative genWeight, whose absolute" in text for text in positive.warnings)
    assert not any("negative" in text for text in kept.warnings)


def test_few_pairs_are_told_of(tmp_path: Path):
    task = loaded(nano(tmp_path / "a.root", events(300)))
    pairs = len(task.train) + len(task.tests["nominal"])
    assert pairs < FEW
    assert task.warnings[0].startswith(f"{pairs} matched jets are few ({len(task.train)} to train")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_rows_that_are_not_finite_are_refused_or_left_out(tmp_path: Path, value: float):
    branches = events(300)
    row = next(i for i, k in enumerate(branches["Jet_genJetIdx"]) if 0 in k and len(k) == 1)
    branches["GenJet_pt"][row] = branches["GenJet_pt"][row].copy()
    branches["Jet_area"][row] = np.array([value])
    branches["GenJet_pt"][row] = np.append(branches["GenJet_pt"][row], 30.0)
    branches["GenJet_eta"][row] = np.append(branches["GenJet_eta"][row], 0.0)
    path = nano(tmp_path / "a.root", branches)
    with pytest.raises(DataError, match=r"1 of \d+ rows are not finite \(Jet_area: 1\)"):
        loaded(path)
    assert any("1 of" in note for note in loaded(path, missing="drop").notes)


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": []}, "data.path names no file"),
        ({"path": 3}, "data.path takes a text"),
        ({"path": "a", "pt": "jec"}, "data.pt='jec': available: corrected, raw"),
        ({"path": "a", "features": 1}, "data.features takes a text"),
        ({"path": "a", "features": ["Jet_pt_raw"]}, "'Jet_pt_raw' stands twice"),
        ({"path": "a", "features": ["GenJet_pt"]}, "'GenJet_pt' stands twice"),
        ({"path": "a", "w": 1}, "data.w takes one text, got 1"),
        ({"path": "a", "negative": "drop"}, "data.negative='drop'"),
        ({"path": "a", "missing": "keep"}, "data.missing='keep'"),
        ({"path": "a", "max_events": 0}, "data.max_events must be a positive integer"),
        ({"path": "a", "train_fraction": 1}, "data.train_fraction must be < 1, got 1"),
    ],
)
def test_wrong_options_are_named(options, message: str):
    with pytest.raises(ConfigurationError, match=message):
        NanoAOD(**options)


def test_every_option_is_documented_by_name():
    assert [f.name for f in fields(NanoAOD) if f.name not in str(NanoAOD.__doc__)] == []


def without(branches: Branches, *prefixes: str) -> Branches:
    return {k: v for k, v in branches.items() if not k.startswith(prefixes)}


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [
        (("GenJet_",), r"no branch 'GenJet_pt': there is no GenJet among Jet; a calibration needs"),
        (("Jet_",), r"no branch 'Jet_pt': there is no Jet among GenJet;"),
        (("Jet_genJetIdx",), r"no branch 'Jet_genJetIdx': did you mean Jet_eta"),
        (("Jet_area",), r"a\.root: no column 'Jet_area': did you mean Jet_eta"),
        ((NEW,), r"no column 'rho': available: .*PV_npvs"),
        (("genWeight",), r"no column 'genWeight'"),
        (("Jet_rawFactor",), r"no column 'Jet_pt_raw': did you mean Jet_pt"),
    ],
)
def test_what_is_missing_is_named_with_what_is_there(tmp_path: Path, prefixes, message: str):
    path = nano(tmp_path / "a.root", without(events(300), *prefixes))
    with pytest.raises(DataError, match=message):
        loaded(path)


def test_mixed_content_names_the_file_that_lacks_something(tmp_path: Path):
    nano(tmp_path / "a.root", events(300))
    nano(tmp_path / "b.root", without(events(300), "GenJet_"))
    with pytest.raises(DataError, match=r"b\.root has no branch 'GenJet_pt'"):
        loaded(f"{tmp_path}/*.root")


def test_other_trees_and_formats_are_named(tmp_path: Path):
    with pytest.raises(DataError, match="no tree 'Events': available: Other; NanoAOD is a ROOT"):
        loaded(nano(tmp_path / "a.root", events(300), "Other"))
    np.savez(tmp_path / "a.npz", a=np.ones(3))
    with pytest.raises(DataError, match="is NPZ, no NanoAOD: choose data=table"):
        loaded(tmp_path / "a.npz")


def test_branches_of_other_collections_are_refused(tmp_path: Path):
    branches = {**events(300), "Muon_pt": [np.ones(1)] * 300}
    with pytest.raises(DataError, match="'Muon_pt' has neither one value per event nor one per"):
        loaded(nano(tmp_path / "a.root", branches), features="Muon_pt")


def test_a_file_that_is_named_twice_is_refused(tmp_path: Path):
    path = nano(tmp_path / "a.root", events(300))
    with pytest.raises(ConfigurationError, match=r"a\.root twice: its events would train and test"):
        loaded([str(path), f"{tmp_path}/*.root"])


def test_too_few_jets_are_counted(tmp_path: Path):
    with pytest.raises(DataError, match=r"\d+ usable rows of 20 entries read: at least 100"):
        loaded(nano(tmp_path / "a.root", events(20)))


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_file_is_named(tmp_path: Path, kept: float):
    path = nano(tmp_path / "a.root", events(2000))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=r"a\.root"):
        loaded(path)


# Real files


@pytest.mark.parametrize(
    ("name", "jets", "unmatched", "unsaved"),
    [
        ("nano_tt_v12.root", 1504, 1504 - 1336, 0),
        ("nanoAOD_2015_CMS_Open_Data_ttbar.root", 537, 537 - 373, 11),
    ],
)
def test_the_real_files_hold_what_is_known(
    shared_data: Path, name: str, jets: int, unmatched: int, unsaved: int
):
    counts = Counts()
    view = MatchedJets(shared_data / name, counts)
    list(view.chunks(("Jet_pt", "GenJet_pt", "rho", "PV_npvs"), 30))
    assert counts == Counts(jets, unmatched, unsaved)


def test_matched_jets_of_a_real_file_are_near_their_gen_jets(shared_data: Path):
    """The file's index says which jets belong together; their axes do."""
    task = loaded(
        shared_data / "nano_tt_v12.root",
        features=[],
        spectators=["Jet_eta - GenJet_eta", "cos(Jet_phi - GenJet_phi)"],
    )
    apart = task.train.spectators["Jet_eta - GenJet_eta"]
    turned = np.arccos(np.clip(task.train.spectators["cos(Jet_phi - GenJet_phi)"], -1, 1))
    assert np.max(np.hypot(apart, turned)) < 0.4


def test_a_real_file_without_gen_jets_is_named_with_its_collections(shared_data: Path):
    with pytest.raises(DataError, match=r"no GenJet among .*Electron, FatJet, .*Jet, Muon"):
        loaded(shared_data / "nano_dimuon.root")


def test_a_run_on_few_pairs_says_so(shared_data: Path, tmp_path: Path):
    options = (f"data.path={shared_data / 'nano_tt_v12.root'}", "report.figures=false")
    small = ("evaluator.closure.replicas=2", f"output={tmp_path}/out")
    assert run(["method=gaussian_ansatz", "data=nanoaod", *options, *small]) == 0
    (report,) = (tmp_path / "out").glob("*/*/*/report.json")
    content = json.loads(report.read_text("utf-8"))
    assert content["warnings"][0].startswith("1336 matched jets are few")
    assert "1504 jets, 1336 (0.8883) matched" in content["notes"][0]
