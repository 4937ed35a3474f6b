"""Matched dijets, and the regression task that they pose, wherever they were read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibrate.checks import choice, fraction, positive_number
from calibrate.context import Context
from calibrate.errors import DataError
from calibrate.kinematics import Jets, delta_phi, dijet_mass, pseudorapidity
from calibrate.prior import GaussianPrior, reweight
from calibrate.sample import MINIMUM_EVENTS, BoolArray, Column, FloatArray, Sample
from calibrate.statistics import weighted_mean, weighted_quantile
from calibrate.task import NOMINAL, RegressionTask

TARGETS = ("mjj", "jet_pt")
RESONANCE = "resonance"
RECO_MASS, TRUE_MASS = "mjj_reco", "mjj_true"
MASS_BYTES, JET_BYTES = 160, 600
"""Memory per event while the task is made of m_jj, or of all components of the jets, measured:
columns, sample, its parts, resonance."""
TAIL = 0.2
"""Relative distance from the median response beyond which an event belongs to the tails."""


@dataclass(frozen=True)
class DijetEvents:
    """Two jets of each event at truth (`gen`) and detector level (`reco`), each component (n, 2)
    in GeV and rad, column i of `reco` being the partner of column i of `gen`; weights (n,)."""

    gen: Jets
    reco: Jets
    w: FloatArray

    def masses(self) -> Sample:
        """m_jj [GeV]: one row per event; spectators are the larger values of both jets."""
        return mass_sample(self.mass_columns())

    def mass_columns(self) -> dict[str, FloatArray]:
        """What `mass_sample` is made of: m_jj [GeV] at both levels, weights, spectators, (n,)."""
        spectators = {k: np.max(v, axis=1) for k, v in self._spectators().items()}
        return {RECO_MASS: _mass(self.reco), TRUE_MASS: _mass(self.gen), "w": self.w, **spectators}

    def single_jets(self) -> Sample:
        """pT [GeV], η and mass [GeV] of the jets: one row per jet, the event as group."""
        pt, y, _, m = (_one_per_jet(part) for part in self.reco)
        return Sample(
            x=np.column_stack([pt, pseudorapidity(pt, y, m), m]),
            z=_one_per_jet(self.gen.pt)[:, None],
            w=np.tile(self.w, 2),
            x_columns=(
                Column("pt_reco", "GeV", positive=True),
                Column("eta_reco"),
                Column("m_reco", "GeV"),
            ),
            z_columns=(Column("pt_true", "GeV", positive=True),),
            group=np.tile(np.arange(self.w.size), 2),
            spectators={k: _one_per_jet(v) for k, v in self._spectators().items()},
        )

    def jet_momenta(self) -> Sample:
        """pT [GeV] of the jets as the only feature; η and mass are spectators."""
        jets = self.single_jets()
        others = {c.name: jets.x[:, i] for i, c in enumerate(jets.x_columns) if i}
        return replace(
            jets,
            x=jets.x[:, :1],
            x_columns=jets.x_columns[:1],
            spectators={**jets.spectators, **others},
        )

    def _spectators(self) -> dict[str, FloatArray]:
        """|η| of the gen jets and ΔR of gen and reco jet, each (n, 2)."""
        gen, reco = (pseudorapidity(jets.pt, jets.y, jets.m) for jets in (self.gen, self.reco))
        dr = np.hypot(gen - reco, delta_phi(self.gen.phi, self.reco.phi))
        return {"abs_eta_true": np.abs(gen), "dr": dr}


@dataclass(frozen=True)
class DijetRegression:
    """What is asked of dijets: `target` is `mjj` (z = true m_jj, x = m_jj) or `jet_pt` (z = true
    jet pT, x = jet pT, η, mass; both jets of an event stay together). A fraction of the events
    trains, the complement tests: `nominal` with the events' weights, `resonance` reweighted to
    N(resonance_mass, resonance_width²) [GeV] in true m_jj; `resonance_mass=None` leaves it out.
    Raises ConfigurationError when out of range.
    """

    target: str
    train_fraction: float
    resonance_mass: float | None
    resonance_width: float

    def __post_init__(self) -> None:
        choice("data.target", self.target, TARGETS)
        if self.resonance_mass is not None:
            positive_number("data.resonance_mass", self.resonance_mass)
        positive_number("data.resonance_width", self.resonance_width)
        fraction("data.train_fraction", self.train_fraction)

    def task(
        self,
        events: DijetEvents,
        context: Context,
        files: Mapping[str, str],
        notes: Sequence[str] = (),
    ) -> RegressionTask:
        """The task with its test samples; `files` with their sha256.

        Raises DataError if a resonance has too few events to be tested on.
        """
        masses = events.masses()
        sample = masses if self.target == "mjj" else events.single_jets()
        return self.posed(masses, sample, context, files, notes)

    def posed(
        self,
        masses: Sample,
        sample: Sample,
        context: Context,
        files: Mapping[str, str],
        notes: Sequence[str] = (),
    ) -> RegressionTask:
        """The task of a sample whose groups are the rows of `masses`, or which is `masses`.

        Raises DataError as `task` does.
        """
        train, test = sample.split(self.train_fraction, context.child("data").stream("split"))
        notes = (*notes, *response_notes(sample))
        uncalibrated = (sample.x_columns[0].name,)
        task = RegressionTask(train, {NOMINAL: test}, uncalibrated, {}, files, notes)
        if self.resonance_mass is None:
            return task
        resonance = self._resonance(masses, sample, self.resonance_mass)
        tested = resonance.take(np.isin(sample.group, test.group))
        kept = self._enough(tested.take(nonzero(tested.w)), masses)
        return replace(task, tests={NOMINAL: test, RESONANCE: kept})

    def _resonance(self, masses: Sample, sample: Sample, mass: float) -> Sample:
        """The events or jets of `sample` with the weights of a resonance in true m_jj."""
        try:
            signal = reweight(masses, GaussianPrior(mass, self.resonance_width))
        except DataError as error:
            raise DataError(f"{error}, or leave it out with data.resonance_mass=null") from error
        return sample.with_weights(signal.w[sample.group])

    def _enough(self, resonance: Sample, masses: Sample) -> Sample:
        if len(resonance) < MINIMUM_EVENTS:
            raise DataError(
                f"the test sample 'resonance' would hold {len(resonance)} events: at least "
                f"{MINIMUM_EVENTS} are needed; {bulk(masses)}: "
                f"change data.resonance_mass={self.resonance_mass:g}, widen "
                f"data.resonance_width={self.resonance_width:g}, or leave it out with "
                "data.resonance_mass=null"
            )
        return resonance


def mass_sample(columns: Mapping[str, FloatArray]) -> Sample:
    """m_jj of the events with these `mass_columns`."""
    own = (RECO_MASS, TRUE_MASS, "w")
    return Sample(
        x=columns[RECO_MASS][:, None],
        z=columns[TRUE_MASS][:, None],
        w=columns["w"],
        x_columns=(Column(RECO_MASS, "GeV", positive=True),),
        z_columns=(Column(TRUE_MASS, "GeV", positive=True),),
        spectators={name: values for name, values in columns.items() if name not in own},
    )


def bulk(masses: Sample) -> str:
    """Where most events are, in words."""
    low, high = weighted_quantile(masses.z[:, 0], np.ones(len(masses)), [0.16, 0.84])
    return f"most true m_jj lie in {low:.0f}-{high:.0f} GeV"


def response_notes(sample: Sample) -> tuple[str, ...]:
    """How the uncalibrated response u = x/z is distributed, and what its tails do to its mean.

    Nothing is said of samples with negative weights, which have no quantiles.
    """
    if np.any(sample.w < 0):
        return ()
    u, w = sample.x[:, 0] / sample.z[:, 0], sample.w
    low, median, high = weighted_quantile(u, w, [0.16, 0.5, 0.84])
    low_tail, high_tail = u < (1 - TAIL) * median, u > (1 + TAIL) * median
    mean, core = float(weighted_mean(u, w)), ~(low_tail | high_tail)
    below, above = (100 * np.sum(w[tail]) / np.sum(w) for tail in (low_tail, high_tail))
    text = (
        f"uncalibrated {sample.x_columns[0].name}/{sample.z_columns[0].name}: mean {mean:.4f}, "
        f"median {median:.4f}, half 16-84 % width {(high - low) / 2:.4f}; {below + above:.2f} % of "
        f"the weight lies beyond ±{100 * TAIL:.0f} % of the median ({below:.2f} % below, "
        f"{above:.2f} % above)"
    )
    if np.all(core):
        return (text,)
    shift = mean - float(weighted_mean(u[core], w[core]))
    return (f"{text}: jets split, merged or badly measured, which move the mean by {shift:+.4f}",)


def _mass(jets: Jets) -> FloatArray:
    """m_jj [GeV] (n,) of components (n, 2)."""
    return dijet_mass(*(Jets(*(part[:, i] for part in jets)) for i in (0, 1)))


def _one_per_jet(values: FloatArray) -> FloatArray:
    """(n, 2) as (2n,): the first jets of all events, then the second ones."""
    return np.asarray(values.T.reshape(-1))


def nonzero(w: FloatArray) -> BoolArray:
    """Which of the weights (n,) a narrow spectrum leaves: the other events only cost time."""
    size = np.abs(w)
    return np.asarray(size > 1e-9 * np.max(size))
