"""Jets of CMS NanoAOD, each with the gen jet it was matched to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibrate.checks import choice, fraction, positive_integer, texts
from calibrate.context import Context
from calibrate.data.nanoaod_files import CORRECTED_PT, RAW_PT, RHO, Counts, MatchedJets
from calibrate.data.sources import Source, found_files, refuse_repeated
from calibrate.data.table import MISSING
from calibrate.data.table_files import Roles, TableFiles, TableRows
from calibrate.errors import ConfigurationError
from calibrate.sample import Sample
from calibrate.task import NOMINAL, RegressionTask

PT = {"raw": RAW_PT, "corrected": CORRECTED_PT}
NEGATIVE = ("absolute", "keep")
TRUTH = "GenJet_pt"
FEW = 10_000
"""Pairs below which a report says that they are few: with a resolution of 10 % a bin needs 400
events for an error of half a per cent, and there are twelve bins and two halves."""


@dataclass(frozen=True)
class NanoAOD:
    """True pT of each matched jet from its `pt` (`raw`, before the experiment's corrections, or
    `corrected`) and `features`.

    `path` is a file, a glob or a list of them; NanoAOD versions may be mixed. `features` and
    `spectators` are branches `Jet_…` or `GenJet_…` (of the jet's partner), branches of the event,
    `rho` under whatever name the version has, or arithmetic of these; `select` keeps the jets for
    which it is true, `w` is the event weight (null: 1). `negative` weights take their `absolute`
    value, since maximum likelihood has no use for the sign, or `keep` it. Rows that are not finite
    are refused, or left out with `missing=drop`. At most `max_events` events are read. A
    `train_fraction` of the events trains, the complement is the test sample `nominal`; the jets of
    an event stay together. Raises ConfigurationError for wrong options, DataError for files that
    cannot be used.
    """

    path: Sequence[str] | str
    pt: str = "raw"
    features: Sequence[str] | str = ("Jet_eta", "Jet_area", RHO)
    w: str | None = "genWeight"
    select: str | None = None
    spectators: Sequence[str] | str = ("GenJet_eta", "PV_npvs")
    negative: str = "absolute"
    missing: str = "refuse"
    max_events: int | None = None
    train_fraction: float = 0.5

    def __post_init__(self) -> None:
        if not texts("data.path", self.path):
            raise ConfigurationError("data.path names no file")
        choice("data.pt", self.pt, tuple(PT))
        choice("data.negative", self.negative, NEGATIVE)
        choice("data.missing", self.missing, MISSING)
        for name in ("w", "select"):
            if not isinstance(getattr(self, name), str | None):
                given = f"{getattr(self, name)!r}"
                raise ConfigurationError(f"data.{name} takes one text, got {given}")
        roles = [*self._x(), TRUTH, *self._spectators()]
        doubled = [name for name in roles if roles.count(name) > 1]
        if doubled:
            raise ConfigurationError(
                f"'{doubled[0]}' stands twice: the features are {PT[self.pt]} and data.features, "
                f"the truth is {TRUTH}; name each column once"
            )
        fraction("data.train_fraction", self.train_fraction)
        if self.max_events is not None:
            positive_integer("data.max_events", self.max_events)

    def regression(self, context: Context) -> RegressionTask:
        """The true pT of the matched jets, with the test sample `nominal`."""
        counts = Counts()
        rows = self._files(counts).load(context).refuse_few()
        x = self._x()
        units = {name: "GeV" for name in (*x, TRUTH) if _is_momentum(name)}
        sample = rows.sample(units, (x[0], TRUTH))
        positive = sample if self.negative == "keep" else sample.with_weights(np.abs(sample.w))
        train, test = positive.split(self.train_fraction, context.child("data").stream("split"))
        return RegressionTask(
            train,
            {NOMINAL: test},
            x[:1],
            files=rows.digests,
            notes=(_counted(counts, rows), *rows.notes),
            warnings=(*_if_few(train, test), *self._on_signs(sample)),
        )

    def _files(self, counts: Counts) -> TableFiles:
        found = found_files("data.path", texts("data.path", self.path))
        files = [path for each in found for path in each]
        refuse_repeated("data.path", files)
        roles = Roles(self._x(), (TRUTH,), self._spectators(), self.w, ())
        source = Source(roles.expressions, self.select, limit=self.max_events)
        drop, ones = self.missing == "drop", np.ones(len(files))

        def opened(path: Path) -> MatchedJets:
            return MatchedJets(path, counts)

        return TableFiles("data.path", files, ones, roles, source, drop, opened)

    def _x(self) -> tuple[str, ...]:
        return (PT[self.pt], *texts("data.features", self.features))

    def _spectators(self) -> list[str]:
        return texts("data.spectators", self.spectators)

    def _on_signs(self, sample: Sample) -> tuple[str, ...]:
        """A warning where weights were made positive."""
        below = sample.w < 0
        if self.negative == "keep" or not np.any(below):
            return ()
        return (
            f"{100 * np.mean(below):.1f} % of the jets have a negative {self.w}, whose absolute "
            "value is used: the spectrum is not the generator's then, but the response at a given "
            "true pT is, as far as it does not depend on the sign; data.negative=keep keeps it",
        )


def _is_momentum(name: str) -> bool:
    """Whether a branch is in GeV, by its name."""
    return name.isidentifier() and (name.endswith(("_pt", "_mass")) or name in (RAW_PT, RHO))


def _counted(counts: Counts, rows: TableRows) -> str:
    """What was read, matched and selected."""
    files = len(rows.files.files)
    return (
        f"{rows.loaded.entries} events of {files} {'file' if files == 1 else 'files'} read, "
        f"{counts.jets} jets, {counts.matched} ({counts.matched / max(counts.jets, 1):.4f}) "
        f"matched to a saved gen jet; left out: {counts.unmatched} without a gen jet, "
        f"{counts.unsaved} whose gen jet was not saved; {rows.loaded.file.size} jets used"
    )


def _if_few(train: Sample, test: Sample) -> tuple[str, ...]:
    pairs = len(train) + len(test)
    if pairs >= FEW:
        return ()
    return (
        f"{pairs} matched jets are few ({len(train)} to train with, {len(test)} to test): errors "
        f"are wide, and most bins cannot tell whether they close; give at least {FEW} by more "
        "files in data.path",
    )
