"""Simulated dijets beside dijets that stand for data, and the transport task that they pose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.checks import positive_number
from calibrate.context import Context
from calibrate.data.dijet_events import RESONANCE, DijetEvents, bulk, nonzero
from calibrate.errors import ConfigurationError, DataError
from calibrate.prior import GaussianPrior, reweight
from calibrate.sample import MINIMUM_EVENTS, Sample
from calibrate.task import NOMINAL, Pair, TransportTask

OPTION = "data.resonance_masses"


@dataclass(frozen=True)
class DijetTransport:
    """From simulation to data: m_jj (`target` mjj), or the pT of each jet (jet_pt). A fraction of
    the events of both sides trains, the complements are the test `nominal`; `resonance2200` … are
    these reweighted, each by its own true m_jj, to N(mass, resonance_width²) [GeV]. With m_jj, the
    pT of the jets of the training events are the control `jets`: two objects per event.
    Raises ConfigurationError for masses that are not positive, named twice, or no list.
    """

    target: str
    train_fraction: float
    resonance_masses: Sequence[float]
    resonance_width: float

    def __post_init__(self) -> None:
        given = self.resonance_masses
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise ConfigurationError(f"{OPTION} takes a list, got {given!r}")
        for mass in given:
            positive_number(f"each of {OPTION}", mass)
        if len({f"{mass:g}" for mass in given}) < len(given):
            raise ConfigurationError(f"{OPTION} takes different masses, got {list(given)}")

    def task(
        self,
        simulation: DijetEvents,
        data: DijetEvents,
        context: Context,
        files: Mapping[str, str],
        notes: tuple[str, ...] = (),
    ) -> TransportTask:
        """The task; both sides have their truth, and data's is kept apart from it.

        Raises DataError if a resonance has too few events to be tested on.
        """
        context = context.child("data", "transport")
        simulated = self._side("simulation", simulation, context)
        measured = self._side("data", data, context)
        tests = {NOMINAL: Pair.of(simulated.test, measured.test)}
        for mass in self.resonance_masses:
            narrow, seen = (
                side.resonance(mass, self.resonance_width) for side in (simulated, measured)
            )
            tests[f"{RESONANCE}{mass:g}"] = Pair.of(narrow, seen)
        train = Pair.of(simulated.train, measured.train)
        controls = {}
        if self.target == "mjj":
            jets = (simulated.of_training(simulation), measured.of_training(data))
            controls["jets"] = Pair.of(jets[0], jets[1])
        return TransportTask(train, tests, {}, files, notes, controls=controls)

    def _side(self, name: str, events: DijetEvents, context: Context) -> _Side:
        masses = events.masses()
        sample = masses if self.target == "mjj" else events.jet_momenta()
        train, test = sample.split(self.train_fraction, context.stream(name))
        return _Side(name, masses, train, test)


@dataclass(frozen=True)
class _Side:
    """Simulation or data with truth: m_jj of all events, and the parts that train and test."""

    name: str
    masses: Sample
    train: Sample
    test: Sample

    def of_training(self, events: DijetEvents) -> Sample:
        """pT of the jets of the events that train."""
        jets = events.jet_momenta()
        return jets.take(np.isin(jets.group, self.train.group))

    def resonance(self, mass: float, width: float) -> Sample:
        """The test rows with the weights of a resonance, p(z) known from all events."""
        try:
            weights = reweight(self.masses, GaussianPrior(mass, width)).w[self.test.group]
        except DataError as error:
            raise DataError(f"{self.name}: {error}, or change {OPTION}") from error
        held = nonzero(weights)
        events = np.unique(self.test.group[held]).size
        if events < MINIMUM_EVENTS:
            raise DataError(
                f"{self.name}: the resonance at {mass:g} GeV would hold {events} events: at least "
                f"{MINIMUM_EVENTS} are needed; {bulk(self.masses)}: change {OPTION} or widen "
                "data.resonance_width"
            )
        return self.test.with_weights(weights).take(held)
