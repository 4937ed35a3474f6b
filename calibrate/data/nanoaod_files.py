"""Jets of CMS NanoAOD beside the gen jets they were matched to when the file was written.

`Jet_genJetIdx` is the number of a jet's gen jet among the event's `GenJet_*`: negative where it has
none, and past the end where that gen jet was not saved. Such jets are left out and counted. What
remains looks like a table: `Jet_*` and `GenJet_*` with one value per matched jet, the branches of
the event, and two columns whose branches differ from version to version or do not exist,

    rho         fixedGridRhoFastjetAll, or Rho_fixedGridRhoFastjetAll
    Jet_pt_raw  Jet_pt (1 - Jet_rawFactor), before the experiment's own corrections
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibrate.errors import DataError, nearest
from calibrate.sample import BoolArray, IntArray
from calibrate.tables import Chunk, Jagged, open_table
from calibrate.tables.columns import Values
from calibrate.tables.root import RootTable

TREE = "Events"
RECO, GEN = "Jet_", "GenJet_"
INDEX = "Jet_genJetIdx"
RHO, RHO_BRANCHES = "rho", ("fixedGridRhoFastjetAll", "Rho_fixedGridRhoFastjetAll")
RAW_PT, CORRECTED_PT, RAW_FACTOR = "Jet_pt_raw", "Jet_pt", "Jet_rawFactor"
NEEDED = (CORRECTED_PT, "GenJet_pt", INDEX)

Columns = Mapping[str, Values | Jagged]


@dataclass
class Counts:
    """Jets read so far, those without a gen jet, and those whose gen jet was not saved."""

    jets: int = 0
    unmatched: int = 0
    unsaved: int = 0

    @property
    def matched(self) -> int:
        """Jets with a saved gen jet."""
        return self.jets - self.unmatched - self.unsaved


class MatchedJets:
    """The matched jets of one file, counted in `counts` while they are read.

    Raises DataError for a file without the tree, the jets or the gen jets.
    """

    skipped = 0

    def __init__(self, path: Path, counts: Counts) -> None:
        self.path, self._counts = path, counts
        self._table = _opened(path)
        self._own = _own_columns(self._table.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The branches, `rho` and `Jet_pt_raw`."""
        return tuple(dict.fromkeys([*self._table.names, *self._own]))

    @property
    def expected_entries(self) -> int:
        """The number of events."""
        return self._table.entries

    def chunks(self, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
        """The columns of the matched jets, and of their events."""
        needed = [branch for name in columns for branch in self._own.get(name, (name,))]
        counting = [INDEX, next(b for b in self._table.names if b.startswith(GEN))]
        for chunk in self._table.chunks(list(dict.fromkeys([*needed, *counting])), rows):
            found = self._matched(chunk, counting[1])
            yield Chunk(chunk.first, chunk.entries, {n: self._column(n, found) for n in columns})

    def _matched(self, chunk: Chunk, like: str) -> Columns:
        """The columns of a chunk with one value for each matched jet, gen jets in their order."""
        index, gen = self._jagged(chunk, INDEX), self._jagged(chunk, like)
        place = np.asarray(index.content, dtype=np.int64)
        event = np.repeat(np.arange(chunk.entries), index.counts)
        unmatched, unsaved = place < 0, place >= gen.counts[event]
        self._counts.jets += place.size
        self._counts.unmatched += int(np.count_nonzero(unmatched))
        self._counts.unsaved += int(np.count_nonzero(unsaved))
        kept = ~(unmatched | unsaved)
        partner = (np.cumsum(gen.counts) - gen.counts)[event[kept]] + place[kept]
        counts = np.bincount(event[kept], minlength=chunk.entries).astype(np.int64)
        reference = {RECO: index.counts, GEN: gen.counts}
        return {
            name: self._taken(name, values, {RECO: kept, GEN: partner}, reference, counts)
            for name, values in chunk.columns.items()
        }

    def _taken(
        self,
        name: str,
        values: Values | Jagged,
        rows: Mapping[str, BoolArray | IntArray],
        reference: Mapping[str, IntArray],
        counts: IntArray,
    ) -> Values | Jagged:
        if not isinstance(values, Jagged):
            return values
        level = next((each for each in (RECO, GEN) if name.startswith(each)), None)
        if level is None or not np.array_equal(values.counts, reference[level]):
            raise DataError(
                f"{self.path.name}: '{name}' has neither one value per event nor one per jet: "
                "choose branches Jet_…, GenJet_… or of the event"
            )
        return Jagged(values.content[rows[level]], counts)

    def _jagged(self, chunk: Chunk, name: str) -> Jagged:
        values = chunk.columns[name]
        if not isinstance(values, Jagged):
            raise DataError(f"{self.path.name}: '{name}' must hold one value for each jet")
        return values

    def _column(self, name: str, found: Columns) -> Values | Jagged:
        parts = [found[branch] for branch in self._own.get(name, (name,))]
        if len(parts) == 1:
            return parts[0]
        pt, factor = (part for part in parts if isinstance(part, Jagged))
        raw = np.asarray(pt.content, np.float64) * (1 - np.asarray(factor.content, np.float64))
        return Jagged(raw, pt.counts)


def _own_columns(branches: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The columns that are no branches, where they can be had, and the branches they need."""
    found: dict[str, tuple[str, ...]] = {}
    rho = [branch for branch in RHO_BRANCHES if branch in branches]
    if rho and RHO not in branches:
        found[RHO] = (rho[0],)
    if RAW_FACTOR in branches and RAW_PT not in branches:
        found[RAW_PT] = (CORRECTED_PT, RAW_FACTOR)
    return found


def _opened(path: Path) -> RootTable:
    try:
        table = open_table(path, TREE)
    except DataError as error:
        raise DataError(f"{error}; NanoAOD is a ROOT file with a tree {TREE}") from error
    if not isinstance(table, RootTable):
        raise DataError(f"{path} is {table.kind}, no NanoAOD: choose data=table")
    missing = [name for name in NEEDED if name not in table.names]
    if missing:
        raise DataError(
            f"{path} has no branch '{missing[0]}': {_there(missing[0], table.names)}; a "
            "calibration needs simulated jets (Jet_pt, Jet_genJetIdx) and their gen jets "
            "(GenJet_pt): choose a simulation whose NanoAOD keeps both"
        )
    return table


def _there(missing: str, branches: Sequence[str]) -> str:
    """The branches of the collection that are near, or the collections that are there."""
    collection = missing.split("_")[0]
    alike = [name for name in branches if name.startswith(f"{collection}_")]
    if alike:
        return nearest(missing, alike)
    return f"there is no {collection} among {', '.join(collections(branches)) or 'no collections'}"


def collections(branches: Sequence[str]) -> list[str]:
    """The collections of objects: those with a counter, as `nJet` counts `Jet_…`."""
    stems = {name.split("_")[0] for name in branches if "_" in name}
    return sorted(stem for stem in stems if f"n{stem}" in branches)
