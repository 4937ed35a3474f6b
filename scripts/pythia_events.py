"""Events of Pythia 8 as arrays: for the detector, and in the form that FastJet reads.

Every function handles a whole batch of events: Pythia fills an awkward array. Units are GeV and
rad.

* Pythia 8.3: C. Bierlich et al., SciPost Phys. Codebases 8 (2022), https://arxiv.org/abs/2203.11601
* Monash tune: P. Skands et al., Eur. Phys. J. C 74 (2014) 3024, https://arxiv.org/abs/1404.5630
"""

# ruff: noqa: ANN401 - Pythia and awkward arrays have no types

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
from detector import Particles

COMPONENTS = ("px", "py", "pz", "E")


class GenerationError(Exception):
    """A run that cannot go on; its text is shown in one line."""


def require(module: str) -> ModuleType:
    """Import a package of the extra 'generate'."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        remedy = "pip install 'hep-calibrate[generate]'"
        raise GenerationError(f"{module} needs the extra 'generate': {remedy}") from error


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
