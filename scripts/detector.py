"""A parametric, CMS-like detector in plain numpy: stable particles in, measured objects out.

Every particle meets three instruments.

* The **tracker** sees charged hadrons and muons. It serves where particles are apart: hadrons that
  cross the same hadronic cell shadow each other, so that the efficiency falls with their number.
  Muons stand out behind the calorimeters, and are found among any number of hadrons.
* The **electromagnetic calorimeter** stops photons and electrons.
* The **hadronic calorimeter** stops hadrons, and photons and electrons beyond the reach of the
  electromagnetic one. It answers to hadrons less than to electrons, and not linearly (`pi_over_e`).

A charged hadron is measured once: by its track where that was found and is the more precise of
the two, else by the hadronic calorimeter. A calorimeter sums the energy in cells, smears each sum
and cuts at a threshold. Last, both are multiplied by a gain that a whole wedge shares. This step
keeps the resolution of a TeV jet finite: the errors of hundreds of particles average out, that of
the wedge does not.

In the dense core of a TeV jet the tracker contributes little, in one jet as in the other.
A jet's response is then that of the calorimeters: below one by the deficit of its hadrons, rising
slowly with pT as pi/e does, and nearly symmetric about its mean, because the gain dominates its
spread.

Left out: magnetic field, shower shapes, hadronic energy in the electromagnetic calorimeter,
pile-up, fake tracks. Measured objects are massless. Units are GeV and rad throughout.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

ELECTRON, MUON, PHOTON = 11, 13, 22
CHARGED_HADRONS = (211, 321, 2212)


@dataclass(frozen=True)
class Tracker:
    """Constants of the tracker."""

    max_eta: float  # acceptance in |eta|
    min_pt: float  # threshold in pT [GeV]
    plateau: float  # efficiency for an isolated particle, and for muons
    cell: float  # side of the eta-phi square in which hadrons shadow each other [rad]
    crowding: float  # neighbours in that square that cost a factor e of efficiency
    constant: float  # sigma(pT)/pT at low pT, multiple scattering
    slope: float  # growth of sigma(pT)/pT with pT, curvature [1/GeV]


@dataclass(frozen=True)
class Calorimeter:
    """Constants of one calorimeter."""

    max_eta: float  # acceptance in |eta|
    cell: float  # side of a cell in eta and phi [rad]
    threshold: float  # least energy of a cell that is read out [GeV]
    stochastic: float  # S in sigma(E)/E = S/sqrt(E) (+) N/E (+) C [sqrt(GeV)]
    noise: float  # N, likewise [GeV]
    constant: float  # C, likewise


@dataclass(frozen=True)
class Wedges:
    """Constants of the gain that a wedge of both calorimeters shares."""

    side: float  # of a wedge in eta and phi [rad]; 0.35 is 20 degrees
    spread: float  # of the gain's logarithm: dead material, leakage, intercalibration


@dataclass(frozen=True)
class HadronResponse:
    """Constants of Groom's parametrisation of the response to hadrons; see `pi_over_e`."""

    h_over_e: float  # response to the hadronic part of a shower, relative to electrons
    scale: float  # E0, energy from which showers have an electromagnetic part [GeV]
    power: float  # k; the electromagnetic fraction is 1 - (E/E0)^(k-1)


@dataclass(frozen=True)
class Detector:
    """All constants of one detector."""

    name: str
    tracker: Tracker
    electromagnetic: Calorimeter
    hadronic: Calorimeter
    wedges: Wedges
    hadrons: HadronResponse


# Tracker and calorimeters are of the order of CMS's, JINST 3 (2008) S08004. h/e, the crowding and
# the spread of the gains are chosen: for dijets with pT-hat > 1 TeV the response in mass is 0.95
# with a width of 4.2 % (FULL), or 0.985 with 2.7 % (FAST, a simulation that is too optimistic).
FULL = Detector(
    name="full",
    tracker=Tracker(
        max_eta=2.5, min_pt=0.7, plateau=0.95, cell=0.0875, crowding=0.5,
        constant=0.01, slope=1.5e-4,
    ),
    electromagnetic=Calorimeter(
        max_eta=3.0, cell=0.0175, threshold=0.3, stochastic=0.03, noise=0.15, constant=0.01,
    ),
    hadronic=Calorimeter(
        max_eta=5.0, cell=0.0875, threshold=1.0, stochastic=0.85, noise=0.5, constant=0.05,
    ),
    wedges=Wedges(side=0.35, spread=0.055),
    hadrons=HadronResponse(h_over_e=0.825, scale=1.0, power=0.80),
)  # fmt: skip

FAST = Detector(
    name="fast",
    tracker=Tracker(
        max_eta=2.5, min_pt=0.5, plateau=0.95, cell=0.0875, crowding=1.0,
        constant=0.01, slope=1.5e-4,
    ),
    electromagnetic=Calorimeter(
        max_eta=3.0, cell=0.0175, threshold=0.2, stochastic=0.03, noise=0.1, constant=0.005,
    ),
    hadronic=Calorimeter(
        max_eta=5.0, cell=0.0875, threshold=0.5, stochastic=0.85, noise=0.3, constant=0.03,
    ),
    wedges=Wedges(side=0.35, spread=0.032),
    hadrons=HadronResponse(h_over_e=0.945, scale=1.0, power=0.80),
)  # fmt: skip

DETECTORS = {detector.name: detector for detector in (FULL, FAST)}


class Particles(NamedTuple):
    """Particles of many events, or objects measured from them, one entry each."""

    event: Integers  # number of the event, from 0
    species: Integers  # absolute PDG code; 0 for a calorimeter cell
    energy: Floats  # [GeV]
    eta: Floats  # pseudorapidity
    phi: Floats  # azimuth [rad]

    @property
    def pt(self) -> Floats:
        """Transverse momentum of a massless particle, E / cosh(eta) [GeV]."""
        return self.energy / np.cosh(self.eta)

    def where(self, keep: Mask | Integers) -> "Particles":
        """The particles selected by a mask or by their positions."""
        return Particles._make(column[keep] for column in self)


def join(*parts: Particles) -> Particles:
    """All particles of several collections, ordered by event."""
    whole = Particles._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(whole.event, kind="stable")
    return Particles._make(column[order] for column in whole)


def cells(particles: Particles, side: float) -> Integers:
    """Number of the (event, eta, phi) cell of each particle, for squares of a side [rad]."""
    rows = np.floor(particles.eta / side).astype(np.int64) + 4096
    columns = np.floor(particles.phi / side).astype(np.int64) + 4096
    return (particles.event * 8192 + rows) * 8192 + columns


def centre(angle: Floats, side: float) -> Floats:
    """Middle of the cell in which an angle lies, in eta or phi."""
    return (np.floor(angle / side) + 0.5) * side


def neighbours(particles: Particles, side: float) -> Integers:
    """How many other particles share the cell of each particle."""
    _, index, counts = np.unique(cells(particles, side), return_inverse=True, return_counts=True)
    return counts[index] - 1


def track_efficiency(pt: Floats, eta: Floats, crowd: Integers, tracker: Tracker) -> Floats:
    """Probability to find a track, plateau * exp(-crowd / crowding) inside the acceptance."""
    inside = (pt > tracker.min_pt) & (np.abs(eta) < tracker.max_eta)
    return np.where(inside, tracker.plateau * np.exp(-crowd / tracker.crowding), 0.0)


def track_resolution(pt: Floats, tracker: Tracker) -> Floats:
    """Relative resolution sigma(pT)/pT = constant (+) slope * pT."""
    return np.hypot(tracker.constant, tracker.slope * pt)


def calorimeter_resolution(energy: Floats, calorimeter: Calorimeter) -> Floats:
    """Relative resolution sigma(E)/E = S/sqrt(E) (+) N/E (+) C."""
    stochastic = calorimeter.stochastic / np.sqrt(energy)
    noise = calorimeter.noise / energy
    return np.sqrt(stochastic**2 + noise**2 + calorimeter.constant**2)


def pi_over_e(energy: Floats, hadrons: HadronResponse) -> Floats:
    """Response to hadrons relative to electrons, 1 - (1 - h/e) (E/E0)^(k-1), and h/e below E0.

    D. E. Groom, Nucl. Instrum. Meth. A 572 (2007) 633, https://arxiv.org/abs/physics/0605164.
    """
    ratio = np.maximum(energy / hadrons.scale, 1.0)
    return 1.0 - (1.0 - hadrons.h_over_e) * ratio ** (hadrons.power - 1.0)


def smear(energy: Floats, resolution: Floats, rng: np.random.Generator) -> Floats:
    """Energies smeared by a Gaussian of a relative resolution, cut off at zero."""
    return np.maximum(energy * rng.normal(1.0, resolution), 0.0)


def read_tracks(
    particles: Particles, detector: Detector, rng: np.random.Generator
) -> tuple[Particles, Mask]:
    """The tracks that are used, and a mask of the particles that they stand for.

    A muon's track is always used, a hadron's only below the pT where the calorimeter takes over.
    """
    tracker = detector.tracker
    charged = np.isin(particles.species, (*CHARGED_HADRONS, MUON))
    seen = particles.where(charged)
    muons = seen.species == MUON
    crowd = np.where(muons, 0, neighbours(seen, tracker.cell))
    found = rng.random(len(crowd)) < track_efficiency(seen.pt, seen.eta, crowd, tracker)
    resolution = track_resolution(seen.pt, tracker)
    precise = resolution < calorimeter_resolution(seen.energy, detector.hadronic)
    used = found & (precise | muons)
    tracked = np.zeros_like(charged)
    tracked[charged] = used
    tracks = seen.where(used)
    return tracks._replace(energy=smear(tracks.energy, resolution[used], rng)), tracked


def fill_cells(deposits: Particles, side: float) -> Particles:
    """Energies summed over each cell that was hit, placed at its centre."""
    _, first, index = np.unique(cells(deposits, side), return_index=True, return_inverse=True)
    hit, total = deposits.where(first), np.zeros(len(first))
    np.add.at(total, index, deposits.energy)
    return Particles(
        event=hit.event,
        species=np.zeros_like(hit.species),
        energy=total,
        eta=centre(hit.eta, side),
        phi=centre(hit.phi, side),
    )


def read_cells(
    deposits: Particles, calorimeter: Calorimeter, rng: np.random.Generator
) -> Particles:
    """Measured cells of a calorimeter: summed, smeared, cut at the threshold."""
    filled = fill_cells(
        deposits.where(np.abs(deposits.eta) < calorimeter.max_eta), calorimeter.cell
    )
    measured = smear(filled.energy, calorimeter_resolution(filled.energy, calorimeter), rng)
    return filled._replace(energy=measured).where(measured > calorimeter.threshold)


def apply_gains(towers: Particles, wedges: Wedges, rng: np.random.Generator) -> Particles:
    """Towers times the gains of their wedges.

    Each event draws them anew from a log-normal of mean 1, the limit of many small factors.
    """
    hit, index = np.unique(cells(towers, wedges.side), return_inverse=True)
    gains = rng.lognormal(-(wedges.spread**2) / 2, wedges.spread, len(hit))
    return towers._replace(energy=towers.energy * gains[index])


def measure(particles: Particles, detector: Detector, rng: np.random.Generator) -> Particles:
    """What a detector makes of the visible stable particles: tracks and calorimeter cells."""
    tracks, tracked = read_tracks(particles, detector, rng)
    showers = np.isin(particles.species, (ELECTRON, PHOTON))
    central = np.abs(particles.eta) < detector.electromagnetic.max_eta
    hadrons = particles.where(~(showers | tracked | (particles.species == MUON)))
    deposits = hadrons.energy * pi_over_e(hadrons.energy, detector.hadrons)
    stopped = join(hadrons._replace(energy=deposits), particles.where(showers & ~central))
    towers = join(
        read_cells(particles.where(showers & central), detector.electromagnetic, rng),
        read_cells(stopped, detector.hadronic, rng),
    )
    return join(tracks, apply_gains(towers, detector.wedges, rng))
