"""The files of the Higgs to tau tau sets: HiggsML of ATLAS (2014) and FAIR Universe.

HiggsML comes as CSV, packed or not, in two layouts: the complete v2, and Kaggle's `training.csv`
without KaggleSet and KaggleWeight, whose Weight is v2's KaggleWeight. FAIR Universe comes as
Parquet, with other names, undefined values of -25, and no number of the event. Of both the primary
quantities, label and weight are read; undefined values become NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from calibrate.context import Context
from calibrate.data.copies import Copies
from calibrate.data.higgsml_columns import PRIMARY
from calibrate.data.higgsml_events import HiggsEvents
from calibrate.data.higgsml_shifts import Momenta, Primaries
from calibrate.data.sources import Loaded, Source, load
from calibrate.errors import DataError, nearest
from calibrate.sample import BoolArray, FloatArray, IntArray
from calibrate.tables import open_table

LABELS = {"b": 0.0, "s": 1.0}
POSITIVE = ("PRI_tau_pt", "PRI_lep_pt", "PRI_jet_leading_pt", "PRI_jet_subleading_pt")
NEEDED_JETS = {"PRI_jet_leading": 1, "PRI_jet_subleading": 2}
"""How many jets an event must have for a column to be defined; others always are."""


@dataclass(frozen=True)
class Layout:
    """How a set names the columns of HiggsML (those `renamed`, others as they are; `absent` are
    not in it), what it writes for undefined values, the mass of its taus [GeV], and what to say
    where labels are missing; `other` is a column of the other set, and what reads that. `event`
    is None for a set that does not number its events."""

    label: str
    weight: str
    undefined: float
    tau_mass: float
    other: tuple[str, str]
    event: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    absent: Sequence[str] = ()
    unlabelled: str = ""

    @property
    def primary(self) -> dict[str, str]:
        """The primary quantities, and what the set calls them."""
        return {name: self.renamed.get(name, name) for name in PRIMARY if name not in self.absent}

    @property
    def columns(self) -> list[str]:
        """All columns that are read."""
        event = [] if self.event is None else [self.event]
        return [*event, self.label, self.weight, *self.primary.values()]


HIGGSML = Layout(
    "Label",
    "Weight",
    undefined=-999.0,
    tau_mass=0.8,
    event="EventId",
    unlabelled=(
        "; Kaggle's test.csv has neither labels nor weights: use its training.csv, or "
        "atlas-higgs-challenge-2014-v2.csv.gz"
    ),
    other=("PRI_had_pt", "data=fair_universe"),
)
FAIR_UNIVERSE = Layout(
    "labels",
    "weights",
    undefined=-25.0,
    tau_mass=0.0,
    renamed={
        "PRI_tau_pt": "PRI_had_pt",
        "PRI_tau_eta": "PRI_had_eta",
        "PRI_tau_phi": "PRI_had_phi",
        "PRI_jet_num": "PRI_n_jets",
    },
    absent=("PRI_met_sumet",),
    other=("PRI_tau_pt", "data=higgsml"),
)


def read(
    files: Sequence[Path], layout: Layout, drop_duplicates: bool, limit: int | None,
    context: Context,
) -> tuple[HiggsEvents, tuple[str, ...]]:  # fmt: skip
    """The events of the files, at most `limit`, in order, and notes on what was done to them.

    Raises DataError for missing columns, damaged files, values that are not finite or not
    possible, unknown labels, a class without events or with a sum of weights that is not positive;
    and for broken lines and events that stand twice, unless they are to be dropped: then one row of
    each event stays, and none where they differ.
    """
    for path in files:
        _refuse_missing(path, layout)
    source = Source(layout.columns, limit=limit, words={layout.label: LABELS})
    rows = _Rows(files, layout, load(files, source, context))
    notes = rows.broken_lines(drop_duplicates)
    rows.check()
    events = rows.events(context)
    if layout.event is not None:
        copies = Copies.of(events.number, rows.loaded.columns.values())
        if copies.repeated:
            notes.append(rows.repeated(events.number, copies, drop_duplicates))
            events = events.take(copies.certain)
    negative = int(np.count_nonzero(events.w < 0))
    if negative:
        notes.append(f"{negative} of {len(events)} weights are negative: counted as they are")
    events.refuse_one_class()
    return events, tuple(notes)


def _refuse_missing(path: Path, layout: Layout) -> None:
    names = open_table(path).names
    missing = [name for name in layout.columns if name not in names]
    if missing:
        others = f" ({len(missing)} columns are missing)" if missing[1:] else ""
        hint = layout.unlabelled if set(missing) <= {layout.label, layout.weight} else ""
        if layout.other[0] in names:
            hint = f"; {layout.other[1]} reads this set"
        raise DataError(
            f"{path.name}: no column '{missing[0]}'{others}: {nearest(missing[0], names)}{hint}"
        )


@dataclass(frozen=True)
class _Rows:
    """What was read, as it stands in the files."""

    files: Sequence[Path]
    layout: Layout
    loaded: Loaded

    def column(self, name: str) -> FloatArray:
        """A primary quantity, NaN where it is undefined."""
        values = self.loaded.columns[self.layout.primary[name]].astype(np.float64)
        values[values == self.layout.undefined] = np.nan
        return values

    def events(self, context: Context) -> HiggsEvents:
        """The rows as events, numbered by the file, or from 0 in a set without numbers."""
        columns, layout = self.loaded.columns, self.layout
        rows = self.loaded.file.size
        number = np.arange(rows) if layout.event is None else columns[layout.event].astype(np.int64)
        return HiggsEvents(
            self._primaries(),
            np.asarray(columns[layout.label] == 1),
            columns[layout.weight].astype(np.float64),
            number,
            context.child("data").stream("soft").normal(size=(rows, 2)),
        )

    def broken_lines(self, drop: bool) -> list[str]:
        """A note on lines left out, if there are any; DataError if they are not to be."""
        if not self.loaded.skipped:
            return []
        listed = ", ".join(path.name for path in self.files)
        text = f"{self.loaded.skipped} lines of {listed} have missing or surplus fields"
        if drop:
            return [f"{text}: left out"]
        raise DataError(f"{text}: the file is truncated or damaged, fetch it again")

    def check(self) -> None:
        """Raise DataError for labels and values that cannot be."""
        for name, values in self.loaded.columns.items():
            self._refuse(~np.isfinite(values), name, "not finite")
        if self.layout.event is not None:
            number = self.loaded.columns[self.layout.event]
            self._refuse(number != np.floor(number), self.layout.event, "no whole number")
        labels = self.loaded.columns[self.layout.label]
        self._refuse((labels != 0) & (labels != 1), self.layout.label, "neither 0 (b) nor 1 (s)")
        jets = self.column("PRI_jet_num")
        self._refuse(~((jets >= 0) & (jets == np.floor(jets))), "PRI_jet_num", "no number of jets")
        for name in self.layout.primary:
            self._check_defined(name, jets)

    def _check_defined(self, name: str, jets: FloatArray) -> None:
        values = self.column(name)
        needed = next((n for start, n in NEEDED_JETS.items() if name.startswith(start)), 0)
        undefined, exists = np.isnan(values), jets >= needed
        self._refuse(undefined & exists, name, "undefined though its object exists")
        self._refuse(~undefined & ~exists, name, "defined though its jet does not exist")
        if name in POSITIVE:
            self._refuse(values <= 0, name, "not positive")
        elif name in ("PRI_met", "PRI_met_sumet", "PRI_jet_all_pt"):
            self._refuse(values < 0, name, "negative")

    def repeated(self, event: IntArray, copies: Copies, drop: bool) -> str:
        """A note on the rows dropped; DataError if they are not to be."""
        again = int(np.argmin(copies.first))
        before = int(np.argmax(event == event[again]))
        text = (
            f"{copies.repeated} of {event.size} rows repeat an {self.layout.event} (first: "
            f"{event[again]} in {self._place(before)} and {self._place(again)})"
        )
        if drop:
            lost = int(np.count_nonzero(copies.first & copies.differing))
            return f"{text}: one of each was kept; {lost} events whose rows differ were left out"
        raise DataError(
            f"{text}: they would leak from training to test. The copy is damaged, or files "
            "overlap: calibrate data fetch higgsml brings a good one, data.duplicates=drop keeps "
            "one row of each"
        )

    def _primaries(self) -> Primaries:
        return Primaries(
            tau=self._momenta("PRI_tau"),
            lepton=self._momenta("PRI_lep"),
            met=self.column("PRI_met"),
            met_phi=self.column("PRI_met_phi"),
            sumet=self.column("PRI_met_sumet") if "PRI_met_sumet" in self.layout.primary else None,
            jet_num=self.column("PRI_jet_num").astype(np.int64),
            leading=self._momenta("PRI_jet_leading"),
            subleading=self._momenta("PRI_jet_subleading"),
            jet_all_pt=self.column("PRI_jet_all_pt"),
            tau_mass=self.layout.tau_mass,
        )

    def _momenta(self, name: str) -> Momenta:
        return Momenta(*(self.column(f"{name}_{part}") for part in Momenta._fields))

    def _refuse(self, broken: BoolArray, name: str, what: str) -> None:
        if broken.any():
            shown = self.layout.renamed.get(name, name)
            raise DataError(
                f"'{shown}' is {what} in {np.count_nonzero(broken)} of {broken.size} rows (first: "
                f"{self._place(int(np.argmax(broken)))}): the file is damaged, or of another set"
            )

    def _place(self, row: int) -> str:
        loaded = self.loaded
        return f"{self.files[loaded.file[row]].name}, row {loaded.entry[row] + 1}"
