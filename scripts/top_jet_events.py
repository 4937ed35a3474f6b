"""Jets of boosted top quarks: Pythia 8, the detector, anti-kT jets and what is measured of them.

Every function handles a whole batch of events. Units are GeV and rad.

A jet's girth is sum_i (pT_i / pT) Delta R_i over its constituents, Delta R_i their distances from
its axis (arXiv:1012.2077); its subjets are kT jets of its constituents.
"""

# ruff: noqa: ANN401 - Pythia and awkward arrays have no types

from typing import Any

import numpy as np
from columns import Columns
from detector import Detector, Floats, Integers, Mask, measure
from jets import Jets, cluster, delta_phi, falling_pt, nearest, padded
from pythia_events import (
    flatten,
    measured_momenta,
    require,
    start_pythia,
    truth_momenta,
    visible,
)

BIAS = 6  # the hard process has its pT-hat spectrum times pT-hat^BIAS: about flat
PYTHIA_SETTINGS = (
    "Print:quiet = on",
    "Beams:idA = 2212",
    "Beams:idB = 2212",
    "Beams:eCM = 14000",
    "Tune:pp = 14",
    "Top:gg2ttbar = on",
    "Top:qqbar2ttbar = on",
    "24:onMode = off",
    "24:onIfAny = 1 2 3 4 5",
    "PartonLevel:MPI = off",
    "PartonLevel:FSR = on",
    "PhaseSpace:pTHatMin = 200",
    "PhaseSpace:pTHatMax = 1500",
    "PhaseSpace:bias2Selection = on",
    f"PhaseSpace:bias2SelectionPow = {BIAS}",
)
TOP, BEFORE_DECAY = 6, 62  # PDG code; Pythia's status of the last copy of a top quark
TRUE_PT = (400.0, 1000.0)  # range of the true top pT [GeV]
JET_RADIUS = 1.2
MAX_ETA = 2.0
MIN_JET_PT = 100.0  # [GeV]
CANDIDATES = 8  # leading jets among which a match is sought
SUBJETS, SUBJET_RADIUS, MIN_SUBJET_PT = 3, 0.3, 10.0  # [GeV]


def pythia_settings(isr: bool) -> list[str]:
    """All of Pythia's settings but the seed."""
    return [*PYTHIA_SETTINGS, f"PartonLevel:ISR = {'on' if isr else 'off'}"]


def top_quarks(batch: Any) -> Jets:
    """Both top quarks of each event as they decay, after all radiation (events, 2)."""
    particles = batch.prt
    last = (abs(particles.id) == TOP) & (abs(particles.status) == BEFORE_DECAY)
    return padded(truth_momenta(particles[last]), 2)


def pseudorapidity(jets: Jets) -> Floats:
    """arsinh(pz / pT), pz = sqrt(pT^2 + m^2) sinh(y)."""
    return np.arcsinh(np.hypot(jets.pt, jets.m) * np.sinh(jets.y) / jets.pt)


def matched(tops: Jets, jets: Jets) -> tuple[Integers, Mask]:
    """The jet nearest to each top, and whether it is used: (events, 2).

    The top must lie in the jet, the jet in the acceptance, the true pT in its range, and the two
    jets must be distinct.
    """
    index, distance = nearest(tops, jets)
    eta = np.take_along_axis(pseudorapidity(jets), index, axis=1)
    low, high = TRUE_PT
    good = (distance < JET_RADIUS) & (np.abs(eta) < MAX_ETA) & (low < tops.pt) & (tops.pt < high)
    return index, good & (index[:, :1] != index[:, 1:])


def constituent_columns(constituents: Any, axes: Jets) -> Columns:
    """What the constituents say about each jet; `axes` are the jets, components (n,)."""
    ak = require("awkward")
    counts = ak.to_numpy(ak.num(constituents))
    jet = np.repeat(np.arange(counts.size), counts)
    px, py, pz = (ak.to_numpy(ak.flatten(constituents[c])) for c in ("px", "py", "pz"))
    pt = np.hypot(px, py)
    rapidity = np.arcsinh(pz / pt) - axes.y[jet]  # of massless constituents
    distance = np.hypot(rapidity, delta_phi(np.arctan2(py, px), axes.phi[jet]))
    girth = np.bincount(jet, weights=pt * distance, minlength=counts.size) / axes.pt
    return {"jet_constituents": counts.astype(np.uint16), "jet_girth": girth}


def subjet_columns(constituents: Any) -> Columns:
    """pT [GeV] of the leading subjets of each jet, 0 where there are fewer."""
    found = cluster(constituents, "kt", SUBJET_RADIUS).inclusive_jets(min_pt=MIN_SUBJET_PT)
    pt = np.nan_to_num(padded(found[falling_pt(found)], SUBJETS).pt)
    return {f"subjet{number}_pt": values for number, values in enumerate(pt.T, start=1)}


def generate(
    isr: bool, events: int, seed: int, detector: Detector, rng: np.random.Generator
) -> Columns:
    """The jets of a batch of tt̄ events, one entry each, `event` counted from 0."""
    batch = start_pythia(pythia_settings(isr), seed).nextBatch(events)
    tops = top_quarks(batch)
    objects = measured_momenta(measure(flatten(visible(batch)), detector, rng), len(batch))
    clusters = cluster(objects, "antikt", JET_RADIUS)
    found = clusters.inclusive_jets(min_pt=MIN_JET_PT)
    order = falling_pt(found)
    candidates = padded(found[order], CANDIDATES)
    index, good = matched(tops, candidates)
    event, top = np.nonzero(good)
    chosen = index[event, top]
    axes = Jets(*(part[event, chosen] for part in candidates))
    constituents = clusters.constituents(min_pt=MIN_JET_PT)[order][event, chosen]
    pt_hat = np.sqrt(require("awkward").to_numpy(batch.info.pT2Hat))
    return {
        "event": event.astype(np.int32),
        "top_pt": tops.pt[good],
        "pthat": pt_hat[event],
        "jet_pt": axes.pt,
        "jet_eta": pseudorapidity(axes),
        "jet_m": axes.m,
        **constituent_columns(constituents, axes),
        **subjet_columns(constituents),
    }
