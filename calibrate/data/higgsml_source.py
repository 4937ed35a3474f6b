"""Which files of a Higgs to tau tau set are read, and the yields that their events stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calibrate.checks import choice, positive_integer, positive_number, texts
from calibrate.context import Context
from calibrate.data.higgsml_events import HiggsEvents, Yields
from calibrate.data.higgsml_files import Layout, read
from calibrate.data.sources import found_files
from calibrate.errors import ConfigurationError
from calibrate.provenance import sha256

AS_READ, OF_ALL = "read", "complete"


@dataclass(frozen=True)
class HiggsRead:
    """Events, the sha256 of the files they came from, and notes on what was done."""

    events: HiggsEvents
    digests: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class HiggsFiles:
    """Files, globs or a list of them in one layout. The classes are scaled to `yields` (None: the
    sums of what is read); at most `max_events` rows are read; repeated events are refused, or
    dropped with `drop`."""

    path: Sequence[str] | str
    layout: Layout
    yields: Yields | None
    max_events: int | None
    drop: bool = False

    def __post_init__(self) -> None:
        if not texts("data.path", self.path):
            raise ConfigurationError("data.path is empty: write data.path=…")
        if self.max_events is not None:
            positive_integer("data.max_events", self.max_events)

    def read(self, context: Context) -> HiggsRead:
        """The events; raises DataError for files that cannot be used."""
        matched = found_files("data.path", texts("data.path", self.path))
        files = [file for each in matched for file in each]
        events, notes = read(files, self.layout, self.drop, self.max_events, context)
        found = events.yields
        if self.yields is not None:
            events = events.with_yields(self.yields)
            factors = [new / old for new, old in zip(self.yields, found, strict=True)]
            scaled = " and ".join(f"{factor:.6g}" for factor in factors)
            notes = (*notes, f"weights of signal and background multiplied by {scaled}")
        signal, background = events.yields
        notes = (*notes, f"expected events: {signal:.6g} signal, {background:.6g} background")
        return HiggsRead(events, {str(path): sha256(path) for path in files}, notes)


def expected(given: Sequence[float] | str, complete: Yields | None) -> Yields | None:
    """The yields that `data.yields` asks for; None for the sums of what is read."""
    if isinstance(given, str):
        choice("data.yields", given, (AS_READ,) if complete is None else (AS_READ, OF_ALL))
        return complete if given == OF_ALL else None
    if not isinstance(given, Sequence) or len(given) != len(Yields._fields):
        raise ConfigurationError(f"data.yields takes a word or [signal, background], got {given!r}")
    for value in given:
        positive_number("each of data.yields", value)
    return Yields(*map(float, given))
