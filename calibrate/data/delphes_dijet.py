"""Dijets simulated with Delphes: ROOT trees, or the 20-column text, in bins of p̂_T."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calibrate.checks import positive_integer, positive_number, texts
from calibrate.context import Context
from calibrate.data.delphes_files import FoundDijets, joined, read_dijets
from calibrate.data.dijet_events import DijetEvents, DijetRegression
from calibrate.data.sources import found_files
from calibrate.errors import ConfigurationError, DataError
from calibrate.provenance import sha256
from calibrate.sample import MINIMUM_EVENTS, FloatArray
from calibrate.task import RegressionTask

KNOWN_WEIGHTS: Mapping[str, float] = {
    "dijets.txt": 4.568e-10,
    "dijets14.txt": 1.380e-11,
    "dijets18.txt": 4.347e-13,
}
"""Event weights [mb] of the text files of arXiv:2205.05084, which hold equal numbers of events of
p̂_T 1000-1400, 1400-1800 and above 1800 GeV."""
UNTRUSTED = (
    "weight 1 for every event of a Delphes tree: its Event.CrossSection and Event.Weight are not "
    "reliable; data.cross_section gives the cross section [mb] of each of data.path"
)
UNNAMED = (
    "weight 1 for every event: no event weight is known of a text of this name; "
    "data.cross_section gives the cross section [mb] of each of data.path"
)


@dataclass(frozen=True)
class PtHatBin:
    """What one of `data.path` gave: its files and the dijets of each; its cross section [mb]."""

    pattern: str
    files: Sequence[Path]
    dijets: Sequence[FoundDijets]
    cross_section: float | None

    @property
    def total(self) -> FoundDijets:
        """The dijets of all its files."""
        return joined(self.dijets)

    @property
    def weights(self) -> list[float]:
        """The event weight of each file: the cross section over the events read from all, or what
        is known of the file, or 1."""
        if self.cross_section is None:
            return [_known_weight(path) or 1.0 for path in self.files]
        return [self.cross_section / max(self.total.read, 1)] * len(self.files)

    def w(self) -> FloatArray:
        """One weight for each matched dijet (m,)."""
        return np.repeat(np.asarray(self.weights, float), [d.matched for d in self.dijets])

    def note(self) -> str:
        """How many events were read, kept and lost, and what they weigh."""
        total = self.total
        weights = ", ".join(f"{w:.5g}" for w in dict.fromkeys(self.weights))
        if total.text:
            counts = f"{total.read} lines read, {total.incomplete} incomplete ones left out"
        else:
            counts = (
                f"{total.read} events read, {total.two_gen_jets} with two gen jets, "
                f"{total.matched} ({total.matched / max(total.read, 1):.4f}) with both matched"
            )
        if self.cross_section is not None:
            weights += f" = {self.cross_section:.5g} mb / {total.read}"
        return f"{self.pattern}: {counts}; event weight {weights}"


@dataclass(frozen=True)
class DelphesDijet:
    """The two leading gen jets, each matched to the nearest reco jet within `matching_radius` in
    ΔR (distinct ones; both must be matched), or the matched dijets of the 20-column text.

    `path` is a file, a glob or a list of them, `cross_section` [mb] one number for each: an event
    weighs the cross section over the number of events read. Without it, texts have the weights
    known by their names, all else weight 1. At most `max_events` of each file are read. `target`,
    `train_fraction`, `resonance_mass` and `resonance_width` are those of `DijetRegression`.
    Raises ConfigurationError for wrong options, DataError for files that cannot be used.
    """

    path: Sequence[str] | str
    cross_section: Sequence[float] | float | None = None
    target: str = "mjj"
    matching_radius: float = 0.3
    train_fraction: float = 0.5
    resonance_mass: float | None = 2800.0
    resonance_width: float = 10.0
    max_events: int | None = None

    def __post_init__(self) -> None:
        patterns, sections = texts("data.path", self.path), self._cross_sections()
        if not patterns:
            raise ConfigurationError("data.path names no file")
        if sections is not None and len(sections) != len(patterns):
            raise ConfigurationError(
                f"data.cross_section needs one number for each of data.path: got {len(sections)} "
                f"for {len(patterns)}"
            )
        for section in sections or ():
            positive_number("each of data.cross_section", section)
        positive_number("data.matching_radius", self.matching_radius)
        if self.max_events is not None:
            positive_integer("data.max_events", self.max_events)
        self._asked()

    def regression(self, context: Context) -> RegressionTask:
        """True m_jj or jet pT, with the test samples `nominal` and `resonance`."""
        bins = self._bins(context)
        dijets = joined([each.total for each in bins])
        _refuse_few(dijets)
        w = np.concatenate([each.w() for each in bins])
        files = {str(path): sha256(path) for each in bins for path in each.files}
        notes = (*(each.note() for each in bins), *self._notes(bins))
        events = DijetEvents(dijets.gen, dijets.reco, w)
        task = self._asked().task(events, context, files, notes)
        unweighted = [note for note in notes if note in (UNTRUSTED, UNNAMED)]
        return replace(task, warnings=tuple(unweighted) if len(files) > 1 else ())

    def inputs(self) -> list[Path]:
        """The files that the numbers come from; DataError if one is missing."""
        found = found_files("data.path", texts("data.path", self.path))
        return [path for files in found for path in files]

    def _asked(self) -> DijetRegression:
        return DijetRegression(
            self.target, self.train_fraction, self.resonance_mass, self.resonance_width
        )

    def _cross_sections(self) -> list[float] | None:
        given = self.cross_section
        if given is None:
            return None
        return list(given) if isinstance(given, Sequence) else [given]

    def _bins(self, context: Context) -> list[PtHatBin]:
        patterns = texts("data.path", self.path)
        found = found_files("data.path", patterns)
        _refuse_repeated([path for files in found for path in files])
        given = self._cross_sections()
        sections = [None] * len(patterns) if given is None else given
        bins = []
        with context.progress.track("reading", sum(map(len, found))) as advance:
            for pattern, files, section in zip(patterns, found, sections, strict=True):
                dijets = []
                for path in files:
                    dijets.append(read_dijets(path, self.matching_radius, self.max_events))
                    advance(1)
                bins.append(PtHatBin(pattern, files, dijets, section))
        if self.cross_section is None:
            _refuse_mixed_weights([path for files in found for path in files])
        return bins

    def _notes(self, bins: Sequence[PtHatBin]) -> Iterator[str]:
        """On weights that are not from cross sections, and on texts without reco masses."""
        if self.cross_section is None:
            unknown = [
                dijets.text
                for each in bins
                for path, dijets in zip(each.files, each.dijets, strict=True)
                if _known_weight(path) is None
            ]
            if not unknown:
                yield "event weights [mb] known by the names of the files"
            if not all(unknown):
                yield UNTRUSTED
            if any(unknown):
                yield UNNAMED
        for each in bins:
            total = each.total
            if total.text and np.array_equal(total.gen.m, total.reco.m):
                yield (
                    f"{each.pattern}: every reco mass equals the true mass, so the mass at "
                    "detector level carries truth"
                )


def _known_weight(path: Path) -> float | None:
    return KNOWN_WEIGHTS.get(path.name.removesuffix(".gz"))


def _refuse_mixed_weights(files: Sequence[Path]) -> None:
    unknown = [path for path in files if _known_weight(path) is None]
    if unknown and len(unknown) < len(files):
        known = next(path for path in files if _known_weight(path) is not None)
        raise ConfigurationError(
            f"event weights are known of {known.name}, not of {unknown[0].name}: give "
            "data.cross_section, one number [mb] for each of data.path"
        )


def _refuse_repeated(files: Sequence[Path]) -> None:
    resolved = [path.resolve() for path in files]
    for i, path in enumerate(resolved):
        if path in resolved[:i]:
            raise ConfigurationError(
                f"data.path names {files[i]} twice: its events would train and test"
            )


def _refuse_few(dijets: FoundDijets) -> None:
    if dijets.matched < MINIMUM_EVENTS:
        raise DataError(
            f"{dijets.read} events read, {dijets.two_gen_jets} with two gen jets, "
            f"{dijets.matched} with both matched: at least {MINIMUM_EVENTS} dijets are needed to "
            "train with, and as many to test; give more files"
        )
