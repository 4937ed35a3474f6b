from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np
import pytest

from calibrate.errors import StorageError
from calibrate.loading import load
from calibrate.records import RECORDS, ClosureCurve, TrainingCurve
from calibrate.storage import atomic, load_records, load_state, save_records, save_state

STATE = {
    "array": np.arange(6.0).reshape(2, 3),
    "empty": np.empty(0),
    "number": 3,
    "real": 0.5,
    "flag": True,
    "text": "η and µ",
    "nothing": None,
    "nested": {"deeper": {"k": np.float32(2.0) * np.ones(2, dtype=np.float32)}},
    "list": [1, 2, 30],
    "mappings": [{"name": "pt", "unit": "GeV"}, {"name": "eta", "unit": ""}],
    "no_items": [],
}


def assert_same(one: object, other: object) -> None:
    if isinstance(one, dict):
        assert set(one) == set(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    else:
        assert one == other
        assert type(one) is type(other)


def test_a_nested_state_survives(tmp_path: Path):
    save_state(tmp_path / "s.h5", "thing", STATE)
    kind, state = load_state(tmp_path / "s.h5")
    assert kind == "thing"
    assert_same(STATE, state)


def test_more_than_ten_items_keep_their_order(tmp_path: Path):
    save_state(tmp_path / "s.h5", "thing", {"items": list(range(25))})
    assert load_state(tmp_path / "s.h5")[1]["items"] == list(range(25))


def test_what_cannot_be_stored_is_refused_and_leaves_no_file(tmp_path: Path):
    with pytest.raises(StorageError, match="'f' of type builtin_function"):
        save_state(tmp_path / "s.h5", "thing", {"f": len})
    assert list(tmp_path.iterdir()) == []


def write_half(path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")


def test_a_failed_write_leaves_what_stood_there(tmp_path: Path):
    path = tmp_path / "s.txt"
    path.write_text("before")
    with pytest.raises(StorageError, match="No space left"):
        write_half(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no run folder .*nor a stored calibration"),
        (b"", "cannot be read"),
        (b"text", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes | None, message: str):
    path = tmp_path / "fitted.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=message):
        load(path)


def test_a_truncated_file_is_named(tmp_path: Path):
    path = tmp_path / "s.h5"
    save_state(path, "thing", {"array": np.arange(10000.0)})
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(StorageError, match="cannot be read"):
        load_state(path)


def test_other_hdf5_and_newer_files_are_refused(tmp_path: Path):
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(StorageError, match="not a file of calibrate"):
        load_state(path)
    with h5py.File(path, "w") as file:
        file.attrs["calibrate_schema"] = 99
    with pytest.raises(StorageError, match="schema 99"):
        load_state(path)


def test_an_unknown_kind_is_never_imported(tmp_path: Path):
    save_state(tmp_path / "fitted.h5", "os.system", {})
    with pytest.raises(StorageError, match=r"unknown kind 'os\.system'"):
        load(tmp_path)


def test_a_known_kind_with_a_damaged_state_is_named(tmp_path: Path):
    save_state(tmp_path / "fitted.h5", "gaussian_ansatz", {"domain": {}})
    with pytest.raises(StorageError, match="damaged 'gaussian_ansatz'"):
        load(tmp_path)


def test_records_survive(tmp_path: Path):
    curve = TrainingCurve("mse", np.array([3.0, np.nan]), "loss [nat]")
    closure = ClosureCurve(
        **{
            field.name: {"str": "a", "bool": True, "float": 0.01}.get(field.type, np.arange(3.0))
            for field in fields(ClosureCurve)
        }
    )
    save_records(tmp_path / "r.h5", [curve, closure, curve])
    loaded = load_records(tmp_path / "r.h5")
    assert [type(record) for record in loaded] == [TrainingCurve, ClosureCurve, TrainingCurve]
    np.testing.assert_array_equal(loaded[0].loss, curve.loss)
    assert loaded[1].relative is True
    assert loaded[1].tolerance == 0.01


def test_every_record_is_in_the_table():
    assert set(RECORDS.values()) >= {ClosureCurve, TrainingCurve}
    assert all(name == kind.__name__ for name, kind in RECORDS.items())
