"""ROOT files: their trees, of flat branches and jagged ones (counted arrays, `std::vector`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from calibrate.errors import DataError, nearest
from calibrate.tables.columns import (
    NUMBERS,
    Advance,
    Chunk,
    NewColumns,
    no_numbers,
    refuse_names,
)
from calibrate.tables.failures import reading
from calibrate.tables.ntuple import NtupleTable
from calibrate.tables.root_files import KIND, column_of, next_columns, opened_for_writing

TREES = ("TTree", "TNtuple", "TNtupleD")
NTUPLE = "ROOT::RNTuple"
RECORD = "record of "
"""Jagged branches of one counter are written as one record, whose own name appears nowhere."""
OWN_COUNTER = "ncalibrated"


def open_root(path: Path, tree: str | None = None) -> RootTable | NtupleTable:
    """A tree or an RNTuple of a ROOT file; `tree` may be left out where there is only one.

    Raises DataError, with the nearest names, if there is none of that name.
    """
    with reading(path, KIND):
        file = uproot.open(path)
        kinds = file.classnames(cycle=False)
        name = _table_name(kinds, path, tree)
        found = file[name if tree is None else tree]
    table = NtupleTable if kinds[name] == NTUPLE else RootTable
    return table(path, name, found)


class RootTable:
    """One tree of a ROOT file."""

    kind = KIND
    skipped = 0

    def __init__(self, path: Path, name: str, tree: Any) -> None:  # noqa: ANN401 - uproot's
        self.path = path
        self._name = name
        self._tree = tree
        with reading(path, KIND):
            self._branches = {b.name: b for b in tree.itervalues() if not b.branches}

    @property
    def names(self) -> tuple[str, ...]:
        """The branches that hold data."""
        return tuple(self._branches)

    @property
    def entries(self) -> int:
        """The number of entries."""
        return int(self._tree.num_entries)

    @property
    def expected_entries(self) -> int:
        """The number of entries."""
        return self.entries

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """The branches; DataError where one holds no numbers."""
        for name in columns:
            self._check(name)
        for first, stop, arrays in self._steps(columns, rows):
            with reading(self.path, KIND):
                found = {name: column_of(array) for name, array in arrays.items()}
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
        with opened_for_writing(self.path, target, self._name) as file:
            self._write(file, copied, counters, new, rows, advance)

    def friend(self, target: Path, new: NewColumns, rows: int, advance: Advance) -> None:
        """The file byte by byte, with a tree `<tree>_calibrated` of the new branches in it."""
        with opened_for_writing(self.path, target, None) as file:
            self._write(file, [], {}, new, rows, advance, name=f"{self._name}_calibrated")

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
        for first, stop, arrays in self._steps(needed, rows):
            like = arrays[new.like] if new.like else None
            added, row = next_columns(new, like, stop - first, row)
            with reading(self.path, KIND):
                columns = _grouped({**{k: arrays[k] for k in copied}, **added}, groups)
            if tree is None:
                tree = _made(file, name or self._name, self._tree.title, columns)
            if stop > first:
                tree.extend(columns)
            advance(stop - first)

    def _steps(
        self, names: Sequence[str], rows: int
    ) -> Iterator[tuple[int, int, dict[str, ak.Array]]]:
        """First entry, last entry and arrays of each chunk; one chunk where there is no entry.
        uproot keeps the basket that two chunks share."""
        wanted = {name: self._branches[name] for name in names}
        with reading(self.path, KIND):
            if not self.entries or not wanted:
                for first in range(0, max(self.entries, 1), rows):
                    empty = {name: branch.array(entry_stop=0) for name, branch in wanted.items()}
                    yield first, min(first + rows, self.entries), empty
                return
            first = 0
            for part in self._tree.iterate(
                filter_branch=lambda branch: wanted.get(branch.name) is branch, step_size=rows
            ):
                yield first, first + len(part), {name: part[name] for name in names}
                first += len(part)

    def _counters(self) -> dict[str, str]:
        """The counter of each jagged branch; a vector, which has none in the file, gets one."""
        return {
            name: self._own_counter(name)
            if branch.count_leaf is None
            else branch.count_leaf.member("fName")
            for name, branch in self._branches.items()
            if _is_jagged(branch)
        }

    def _own_counter(self, name: str) -> str:
        """`n` and the name, if no branch is called so."""
        counter = f"n{name}"
        return f"{counter}_calibrated" if counter in self._branches else counter

    def _check(self, name: str) -> None:
        kind = _number(self._branches[name])
        if kind is None or kind.shape:
            raise no_numbers(self.path, name, self._branches[name].typename)

    def _refuse_objects(self, names: Sequence[str]) -> None:
        objects = [name for name in names if not _is_writable(self._branches[name])]
        if objects:
            shown = ", ".join(objects[:5]) + (" …" if len(objects) > 5 else "")
            raise DataError(
                f"{self.path.name}: {len(objects)} branches hold objects that cannot be written "
                f"({shown}): use --friend, which copies the file and adds a tree beside it"
            )


def _number(branch: Any) -> np.dtype[Any] | None:  # noqa: ANN401 - uproot's branch
    """The type of a branch's values, with its shape where each is an array; None for objects."""
    kind: Any = branch.interpretation
    kind = kind.content if isinstance(kind, uproot.AsJagged) else kind
    if not isinstance(kind, uproot.AsDtype) or kind.to_dtype.base.kind not in NUMBERS:
        return None
    found: np.dtype[Any] = kind.to_dtype
    return found


def _is_writable(branch: Any) -> bool:  # noqa: ANN401 - uproot's branch
    kind = _number(branch)
    return kind is not None and not (kind.shape and _is_jagged(branch))


def _table_name(kinds: Mapping[str, str], path: Path, tree: str | None) -> str:
    trees = sorted(name for name, kind in kinds.items() if kind in (*TREES, NTUPLE))
    if tree is not None:
        name = tree.split(";")[0]
        if name not in trees:
            raise DataError(f"{path.name} has no tree '{tree}': {nearest(name, trees)}")
        return name
    if len(trees) != 1:
        listed = ", ".join(trees) or "none"
        raise DataError(f"{path.name}: name one tree with data.tree or --tree; there are: {listed}")
    return trees[0]


def _is_jagged(branch: Any) -> bool:  # noqa: ANN401 - uproot's branch
    return isinstance(branch.interpretation, uproot.AsJagged)


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


def _made(file: Any, name: str, title: str, columns: Mapping[str, Any]) -> Any:  # noqa: ANN401 - uproot's
    types = {
        k: (v.dtype, v.shape[1:]) if isinstance(v, np.ndarray) else ak.type(v).content
        for k, v in columns.items()
    }
    return file.mktree(
        name,
        types,
        title=title,
        counter_name=lambda record: record.removeprefix(RECORD),
        field_name=lambda record, field: field,
    )
