"""Simulated dijet events with truth and detector level: the bundled sample, or a file like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calibrate.checks import choice
from calibrate.context import Context
from calibrate.data.bundled_files import bundled, chosen_file
from calibrate.data.dijet_columns import read_events
from calibrate.data.dijet_events import DijetEvents, DijetRegression
from calibrate.data.dijet_pairs import DijetTransport
from calibrate.errors import ConfigurationError, DataError
from calibrate.provenance import sha256
from calibrate.sample import MINIMUM_EVENTS
from calibrate.task import RegressionTask, TransportTask

DETECTORS = ("full", "fast")


@dataclass(frozen=True)
class Dijet:
    """Dijets at 7 TeV: true m_jj (or each jet's true pT) from detector level.

    `path` names a file of the same layout instead of the bundled `detector` sample (`full` or
    `fast`). `target`, `train_fraction`, `resonance_mass` and `resonance_width` are those of
    `DijetRegression`.

    Transport carries `target` of the `simulation` sample to the other bundled one, or to `path`;
    its tests are `nominal` and the resonances of `resonance_masses` [GeV].
    Raises ConfigurationError for wrong options, DataError for files that cannot be used.
    """

    path: str | None = None
    detector: str = "full"
    target: str = "mjj"
    train_fraction: float = 0.5
    resonance_mass: float | None = 2800.0
    resonance_width: float = 10.0
    simulation: str = "fast"
    resonance_masses: Sequence[float] = (2200.0, 2800.0, 3400.0)

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | None):
            raise ConfigurationError(f"data.path must be a path, got {self.path!r}")
        choice("data.detector", self.detector, DETECTORS)
        choice("data.simulation", self.simulation, DETECTORS)
        self._asked()
        self._pairs()

    def regression(self, context: Context) -> RegressionTask:
        """True m_jj or jet pT, with the test samples `nominal` and `resonance`."""
        path = self.source()
        return self._asked().task(_events(path), context, {path.name: sha256(path)})

    def transport(self, context: Context) -> TransportTask:
        """m_jj or jet pT of the simulated detector to that of data: `detector`, or the file `path`.

        Raises ConfigurationError if both are the same sample.
        """
        simulation, data = bundled(_file(self.simulation)), self.source()
        if simulation == data:
            raise ConfigurationError(
                f"data.simulation={self.simulation} and data.detector={self.detector} are the same "
                "events: choose fast and full"
            )
        return self._pairs().task(
            _events(simulation),
            _events(data),
            context,
            {path.name: sha256(path) for path in (simulation, data)},
            (
                f"{simulation.name} is the simulation; {data.name} stands for data, whose truth is "
                "used for nothing but its own reweighting to resonances",
            ),
        )

    def _pairs(self) -> DijetTransport:
        return DijetTransport(
            self.target, self.train_fraction, self.resonance_masses, self.resonance_width
        )

    def _asked(self) -> DijetRegression:
        return DijetRegression(
            self.target, self.train_fraction, self.resonance_mass, self.resonance_width
        )

    def inputs(self) -> list[Path]:
        """The files that the numbers come from."""
        return [self.source(), bundled(_file(self.simulation))]

    def source(self) -> Path:
        """The file the events come from; DataError if it does not exist."""
        return chosen_file(self.path, _file(self.detector), "dijets")


def _file(detector: str) -> str:
    return f"dijet_{detector}.h5"


def _events(path: Path) -> DijetEvents:
    """The events of a file; DataError if they are too few."""
    events = read_events(path)
    if events.w.size < MINIMUM_EVENTS:
        raise DataError(
            f"{path.name} holds {events.w.size} events: at least {MINIMUM_EVENTS} are needed to "
            "train with, and as many to test"
        )
    return events
