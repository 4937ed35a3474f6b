"""Dijets simulated with Delphes: ROOT trees, the 20-column text, or HDF5 columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calibrate.checks import positive_integer, positive_number
from calibrate.context import Context
from calibrate.data.delphes_bins import DetectorDijets, DetectorFiles
from calibrate.data.dijet_events import DijetRegression
from calibrate.data.dijet_pairs import DijetTransport
from calibrate.data.sources import input_files
from calibrate.errors import ConfigurationError
from calibrate.task import RegressionTask, TransportTask


@dataclass(frozen=True)
class DelphesDijet:
    """The two leading gen jets, each matched to the nearest reco jet within `matching_radius` in
    ΔR (distinct ones; both must be matched); or the matched dijets of the 20-column text, or of
    HDF5 columns with their own weights.

    `path` is a file, a glob or a list of them, `cross_section` [mb] one number for each: an event
    weighs the cross section over the number of events read. Without it, texts have the weights
    known by their names, trees weight 1. At most `max_events` of each file are read. `target`,
    `train_fraction`, `resonance_mass` and `resonance_width` are those of `DijetRegression`.

    Transport carries `target` of `path` to the files of another detector, `target_path` with
    `target_cross_section`, which stands for data; its tests are `nominal` and the resonances of
    `resonance_masses` [GeV].
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
    target_path: Sequence[str] | str | None = None
    target_cross_section: Sequence[float] | float | None = None
    resonance_masses: Sequence[float] = (2200.0, 2800.0, 3400.0)

    def __post_init__(self) -> None:
        positive_number("data.matching_radius", self.matching_radius)
        if self.max_events is not None:
            positive_integer("data.max_events", self.max_events)
        self._asked()
        self._pairs()
        self._simulation()
        if self.target_path is not None:
            self._data(self.target_path)
        elif self.target_cross_section is not None:
            raise ConfigurationError(
                "data.target_cross_section is that of data.target_path, which is not given: name "
                "the files of data, or leave it out"
            )

    def check(self, kind: str) -> None:
        """Raise ConfigurationError for a transport without `target_path`."""
        if kind == "transport" and self.target_path is None:
            raise ConfigurationError(
                "transport carries the simulation data.path to data: name the files of another "
                "detector with data.target_path=…"
            )

    def regression(self, context: Context) -> RegressionTask:
        """True m_jj or jet pT, with the test samples `nominal` and `resonance`."""
        read = self._simulation().read(context)
        task = self._asked().task(read.events, context, read.files, read.notes)
        return replace(task, warnings=read.warnings)

    def transport(self, context: Context) -> TransportTask:
        """m_jj or jet pT of the simulation `path` to that of `target_path`.

        Raises ConfigurationError without `target_path`, or if both sides share a file.
        """
        self.check("transport")
        simulation = self._simulation().read(context)
        data = self._data(self.target_path or ()).read(context)
        _refuse_shared(simulation, data)
        stands = (
            "data.path is the simulation; data.target_path stands for data, whose truth selects "
            "its dijets and reweights them to resonances, and is used for nothing else"
        )
        task = self._pairs().task(
            simulation.events,
            data.events,
            context,
            {**simulation.files, **data.files},
            (stands, *simulation.notes, *data.notes),
        )
        return replace(task, warnings=(*simulation.warnings, *data.warnings))

    def inputs(self) -> list[Path]:
        """The files that the numbers come from; DataError if one is missing."""
        return input_files({"data.path": self.path, "data.target_path": self.target_path})

    def _asked(self) -> DijetRegression:
        return DijetRegression(
            self.target, self.train_fraction, self.resonance_mass, self.resonance_width
        )

    def _pairs(self) -> DijetTransport:
        return DijetTransport(
            self.target, self.train_fraction, self.resonance_masses, self.resonance_width
        )

    def _simulation(self) -> DetectorFiles:
        options = ("data.path", "data.cross_section")
        return DetectorFiles(
            self.path, self.cross_section, self.matching_radius, self.max_events, options
        )

    def _data(self, path: Sequence[str] | str) -> DetectorFiles:
        options = ("data.target_path", "data.target_cross_section")
        return DetectorFiles(
            path, self.target_cross_section, self.matching_radius, self.max_events, options
        )


def _refuse_shared(simulation: DetectorDijets, data: DetectorDijets) -> None:
    for path, digest in data.files.items():
        if digest in simulation.files.values():
            raise ConfigurationError(
                f"data.target_path: {path} holds events of data.path: simulation and data need "
                "different events"
            )
