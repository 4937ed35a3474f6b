"""HDF5 files of fitted objects and records: arrays, numbers and strings, never code.

Every file carries the attributes `calibrate_schema` and `kind`. What a kind is, the reader
decides from a table of its own; nothing is imported because a file says so.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from calibrate.errors import StorageError, nearest
from calibrate.estimate import Domain
from calibrate.records import RECORDS, Record

SCHEMA = 1
RECORDS_KIND = "records"
FITTED_FILE = "fitted.h5"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well.

    Raises StorageError if the folder cannot be written or the disk is full; the temporary file
    is removed, and a file that stood at `path` before is untouched.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"cannot write {path}: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_state(path: Path, kind: str, state: Mapping[str, Any]) -> None:
    """Store a nested mapping of arrays, numbers, strings, None and sequences of these."""
    with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        file.attrs["calibrate_schema"] = SCHEMA
        file.attrs["kind"] = kind
        _write_mapping(file, state)
        file.flush()
        image = file.id.get_file_image()
    with atomic(path) as temporary:  # HDF5 itself does not survive a full disk
        temporary.write_bytes(image)


def load_state(path: Path) -> tuple[str, dict[str, Any]]:
    """The kind and the state of a file written by `save_state`.

    Raises StorageError if the file is missing, damaged, of another origin, or newer.
    """
    if not path.is_file():
        raise StorageError(f"no file {path}")
    try:
        with h5py.File(path) as file:
            schema = file.attrs.get("calibrate_schema")
            if schema is None:
                raise StorageError(f"{path} is HDF5, but not a file of calibrate")
            if int(schema) > SCHEMA:
                raise StorageError(
                    f"{path} has schema {schema}, this version reads up to {SCHEMA}: upgrade "
                    "calibrate"
                )
            return str(file.attrs["kind"]), _read_mapping(file)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise StorageError(f"{path} cannot be read: {error}") from error


def fitted_file(path: str | Path) -> Path:
    """The `fitted.h5` of a run folder, or the file itself; StorageError if there is neither."""
    path = Path(path)
    if not path.exists():
        raise StorageError(f"no run folder {path}, nor a stored calibration of that name")
    return path / FITTED_FILE if path.is_dir() else path


def load_kinds(path: Path) -> set[str]:
    """The kinds of a stored object and of its members, without building them.

    Raises StorageError as `load_state`.
    """
    return set(_kinds(*load_state(path)))


def _kinds(kind: str, state: Mapping[str, Any]) -> Iterator[str]:
    yield kind
    for member in state.get("members", ()):
        if isinstance(member, Mapping) and "fitted" in member:
            yield from _kinds(member["fitted"], member["state"])


def load_domain(path: Path) -> Domain:
    """The columns that a stored calibration was derived with, without building it.

    Raises StorageError as `load_state`, and if the file holds no calibration.
    """
    kind, state = load_state(path)
    try:
        while "members" in state:  # of an ensemble, the nominal one first
            state = state["members"][0]["state"]
        return Domain.from_state(state["domain"])
    except (KeyError, TypeError) as error:
        raise StorageError(f"{path} holds '{kind}', no calibration") from error


def save_records(path: Path, records: Sequence[Record]) -> None:
    """Store records in their order."""
    state = {
        f"{i:04d}": {"record": type(record).__name__, **_fields(record)}
        for i, record in enumerate(records)
    }
    save_state(path, RECORDS_KIND, state)


def load_records(path: Path) -> tuple[Record, ...]:
    """The records of a file written by `save_records`; StorageError for unknown ones."""
    kind, state = load_state(path)
    if kind != RECORDS_KIND:
        raise StorageError(f"{path} holds '{kind}', not records")
    return tuple(_record(path, state[key]) for key in sorted(state))


def _record(path: Path, state: dict[str, Any]) -> Record:
    name = state.pop("record")
    if name not in RECORDS:
        raise StorageError(f"{path} holds an unknown record '{name}': {nearest(name, RECORDS)}")
    built: Record = RECORDS[name](**state)
    return built


def _fields(instance: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    return {field.name: getattr(instance, field.name) for field in fields(instance)}


def _write_mapping(group: h5py.Group, state: Mapping[str, Any]) -> None:
    for key, value in state.items():
        if isinstance(value, Mapping):
            _write_mapping(group.create_group(key), value)
        elif isinstance(value, np.ndarray):
            group.create_dataset(key, data=value)
        elif value is None:
            group.attrs[key] = h5py.Empty("f")
        elif isinstance(value, (str, bool, int, float, np.number)):
            group.attrs[key] = value
        elif isinstance(value, (list, tuple)):
            part = group.create_group(key)
            part.attrs["sequence"] = len(value)
            _write_mapping(part, {f"{i:06d}": item for i, item in enumerate(value)})
        else:
            raise StorageError(f"'{key}' of type {type(value).__name__} cannot be stored")


def _read_mapping(group: h5py.Group) -> dict[str, Any]:
    state: dict[str, Any] = {
        key: _plain(value)
        for key, value in group.attrs.items()
        if key not in ("calibrate_schema", "kind", "sequence")
    }
    for key, item in group.items():
        if isinstance(item, h5py.Dataset):
            state[key] = item[()]
        elif "sequence" in item.attrs:
            entries = _read_mapping(item)
            state[key] = [entries[name] for name in sorted(entries)]
        else:
            state[key] = _read_mapping(item)
    return state


def _plain(value: Any) -> Any:  # noqa: ANN401 - any HDF5 attribute
    if isinstance(value, h5py.Empty):
        return None
    return value.item() if isinstance(value, np.generic) else value
