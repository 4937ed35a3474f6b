"""Dijet events: Pythia 8, anti-kT jets before and after a detector, and their match.

Every function handles a whole batch of events: Pythia fills an awkward array, FastJet clusters one.
Units are GeV, rad and mb.

* Pythia 8.3: C. Bierlich et al., SciPost Phys. Codebases 8 (2022), https://arxiv.org/abs/2203.11601
* Monash tune: P. Skands et al., Eur. Phys. J. C 74 (2014) 3024, https://arxiv.org/abs/1404.5630
* FastJet: M. Cacciari et al., Eur. Phys. J. C 72 (2012) 1896, https://arxiv.org/abs/1111.6097
"""

# ruff: noqa: ANN401 - Pythia and awkward arrays have no types

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from dijet_detector import Detector, Floats, Integers, Mask, Particles, measure


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
COMPONENTS = ("px", "py", "pz", "E")
JETS = ("gen1", "gen2", "reco1", "reco2")


class GenerationError(Exception):
    """A run that cannot go on; its text is shown in one line."""


def require(module: str) -> ModuleType:
    """Import a package of the extra 'generate'."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        remedy = "pip install 'hep-calibrate[generate]'"
        raise GenerationError(f"{module} needs the extra 'generate': {remedy}") from error


def bin_settings(number: int) -> list[str]:
    """All of Pythia's settings for a bin, from 1, but the seed."""
    low, high, _ = BINS[number - 1]
    edges = [f"PhaseSpace:pTHatMin = {low:g}", f"PhaseSpace:pTHatMax = {high:g}"]
    return [*PYTHIA_SETTINGS, *edges]


def start_pythia(settings: Iterable[str], seed: int) -> Any:
    """A silent Pythia, ready to generate."""
    pythia = require("pythia8mc").Pythia("", False)
    for line in (*settings, "Random:setSeed = on", f"Random:seed = {seed}"):
        pythia.readString(line)
    if not pythia.init():
        raise GenerationError("Pythia did not start")
    return pythia


def visible(events: Any) -> Any:
    """The stable particles of a batch but neutrinos, one list per event."""
    particles = events.prt[events.prt.status > 0]
    species = abs(particles.id)
    neutrinos = (species == 12) | (species == 14) | (species == 16)
    return particles[~neutrinos]


def flatten(particles: Any) -> Particles:
    """A batch as plain arrays, for the detector."""
    ak = require("awkward")
    counts = ak.to_numpy(ak.num(particles))
    px, py, pz, e = (ak.to_numpy(ak.flatten(particles.p[c])) for c in ("px", "py", "pz", "e"))
    return Particles(
        event=np.repeat(np.arange(len(counts)), counts),
        species=np.abs(ak.to_numpy(ak.flatten(particles.id))).astype(np.int64),
        energy=e,
        eta=np.arcsinh(pz / np.hypot(px, py)),
        phi=np.arctan2(py, px),
    )


def four_vectors(*components: Any) -> Any:
    """Momenta in the form that FastJet reads."""
    named = dict(zip(COMPONENTS, components, strict=True))
    return require("awkward").zip(named, with_name="Momentum4D")


def truth_momenta(particles: Any) -> Any:
    """Generated particles as lists of four-momenta, one list per event."""
    p = particles.p
    return four_vectors(p.px, p.py, p.pz, p.e)


def measured_momenta(objects: Particles, events: int) -> Any:
    """Measured, massless objects as lists of four-momenta, one list per event."""
    pt, counts = objects.pt, np.bincount(objects.event, minlength=events)
    components = (
        pt * np.cos(objects.phi),
        pt * np.sin(objects.phi),
        pt * np.sinh(objects.eta),
        objects.energy,
    )
    return require("awkward").unflatten(four_vectors(*components), counts)


class Jets(NamedTuple):
    """The leading jets of each event in falling pT, (events, jets), NaN where there are fewer."""

    pt: Floats  # [GeV]
    y: Floats  # rapidity
    phi: Floats  # [rad]
    m: Floats  # [GeV]


def leading_jets(particles: Any, number: int) -> Jets:
    """Cluster each event with anti-kT and keep its leading jets."""
    ak, fastjet = require("awkward"), require("fastjet")
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, JET_RADIUS)
    jets = fastjet.ClusterSequence(particles, definition).inclusive_jets(min_pt=MIN_JET_PT)
    order = ak.argsort(jets.px**2 + jets.py**2, ascending=False)
    padded = ak.pad_none(jets[order], number, clip=True)
    px, py, pz, e = (ak.to_numpy(ak.fill_none(padded[c], np.nan)) for c in COMPONENTS)
    mass_squared = e**2 - px**2 - py**2 - pz**2
    return Jets(
        pt=np.hypot(px, py),
        y=np.arctanh(pz / e),
        phi=np.arctan2(py, px),
        m=np.sqrt(np.maximum(mass_squared, 0.0)),
    )


def match(generated: Jets, measured: Jets) -> tuple[Integers, Mask]:
    """The measured jet nearest to each generated one, and whether all are near and distinct.

    Delta R^2 = (y - y')^2 + (phi - phi')^2, with the difference of azimuths in [-pi, pi].
    """
    rapidity = generated.y[:, :, None] - measured.y[:, None, :]
    azimuth = generated.phi[:, :, None] - measured.phi[:, None, :]
    azimuth = np.remainder(azimuth + np.pi, 2 * np.pi) - np.pi
    distance = np.nan_to_num(np.hypot(rapidity, azimuth), nan=np.inf)
    nearest = distance.argmin(axis=2)
    near = (distance.min(axis=2) < MAX_DISTANCE).all(axis=1)
    return nearest, near & (nearest[:, 0] != nearest[:, 1])


def pair_columns(generated: Jets, measured: Jets) -> dict[str, Floats]:
    """Columns gen1_pt ... reco2_m of the matched events."""
    nearest, good = match(generated, measured)
    columns = {}
    for field in Jets._fields:
        truth = getattr(generated, field)
        reco = np.take_along_axis(getattr(measured, field), nearest, axis=1)
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
