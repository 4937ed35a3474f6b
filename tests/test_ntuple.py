"""RNTuples: records, collections and clusters; what holds of all formats is in `test_tables`."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from calibrate.errors import DataError
from calibrate.tables import Jagged, NewColumns, open_table
from calibrate.tables.ntuple import NtupleTable

N = 1000
COUNTS = np.random.default_rng(1).integers(0, 5, N)
CONTENT = np.random.default_rng(2).normal(size=COUNTS.sum()).astype(np.float32)
NUMBER = np.arange(COUNTS.sum())
NEW = {"ours": np.dtype("f8"), "ours_ok": np.dtype("?")}


def columns(start: int = 0, stop: int = N) -> dict[str, ak.Array]:
    """A collection of records, a record, a vector, a text, vectors of vectors, and numbers."""
    pairs = {"pt": ak.unflatten(CONTENT, COUNTS), "id": ak.unflatten(NUMBER, COUNTS)}
    two = ak.unflatten(np.arange(2 * N, dtype=np.int16), np.full(N, 2))
    found = {
        "jets": ak.zip(pairs),
        "met": ak.zip({"pt": np.arange(N) * 0.5, "phi": np.arange(N, dtype=np.float32)}),
        "pair": two,
        "name": ak.Array([f"event {i}" for i in range(N)]),
        "nested": ak.unflatten(two, np.tile([0, 2], N // 2)),
        "fixed": np.arange(3.0 * N).reshape(N, 3),
        "run": np.arange(N),
    }
    return {name: array[start:stop] for name, array in found.items()}


def written(path: Path, step: int = 300, name: str = "Events") -> Path:
    """A file with a cluster for each `step` entries."""
    with uproot.recreate(path) as file:
        made = file.mkrntuple(name, columns(0, step), "what was measured")
        for start in range(step, N, step):
            made.extend(columns(start, start + step))
    return path


def new_columns(like: str | None) -> NewColumns:
    """Numbers by which a row is recognised."""

    def values(start: int, stop: int) -> dict[str, np.ndarray]:
        number = np.arange(start, stop)
        return {"ours": number * 0.1, "ours_ok": number % 2 == 0}

    return NewColumns(NEW, values, like)


def flat(array: ak.Array) -> np.ndarray:
    return np.asarray(ak.ravel(array))


@pytest.mark.parametrize("step", [70, 300, 1000])
@pytest.mark.parametrize("rows", [13, 300, 450, 5000])
def test_members_of_records_and_collections_are_columns(rows: int, step: int, tmp_path: Path):
    """Whatever the clusters, and whatever the chunks."""
    table = open_table(written(tmp_path / "a.root", step))
    assert isinstance(table, NtupleTable)
    expected = {"jets.pt", "jets.id", "met.pt", "met.phi", "pair", "name", "nested", "fixed", "run"}
    assert set(table.names) == expected
    assert table.entries == N
    chunks = list(table.chunks(["jets.pt", "met.pt", "run"], rows))
    assert [c.first for c in chunks] == np.cumsum([0, *(c.entries for c in chunks)])[:-1].tolist()
    assert max(c.entries for c in chunks) <= rows
    parts = [c.columns["jets.pt"] for c in chunks]
    assert all(isinstance(part, Jagged) for part in parts)
    np.testing.assert_array_equal(np.concatenate([part.content for part in parts]), CONTENT)
    np.testing.assert_array_equal(np.concatenate([part.counts for part in parts]), COUNTS)
    met = np.concatenate([c.columns["met.pt"] for c in chunks])
    np.testing.assert_array_equal(met, np.arange(N) * 0.5)
    assert parts[0].content.dtype == np.float32


@pytest.mark.parametrize("step", [70, 1000])
def test_no_cluster_is_read_twice(step: int, tmp_path: Path):
    """What is read at once begins and ends with a cluster, and is no more than a chunk or one."""
    path = written(tmp_path / "a.root", step)
    table = open_table(path)
    assert isinstance(table, NtupleTable)
    with uproot.open(path) as file:
        starts = {each.num_first_entry for each in file["Events"].cluster_summaries}
    for rows in (50, 300, 5000):
        spans = list(table.spans(rows))
        assert {start for start, _ in spans} <= starts
        assert [stop for _, stop in spans] == [start for start, _ in spans[1:]] + [N]
        assert max(stop - start for start, stop in spans) <= max(rows, step)


@pytest.mark.parametrize("name", ["name", "nested", "fixed", "jets"])
def test_fields_without_numbers_are_named(name: str, tmp_path: Path):
    table = open_table(written(tmp_path / "a.root"))
    with pytest.raises(DataError, match=rf"a.root: column '{name}' holds .*, not numbers: leave"):
        next(table.chunks([name], 100))


@pytest.mark.parametrize("rows", [70, 300, 5000])
@pytest.mark.parametrize("like", [None, "jets.pt", "pair"])
def test_a_copy_keeps_every_field(rows: int, like: str | None, tmp_path: Path):
    path, target = written(tmp_path / "a.root"), tmp_path / "copy.root"
    advanced: list[int] = []
    open_table(path).copy(target, new_columns(like), rows, advanced.append)
    assert sum(advanced) == N
    with uproot.open(path) as file, uproot.open(target) as other:
        old, new = file["Events"], other["Events"]
        assert new.description == "what was measured"
        assert {n: f.typename for n, f in old.items()}.items() <= {
            n: f.typename for n, f in new.items()
        }.items()
        before, after = old.arrays(), new.arrays()
        assert ak.array_equal(before, after[before.fields])
        counts = {"jets.pt": COUNTS, "pair": np.full(N, 2)}.get(like or "")
        if counts is not None:
            np.testing.assert_array_equal(ak.num(after["ours"]), counts)
        rows_there = N if counts is None else counts.sum()
        np.testing.assert_array_equal(flat(after["ours"]), np.arange(rows_there) * 0.1)
        np.testing.assert_array_equal(flat(after["ours_ok"]), np.arange(rows_there) % 2 == 0)


def test_a_copy_of_a_file_keeps_its_other_objects(tmp_path: Path):
    """RNTuple and tree beside each other are named; the grown one takes the next cycle."""
    path, target = tmp_path / "a.root", tmp_path / "copy.root"
    with uproot.recreate(path) as file:
        file.mkrntuple("new", {"a": np.arange(5.0)})
        file.mktree("old", {"a": "f8"}).extend({"a": np.arange(4.0)})
    with pytest.raises(DataError, match=r"name one tree .* there are: new, old"):
        open_table(path)
    open_table(path, "new").copy(target, new_columns(None), 100, int)
    with uproot.open(target) as file:
        assert file["old"]["a"].array().tolist() == [0, 1, 2, 3]
        assert set(file["new"].keys()) == {"a", "ours", "ours_ok"}
        assert file["new;1"].keys() == ["a"]


@pytest.mark.parametrize("like", [None, "jets.pt"])
def test_a_friend_leaves_the_file_and_adds_an_ntuple(like: str | None, tmp_path: Path):
    path, target = written(tmp_path / "a.root"), tmp_path / "copy.root"
    table = open_table(path)
    assert isinstance(table, NtupleTable)
    table.friend(target, new_columns(like), 130, int)
    with uproot.open(path) as file, uproot.open(target) as other:
        assert ak.array_equal(file["Events"].arrays(), other["Events"].arrays())
        added = other["Events_calibrated"].arrays()
        assert set(added.fields) == set(NEW)
        np.testing.assert_array_equal(
            flat(added["ours"]), np.arange(N if like is None else COUNTS.sum()) * 0.1
        )


def test_names_that_no_field_may_have_are_refused(tmp_path: Path):
    path, target = written(tmp_path / "a.root"), tmp_path / "copy.root"
    dotted = NewColumns({"jets.ours": np.dtype("f8")}, lambda i, j: {}, "jets.pt")
    with pytest.raises(DataError, match=r"no '\.' in its name, such as 'jets.ours': .* --name"):
        open_table(path).copy(target, dotted, 100, int)
    taken = NewColumns({"jets": np.dtype("f8")}, lambda i, j: {}, None)
    with pytest.raises(DataError, match=r"has a column 'jets' already"):
        open_table(path).copy(target, taken, 100, int)
