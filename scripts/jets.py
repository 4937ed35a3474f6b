"""Jets of FastJet as arrays, and which of them is near to what.

FastJet: M. Cacciari et al., Eur. Phys. J. C 72 (2012) 1896, https://arxiv.org/abs/1111.6097
"""

# ruff: noqa: ANN401 - FastJet and awkward arrays have no types

from typing import Any, NamedTuple

import numpy as np
from detector import Floats, Integers
from pythia_events import COMPONENTS, require


class Jets(NamedTuple):
    """Momenta of each event, (events, jets), NaN where there are fewer."""

    pt: Floats  # [GeV]
    y: Floats  # rapidity
    phi: Floats  # [rad]
    m: Floats  # [GeV]


def cluster(particles: Any, algorithm: str, radius: float) -> Any:
    """FastJet's clusters of each list of momenta; `algorithm` is `antikt` or `kt`."""
    fastjet = require("fastjet")
    definition = fastjet.JetDefinition(getattr(fastjet, f"{algorithm}_algorithm"), radius)
    return fastjet.ClusterSequence(particles, definition)


def falling_pt(jets: Any) -> Any:
    """The order that sorts each list of momenta by falling pT."""
    return require("awkward").argsort(jets.px**2 + jets.py**2, ascending=False)


def padded(jets: Any, number: int) -> Jets:
    """The first momenta of each list as arrays."""
    ak = require("awkward")
    filled = ak.pad_none(jets, number, clip=True)
    px, py, pz, e = (ak.to_numpy(ak.fill_none(filled[c], np.nan)) for c in COMPONENTS)
    mass_squared = e**2 - px**2 - py**2 - pz**2
    return Jets(
        pt=np.hypot(px, py),
        y=np.arctanh(pz / e),
        phi=np.arctan2(py, px),
        m=np.sqrt(np.maximum(mass_squared, 0.0)),
    )


def delta_phi(phi: Floats, other: Floats) -> Floats:
    """Difference of two azimuths in [-pi, pi]."""
    return np.remainder(phi - other + np.pi, 2 * np.pi) - np.pi


def nearest(objects: Jets, jets: Jets) -> tuple[Integers, Floats]:
    """The number of the jet nearest to each object, and its distance, inf where there is none.

    Delta R^2 = (y - y')^2 + (phi - phi')^2.
    """
    rapidity = objects.y[:, :, None] - jets.y[:, None, :]
    azimuth = delta_phi(objects.phi[:, :, None], jets.phi[:, None, :])
    distance = np.nan_to_num(np.hypot(rapidity, azimuth), nan=np.inf)
    return distance.argmin(axis=2), distance.min(axis=2)
