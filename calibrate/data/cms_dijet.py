"""Dijets of CMS open data of 2011: the full simulation in the HDF5 files of EnergyFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calibrate.checks import count, one_for_each, positive_number, texts
from calibrate.context import Context
from calibrate.data.delphes_bins import DetectorFiles
from calibrate.data.dijet_events import (
    JET_BYTES,
    MASS_BYTES,
    DijetEvents,
    DijetRegression,
    mass_sample,
)
from calibrate.data.dijet_pairs import DijetTransport
from calibrate.data.mod_pairs import JetCuts
from calibrate.data.mod_sets import (
    Columns,
    EventColumns,
    ModSet,
    dijet_events,
    jet_columns,
    mod_sets,
)
from calibrate.data.sources import found_files, input_files, refuse_repeated
from calibrate.errors import ConfigurationError, DataError
from calibrate.memory import require_memory
from calibrate.provenance import sha256
from calibrate.sample import MINIMUM_EVENTS, Sample
from calibrate.task import RegressionTask, TransportTask

RADIUS = 0.3
"""In ΔR, of the jets of a Delphes simulation and their gen jets."""


@dataclass(frozen=True)
class CmsDijet:
    """Events with two jets of the CMS simulation, each matched to a gen jet, from the files SIM….

    `path` is a file, a glob, a fetched set (`SIM1000`) or a list of them; jets are brought together
    by run, luminosity section and event. Weights [nb] are scaled so that the files given stand for
    their whole set: its sum is known by the names of the files, or given by `weight_sum`, one
    number for each of `path`. Jets have at least the file's `min_quality`, and at most
    `max_abs_eta`; their pT and mass are uncorrected, or times `jec` with `corrected`. `target`,
    `train_fraction`, `resonance_mass` and `resonance_width` are those of `DijetRegression`.

    Transport carries `target` of a Delphes `simulation` (files as in `data=delphes_dijet`, with
    `simulation_cross_section` [mb]) to this one, which stands for data; its tests are `nominal` and
    the resonances of `resonance_masses` [GeV].
    Raises ConfigurationError for wrong options, DataError for files that cannot be used.
    """

    path: Sequence[str] | str
    weight_sum: Sequence[float] | float | None = None
    min_quality: int | None = None
    max_abs_eta: float | None = None
    corrected: bool = False
    target: str = "mjj"
    train_fraction: float = 0.5
    resonance_mass: float | None = 2800.0
    resonance_width: float = 10.0
    simulation: Sequence[str] | str | None = None
    simulation_cross_section: Sequence[float] | float | None = None
    resonance_masses: Sequence[float] = (2200.0, 2800.0, 3400.0)

    def __post_init__(self) -> None:
        if not texts("data.path", self.path):
            raise ConfigurationError("data.path names no file")
        self._sums()
        if self.min_quality is not None:
            count("data.min_quality", self.min_quality)
        if self.max_abs_eta is not None:
            positive_number("data.max_abs_eta", self.max_abs_eta)
        if not isinstance(self.corrected, bool):
            raise ConfigurationError(f"data.corrected is true or false, got {self.corrected!r}")
        self._asked()
        self._pairs()
        if self.simulation is not None:
            self._delphes(self.simulation)

    def check(self, kind: str) -> None:
        """Raise ConfigurationError for a transport without `simulation`."""
        if kind == "transport" and self.simulation is None:
            raise ConfigurationError(
                "transport needs a simulation beside the CMS one: name its Delphes files with "
                "data.simulation=…"
            )

    def regression(self, context: Context) -> RegressionTask:
        """True m_jj or jet pT, with the test samples `nominal` and `resonance`."""
        sets = self._sets()
        if self.target == "mjj":
            masses, notes = self._masses(sets, context)
            return self._asked().posed(masses, masses, context, _hashes(sets), notes)
        columns, notes = self._read(sets, jet_columns, context)
        return self._asked().task(dijet_events(columns), context, _hashes(sets), notes)

    def transport(self, context: Context) -> TransportTask:
        """m_jj or jet pT of the Delphes simulation to that of the CMS one, which stands for data.

        Raises ConfigurationError without `simulation`.
        """
        self.check("transport")
        simulated = self._delphes(self.simulation or ()).read(context)
        sets = self._sets()
        columns, notes = self._read(sets, jet_columns, context)
        stands = (
            "data.simulation is the simulation; data.path stands for data, whose truth selects its "
            "dijets and reweights them to resonances, and is used for nothing else"
        )
        task = self._pairs().task(
            simulated.events,
            dijet_events(columns),
            context,
            {**simulated.files, **_hashes(sets)},
            (stands, *(f"simulation: {note}" for note in simulated.notes), *notes),
        )
        return replace(task, warnings=simulated.warnings)

    def inputs(self) -> list[Path]:
        """The files that the numbers come from; DataError if one is missing."""
        return input_files({"data.path": self.path, "data.simulation": self.simulation})

    def masses(self, context: Context) -> Sample:
        """m_jj of all events."""
        return self._masses(self._sets(), context)[0]

    def _masses(self, sets: Sequence[ModSet], context: Context) -> tuple[Sample, tuple[str, ...]]:
        columns, notes = self._read(sets, DijetEvents.mass_columns, context)
        return mass_sample(columns), notes

    def _read(
        self,
        sets: Sequence[ModSet],
        columns: Callable[[DijetEvents], Columns],
        context: Context,
    ) -> tuple[Columns, tuple[str, ...]]:
        """The columns of the events of all sets, and notes; DataError for too few events."""
        cuts = JetCuts(self.min_quality, self.max_abs_eta, self.corrected)
        files = [file for each in sets for file in each.files]
        found = EventColumns(sum(file.jets for file in files) // 2)
        require_memory(
            context,
            found.capacity * (JET_BYTES if columns is jet_columns else MASS_BYTES),
            f"loading up to {found.capacity} events",
            "read fewer files: some of a set stand for all of it",
        )
        with context.progress.track("reading", len(files)) as advance:
            notes = [each.read(cuts, columns, found, advance) for each in sets]
        if found.events < MINIMUM_EVENTS:
            raise DataError(
                f"{found.events} events found ({'; '.join(notes)}): at least {MINIMUM_EVENTS} are "
                "needed to train with, and as many to test"
            )
        return found.taken(), tuple(notes)

    def _sets(self) -> list[ModSet]:
        patterns = texts("data.path", self.path)
        found = found_files("data.path", patterns)
        refuse_repeated("data.path", [path for files in found for path in files])
        return mod_sets(patterns, found, self._sums())

    def _sums(self) -> list[float] | None:
        number = len(texts("data.path", self.path))
        return one_for_each("data.weight_sum", self.weight_sum, "data.path", number)

    def _delphes(self, path: Sequence[str] | str) -> DetectorFiles:
        options = ("data.simulation", "data.simulation_cross_section")
        return DetectorFiles(path, self.simulation_cross_section, RADIUS, None, options)

    def _asked(self) -> DijetRegression:
        return DijetRegression(
            self.target, self.train_fraction, self.resonance_mass, self.resonance_width
        )

    def _pairs(self) -> DijetTransport:
        return DijetTransport(
            self.target, self.train_fraction, self.resonance_masses, self.resonance_width
        )


def _hashes(sets: Sequence[ModSet]) -> dict[str, str]:
    return {str(file.path): sha256(file.path) for each in sets for file in each.files}
