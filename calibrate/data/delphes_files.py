"""Dijets in the files of Delphes: ROOT trees, whose jets are matched here, the 20-column text, and
columns of an HDF5 file (see `dijet_columns`).

The text holds one matched dijet per line: a marker (0 or 1), pT [GeV], rapidity, φ [rad] and mass
[GeV] of the true jet 1, the reco jet 1, the true jet 2 and the reco jet 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from calibrate.data.dijet_columns import read_events
from calibrate.data.matching import leading_pair, match_distinct, padded
from calibrate.data.values import check_values
from calibrate.errors import ConfigurationError, DataError, nearest
from calibrate.kinematics import Jets, rapidity
from calibrate.sample import BoolArray, FloatArray, IntArray
from calibrate.tables import Chunk, Jagged, open_table
from calibrate.tables.root import RootTable
from calibrate.tables.text import TextTable

TREE = "Delphes"
LEVELS = ("GenJet", "Jet")
PARTS = ("PT", "Eta", "Phi", "Mass")
BRANCHES = tuple(f"{level}.{part}" for level in LEVELS for part in PARTS)
TEXT_COLUMNS = tuple(f"c{i}" for i in range(20))
MARKERS = (0, 5, 10, 15)
GEN, RECO = (0, 10), (5, 15)
"""The markers before the two jets of a level."""
NEEDED = "dijets need a tree Delphes with Jet and GenJet, the 20-column text, or HDF5 columns"
CHUNK = 50_000
"""Entries read at a time."""


@dataclass(frozen=True)
class FoundDijets:
    """The matched dijets of a file, each component (m, 2), jets in the order of their true pT, and
    how many events were read and had two gen jets; `incomplete` lines of a text were left out. The
    file's own weights `w` (m,) where it has some."""

    gen: Jets
    reco: Jets
    read: int
    two_gen_jets: int
    incomplete: int = 0
    text: bool = False
    w: FloatArray | None = None

    @property
    def matched(self) -> int:
        """Events with both jets matched."""
        return int(self.gen.pt.shape[0])


class Angular(NamedTuple):
    """A collection of jets as a file has it, each (n, k)."""

    pt: FloatArray
    eta: FloatArray
    phi: FloatArray
    m: FloatArray

    def take(self, column: IntArray) -> Angular:
        """The jets (n, 2) in the given columns (n, 2)."""
        return Angular(*(np.take_along_axis(part, column, axis=1) for part in self))

    def rows(self, kept: BoolArray) -> Angular:
        """The events for which `kept` (n,) is true."""
        return Angular(*(part[kept] for part in self))

    def first(self, events: int) -> Angular:
        """The first events."""
        return Angular(*(part[:events] for part in self))

    def jets(self) -> Jets:
        """With the rapidity instead of η."""
        return Jets(self.pt, rapidity(self.pt, self.eta, self.m), self.phi, self.m)


def read_dijets(path: Path, radius: float, limit: int | None) -> FoundDijets:
    """The matched dijets of the first `limit` events of a Delphes tree or a 20-column text, or of
    at most `limit` rows of HDF5 columns.

    Raises DataError for files that are missing, damaged or of another content.
    """
    if path.is_file() and h5py.is_hdf5(path):
        events = read_events(path, limit)
        n = events.w.size
        return FoundDijets(events.gen, events.reco, n, n, w=events.w)
    table = _opened(path)
    if isinstance(table, TextTable):
        return _of_text(table, limit)
    return joined([_of_nothing(), *_of_tree(table, radius, limit)])


def joined(found: Sequence[FoundDijets]) -> FoundDijets:
    """Several files or chunks as one; it has weights of its own if all of them have."""

    def along(level: Sequence[Jets]) -> Jets:
        return Jets(*(np.concatenate(parts) for parts in zip(*level, strict=True)))

    weights = [each.w for each in found if each.w is not None]
    return FoundDijets(
        along([each.gen for each in found]),
        along([each.reco for each in found]),
        sum(each.read for each in found),
        sum(each.two_gen_jets for each in found),
        sum(each.incomplete for each in found),
        any(each.text for each in found),
        np.concatenate(weights) if len(weights) == len(found) else None,
    )


def _of_nothing() -> FoundDijets:
    none = Jets(*(np.empty((0, 2)) for _ in PARTS))
    return FoundDijets(none, none, 0, 0)


def _opened(path: Path) -> RootTable | TextTable:
    try:
        table = open_table(path, TREE, TEXT_COLUMNS)
    except ConfigurationError as error:
        raise DataError(
            f"{path} is a text without the {len(TEXT_COLUMNS)} columns of Delphes dijets: choose "
            "data=table for other columns"
        ) from error
    except DataError as error:
        raise DataError(f"{error}; {NEEDED}") from error
    if not isinstance(table, RootTable | TextTable):
        raise DataError(f"{path} is neither a Delphes ROOT file nor a text: choose data=table")
    missing = [] if isinstance(table, TextTable) else sorted(set(BRANCHES) - set(table.names))
    if missing:
        raise DataError(
            f"{path} has no branch '{missing[0]}', {nearest(missing[0], table.names)} Dijets need "
            "jets at both levels (GenJet and Jet): keep them in the Delphes card's TreeWriter "
            "(data without truth is for data=table)"
        )
    return table


def _of_tree(table: RootTable, radius: float, limit: int | None) -> Iterator[FoundDijets]:
    left = table.entries if limit is None else min(limit, table.entries)
    for chunk in table.chunks(BRANCHES, min(CHUNK, max(left, 1))):
        entries = min(left, chunk.entries)
        gen, reco = (_collection(table, chunk, level).first(entries) for level in LEVELS)
        yield _matched(gen, reco, radius)
        left -= entries
        if not left:
            return


def _collection(table: RootTable, chunk: Chunk, level: str) -> Angular:
    """The jets of one level, after checks of every value."""
    where = f"{table.path.name}, events {chunk.first} to {chunk.first + chunk.entries - 1}"
    parts: list[Jagged] = []
    for part in PARTS:
        values = chunk.columns[f"{level}.{part}"]
        if not isinstance(values, Jagged) or not _alike(values, parts):
            raise DataError(f"{where}: '{level}.{part}' must hold one value for each {level}")
        check_values(where, f"{level}.{part}", values.content, momentum=part == "PT")
        parts.append(values)
    absent = (-np.inf, np.inf, 0.0, 0.0)
    return Angular(*(padded(values, fill) for values, fill in zip(parts, absent, strict=True)))


def _alike(values: Jagged, others: Sequence[Jagged]) -> bool:
    return all(np.array_equal(values.counts, other.counts) for other in others)


def _matched(gen: Angular, reco: Angular, radius: float) -> FoundDijets:
    """The two leading gen jets of each event and the reco jets matched to them."""
    two = np.count_nonzero(np.isfinite(gen.eta), axis=1) >= 2
    pairs = gen.rows(two)
    pairs, candidates = pairs.take(leading_pair(pairs.pt)), reco.rows(two)
    matches = match_distinct(pairs.eta, pairs.phi, candidates.eta, candidates.phi, radius)
    partners = candidates.take(matches.column).rows(matches.both)
    return FoundDijets(
        pairs.rows(matches.both).jets(), partners.jets(), two.size, int(np.count_nonzero(two))
    )


def _of_text(table: TextTable, limit: int | None) -> FoundDijets:
    chunks = [chunk.columns for chunk in table.chunks(TEXT_COLUMNS, CHUNK)]
    columns = {k: np.concatenate([c[k] for c in chunks] or [np.empty(0)]) for k in TEXT_COLUMNS}
    lines = columns["c0"].size
    rows = lines if limit is None else min(limit, lines)
    columns = {k: np.asarray(v[:rows], dtype=np.float64) for k, v in columns.items()}
    _check_text(table, columns)
    incomplete = round(table.skipped * rows / lines) if lines else table.skipped
    gen, reco = (_text_jets(columns, level) for level in (GEN, RECO))
    return FoundDijets(gen, reco, rows + incomplete, rows, incomplete, text=True)


def _text_jets(columns: Mapping[str, FloatArray], markers: Sequence[int]) -> Jets:
    """Components (n, 2) of the jets whose four columns follow the two markers."""
    return Jets(
        *(np.column_stack([columns[f"c{m + part}"] for m in markers]) for part in range(1, 5))
    )


def _check_text(table: TextTable, columns: Mapping[str, FloatArray]) -> None:
    for i, (name, values) in enumerate(columns.items()):
        if i in MARKERS and not np.all(np.isin(values, (0, 1))):
            wrong: Any = values[~np.isin(values, (0, 1))][0]
            raise DataError(
                f"{table.path.name}: column '{name}' is a marker, 0 or 1, but holds {wrong:g}: "
                "this is not the 20-column text of Delphes dijets"
            )
        check_values(table.path.name, name, values, momentum=i - 1 in MARKERS)
