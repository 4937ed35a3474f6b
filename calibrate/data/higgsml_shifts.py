"""Energy scales of the tau, the lepton and the jets, and the soft term, on the primary quantities
of the Higgs to tau tau sets (HiggsML, FAIR Universe).

Scaling an object by Z changes its pT to Z·pT at fixed direction; the missing transverse momentum is
minus the sum of everything seen, so it loses what the object gains, (Z-1)·p (vectors in the
transverse plane). A soft term adds a Gaussian vector to the missing momentum alone. PRI_met_sumet
stays, as in the published studies; so do the mass of the tau and the number of jets: no jet crosses
its threshold. Of three jets or more only two are known as vectors: PRI_jet_all_pt scales with all
of them, the missing momentum takes the recoil of two.

All functions are pure; factors are numbers or one per event (n,). Shifts of different objects
commute, and scaling by Z and by 1/Z gives back the same event.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from calibrate.sample import BoolArray, FloatArray, IntArray

Factor = float | FloatArray


class Momenta(NamedTuple):
    """pT [GeV], η and φ [rad] of one object of each event, (n,); NaN where it does not exist."""

    pt: FloatArray
    eta: FloatArray
    phi: FloatArray

    @property
    def transverse(self) -> tuple[FloatArray, FloatArray]:
        """px and py [GeV], zero where the object does not exist."""
        pt, phi = np.nan_to_num(self.pt), np.nan_to_num(self.phi)
        return pt * np.cos(phi), pt * np.sin(phi)

    def scaled(self, factor: Factor) -> Momenta:
        """The same direction with `factor` times the pT."""
        return self._replace(pt=self.pt * factor)

    def take(self, rows: BoolArray) -> Momenta:
        """The selected events."""
        return Momenta(*(values[rows] for values in self))


@dataclass(frozen=True)
class Primaries:
    """What was measured in each event: tau, lepton, missing transverse momentum (`met` [GeV],
    `met_phi` [rad]), the sum of all transverse energies (`sumet` [GeV]; None where a set has
    none), the number of jets, the two leading ones, and the summed pT of all jets [GeV]; (n,). The
    mass of a tau [GeV] is that of the set."""

    tau: Momenta
    lepton: Momenta
    met: FloatArray
    met_phi: FloatArray
    sumet: FloatArray | None
    jet_num: IntArray
    leading: Momenta
    subleading: Momenta
    jet_all_pt: FloatArray
    tau_mass: float = 0.8

    def __len__(self) -> int:
        return int(self.met.size)

    @property
    def missing(self) -> tuple[FloatArray, FloatArray]:
        """The missing transverse momentum, px and py [GeV]."""
        return self.met * np.cos(self.met_phi), self.met * np.sin(self.met_phi)

    def take(self, rows: BoolArray) -> Primaries:
        """The selected events."""
        return Primaries(
            self.tau.take(rows),
            self.lepton.take(rows),
            self.met[rows],
            self.met_phi[rows],
            None if self.sumet is None else self.sumet[rows],
            self.jet_num[rows],
            self.leading.take(rows),
            self.subleading.take(rows),
            self.jet_all_pt[rows],
            self.tau_mass,
        )


def scale_tau(events: Primaries, factor: Factor) -> Primaries:
    """Tau energy scale: pT → factor·pT, the missing momentum loses (factor-1)·p."""
    return replace(_recoiled(events, factor, events.tau), tau=events.tau.scaled(factor))


def scale_lepton(events: Primaries, factor: Factor) -> Primaries:
    """Lepton energy scale: pT → factor·pT, the missing momentum loses (factor-1)·p."""
    return replace(_recoiled(events, factor, events.lepton), lepton=events.lepton.scaled(factor))


def scale_jets(events: Primaries, factor: Factor) -> Primaries:
    """Jet energy scale: every pT → factor·pT, the missing momentum loses (factor-1)·(p1+p2)."""
    return replace(
        _recoiled(events, factor, events.leading, events.subleading),
        leading=events.leading.scaled(factor),
        subleading=events.subleading.scaled(factor),
        jet_all_pt=events.jet_all_pt * factor,
    )


def add_soft(events: Primaries, px: FloatArray, py: FloatArray) -> Primaries:
    """Add px and py [GeV], (n,), to the missing transverse momentum."""
    missing_x, missing_y = events.missing
    return _with_missing(events, missing_x + px, missing_y + py)


def _recoiled(events: Primaries, factor: Factor, *objects: Momenta) -> Primaries:
    """The missing momentum as it is when the objects are scaled."""
    missing_x, missing_y = events.missing
    for each in objects:
        px, py = each.transverse
        missing_x = missing_x - (factor - 1) * px
        missing_y = missing_y - (factor - 1) * py
    return _with_missing(events, missing_x, missing_y)


def _with_missing(events: Primaries, px: FloatArray, py: FloatArray) -> Primaries:
    return replace(events, met=np.hypot(px, py), met_phi=np.arctan2(py, px))
