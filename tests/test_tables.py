"""Files of every format: what is written is read, a copy keeps it, and damage is named."""

from __future__ import annotations

import gzip
import io
import random
import resource
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrate.errors import CalibrateError, ConfigurationError, DataError, StorageError
from calibrate.tables import Chunk, Frame, Jagged, NewColumns, open_table
from calibrate.tables.root import RootTable

Columns = Mapping[str, np.ndarray]
N = 1000


def flat_columns(n: int = N) -> dict[str, np.ndarray]:
    """Every type of number; integers beyond 2^53, NaN and infinities among them."""
    rng = np.random.default_rng(n)
    double = rng.normal(size=n)
    double[: n // 3 : 7] = np.nan
    double[1 : n // 3 : 7] = np.inf
    return {
        "double": double,
        "single": rng.normal(size=n).astype(np.float32),
        "long": 2**53 + 1 + np.arange(n),
        "integer": rng.integers(-9, 9, n).astype(np.int32),
        "flag": rng.integers(0, 2, n).astype(bool),
    }


MORE_KINDS = {f"_{kind}": np.dtype(kind) for kind in ("u1", "i1", "u2", "i2", "u4", "u8")}
COUNTS = np.random.default_rng(1).integers(0, 5, N)
CONTENT = np.random.default_rng(2).normal(size=COUNTS.sum()).astype(np.float32)
TOGETHER = np.arange(COUNTS.sum()) + 2**53 + 1


def with_kinds(n: int = N) -> dict[str, np.ndarray]:
    more = {
        k: np.iinfo(kind).max - np.arange(n).astype(kind) % 99 for k, kind in MORE_KINDS.items()
    }
    return flat_columns(n) | {k: v.astype(MORE_KINDS[k]) for k, v in more.items()}


def root(path: Path, columns: Columns, tree: str = "Events", step: int = 300) -> Path:
    with uproot.recreate(path) as file:
        written = file.mktree(tree, {k: v.dtype for k, v in columns.items()})
        for start in range(0, len(next(iter(columns.values()))), step):
            written.extend({k: v[start : start + step] for k, v in columns.items()})
    return path


def ntuple(path: Path, columns: Columns) -> Path:
    with uproot.recreate(path) as file:
        file.mkrntuple("Events", dict(columns))
    return path


def jagged_root(path: Path, step: int = 300) -> Path:
    """Two branches of one counter, one of its own, a fixed array and a flat branch."""
    pairs = ak.zip({"pt": ak.unflatten(CONTENT, COUNTS), "id": ak.unflatten(TOGETHER, COUNTS)})
    other = ak.unflatten(np.arange(2 * N, dtype=np.int16), np.full(N, 2))
    fixed = np.arange(3 * N, dtype=np.float32).reshape(N, 3)
    columns = {"Jet": pairs, "Muon_pt": other, "fixed": fixed, "run": np.arange(N)}
    with uproot.recreate(path) as file:
        types = {
            "Jet": ak.type(pairs).content,
            "Muon_pt": "var * int16",
            "fixed": (np.dtype("f4"), (3,)),
            "run": np.dtype("i8"),
        }
        tree = file.mktree("Events", types)
        for start in range(0, N, step):
            tree.extend({k: v[start : start + step] for k, v in columns.items()})
    return path


def hdf5(path: Path, columns: Columns) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values, chunks=True, compression="gzip")
            file[name].attrs["unit"] = "GeV"
    return path


def compound(path: Path, columns: Columns) -> Path:
    table = np.rec.fromarrays(list(columns.values()), names=list(columns))
    with h5py.File(path, "w") as file:
        file.create_dataset("jets", data=table, chunks=True, compression="gzip")
        file["jets"].attrs["unit"] = "GeV"
    return path


def parquet(path: Path, columns: Columns) -> Path:
    pq.write_table(pa.table(dict(columns)), path, row_group_size=300, compression="zstd")
    return path


def npz(path: Path, columns: Columns) -> Path:
    np.savez_compressed(path, **columns)
    return path.with_suffix(".npz") if path.suffix != ".npz" else path


def text_of(columns: Columns, mark: str = ",", header: bool = True) -> str:
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    lines = [mark.join(columns)] if header else []
    return "\n".join([*lines, *(mark.join(map(repr, row)) for row in rows), ""])


def csv(path: Path, columns: Columns) -> Path:
    path.write_text(text_of(columns))
    return path


def spaced(path: Path, columns: Columns) -> Path:
    path.write_text(text_of(columns, "   "))
    return path


def packed(path: Path, columns: Columns) -> Path:
    path.write_bytes(gzip.compress(text_of(columns).encode()))
    return path


WRITERS = {
    "root": root,
    "ntuple": ntuple,
    "hdf5": hdf5,
    "compound": compound,
    "parquet": parquet,
    "npz": npz,
    "csv": csv,
    "text": spaced,
    "gzip": packed,
}
TEXTS = ("csv", "text", "gzip")
TYPED = tuple(name for name in WRITERS if name not in TEXTS)


def written(kind: str, folder: Path, columns: Columns) -> Path:
    """A file whose name says nothing of its format."""
    path = WRITERS[kind](folder / f"{kind}.npz", columns)
    return path.rename(folder / f"{kind}.dat")


def joined(chunks: Sequence[Chunk], name: str) -> np.ndarray:
    return np.concatenate([np.asarray(chunk.columns[name]) for chunk in chunks])


def read(path: Path, rows: int = 300, **options: str) -> dict[str, np.ndarray | Jagged]:
    """All columns of a file whole."""
    table = open_table(path, **options)
    chunks = list(table.chunks(table.names, rows))
    assert all(chunk.entries <= rows for chunk in chunks)
    assert [c.first for c in chunks] == np.cumsum([0, *(c.entries for c in chunks)])[:-1].tolist()
    found: dict[str, np.ndarray | Jagged] = {}
    for name in table.names:
        parts = [chunk.columns[name] for chunk in chunks]
        if isinstance(parts[0], Jagged):
            content, counts = zip(*((p.content, p.counts) for p in parts), strict=True)
            found[name] = Jagged(np.concatenate(content), np.concatenate(counts))
        else:
            found[name] = np.concatenate(parts)
    return found


def assert_equal(found: np.ndarray | Jagged, expected: np.ndarray | Jagged, types: bool = True):
    if isinstance(expected, Jagged):
        assert isinstance(found, Jagged)
        np.testing.assert_array_equal(found.counts, expected.counts)
        found, expected = found.content, expected.content
    np.testing.assert_array_equal(found, expected)
    assert not types or found.dtype == expected.dtype


# Reading


@pytest.mark.parametrize("kind", TYPED)
def test_numbers_are_read_with_their_types(kind: str, tmp_path: Path):
    columns = with_kinds()
    found = read(written(kind, tmp_path, columns))
    assert set(found) == set(columns)
    for name, values in columns.items():
        assert_equal(found[name], values)


@pytest.mark.parametrize("kind", TEXTS)
def test_numbers_in_text_are_read_exactly(kind: str, tmp_path: Path):
    columns = flat_columns()
    found = read(written(kind, tmp_path, columns))
    assert list(found) == list(columns)
    for name, values in columns.items():
        assert_equal(found[name], values, types=name not in ("single", "integer"))
    assert found["long"].dtype == np.int64
    assert found["flag"].dtype == bool


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("rows", [1, 7, 300, 999, 1000, 1001])
def test_the_size_of_chunks_changes_nothing(kind: str, rows: int, tmp_path: Path):
    path = written(kind, tmp_path, flat_columns(100 if rows == 1 else N))
    whole, parts = read(path, 10**6), read(path, rows)
    for name, values in whole.items():
        assert_equal(parts[name], values)


@pytest.mark.parametrize("kind", WRITERS)
def test_only_the_columns_asked_for_are_read(kind: str, tmp_path: Path):
    table = open_table(written(kind, tmp_path, flat_columns()))
    (chunk,) = table.chunks(["flag", "double"], 10**6)
    assert set(chunk.columns) == {"flag", "double"}
    assert chunk.entries == N
    assert table.entries in (N, None)


@pytest.mark.parametrize("rows", [13, 300, 1000])
def test_jagged_branches_have_content_and_counts(rows: int, tmp_path: Path):
    table = open_table(jagged_root(tmp_path / "a.root"))
    names = ["Jet_pt", "Jet_id", "run", "Muon_pt"]
    chunks = list(table.chunks(names, rows))
    frames = [
        Frame.of(Chunk(c.first, c.entries, _only(c, "Jet_pt", "Jet_id", "run"))) for c in chunks
    ]
    stacked = {k: np.concatenate([f.columns[k] for f in frames]) for k in frames[0].columns}
    assert_equal(stacked["Jet_pt"], CONTENT)
    assert_equal(stacked["Jet_id"], TOGETHER)
    np.testing.assert_array_equal(stacked["run"], np.repeat(np.arange(N), COUNTS))
    np.testing.assert_array_equal(
        np.concatenate([f.entry for f in frames]), np.repeat(np.arange(N), COUNTS)
    )
    with pytest.raises(DataError, match="'Jet_pt' and 'Muon_pt' have different numbers of objects"):
        Frame.of(chunks[0])


def _only(chunk: Chunk, *names: str) -> dict[str, np.ndarray | Jagged]:
    return {name: chunk.columns[name] for name in names}


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list])
def test_lists_of_parquet_are_jagged(kind: Callable, tmp_path: Path):
    lists = [[1.5, np.nan], [], None, [3.0], [4.0, 5.0, 6.0]] * 100
    table = pa.table({"a": pa.array(lists, kind(pa.float32())), "b": np.arange(500)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=70)
    found = read(tmp_path / "a.parquet", 33)
    expected = np.array([1.5, np.nan, 3, 4, 5, 6] * 100, np.float32)
    assert_equal(found["a"], Jagged(expected, np.array([2, 0, 0, 1, 3] * 100)))
    assert_equal(found["b"], np.arange(500))


def test_missing_values_of_parquet_are_nan(tmp_path: Path):
    columns = {"a": pa.array([1, None, 3]), "b": pa.array([True, None, False])}
    columns["c"] = pa.array([1.5, None, 2.5]).dictionary_encode()
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    np.testing.assert_array_equal(found["a"], [1, np.nan, 3])
    np.testing.assert_array_equal(found["b"], [1, np.nan, 0])
    np.testing.assert_array_equal(found["c"], [1.5, np.nan, 2.5])
    assert all(values.dtype == np.float64 for values in found.values())


def test_basket_borders_are_no_chunk_borders(tmp_path: Path):
    path = root(tmp_path / "a.root", flat_columns(), step=N)
    assert_equal(read(path, 17)["double"], flat_columns()["double"])


def test_a_tree_in_a_folder_and_a_cycle_are_named(tmp_path: Path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        for name, value in (("dir/one", 1.0), ("two", 2.0), ("two", 3.0)):
            file.mktree(name, {"a": "f8"}).extend({"a": np.full(5, value)})
    assert read(path, tree="dir/one")["a"].tolist() == [1.0] * 5
    assert read(path, tree="two")["a"].tolist() == [3.0] * 5
    assert read(path, tree="two;1")["a"].tolist() == [2.0] * 5
    with pytest.raises(
        DataError, match=r"name one tree with data.tree or --tree; there are: dir/one"
    ):
        open_table(path)
    with pytest.raises(DataError, match=r"no tree 'tow': did you mean two"):
        open_table(path, "tow")


def test_a_root_file_without_a_tree_is_named(tmp_path: Path):
    with uproot.recreate(tmp_path / "a.root") as file:
        file["h"] = np.histogram(np.arange(9.0))
    with pytest.raises(DataError, match=r"a.root: name one tree .* there are: none"):
        open_table(tmp_path / "a.root")


def test_a_group_and_a_compound_dataset_are_named(tmp_path: Path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["sim/pt"], file["data/pt"] = np.arange(3), np.arange(4)
        file["data/jets"] = np.rec.fromarrays([np.arange(5)], names=["eta"])
        file["data/matrix"] = np.zeros((2, 2))
    path = tmp_path / "a.h5"
    assert read(path, tree="sim")["pt"].tolist() == [0, 1, 2]
    assert read(path, tree="data")["pt"].tolist() == [0, 1, 2, 3]
    assert read(path, tree="data/jets")["eta"].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DataError, match=r"holds no columns; name a group .* data.tree: data, sim"):
        open_table(path)
    with pytest.raises(DataError, match=r"has no 'smi' that data.tree names: did you mean sim"):
        open_table(path, "smi")
    with pytest.raises(DataError, match="'data/matrix' holds no columns"):
        open_table(path, "data/matrix")


def test_columns_of_another_length_may_lie_beside(tmp_path: Path):
    path = hdf5(tmp_path / "a.h5", {"a": np.arange(9), "b": np.arange(9), "bins": np.arange(99)})
    table = open_table(path)
    assert table.entries == 9
    (chunk,) = table.chunks(["a", "b"], 100)
    assert chunk.entries == 9


@pytest.mark.parametrize("kind", ["hdf5", "npz"])
def test_unequal_lengths_are_named(kind: str, tmp_path: Path):
    path = written(kind, tmp_path, {"a": np.arange(200), "b": np.arange(201)})
    with pytest.raises(DataError, match=r"different lengths \(a 200, b 201\): use columns of one"):
        list(open_table(path).chunks(["a", "b"], 100))


TEXT_COLUMN = np.array(["many"] * 200, dtype="S4")


@pytest.mark.parametrize("kind", ["hdf5", "compound", "npz", "csv", "text", "gzip"])
def test_texts_for_numbers_are_named(kind: str, tmp_path: Path):
    values = TEXT_COLUMN.astype(str) if kind in TEXTS else TEXT_COLUMN
    path = written(kind, tmp_path, {"a": np.arange(200), "b": values})
    assert joined(list(open_table(path).chunks(["a"], 99)), "a").size == 200
    with pytest.raises(DataError, match=r"column 'b' holds .*not numbers: leave it out"):
        list(open_table(path).chunks(["a", "b"], 100))


def test_columns_of_parquet_without_numbers_are_named(tmp_path: Path):
    columns = {"text": ["x"] * 3, "deep": [[[1.0]]] * 3, "pair": [{"a": 1}] * 3, "a": [1.0] * 3}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    table = open_table(tmp_path / "a.parquet")
    assert table.names == tuple(columns)
    for name in ("text", "deep", "pair"):
        with pytest.raises(DataError, match=f"column '{name}' holds .*, not numbers"):
            list(table.chunks(["a", name], 100))


def test_branches_without_numbers_are_named(tmp_path: Path, shared_data: Path):
    table = open_table(jagged_root(tmp_path / "a.root"))
    with pytest.raises(DataError, match=r"column 'fixed' holds float\[3\], not numbers"):
        list(table.chunks(["fixed"], 100))
    delphes = open_table(shared_data / "delphes.root")
    with pytest.raises(DataError, match=r"column 'Jet.Constituents' holds .*, not numbers"):
        list(delphes.chunks(["Jet.Constituents"], 100))


def test_members_that_are_no_columns_are_named(tmp_path: Path):
    np.savez(tmp_path / "a.npz", a=np.zeros((3, 2)), b=np.array([None, {}]), c=np.float64(1))
    table = open_table(tmp_path / "a.npz")
    for name, message in (("a", r"float64 of shape \(3, 2\)"), ("c", r"of shape \(\)")):
        with pytest.raises(DataError, match=message):
            list(table.chunks([name], 5))
    with pytest.raises(DataError, match="cannot be read as NPZ: Object arrays cannot be loaded"):
        list(table.chunks(["b"], 5))


# Text


TEXT_OPTIONS = {
    "plain": "a,b\n1,2\n3,4.5\n",
    "crlf": "a,b\r\n1,2\r\n3,4.5\r\n",
    "no last newline": "a,b\n1,2\n3,4.5",
    "blanks": "  a   b \n 1 2\n\n3\t 4.5  \n",
    "blanks, crlf": " a b\r\n 1  2 \r\n3 4.5\r\n",
    "tabs": "a\tb\n1\t2\n3\t4.5\n",
    "aligned by tabs": "# a b\n1\t\t2\n3\t4.5\n",
    "semicolons": "a;b\n1;2\n3;4.5\n",
    "spaces after commas": "a, b\n1, 2\n3, 4.5\n",
    "quoted": '"a","b"\n"1","2"\n3,"4.5"\n',
    "comments": "# made by hand\na,b\n# one\n1,2\n  # two\n3,4.5\n",
    "header in a comment": "# made by hand\n# a b\n1 2\n3 4.5\n",
    "commas in the header alone": "# a, b\n1 2\n3 4.5\n",
    "blanks in the header alone": "# a b\n1,2\n3,4.5\n",
    "byte order mark": "\ufeffa,b\n1,2\n3,4.5\n",
    "signs": "a,b\n+1,2e0\n+3.0,45E-1\n",
}


@pytest.mark.parametrize("content", TEXT_OPTIONS.values(), ids=TEXT_OPTIONS)
@pytest.mark.parametrize("wrapped", [False, True], ids=["", "gz"])
def test_text_is_read_as_it_was_meant(content: str, wrapped: bool, tmp_path: Path):
    path, raw = tmp_path / "a", content.encode("utf-8")
    path.write_bytes(gzip.compress(raw) if wrapped else raw)
    found = read(path)
    assert {name: values.tolist() for name, values in found.items()} == {"a": [1, 3], "b": [2, 4.5]}


def test_names_may_hold_delimiters_in_quotes(tmp_path: Path):
    (tmp_path / "a.csv").write_text('"pt, GeV",eta\n1,2\n')
    assert open_table(tmp_path / "a.csv").names == ("pt, GeV", "eta")


def test_text_without_a_header_has_numbered_or_given_names(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("# three numbers are here, and more\n1 2 3\n4 5 6\n")
    assert read(path)["c2"].tolist() == [3, 6]
    (chunk,) = open_table(path, names=["a", "b", "c"]).chunks(["c"], 9)
    assert chunk.columns["c"].tolist() == [3, 6]
    with pytest.raises(ConfigurationError, match=r"has 3 columns, but data.names has 2"):
        open_table(path, names=["a", "b"])


def test_lines_with_missing_or_surplus_fields_are_counted(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n3\n\n4,5,6\n7,8\n9,\n")
    table = open_table(path)
    (chunk,) = table.chunks(table.names, 100)
    assert chunk.columns["a"].tolist() == [1, 7, 9]
    np.testing.assert_array_equal(chunk.columns["b"], [2, 8, np.nan])
    assert table.skipped == 2
    list(table.chunks(["a"], 100))
    assert table.skipped == 2


def test_missing_words_are_nan(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,c\n1,NA,true\nnan,-inf,\nNaN,inf,false\n,,\n")
    found = read(path)
    nan = np.nan
    np.testing.assert_array_equal(found["a"], [1, nan, nan, nan])
    np.testing.assert_array_equal(found["b"], [nan, -np.inf, np.inf, nan])
    np.testing.assert_array_equal(found["c"], [1, nan, 0, nan])


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch):
    """Text is parsed a few lines at a time, as it is every 16 MB otherwise."""
    monkeypatch.setattr("calibrate.tables.text.BLOCK", 32)


def test_integers_that_become_fractions_in_a_later_block(tmp_path: Path, small_blocks):
    path = tmp_path / "a.txt"
    path.write_text("a b\n" + "1 2\n" * 20 + "1.5 nan\n" * 20 + "3 3\n" * 20)
    found = read(path, 7)
    assert found["a"].tolist() == [1.0] * 20 + [1.5] * 20 + [3.0] * 20
    np.testing.assert_array_equal(found["b"], [2.0] * 20 + [np.nan] * 20 + [3.0] * 20)


def test_words_in_a_later_block_are_named(tmp_path: Path, small_blocks):
    path = tmp_path / "a.txt"
    path.write_text("a b\n" + "1 2\n" * 20 + "1 broken\n" + "3 3\n" * 20)
    with pytest.raises(DataError, match="column 'b' holds text such as 'broken', not numbers"):
        read(path)


def test_short_lines_are_counted_over_blocks(tmp_path: Path, small_blocks):
    path = tmp_path / "a.txt"
    path.write_text("a b\n" + "1 2\n1\n# 3\n\n1 2 3\n" * 50)
    table = open_table(path)
    assert joined(list(table.chunks(["a"], 3)), "a").size == 50
    assert table.skipped == 100


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("pt,Größe\n1,2\n".encode("latin1"), "convert text with iconv -f LATIN1 -t UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "is of no known format: ROOT, HDF5, Parquet, NPZ or text"),
        (b"\x00\x01\x02", "is of no known format"),
        (b"", "is empty"),
        (b"\n\n  \n", "holds no rows"),
        (b"# only\n# comments\n", "holds no rows"),
        (b"a,a\n1,2\n", "has two columns 'a': tell them apart with data.names"),
        (gzip.compress(b"a,b\n1,2\n")[:-9], "cannot be read as text: Compressed file ended"),
        (b"\x1f\x8bnonsense", "cannot be read as text: "),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_text_that_cannot_be_read_is_named(content: bytes, message: str, tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(path)


@pytest.mark.parametrize("used", [True, False])
def test_another_encoding_matters_only_in_columns_that_are_used(used: bool, tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\n1,Größe\n2,x\n".encode("latin1"))
    table = open_table(path)
    if not used:
        assert joined(list(table.chunks(["a"], 9)), "a").tolist() == [1, 2]
        return
    with pytest.raises(DataError, match="column 'b' holds text such as"):
        list(table.chunks(["b"], 9))


def test_a_header_alone_is_no_row(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n")
    assert list(open_table(path).chunks(["a"], 9)) == []


# Damage


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"no file .*nowhere\.root"):
        open_table(tmp_path / "nowhere.root")
    with pytest.raises(DataError, match=r"is a folder: name its files, for example .*/\*\.root"):
        open_table(tmp_path)


@pytest.mark.parametrize("kind", ["root", "ntuple", "hdf5", "parquet", "npz"])
def test_another_beginning_is_no_format(kind: str, tmp_path: Path):
    path = written(kind, tmp_path, flat_columns())
    content = bytearray(path.read_bytes())
    content[:4] = b"\x00BAD"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is of no known format: ROOT, HDF5, Parquet, NPZ or text"):
        read(path)


@pytest.mark.parametrize("kind", ["root", "ntuple", "hdf5", "parquet", "npz", "gzip"])
def test_a_truncated_file_is_named(kind: str, tmp_path: Path):
    path = written(kind, tmp_path, flat_columns())
    content = path.read_bytes()
    for length in [8, *random.Random(3).sample(range(9, len(content) - 1), 20)]:
        path.write_bytes(content[:length])
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(path.name) in str(caught.value)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_damaged_file_leads_to_one_clear_line_at_most(kind: str, tmp_path: Path):
    """Some bytes carry nothing, or a number that stays one: then the file is read."""
    path = written(kind, tmp_path, flat_columns())
    content, chance = path.read_bytes(), random.Random(4)
    refused = []
    for _ in range(40):
        damaged = bytearray(content)
        start, length = chance.randrange(len(content)), chance.choice([1, 1, 20, 200])
        damaged[start : start + length] = chance.randbytes(length)
        path.write_bytes(damaged)
        try:
            read(path)
        except CalibrateError as error:
            refused.append(len(str(error)))
    assert len(refused) > 5
    assert max(refused) < 700


def test_a_damaged_row_group_is_named(tmp_path: Path):
    path = parquet(tmp_path / "a.parquet", flat_columns())
    content = bytearray(path.read_bytes())
    where = pq.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    content[where + 40 : where + 400] = bytes(360)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet: .*write it again"):
        read(path)
    assert next(open_table(path).chunks(["double"], 100)).entries == 100


# Copies


def new_columns(rows: int, like: str | None = None) -> NewColumns:
    """Numbers by which a row is recognised."""
    kinds = {"ours": np.dtype("f8"), "ours_sigma": np.dtype("f4"), "ours_ok": np.dtype("?")}

    def values(start: int, stop: int) -> dict[str, np.ndarray]:
        assert stop <= rows
        number = np.arange(start, stop)
        return {
            "ours": number * 0.1,
            "ours_sigma": (number * 0.3).astype(np.float32),
            "ours_ok": number % 2 == 0,
        }

    return NewColumns(kinds, values, like)


def copied(path: Path, target: Path, new: NewColumns, rows: int = 300, **options: str) -> list[int]:
    advanced: list[int] = []
    open_table(path, **options).copy(target, new, rows, advanced.append)
    return advanced


def assert_added(found: Mapping[str, np.ndarray | Jagged], rows: int, counts: np.ndarray | None):
    for name, values in new_columns(rows).read(0, rows).items():
        column = found[name]
        if isinstance(column, Jagged):
            np.testing.assert_array_equal(column.counts, counts)
            column = column.content
        np.testing.assert_array_equal(column.astype(values.dtype), values)


COPIED = ("root", "ntuple", "hdf5", "compound", "parquet", "npz")


@pytest.mark.parametrize("kind", COPIED)
@pytest.mark.parametrize("rows", [70, 300, 5000])
def test_a_copy_has_every_column_as_it_was(kind: str, rows: int, tmp_path: Path):
    columns = with_kinds()
    path, target = written(kind, tmp_path, columns), tmp_path / "copy"
    assert sum(copied(path, target, new_columns(N), rows)) == N
    found = read(target)
    assert set(found) == {*columns, "ours", "ours_sigma", "ours_ok"}
    for name, values in columns.items():
        assert_equal(found[name], values)
    assert_added(found, N, None)
    assert found["ours_ok"].dtype == bool


@pytest.mark.parametrize("kind", COPIED)
def test_an_empty_table_is_copied(kind: str, tmp_path: Path):
    columns = {"a": np.empty(0), "b": np.empty(0, np.int32)}
    path = tmp_path / "a"
    if kind == "hdf5":
        with h5py.File(path, "w") as file:
            file["a"], file["b"] = columns["a"], columns["b"]
    elif kind == "compound":
        with h5py.File(path, "w") as file:
            file["jets"] = np.rec.fromarrays(list(columns.values()), names=list(columns))
    else:
        path = WRITERS[kind](path, columns)
    copied(path, tmp_path / "copy", new_columns(0))
    table = open_table(tmp_path / "copy")
    assert table.entries == 0
    assert set(table.names) == {"a", "b", "ours", "ours_sigma", "ours_ok"}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_copy_of_text_has_every_line_as_it_was(kind: str, tmp_path: Path):
    columns = flat_columns()
    path, target = written(kind, tmp_path, columns), tmp_path / "copy"
    copied(path, target, new_columns(N))
    unpacked = [
        gzip.decompress(p.read_bytes()) if kind == "gzip" else p.read_bytes()
        for p in (path, target)
    ]
    for old, new in zip(*(content.splitlines() for content in unpacked), strict=True):
        assert new.startswith(old)
    found = read(target)
    assert_added(found, N, None)
    for name, values in read(path).items():
        assert_equal(found[name], values)


@pytest.mark.parametrize("content", TEXT_OPTIONS.values(), ids=TEXT_OPTIONS)
def test_every_text_is_copied(content: str, tmp_path: Path):
    path, target = tmp_path / "a", tmp_path / "copy"
    path.write_bytes(content.encode("utf-8"))
    copied(path, target, new_columns(2))
    found = read(target)
    assert found["a"].tolist() == [1, 3]
    assert found["b"].tolist() == [2, 4.5]
    assert_added(found, 2, None)


def test_a_copy_of_text_marks_the_lines_that_are_no_rows(tmp_path: Path, small_blocks):
    path, target = tmp_path / "a.csv", tmp_path / "copy.csv"
    path.write_text('# about\na,b\n1,2\n3\n\n# note\n"4,4",5\n6,7,8\n9,10')
    table = open_table(path)
    (chunk,) = _whole(list(table.chunks(["b"], 99)))
    assert (chunk.tolist(), table.skipped) == ([2, 5, 10], 2)
    table.copy(
        target, NewColumns({"n": np.dtype("i8")}, lambda i, j: {"n": np.arange(i, j)}, None), 9, int
    )
    assert target.read_text() == (
        '# about\na,b,n\n1,2,0\n3,nan\n\n# note\n"4,4",5,1\n6,7,8,nan\n9,10,2\n'
    )


def _whole(chunks: Sequence[Chunk]) -> list[np.ndarray]:
    return [joined(chunks, name) for name in chunks[0].columns]


def test_a_copy_of_text_with_open_quotes_is_refused(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,2\n3,"4\n5,6\n7",8\n')
    with pytest.raises(DataError, match="a quoted field goes over several lines"):
        copied(path, tmp_path / "copy", new_columns(9))


LINES = ["1 2", " 3  4 ", "", "#", "# 1 2", "  # x", "5", "6 7 8", "\t", "nan 1"]


@given(
    lines=st.lists(st.sampled_from(LINES)), end=st.sampled_from(["\n", "\r\n"]), last=st.booleans()
)
@settings(deadline=None)
def test_rows_of_any_text_are_those_of_its_copy(
    lines: list[str], end: str, last: bool, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("text")
    path, target = folder / "a", folder / "copy"
    path.write_bytes((end.join(["a b", *lines]) + (end if last else "")).encode())
    before, after = open_table(path), None
    rows = sum(chunk.entries for chunk in before.chunks(["a"], 3))
    copied(
        path, target, NewColumns({"n": np.dtype("i8")}, lambda i, j: {"n": np.arange(i, j)}, None)
    )
    after = open_table(target)
    numbers = [chunk.columns["n"] for chunk in after.chunks(["n"], 3)]
    assert [n for part in numbers for n in part.tolist()] == list(range(rows))
    assert after.skipped == before.skipped


def assert_same(old: ak.Array, new: ak.Array, name: str):
    """Equal to the last bit, with their types."""
    assert str(old.type) == str(new.type), name
    if old.ndim > 1 and "var" in str(old.type):
        np.testing.assert_array_equal(ak.num(old), ak.num(new), name)
    values = [np.asarray(ak.ravel(array)) for array in (old, new)]
    assert values[0].tobytes() == values[1].tobytes(), name


@pytest.mark.parametrize("rows", [70, 300, 5000])
@pytest.mark.parametrize("like", [None, "Jet_pt", "Muon_pt"])
def test_a_copy_of_a_tree_keeps_its_jagged_branches(rows: int, like: str | None, tmp_path: Path):
    path, target = jagged_root(tmp_path / "a.root"), tmp_path / "copy.root"
    counts = {"Jet_pt": COUNTS, "Muon_pt": np.full(N, 2)}.get(like or "")
    total = N if counts is None else int(counts.sum())
    copied(path, target, new_columns(total, like), rows)
    with uproot.open(path) as file, uproot.open(target) as other:
        old, new = file["Events"], other["Events"]
        assert set(new.keys()) == {*old.keys(), "ours", "ours_sigma", "ours_ok"}
        for name in old.keys():  # noqa: SIM118 - a tree is no mapping
            assert_same(old[name].array(), new[name].array(), name)
            counter = name in ("nJet", "nMuon_pt")
            assert new[name].typename == ("int32_t" if counter else old[name].typename)
        assert new["Jet_pt"].count_branch.name == "nJet"
        if like == "Jet_pt":
            assert new["ours"].count_branch.name == "nJet"
    columns = ["ours", "ours_sigma", "ours_ok"]
    chunks = list(open_table(target).chunks(columns, 400))
    for name, values in new_columns(total).read(0, total).items():
        parts = [chunk.columns[name] for chunk in chunks]
        flat = [part.content if isinstance(part, Jagged) else part for part in parts]
        np.testing.assert_array_equal(np.concatenate(flat), values)


def test_a_copy_of_a_file_keeps_its_other_objects(tmp_path: Path):
    path, target = tmp_path / "a.root", tmp_path / "copy.root"
    with uproot.recreate(path) as file:
        file["h"] = np.histogram(np.arange(9.0))
        file.mktree("other", {"a": "f8"}).extend({"a": np.arange(4.0)})
        file.mktree("Events", {"a": "f8"}).extend({"a": np.arange(5.0)})
    copied(path, target, new_columns(5), tree="Events")
    with uproot.open(target) as file:
        assert file["other"]["a"].array().tolist() == [0, 1, 2, 3]
        assert file["h"].to_numpy()[0].sum() == 9
    assert list(read(target, tree="Events")) == ["a", "ours", "ours_sigma", "ours_ok"]


def test_a_tree_in_a_folder_is_copied(tmp_path: Path):
    path, target = tmp_path / "a.root", tmp_path / "copy.root"
    with uproot.recreate(path) as file:
        file.mktree("dir/Events", {"a": "f8"}).extend({"a": np.arange(5.0)})
        file.mktree("dir/other", {"a": "f8"}).extend({"a": np.arange(3.0)})
    copied(path, target, new_columns(5), tree="dir/Events")
    assert_added(read(target, tree="dir/Events"), 5, None)
    assert read(target, tree="dir/other")["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("like", [None, "Jet_pt"])
def test_a_friend_leaves_the_file_and_adds_a_tree(like: str | None, tmp_path: Path):
    path, target = jagged_root(tmp_path / "a.root"), tmp_path / "copy.root"
    total = N if like is None else int(COUNTS.sum())
    table = open_table(path)
    assert isinstance(table, RootTable)
    table.friend(target, new_columns(total, like), 300, int)
    found = read(target, tree="Events_calibrated")
    assert_added(found, total, None if like is None else COUNTS)
    with uproot.open(path) as file, uproot.open(target) as other:
        for name in file["Events"].keys():  # noqa: SIM118
            old, new = file["Events"][name], other["Events"][name]
            assert (old.typename, old.array().tolist()) == (new.typename, new.array().tolist())


@pytest.mark.parametrize("rows", [70, 300, 5000])
def test_a_copy_of_parquet_keeps_lists_texts_and_metadata(rows: int, tmp_path: Path):
    lists = pa.array([[1.5, None], [], None, [3.0], [4.0, 5.0, 6.0]] * 100, pa.list_(pa.float32()))
    old = pa.table(
        {
            "a": lists,
            "text": pa.array(["x", None, "y", "", "z"] * 100),
            "kind": pa.array(["q", "g", "q", "b", "q"] * 100).dictionary_encode(),
            "nested": pa.array([[[1]], [], [[2, 3], []], None, [[4]]] * 100),
            "when": pa.array(range(500), pa.timestamp("us")),
        }
    ).replace_schema_metadata({"made by": "hand"})
    path, target = tmp_path / "a.parquet", tmp_path / "copy.parquet"
    pq.write_table(old, path, row_group_size=77, compression="gzip")
    counts = np.array([2, 0, 0, 1, 3] * 100)
    copied(path, target, new_columns(600, "a"), rows)
    new = pq.read_table(target)
    assert new.select(old.column_names).equals(old)
    assert new.schema.metadata == old.schema.metadata
    assert pq.ParquetFile(target).metadata.row_group(0).column(0).compression == "GZIP"
    chunks = list(open_table(target).chunks(["ours"], 100))
    np.testing.assert_array_equal(
        np.concatenate([chunk.columns["ours"].counts for chunk in chunks]), counts
    )


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
def test_a_copy_of_parquet_is_compressed_like_the_file(compression: str, tmp_path: Path):
    path, target = tmp_path / "a.parquet", tmp_path / "copy.parquet"
    pq.write_table(pa.table({"a": np.arange(50)}), path, compression=compression)
    copied(path, target, new_columns(50))
    found = [pq.ParquetFile(p).metadata.row_group(0).column(0).compression for p in (path, target)]
    assert found[0] == found[1]


def test_a_copy_of_hdf5_keeps_what_lies_beside(tmp_path: Path):
    path, target = hdf5(tmp_path / "a.h5", flat_columns()), tmp_path / "copy.h5"
    with h5py.File(path, "r+") as file:
        file["bins/edges"] = np.arange(4)
        file["matrix"] = np.arange(6).reshape(2, 3)
        file.attrs["generator"] = "Pythia"
    copied(path, target, new_columns(N))
    with h5py.File(target) as file:
        assert file["bins/edges"][()].tolist() == [0, 1, 2, 3]
        assert file["matrix"].shape == (2, 3)
        assert file.attrs["generator"] == "Pythia"
        assert file["double"].attrs["unit"] == "GeV"


def test_a_copy_of_a_compound_dataset_keeps_texts_arrays_and_attributes(tmp_path: Path):
    kind = np.dtype(
        [("pt", "<f4"), ("name", h5py.string_dtype()), ("p", "f8", (3,)), ("run", ">i8")]
    )
    table = np.empty(50, kind)
    table["pt"], table["p"], table["run"] = np.arange(50), np.arange(150).reshape(50, 3), 7
    table["name"] = [f"jet {i}" for i in range(50)]
    path, target = tmp_path / "a.h5", tmp_path / "copy.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("deep/jets", data=table)
        file["deep/jets"].attrs["unit"] = "GeV"
        file["beside"] = np.arange(3)
    copied(path, target, new_columns(50), 20, tree="deep/jets")
    with h5py.File(path) as file, h5py.File(target) as other:
        old, new = file["deep/jets"], other["deep/jets"]
        assert new.dtype.names == (*old.dtype.names, "ours", "ours_sigma", "ours_ok")
        for name in old.dtype.names:
            assert new.dtype[name] == old.dtype[name]
            np.testing.assert_array_equal(new[name], old[name])
        assert new.attrs["unit"] == "GeV"
        assert list(other["deep"]) == ["jets"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_copy_of_npz_keeps_what_lies_beside(save: Callable, tmp_path: Path):
    path, target = tmp_path / "a.npz", tmp_path / "copy"
    columns = {**flat_columns(), "edges": np.arange(4), "matrix": np.eye(3)}
    save(path, **columns, name=np.array(["text"] * N), objects=np.array([{}], dtype=object))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("notes.txt", "how it was made")
    copied(path, target, new_columns(N))
    with np.load(target) as new, zipfile.ZipFile(path) as old, zipfile.ZipFile(target) as archive:
        for name in old.namelist():
            assert archive.read(name) == old.read(name)
        assert archive.testzip() is None
        kinds = {each.compress_type for each in archive.infolist() if "ours" in each.filename}
        assert kinds == {old.infolist()[0].compress_type}
        for name, values in new_columns(N).read(0, N).items():
            assert_equal(new[name], values)


@pytest.mark.parametrize("kind", [*COPIED, *TEXTS])
def test_a_name_that_is_taken_is_refused(kind: str, tmp_path: Path):
    path = written(kind, tmp_path, {"ours": np.arange(200.0), "b": np.arange(200)})
    with pytest.raises(DataError, match="has a column 'ours' already: choose another name"):
        copied(path, tmp_path / "copy", new_columns(200))
    assert not (tmp_path / "copy").exists()


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """Files may not grow beyond a size: what a full disk is to those who write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", [*COPIED, *TEXTS])
@pytest.mark.parametrize("part", [0.1, 1.02])
def test_a_full_disk_is_named(kind: str, part: float, tmp_path: Path):
    columns = {f"c{i}": np.random.default_rng(i).normal(size=20_000) for i in range(3)}
    path = written(kind, tmp_path, columns)
    size = int(path.stat().st_size * part)
    with (
        pytest.raises(StorageError, match=r"full cannot be written: .*make room there") as caught,
        no_room_beyond(size),
    ):
        copied(path, tmp_path / "full", new_columns(20_000), 5000)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("kind", ["hdf5", "parquet", *TEXTS])  # uproot makes folders
def test_a_place_that_does_not_exist_is_named(kind: str, tmp_path: Path):
    path = written(kind, tmp_path, flat_columns())
    with pytest.raises(StorageError, match=r"cannot be written: .*choose another place"):
        copied(path, tmp_path / "nowhere" / "copy", new_columns(N))


# Real files


REAL_TREES = ["nano_tt_v12.root", "nanoAOD_2015_CMS_Open_Data_ttbar.root", "nano_dimuon.root"]


@pytest.mark.parametrize("name", REAL_TREES)
def test_a_real_tree_is_copied_branch_by_branch(name: str, tmp_path: Path, shared_data: Path):
    path, target = shared_data / name, tmp_path / name
    table = open_table(path, "Events")
    (chunk,) = table.chunks(["Jet_pt" if "dimuon" not in name else "Muon_pt"], 10**6)
    (jagged,) = chunk.columns.values()
    assert isinstance(jagged, Jagged)
    like = next(iter(chunk.columns))
    copied(path, target, new_columns(jagged.content.size, like), 77, tree="Events")
    with uproot.open(path) as file, uproot.open(target) as other:
        old, new = file["Events"], other["Events"]
        assert set(new.keys()) == {*old.keys(), "ours", "ours_sigma", "ours_ok"}
        counters = {b.count_branch.name for b in old.branches if b.count_branch is not None}
        for branch in old.branches:
            same = new[branch.name]
            if branch.name in counters:
                assert (branch.array(library="np") == same.array(library="np")).all()
                continue
            assert_same(branch.array(), same.array(), branch.name)
            assert same.typename == branch.typename
        assert other.classnames().items() >= file.classnames().items() or len(file.keys()) == 1
        np.testing.assert_array_equal(ak.num(new["ours"].array()), jagged.counts)


def test_a_real_file_with_objects_gets_a_friend(tmp_path: Path, shared_data: Path):
    path, target = shared_data / "delphes.root", tmp_path / "a.root"
    table = open_table(path)
    assert isinstance(table, RootTable)
    (chunk,) = table.chunks(["Jet.PT", "Jet.Eta"], 10**6)
    pt = chunk.columns["Jet.PT"]
    with pytest.raises(DataError, match=r"branches hold objects that cannot be written .*--friend"):
        copied(path, target, new_columns(pt.content.size, "Jet.PT"))
    table.friend(target, new_columns(pt.content.size, "Jet.PT"), 7, int)
    assert_added(read(target, tree="Delphes_calibrated"), pt.content.size, pt.counts)
    assert_equal(
        next(iter(open_table(target, "Delphes").chunks(["Jet.PT"], 10**6))).columns["Jet.PT"], pt
    )


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_words_may_stand_for_numbers(tmp_path: Path, name: str):
    path, words = tmp_path / name, {"kind": {"b": 0.0, "s": 1.0}}
    table = pa.table({"kind": ["s", "b", " s ", "b"], "pt": [1.0, 2.0, 3.0, 4.0]})
    if path.suffix == ".csv":
        path.write_text("kind,pt\ns,1\nb,2\n s ,3\nb,4\n")
    else:
        pq.write_table(table, path)
    chunks = list(open_table(path, words=words).chunks(["kind", "pt"], 3))
    np.testing.assert_array_equal(joined(chunks, "kind"), [1, 0, 1, 0])
    np.testing.assert_array_equal(joined(chunks, "pt"), [1, 2, 3, 4])
    unknown = open_table(path, words={"kind": {"b": 0.0}})
    with pytest.raises(DataError, match=r"column 'kind' holds 's' \(\d such values\): only b are"):
        list(unknown.chunks(["kind"], 4))


def test_a_missing_word_is_not_a_number(tmp_path: Path):
    pq.write_table(pa.table({"kind": ["s", None]}), tmp_path / "a.parquet")
    (chunk,) = open_table(tmp_path / "a.parquet", words={"kind": {"s": 1.0}}).chunks(["kind"], 9)
    np.testing.assert_array_equal(chunk.columns["kind"], [1, np.nan])


def test_a_real_parquet_file_is_copied(tmp_path: Path, shared_data: Path):
    path, target = shared_data / "fair_universe_higgsml_1000.parquet", tmp_path / "a.parquet"
    copied(path, target, new_columns(open_table(path).entries), 300)
    old, new = pq.read_table(path), pq.read_table(target)
    assert new.select(old.column_names).equals(old)
    assert new.schema.metadata == old.schema.metadata


def test_a_real_csv_file_is_copied(tmp_path: Path, shared_data: Path):
    path, target = shared_data / "higgsml_15000.csv.gz", tmp_path / "a.csv.gz"
    names = open_table(path).names
    numbers = [name for name in names if name not in ("Label", "KaggleSet")]
    rows = sum(chunk.entries for chunk in open_table(path).chunks(numbers, 4000))
    copied(path, target, new_columns(rows))
    with gzip.open(path) as file, gzip.open(target) as other:
        for old, new in zip(io.BytesIO(file.read()), io.BytesIO(other.read()), strict=True):
            assert new.startswith(old.rstrip(b"\r\n") + b",")
    found = joined(list(open_table(target).chunks(["ours"], 4000)), "ours")
    np.testing.assert_array_equal(found, np.arange(rows) * 0.1)


def test_the_real_dijets_are_read_and_copied(tmp_path: Path, shared_data: Path):
    path = shared_data / "delphes_dijet/cms/delphes_dijet_cms.h5"
    target = tmp_path / "a.h5"
    table = open_table(path)
    table.copy(target, new_columns(table.entries), 20_000, int)
    with h5py.File(path) as file, h5py.File(target) as other:
        assert set(other) == {*file, "ours", "ours_sigma", "ours_ok"}
        for name in table.names:
            np.testing.assert_array_equal(file[name][()], other[name][()])
    text = open_table(shared_data / "delphes_dijet/cms/dijets18.txt")
    assert len(text.names) == 20
    assert sum(chunk.entries for chunk in text.chunks(text.names[:3], 1000)) > 1000
    assert text.skipped == 0
