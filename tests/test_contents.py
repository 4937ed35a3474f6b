"""What `calibrate data check` tells of files, whole and damaged."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import uproot

from calibrate.cli.main import cli, guarded
from calibrate.contents import examine
from calibrate.errors import DataError
from tests.mod_writer import simulated, write_file, write_set

REAL = {
    "nano_tt_v12.root": ("CMS NanoAOD", {
        "entries": "200 events", "matches": "1504 jets, 1336 with a saved gen jet, 168 without"}),
    "nanoAOD_2015_CMS_Open_Data_ttbar.root": ("CMS NanoAOD", {
        "entries": "200 events", "matches": "537 jets, 362 with a saved gen jet, 164 without",
        "weights": "genWeight: sum 3.34321e+07"}),
    "delphes.root": ("Delphes", {"entries": "25 events", "jets": "85 GenJet, 106 Jet"}),
    "higgsml_15000.csv.gz": ("HiggsML", {
        "entries": "15000", "columns": "35: EventId", "without numbers": "1: KaggleSet",
        "events": "15000 different", "weights": "Weight: sum",
        "classes": "5124 signal with weight 13.2286, 9876 background"}),
    "fair_universe_higgsml_1000.parquet": ("FAIR Universe HiggsML", {
        "entries": "1000", "classes": "", "undefined (-25)": ""}),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_the_real_files_hold_what_is_known(shared_data: Path, name: str):
    kind, facts = REAL[name]
    found = examine(shared_data / name)
    assert found.format.startswith(kind)
    for fact, beginning in facts.items():
        assert found.facts[fact].startswith(beginning)
    assert found.problems == []


def test_a_real_file_without_gen_jets_has_a_problem(shared_data: Path):
    found = examine(shared_data / "nano_dimuon.root")
    assert found.format == "CMS NanoAOD"
    assert found.facts["weights"] == "no genWeight"
    assert len(found.problems) == 1
    assert "no branch 'GenJet_pt'" in found.problems[0]


# MOD


def test_jets_matches_and_events_are_counted(tmp_path: Path):
    jets = simulated(500, repeated=10, unmatched=0.05)
    found = examine(write_file(tmp_path / "a.h5", jets))
    lost = int(np.count_nonzero(jets.column("gen_jet_pt") == -1))
    assert found.format.startswith("MOD HDF5")
    assert found.facts["entries"] == "1020 jets"
    assert found.facts["matches"].startswith(f"{lost} jets without a gen jet")
    assert found.facts["weights"].endswith(f"{jets.column('weight').sum():.6g} nb")
    assert "with more" in found.facts["events"]
    assert found.problems == []


def test_a_file_of_a_public_name_is_compared(tmp_path: Path):
    (path,) = write_set(tmp_path, "SIM1000", simulated(200))
    found = examine(path)
    assert found.facts["public file"].startswith("of SIM1000, md5 ")
    assert "calibrate data fetch SIM1000" in found.problems[0]


def test_a_table_without_names_is_a_problem(tmp_path: Path):
    path = write_file(tmp_path / "a.h5", simulated(200))
    with h5py.File(path, "r+") as file:
        del file["jets_i"].attrs["cols"]
    assert "no attribute 'cols'" in examine(path).problems[0]


def test_values_that_cannot_be_are_a_problem(tmp_path: Path):
    jets = simulated(200, unmatched=0.0)
    jets.column("jet_pt")[3] = math.nan
    assert "'jet_pt' holds 1 values" in examine(write_file(tmp_path / "a.h5", jets)).problems[0]


# Text


def higgsml(rows: int, first: int = 100_000) -> str:
    lines = [
        f"{first + i},{-999.0 if i % 4 == 0 else 120.5},{30 + i % 7}.5,{0.1 * (i % 3 + 1):.1f},s"
        for i in range(rows)
    ]
    return "\n".join(["EventId,DER_mass_MMC,PRI_tau_pt,Weight,Label", *lines]) + "\n"


def test_repeated_events_are_a_problem(tmp_path: Path):
    """As in the damaged copy whose gzip stream repeats blocks."""
    path = tmp_path / "a.csv.gz"
    text = higgsml(5000)
    body = text.splitlines(keepends=True)
    path.write_bytes(gzip.compress(text.encode()) + gzip.compress("".join(body[1:801]).encode()))
    found = examine(path)
    assert found.facts["entries"] == "5800"
    assert found.facts["events"] == "5000 different EventId"
    assert found.facts["classes"].startswith("5800 signal with weight 1159.8, 0 background")
    assert found.facts["undefined (-999)"] == f"{1250 + 200} values"
    assert found.problems[0].startswith("800 of 5800 rows repeat an EventId")


@pytest.mark.parametrize("damage", ["cut", "bytes"])
def test_damaged_gzip_is_a_problem(tmp_path: Path, damage: str):
    path = tmp_path / "a.csv.gz"
    rng = np.random.default_rng(0)
    numbers = "\n".join(f"{a},{b}" for a, b in rng.normal(size=(60_000, 2)))
    content = bytearray(gzip.compress(f"a,b\n{numbers}\n".encode()))
    if damage == "cut":
        del content[len(content) * 4 // 5 :]
    else:
        content[len(content) * 4 // 5 :][:100] = bytes(100)
        content[-8:-4] = b"\0\0\0\0"
    path.write_bytes(content)
    problems = examine(path).problems
    assert any("truncated or damaged" in problem for problem in problems)


def test_truncated_trees_are_a_problem_of_the_columns_beyond(tmp_path: Path):
    """The first column is there; what cannot be read is no column without numbers."""
    path = tmp_path / "a.root"
    columns = {name: np.random.default_rng(0).normal(size=20_000) for name in "abc"}
    with uproot.recreate(path) as file:
        file.mktree("events", dict.fromkeys(columns, "f8")).extend(columns)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = examine(path)
    assert found.facts["damaged"] == "2: b, c"
    assert "without numbers" not in found.facts
    assert found.facts["entries"] == "20000"
    (problem,) = found.problems
    assert "a.root cannot be read as ROOT" in problem


def test_values_that_are_not_finite_and_broken_lines_are_problems(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("pt,weight\n" + "1.5,-2\nnan,1\n3,inf\n4\n" * 3, "utf-8")
    found = examine(path)
    assert found.facts["weights"] == "weight: sum -3, from -2 to 1, 3 negative"
    assert found.problems == [
        "column 'pt' holds 3 values of 9 that are not finite",
        "column 'weight' holds 3 values of 9 that are not finite",
        "3 lines have missing or surplus fields",
    ]


def test_what_is_no_table_is_a_problem(tmp_path: Path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(range(256)) * 10)
    found = examine(path)
    assert found.format == "not readable"
    assert "no known format" in found.problems[0]


def test_no_file_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match=r"no file .*nowhere"):
        examine(tmp_path / "nowhere")


# The command


def test_the_command_tells_and_fails_where_something_is_wrong(tmp_path: Path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("pt,w\n1,2\n3,4\n", "utf-8")
    check = ["data", "check", str(path)]
    assert guarded(lambda: cli.main(check, standalone_mode=False)) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{path}: table (text)"
    assert told[1:] == [
        "  entries          2",
        "  columns          2: pt, w",
        "  weights          w: sum 6, from 2 to 4, 0 negative",
    ]
    path.write_text("pt,w\n1,2\nnan,4\n", "utf-8")
    assert guarded(lambda: cli.main(check, standalone_mode=False)) == 1
    told = capsys.readouterr()
    assert "  problem          column 'pt' holds 1 values of 2 that are not finite" in told.out
    assert told.err == f"calibrate: error: {path} has a problem\n"
