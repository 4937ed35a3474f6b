"""Dijet events: Pythia 8, anti-kT jets before and after a detector, and their match.

Every function handles a whole batch of events. Units are GeV, rad and mb.
"""

# ruff: noqa: ANN401 - Pythia and awkward arrays have no types

from typing import Any, NamedTuple

import numpy as np
from detector import Detector, Floats, Integers, Mask, measure
from jets import Jets, cluster, falling_pt, nearest, padded
from pythia_events import flatten, measured_momenta, start_pythia, truth_momenta, visible


class PtHatBin(NamedTuple):
    """A range of the transverse momentum of the hard process."""

    low: float  # [GeV]
    high: float  # [GeV]; -1 for no upper edge
    share: float  # of all generated events


BINS = (PtHatBin(1000, 1400, 0.60), PtHatBin(1400, 1800, 0.25), PtHatBin(1800, -1, 0.15))
PYTHIA_SETTINGS = (
    "Print:quiet = on",
    "Beams:idA = 2212",
    "Beams:idB = 2212",
    "Beams:eCM = 7000",
    "Tune:pp = 14",
    "HardQCD:all = on",
    "PartonLevel:MPI = on",
    "PartonLevel:ISR = on",
    "PartonLevel:FSR = on",
)
JET_RADIUS = 0.5
MIN_JET_PT = 20.0  # [GeV]
MAX_DISTANCE = 0.3  # Delta R between a generated jet and its measured one
CANDIDATES = 8  # leading measured jets among which a match is sought
JETS = ("gen1", "gen2", "reco1", "reco2")


def bin_settings(number: int) -> list[str]:
    """All of Pythia's settings for a bin, from 1, but the seed."""
    low, high, _ = BINS[number - 1]
    edges = [f"PhaseSpace:pTHatMin = {low:g}", f"PhaseSpace:pTHatMax = {high:g}"]
    return [*PYTHIA_SETTINGS, *edges]


def leading_jets(particles: Any, number: int) -> Jets:
    """Cluster each event with anti-kT and keep its leading jets."""
    jets = cluster(particles, "antikt", JET_RADIUS).inclusive_jets(min_pt=MIN_JET_PT)
    return padded(jets[falling_pt(jets)], number)


def match(generated: Jets, measured: Jets) -> tuple[Integers, Mask]:
    """The measured jet nearest to each generated one, and whether all are near and distinct."""
    index, distance = nearest(generated, measured)
    near = (distance < MAX_DISTANCE).all(axis=1)
    return index, near & (index[:, 0] != index[:, 1])


def pair_columns(generated: Jets, measured: Jets) -> dict[str, Floats]:
    """Columns gen1_pt ... reco2_m of the matched events."""
    index, good = match(generated, measured)
    columns = {}
    for field in Jets._fields:
        truth = getattr(generated, field)
        reco = np.take_along_axis(getattr(measured, field), index, axis=1)
        for jet, values in zip(JETS, (*truth.T, *reco.T), strict=True):
            columns[f"{jet}_{field}"] = values[good]
    return columns


class Batch(NamedTuple):
    """Matched dijets of one bin."""

    generated: int  # events
    sigma: float  # cross section of the bin [mb]
    error: float  # its statistical error [mb]
    columns: dict[str, Floats]  # gen1_pt ... reco2_m of the matched events

    @property
    def kept(self) -> int:
        """Number of matched events."""
        return len(self.columns["gen1_pt"])


def generate(
    number: int, events: int, seed: int, detector: Detector, rng: np.random.Generator
) -> Batch:
    """Generate events of a bin, with a seed for Pythia and random numbers for the detector."""
    pythia = start_pythia(bin_settings(number), seed)
    particles = visible(pythia.nextBatch(events))
    objects = measure(flatten(particles), detector, rng)
    generated = leading_jets(truth_momenta(particles), 2)
    measured = leading_jets(measured_momenta(objects, len(particles)), CANDIDATES)
    columns, info = pair_columns(generated, measured), pythia.infoPython()
    return Batch(len(particles), info.sigmaGen(), info.sigmaErr(), columns)
