"""The two jets of an event brought together, while the jets of many files go by.

Both carry the event's run, luminosity section and event number (rn, lbn, evn), and nothing says
that they are neighbours, or in the same block. A jet waits until its partner comes. Events are kept
that have exactly two usable jets: a third one, or the event again in another file, would put one
event into training and test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrate.data.dijet_events import DijetEvents
from calibrate.data.mod_files import ModFile
from calibrate.data.values import check_values
from calibrate.errors import DataError
from calibrate.kinematics import Jets
from calibrate.sample import BoolArray, FloatArray, IntArray

Block = Mapping[str, NDArray[Any]]

EVENT = ("rn", "lbn", "evn")
PARTS = ("pt", "y", "phi", "m")
RECO, GEN = (tuple(f"{level}_{part}" for part in PARTS) for level in ("jet", "gen_jet"))
WEIGHT = "weight"
JET = (*GEN, *RECO, WEIGHT)
"""What is kept of a jet, in this order."""
Numbered = tuple[IntArray, FloatArray]
"""Event numbers (n,) and jets (n, 9)."""
NOBODY: Numbered = (np.empty(0, np.int64), np.empty((0, len(JET))))
PIECE = MOST_RECENT = 1 << 16
LONGEST_RUN, LONGEST_EVENT, MOST_SECTIONS = 1 << 31, 1 << 40, 1 << 23


@dataclass(frozen=True)
class JetCuts:
    """Which jets are used: the file's `quality` at least, and |η| at most (None: no cut); pT and
    mass as they are, or times `jec` with `corrected`."""

    min_quality: int | None = None
    max_abs_eta: float | None = None
    corrected: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are needed."""
        asked = {
            "quality": self.min_quality is not None,
            "jet_eta": self.max_abs_eta is not None,
            "jec": self.corrected,
        }
        return (*EVENT, *JET, *(name for name, needed in asked.items() if needed))


@dataclass
class JetCounts:
    """Jets read, cut away and without a gen jet, their summed weight; events of one usable jet,
    and of more than two."""

    jets: int = 0
    weight: float = 0.0
    quality: int = 0
    eta: int = 0
    unmatched: int = 0
    single: int = 0
    repeated: int = 0


@dataclass
class EventPairs:
    """The paired jets of the files that `blocks` reads; `kept` then says which of all events have
    exactly two usable jets."""

    cuts: JetCuts
    counts: JetCounts = field(default_factory=JetCounts)
    _sections: dict[int, int] = field(default_factory=dict)
    _recent: Numbered = field(default_factory=lambda: NOBODY)
    _waiting: Numbered = field(default_factory=lambda: NOBODY)
    _crowded: list[IntArray] = field(default_factory=list)

    def blocks(self, file: ModFile) -> Iterator[tuple[IntArray, DijetEvents]]:
        """Number (n,) and jets of the events whose jets have both come, some at a time.

        Raises DataError for files that cannot be used.
        """
        first = 0
        for block in file.blocks(self.cuts.columns):
            where = f"{file.path.name}, jets {first} to {first + block[WEIGHT].size - 1}"
            pairs, self._recent = self._paired(self._recent, self._usable(where, block))
            yield pairs
            if self._recent[0].size > MOST_RECENT:
                yield self._settled()
            first += block[WEIGHT].size
        yield self._settled()

    def kept(self, events: IntArray) -> BoolArray:
        """Which of all events (n,), by their numbers, have exactly two usable jets."""
        ordered, waiting = np.sort(events), self._waiting[0]
        again = ordered[1:][ordered[1:] == ordered[:-1]]
        third = waiting[_among(waiting, ordered)]
        crowded = np.unique(np.concatenate([again, third, *self._crowded]))
        del ordered
        self.counts.single = int(np.count_nonzero(~_among(waiting, crowded)))
        self.counts.repeated = crowded.size
        return ~_among(events, crowded)

    def _usable(self, where: str, block: Block) -> tuple[IntArray, FloatArray]:
        """Event numbers (m,) and jets (m, 9) after the cuts."""
        cuts, counts = self.cuts, self.counts
        size = block[WEIGHT].size
        counts.jets += size
        counts.weight += float(np.sum(block[WEIGHT]))
        good, inside = np.ones(size, dtype=bool), np.ones(size, dtype=bool)
        if cuts.min_quality is not None:
            good = block["quality"] >= cuts.min_quality
        if cuts.max_abs_eta is not None:
            inside = np.abs(block["jet_eta"]) <= cuts.max_abs_eta
        matched = ~(block[GEN[0]] < 0)
        counts.quality += int(np.count_nonzero(~good))
        counts.eta += int(np.count_nonzero(good & ~inside))
        counts.unmatched += int(np.count_nonzero(good & inside & ~matched))
        kept = good & inside & matched
        jets = np.column_stack([block[name][kept] for name in JET])
        for name, values in zip(JET, jets.T, strict=True):
            check_values(where, name, values, momentum=name.endswith("_pt"))
        if cuts.corrected:
            jec = block["jec"][kept]
            check_values(where, "jec", jec, momentum=True)
            for name in (RECO[0], RECO[3]):
                jets[:, JET.index(name)] *= jec
        return self._numbered(where, *(block[name][kept] for name in EVENT)), jets

    def _numbered(self, where: str, rn: IntArray, lbn: IntArray, evn: IntArray) -> IntArray:
        """One number (m,) for each event: its section in order of appearance, and evn."""
        limits = (LONGEST_RUN, LONGEST_RUN, LONGEST_EVENT)
        for name, values, limit in zip(EVENT, (rn, lbn, evn), limits, strict=True):
            wrong = values[(values < 0) | (values >= limit)]
            if wrong.size:
                raise DataError(f"{where}: '{name}' must be in [0, {limit}), got {wrong[0]}")
        sections, row = np.unique((rn << 31) | lbn, return_inverse=True)
        found = [self._sections.setdefault(int(s), len(self._sections)) for s in sections]
        if len(self._sections) > MOST_SECTIONS:
            raise DataError(f"{where}: more than {MOST_SECTIONS} luminosity sections: use less")
        return np.asarray((np.asarray(found, np.int64)[row] << 40) | evn, dtype=np.int64)

    def _settled(self) -> tuple[IntArray, DijetEvents]:
        """The events of jets that came lately and of those that have waited longer, which are
        sorted together now and then only: they may be many."""
        pairs, self._waiting = self._paired(self._waiting, self._recent)
        self._recent = NOBODY
        return pairs

    def _paired(
        self, before: Numbered, now: Numbered
    ) -> tuple[tuple[IntArray, DijetEvents], Numbered]:
        """The events whose jets are among both, and the jets that are left."""
        events, jets = (np.concatenate(parts) for parts in zip(before, now, strict=True))
        order = np.argsort(events, kind="stable")
        ordered = events[order]
        begin = np.flatnonzero(np.diff(ordered, prepend=-1))
        length = np.diff(begin, append=ordered.size)
        two, alone = begin[length >= 2], order[begin[length == 1]]
        self._crowded.append(ordered[begin[length > 2]])
        pairs = (ordered[two], _dijets(jets[order[two]], jets[order[two + 1]]))
        return pairs, (events[alone], jets[alone])


def _among(values: IntArray, ordered: IntArray) -> BoolArray:
    """Which of the values (n,) are among the ordered ones. Piece by piece: np.isin would need six
    times the memory of the values."""
    found = np.zeros(values.size, dtype=bool)
    for start in range(0, values.size if ordered.size else 0, PIECE):
        piece = values[start : start + PIECE]
        near = ordered.take(np.searchsorted(ordered, piece), mode="clip")
        found[start : start + PIECE] = near == piece
    return found


def _dijets(first: FloatArray, second: FloatArray) -> DijetEvents:
    """Two jets (n, 9) of each event, that of the larger true pT first."""
    turned = second[:, 0] > first[:, 0]
    columns = [
        np.column_stack([np.where(turned, b, a), np.where(turned, a, b)])
        for a, b in zip(first.T[:8], second.T[:8], strict=True)
    ]
    return DijetEvents(Jets(*columns[:4]), Jets(*columns[4:8]), first[:, JET.index(WEIGHT)].copy())
