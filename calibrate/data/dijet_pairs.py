"""Simulated dijets beside dijets that stand for data, and the transport task that they pose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from calibrate.checks import positive_number
from calibrate.context import Context
from calibrate.data.dijet_events import RESONANCE, nonzero
from calibrate.errors import ConfigurationError, DataError
from calibrate.prior import GaussianPrior, reweight
from calibrate.sample import MINIMUM_EVENTS, Sample
from calibrate.task import NOMINAL, Pair, TransportTask

OPTION = "data.resonance_masses"


@dataclass(frozen=True)
class DijetTransport:
    """m_jj from simulation to data. A fraction of both samples trains, the complements are the
    test `nominal`; `resonance2200` … are these reweighted, each by its own true m_jj, to
    N(mass, resonance_width²) [GeV].
    Raises ConfigurationError for masses that are not positive or no list.
    """

    train_fraction: float
    resonance_masses: Sequence[float]
    resonance_width: float

    def __post_init__(self) -> None:
        if isinstance(self.resonance_masses, str) or not isinstance(
            self.resonance_masses, Iterable
        ):
            raise ConfigurationError(f"{OPTION} takes a list, got {self.resonance_masses!r}")
        for mass in self.resonance_masses:
            positive_number(f"each of {OPTION}", mass)

    def task(
        self,
        simulation: Sample,
        data: Sample,
        context: Context,
        files: Mapping[str, str],
        notes: tuple[str, ...] = (),
    ) -> TransportTask:
        """The task; both samples have their truth, and data's is kept apart from it.

        Raises DataError if a resonance has too few events to be tested on.
        """
        context = context.child("data", "transport")
        halves = {
            name: sample.split(self.train_fraction, context.stream(name))
            for name, sample in (("simulation", simulation), ("data", data))
        }
        (trained, tested), (shown, seen) = halves["simulation"], halves["data"]
        tests = {NOMINAL: Pair.of(tested, seen)}
        for mass in self.resonance_masses:
            resonances = (
                self._resonance(whole, test, mass)
                for whole, test in ((simulation, tested), (data, seen))
            )
            narrow, measured = resonances
            tests[f"{RESONANCE}{mass:g}"] = Pair.of(narrow, measured)
        return TransportTask(Pair.of(trained, shown), tests, {}, files, notes)

    def _resonance(self, whole: Sample, test: Sample, mass: float) -> Sample:
        """The test events with the weights of a resonance, p(z) known from the whole sample."""
        prior = GaussianPrior(mass, self.resonance_width)
        try:
            weights = reweight(whole, prior).w[test.group]
        except DataError as error:
            raise DataError(f"{error}, or change {OPTION}") from error
        kept = nonzero(test.with_weights(weights))
        if len(kept) < MINIMUM_EVENTS:
            raise DataError(
                f"the resonance at {mass:g} GeV would hold {len(kept)} events: at least "
                f"{MINIMUM_EVENTS} are needed; change {OPTION} or widen data.resonance_width"
            )
        return kept
