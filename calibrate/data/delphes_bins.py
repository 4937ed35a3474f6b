"""The Delphes files of one detector, in bins of p̂_T, and the weights of their events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibrate.checks import one_for_each, texts
from calibrate.context import Context
from calibrate.data.delphes_files import FoundDijets, joined, read_dijets
from calibrate.data.dijet_events import JET_BYTES, DijetEvents
from calibrate.data.sources import found_files, refuse_repeated
from calibrate.errors import ConfigurationError, DataError
from calibrate.memory import require_memory
from calibrate.provenance import sha256
from calibrate.sample import MINIMUM_EVENTS, FloatArray

KNOWN_WEIGHTS: Mapping[str, float] = {
    "dijets.txt": 4.568e-10,
    "dijets14.txt": 1.380e-11,
    "dijets18.txt": 4.347e-13,
}
"""Event weights [mb] of the text files of arXiv:2205.05084, which hold equal numbers of events of
p̂_T 1000-1400, 1400-1800 and above 1800 GeV."""
UNTRUSTED = (
    "weight 1 for every event of a Delphes tree: its Event.CrossSection and Event.Weight are not "
    "reliable"
)
UNNAMED = "weight 1 for every event: no event weight is known of a text of this name"


@dataclass(frozen=True)
class PtHatBin:
    """What one of `path` gave: its files and the dijets of each; its cross section [mb]."""

    pattern: str
    files: Sequence[Path]
    dijets: Sequence[FoundDijets]
    cross_section: float | None

    @property
    def total(self) -> FoundDijets:
        """The dijets of all its files."""
        return joined(self.dijets)

    @property
    def weights(self) -> list[float | FloatArray]:
        """The event weight of each file: the cross section over the events read from all, or its
        own, or what is known of a file of its name, or 1."""
        if self.cross_section is not None:
            return [self.cross_section / max(self.total.read, 1)] * len(self.files)
        known = [_known_weights(*each) for each in zip(self.files, self.dijets, strict=True)]
        return [1.0 if each is None else each for each in known]

    def w(self) -> FloatArray:
        """One weight for each matched dijet (m,)."""
        pairs = zip(self.weights, self.dijets, strict=True)
        return np.concatenate([np.broadcast_to(w, each.matched) for w, each in pairs])

    def note(self) -> str:
        """How many events were read, kept and lost, and what they weigh."""
        total = self.total
        if total.w is not None:
            return f"{self.pattern}: {total.read} matched dijets read, with weights of their own"
        weights = ", ".join(f"{w:.5g}" for w in np.unique(self.w())[::-1])
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
class DetectorDijets:
    """The dijets of one detector, the sha256 of their files, what to note and what to warn of."""

    events: DijetEvents
    files: Mapping[str, str]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class DetectorFiles:
    """The files of one detector: `path` is a file, a glob or a list of them, `cross_section` [mb]
    one number for each: an event weighs the cross section over the number of events read.

    `options` are the names of both in messages. Raises ConfigurationError for wrong options.
    """

    path: Sequence[str] | str
    cross_section: Sequence[float] | float | None
    matching_radius: float
    max_events: int | None
    options: tuple[str, str]

    def __post_init__(self) -> None:
        path, _ = self.options
        if not texts(path, self.path):
            raise ConfigurationError(f"{path} names no file")
        self._cross_sections()

    def read(self, context: Context) -> DetectorDijets:
        """All dijets. Raises DataError for files that cannot be used, or too few events;
        ConfigurationError where weights are known of some files only."""
        bins = self._bins(context)
        dijets = joined([each.total for each in bins])
        _refuse_few(self.options[0], dijets)
        w = np.concatenate([each.w() for each in bins])
        files = {str(path): sha256(path) for each in bins for path in each.files}
        unweighted = tuple(self._unweighted(bins))
        notes = (*(each.note() for each in bins), *unweighted, *self._notes(bins))
        warnings = unweighted if len(files) > 1 else ()
        return DetectorDijets(DijetEvents(dijets.gen, dijets.reco, w), files, notes, warnings)

    def _cross_sections(self) -> list[float] | None:
        path, option = self.options
        return one_for_each(option, self.cross_section, path, len(texts(path, self.path)))

    def _bins(self, context: Context) -> list[PtHatBin]:
        option = self.options[0]
        patterns = texts(option, self.path)
        found = found_files(option, patterns)
        refuse_repeated(option, [path for files in found for path in files])
        given = self._cross_sections()
        sections = [None] * len(patterns) if given is None else given
        bins: list[PtHatBin] = []
        with context.progress.track("reading", sum(map(len, found))) as advance:
            for pattern, files, section in zip(patterns, found, sections, strict=True):
                dijets = []
                for path in files:
                    dijets.append(read_dijets(path, self.matching_radius, self.max_events))
                    if not bins and len(dijets) == 1:
                        _require_memory(context, found, dijets[0])
                    advance(1)
                bins.append(PtHatBin(pattern, files, dijets, section))
        self._check_weights(bins)
        return bins

    def _check_weights(self, bins: Sequence[PtHatBin]) -> None:
        """Weights have one source: all from cross sections, or all known, or all 1."""
        path, option = self.options
        read = list(_files_of(bins))
        own = [file for file, dijets in read if dijets.w is not None]
        known = [file for file, dijets in read if _known_weights(file, dijets) is not None]
        unknown = [file for file, _ in read if file not in known]
        if self.cross_section is not None and own:
            raise ConfigurationError(
                f"{own[0].name} has weights of its own: leave {option} out, or read the trees that "
                "it was made from"
            )
        if self.cross_section is None and known and unknown:
            raise ConfigurationError(
                f"event weights are known of {known[0].name}, not of {unknown[0].name}: give "
                f"{option}, one number [mb] for each of {path}"
            )

    def _unweighted(self, bins: Sequence[PtHatBin]) -> Iterator[str]:
        """What is said of events that have weight 1 for want of anything better."""
        path, option = self.options
        read = list(_files_of(bins))
        if self.cross_section is not None or _known_weights(*read[0]) is not None:
            return
        texts_among = [dijets.text for _, dijets in read]
        remedy = f"{option} gives the cross section [mb] of each of {path}"
        if not all(texts_among):
            yield f"{UNTRUSTED}; {remedy}"
        if any(texts_among):
            yield f"{UNNAMED}; {remedy}"

    def _notes(self, bins: Sequence[PtHatBin]) -> Iterator[str]:
        """On weights known by names, and on texts without reco masses."""
        read = list(_files_of(bins))
        if self.cross_section is None and all(_named_weight(file) for file, _ in read):
            yield "event weights [mb] known by the names of the files"
        for each in bins:
            total = each.total
            if total.text and np.array_equal(total.gen.m, total.reco.m):
                yield (
                    f"{each.pattern}: every reco mass equals the true mass, so the mass at "
                    "detector level carries truth"
                )


def _files_of(bins: Sequence[PtHatBin]) -> Iterator[tuple[Path, FoundDijets]]:
    for each in bins:
        yield from zip(each.files, each.dijets, strict=True)


def _known_weights(path: Path, dijets: FoundDijets) -> float | FloatArray | None:
    """The file's own weights, or the one that is known of a text of its name."""
    return _named_weight(path) if dijets.w is None else dijets.w


def _named_weight(path: Path) -> float | None:
    return KNOWN_WEIGHTS.get(path.name.removesuffix(".gz"))


def _require_memory(context: Context, found: Sequence[Sequence[Path]], first: FoundDijets) -> None:
    """Extrapolate from the first file to all of them, by their sizes."""
    sizes = [path.stat().st_size for files in found for path in files if path.is_file()]
    events = first.matched * sum(sizes) / sizes[0]
    advice = "read fewer files, or set data.max_events"
    require_memory(context, JET_BYTES * events, f"loading about {events:.3g} dijets", advice)


def _refuse_few(option: str, dijets: FoundDijets) -> None:
    if dijets.matched < MINIMUM_EVENTS:
        raise DataError(
            f"{option}: {dijets.read} events read, {dijets.two_gen_jets} with two gen jets, "
            f"{dijets.matched} with both matched: at least {MINIMUM_EVENTS} dijets are needed to "
            "train with, and as many to test; give more files"
        )
