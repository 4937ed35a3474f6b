"""Sets of MOD files: those of one p̂_T range, whose weights are made to sum to its cross section."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrate.context import Advance
from calibrate.data.dijet_events import DijetEvents
from calibrate.data.mod_files import ModFile
from calibrate.data.mod_pairs import EventPairs, JetCounts, JetCuts
from calibrate.errors import ConfigurationError, DataError
from calibrate.kinematics import Jets
from calibrate.sample import BoolArray

WEIGHT_SUMS: Mapping[str, float] = {
    "SIM1000": 6.637467e-4,
    "SIM1400": 2.174157e-5,
    "SIM1800": 7.148912e-7,
}
"""Summed weights [nb] of all jets of all files of a set, by the first word of their names."""
SET_NAME = re.compile(r"(?:SIM|GEN|CMS)\d*(?=_)")
EVENT = "event"

Columns = Mapping[str, NDArray[Any]]


@dataclass
class EventColumns:
    """Columns of events, filled as they come: room for `capacity` events is taken once, of which
    the system gives only what is filled, so that nothing is ever held twice."""

    capacity: int
    events: int = 0
    _room: dict[str, NDArray[Any]] = field(default_factory=dict)

    def add(self, columns: Columns) -> None:
        """Further events."""
        stop = self.events + len(columns["w"])
        for name, values in columns.items():
            if name not in self._room:
                self._room[name] = np.empty((self.capacity, *values.shape[1:]), values.dtype)
            self._room[name][self.events : stop] = values
        self.events = stop

    def since(self, first: int) -> Columns:
        """The columns of the events from `first` on."""
        return {name: room[first : self.events] for name, room in self._room.items()}

    def taken(self) -> Columns:
        """All columns but the numbers of the events."""
        return {name: values for name, values in self.since(0).items() if name != EVENT}

    def keep(self, first: int, kept: BoolArray) -> None:
        """Leave out the events from `first` on that are not `kept`."""
        if np.all(kept):
            return
        number = int(np.count_nonzero(kept))
        for room in self._room.values():
            room[first : first + number] = room[first : self.events][kept]
        self.events = first + number


@dataclass(frozen=True)
class ModSet:
    """The files of one set, and what the weights of their jets are to sum to (None: as they are);
    some of a set's files stand for all of them then."""

    name: str
    files: Sequence[ModFile]
    weight_sum: float | None

    def read(
        self,
        cuts: JetCuts,
        columns: Callable[[DijetEvents], Columns],
        found: EventColumns,
        advance: Advance,
    ) -> str:
        """Add the columns of the set's events to those `found`; a note on what was read."""
        pairs, first = EventPairs(cuts), found.events
        for file in self.files:
            for number, events in pairs.blocks(file):
                if number.size:
                    found.add({EVENT: number, **columns(events)})
            advance(1)
        none = np.empty(0, np.int64)
        found.keep(first, pairs.kept(found.since(first).get(EVENT, none)))
        if found.events == first:
            raise DataError(f"no event found: {self._note(pairs.counts, 0)}")
        found.since(first)["w"][:] *= self._factor(pairs.counts)
        return self._note(pairs.counts, found.events - first)

    def _note(self, counts: JetCounts, events: int) -> str:
        """How many jets and events were read, kept and lost, and what they weigh."""
        files = "1 file" if len(self.files) == 1 else f"{len(self.files)} files"
        weights = f"weights as in the files, whose jets sum to {counts.weight:.6g}"
        if self.weight_sum is not None:
            weights = (
                f"weights times {self._factor(counts):.6g}, so that the jets of these files sum "
                f"to {self.weight_sum:.6g} nb, as those of all files do"
            )
        return (
            f"{self.name}: {counts.jets} jets of {files} read, {events} events; left out: "
            f"{self._lost(counts)}; {weights}"
        )

    def _lost(self, counts: JetCounts) -> str:
        cut = f"{counts.quality} jets by quality, {counts.eta} by |η|, "
        cut = cut if counts.quality or counts.eta else ""
        return (
            f"{cut}{counts.unmatched} jets without a gen jet "
            f"({100 * counts.unmatched / max(counts.jets, 1):.2f} %), {counts.single} events with "
            f"one usable jet, {counts.repeated} with more than two"
        )

    def _factor(self, counts: JetCounts) -> float:
        if self.weight_sum is None:
            return 1.0
        if not counts.weight > 0:
            raise DataError(f"{self.name}: the weights of the jets sum to {counts.weight:g}")
        return self.weight_sum / counts.weight


def mod_sets(
    patterns: Sequence[str], found: Sequence[Sequence[Path]], sums: Sequence[float] | None
) -> list[ModSet]:
    """The files by set: what their names begin with, or else the pattern that named them.

    `sums` [nb] are those of the patterns; without them they are known by name, or the weights are
    left alone. Raises ConfigurationError where they are known of some sets only, or a pattern
    that has a sum names several sets.
    """
    grouped: dict[str, list[Path]] = {}
    of_pattern: dict[str, int] = {}
    for i, (pattern, files) in enumerate(zip(patterns, found, strict=True)):
        names = {_set_name(path, pattern) for path in files}
        if sums is not None and (len(names) > 1 or names & of_pattern.keys()):
            raise ConfigurationError(
                f"data.weight_sum is that of one set, but {pattern} names files of "
                f"{', '.join(sorted(names))}: write one pattern for each set in data.path"
            )
        for path in files:
            grouped.setdefault(_set_name(path, pattern), []).append(path)
        of_pattern |= dict.fromkeys(names, i)
    known = {name: WEIGHT_SUMS.get(name) for name in grouped}
    if sums is not None:
        known = {name: sums[i] for name, i in of_pattern.items()}
    unknown = [name for name, total in known.items() if total is None]
    if unknown and len(unknown) < len(known):
        raise ConfigurationError(
            f"the summed weights of {unknown[0]} are not known, those of the other sets are: give "
            "data.weight_sum, one number [nb] for each of data.path"
        )
    return [
        ModSet(name, [ModFile.of(path) for path in files], known[name])
        for name, files in grouped.items()
    ]


def _set_name(path: Path, pattern: str) -> str:
    found = SET_NAME.match(path.name)
    return found[0] if found else pattern


def jet_columns(events: DijetEvents) -> Columns:
    """All components of both jets, (n, 2) each, and the weight."""
    levels = {"gen": events.gen, "reco": events.reco}
    parts = {
        f"{level}_{part}": getattr(jets, part)
        for level, jets in levels.items()
        for part in Jets._fields
    }
    return {**parts, "w": events.w}


def dijet_events(columns: Columns) -> DijetEvents:
    """The events again."""
    gen, reco = (
        Jets(*(columns[f"{level}_{part}"] for part in Jets._fields)) for level in ("gen", "reco")
    )
    return DijetEvents(gen, reco, columns["w"])
