"""ROOT trees: flat branches, and jagged ones (counted arrays, `std::vector`)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from calibrate.errors import CalibrateError, DataError, nearest
from calibrate.tables.columns import (
    Advance,
    Chunk,
    Jagged,
    NewColumns,
    Values,
    counts_of,
    refuse_names,
)

NUMBERS = "fiub"
RECORD = "record of "
"""Jagged branches of one counter are written as one record, whose own name appears nowhere."""
TREES = ("TTree", "TNtuple", "TNtupleD")
OWN_COUNTER = "ncalibrated"


class RootTable:
    """One tree of a ROOT file; `tree` may be left out where there is only one."""

    skipped = 0

    def __init__(self, path: Path, tree: str | None = None) -> None:
        self.path = path
        with _readable(path):
            self._file = uproot.open(path)
            self._name = _tree_name(self._file, path, tree)
            self._tree = self._file[self._name]
            self._branches = {b.name: b for b in self._tree.itervalues() if not b.branches}

    @property
    def names(self) -> tuple[str, ...]:
        """The branches that hold data."""
        return tuple(self._branches)

    @property
    def entries(self) -> int:
        """The number of entries."""
        return int(self._tree.num_entries)

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """The branches; DataError where one holds no numbers."""
        for name in columns:
            self._check(name)
        jagged = [name for name in columns if _is_jagged(self._branches[name])]
        flat = [name for name in columns if name not in jagged]
        for first in range(0, self.entries, rows):
            stop = min(first + rows, self.entries)
            found: dict[str, Values | Jagged] = {}
            with _readable(self.path):
                if flat:
                    found |= self._arrays(flat, first, stop, "np")
                if jagged:
                    arrays = self._arrays(jagged, first, stop, "ak")
                    found |= {name: _jagged(array) for name, array in arrays.items()}
            yield Chunk(first, stop - first, found)

    def copy(self, target: Path, new: NewColumns, rows: int, advance: Advance) -> None:
        """The tree with new branches. Other objects of the file stay: the file is copied, and
        the grown tree takes the next cycle of the tree's name.

        Raises DataError for branches that cannot be written (objects, nested vectors).
        """
        refuse_names(self.path, self.names, tuple(new.types))
        counters = self._counters()
        copied = [name for name in self.names if name not in counters.values()]
        self._refuse_objects(copied)
        others = {key.split(";")[0] for key in self._file.keys(recursive=False)} - {self._name}
        with self._opened_for_writing(target, keep=bool(others)) as file:
            self._write(file, copied, counters, new, rows, advance)

    def friend(self, target: Path, new: NewColumns, rows: int, advance: Advance) -> None:
        """The file byte by byte, with a tree `<tree>_calibrated` of the new branches in it."""
        with self._opened_for_writing(target, keep=True) as file:
            self._write(file, [], {}, new, rows, advance, name=f"{self._name}_calibrated")

    @contextmanager
    def _opened_for_writing(self, target: Path, keep: bool) -> Iterator[Any]:
        if keep:
            shutil.copyfile(self.path, target)
            with uproot.update(target) as file:
                yield file
        else:
            with uproot.recreate(target, compression=self._file.file.compression) as file:
                yield file

    def _write(
        self,
        file: Any,  # noqa: ANN401 - uproot's writable file
        copied: Sequence[str],
        counters: Mapping[str, str],
        new: NewColumns,
        rows: int,
        advance: Advance,
        name: str = "",
    ) -> None:
        needed = list(dict.fromkeys([*copied, *([new.like] if new.like else [])]))
        groups = {n: counters[n] for n in copied if n in counters}
        groups |= dict.fromkeys(new.types, groups.get(new.like or "", OWN_COUNTER))
        tree, row = None, 0
        for first in range(0, max(self.entries, 1), rows):
            stop = min(first + rows, self.entries)
            with _readable(self.path):
                arrays = self._arrays(needed, first, stop, "ak")
            like = {new.like: _jagged(arrays[new.like])} if new.like else {}
            counts = counts_of(Chunk(first, stop - first, like), new.like)
            last = row + (stop - first if counts is None else int(counts.sum()))
            added = {k: _nested(v, counts) for k, v in new.read(row, last).items()}
            columns = _grouped({**{k: arrays[k] for k in copied}, **added}, groups)
            if tree is None:
                tree = _made(file, name or self._name, columns)
            if stop > first:
                tree.extend(columns)
            row = last
            advance(stop - first)

    def _arrays(self, names: Sequence[str], first: int, stop: int, library: str) -> dict[str, Any]:
        return {
            name: self._branches[name].array(entry_start=first, entry_stop=stop, library=library)
            for name in names
        }

    def _counters(self) -> dict[str, str]:
        """The counter of each jagged branch; a vector, which has none in the file, gets one."""
        return {
            name: branch.count_leaf.member("fName") if branch.count_leaf is not None else f"n{name}"
            for name, branch in self._branches.items()
            if _is_jagged(branch)
        }

    def _check(self, name: str) -> None:
        kind = _number(self._branches[name])
        if kind is None or kind.shape:
            found = self._branches[name].interpretation
            raise DataError(f"{self.path.name}: branch '{name}' holds {found}, not numbers")

    def _refuse_objects(self, names: Sequence[str]) -> None:
        objects = [name for name in names if _number(self._branches[name]) is None]
        if objects:
            shown = ", ".join(objects[:5]) + (" …" if len(objects) > 5 else "")
            raise DataError(
                f"{self.path.name}: {len(objects)} branches hold objects that cannot be written "
                f"({shown}): use --friend, which copies the file and adds a tree beside it"
            )


def _number(branch: Any) -> np.dtype[Any] | None:  # noqa: ANN401 - uproot's branch
    """The type of a branch's values, with its shape where each is an array; None for objects."""
    kind = branch.interpretation
    kind = kind.content if isinstance(kind, uproot.AsJagged) else kind
    if not isinstance(kind, uproot.AsDtype) or kind.to_dtype.base.kind not in NUMBERS:
        return None
    return np.dtype(kind.to_dtype)


def _tree_name(file: Any, path: Path, tree: str | None) -> str:  # noqa: ANN401 - uproot's file
    found = file.classnames(cycle=False)
    trees = sorted(name for name, kind in found.items() if kind in TREES)
    if not trees and any("RNTuple" in kind for kind in found.values()):
        raise DataError(f"{path.name} holds RNTuples: only trees (TTree) are read; convert it")
    if tree is not None:
        if tree not in trees:
            raise DataError(f"{path.name} has no tree '{tree}': {nearest(tree, trees)}")
        return tree
    if len(trees) != 1:
        listed = ", ".join(trees) or "none"
        raise DataError(f"{path.name}: name one tree with data.tree; there are: {listed}")
    return trees[0]


def _is_jagged(branch: Any) -> bool:  # noqa: ANN401 - uproot's branch
    return isinstance(branch.interpretation, uproot.AsJagged)


def _jagged(array: ak.Array) -> Jagged:
    counts = np.asarray(ak.num(array, axis=1), dtype=np.int64)
    return Jagged(np.asarray(ak.flatten(array, axis=1)), counts)


def _nested(values: Values, counts: Values | None) -> Any:  # noqa: ANN401 - numpy or awkward
    return values if counts is None else ak.unflatten(values, counts)


def _grouped(arrays: Mapping[str, Any], groups: Mapping[str, str]) -> dict[str, Any]:
    """Flat branches as they are, jagged ones as one record for each counter."""
    flat: dict[str, Any] = {}
    records: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        if isinstance(array, np.ndarray) or array.ndim == 1 or name not in groups:
            flat[name] = np.asarray(array)
        else:
            records.setdefault(RECORD + groups[name], {})[name] = array
    return {**flat, **{k: ak.zip(v, depth_limit=2) for k, v in records.items()}}


def _made(file: Any, name: str, columns: Mapping[str, Any]) -> Any:  # noqa: ANN401 - uproot's
    types = {
        k: (v.dtype, v.shape[1:]) if isinstance(v, np.ndarray) else ak.type(v).content
        for k, v in columns.items()
    }
    return file.mktree(
        name,
        types,
        counter_name=lambda record: record.removeprefix(RECORD),
        field_name=lambda record, field: field,
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """uproot meets damaged bytes with errors of every kind."""
    try:
        yield
    except CalibrateError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as ROOT: {reason}") from error
