"""The 29 features of the Higgs to tau tau sets by their names in HiggsML: 17 primary quantities
(PRI_) and the 12 that are derived from them (DER_), always computed here.

The lepton and the jets are massless, the tau has 0.8 GeV in HiggsML and no mass in FAIR Universe,
as DER_mass_vis of these sets shows. So in HiggsML DER_mass_jet_jet is off by the masses of the real
jets from the file's column (at most 8.4 GeV in 99 % of events), and in the same way at every value
of a nuisance: a column of the file beside computed ones would jump where a shift begins.
DER_mass_MMC, the outcome of a likelihood scan, cannot be computed and is left out.
"""

from __future__ import annotations

import numpy as np

from calibrate.data.higgsml_shifts import Momenta, Primaries
from calibrate.kinematics import Jets, delta_phi, dijet_mass, rapidity
from calibrate.sample import FloatArray

PRIMARY = {
    "PRI_tau_pt": "GeV",
    "PRI_tau_eta": "",
    "PRI_tau_phi": "rad",
    "PRI_lep_pt": "GeV",
    "PRI_lep_eta": "",
    "PRI_lep_phi": "rad",
    "PRI_met": "GeV",
    "PRI_met_phi": "rad",
    "PRI_met_sumet": "GeV",
    "PRI_jet_num": "",
    "PRI_jet_leading_pt": "GeV",
    "PRI_jet_leading_eta": "",
    "PRI_jet_leading_phi": "rad",
    "PRI_jet_subleading_pt": "GeV",
    "PRI_jet_subleading_eta": "",
    "PRI_jet_subleading_phi": "rad",
    "PRI_jet_all_pt": "GeV",
}
"""Primary quantities and their units."""

DERIVED = {
    "DER_mass_transverse_met_lep": "GeV",
    "DER_mass_vis": "GeV",
    "DER_pt_h": "GeV",
    "DER_deltaeta_jet_jet": "",
    "DER_mass_jet_jet": "GeV",
    "DER_prodeta_jet_jet": "",
    "DER_deltar_tau_lep": "",
    "DER_pt_tot": "GeV",
    "DER_sum_pt": "GeV",
    "DER_pt_ratio_lep_tau": "",
    "DER_met_phi_centrality": "",
    "DER_lep_eta_centrality": "",
}
"""Derived quantities and their units."""

UNITS = {**DERIVED, **PRIMARY}

Columns = dict[str, FloatArray]


def primary_columns(events: Primaries) -> Columns:
    """The primary quantities by name, (n,); NaN where there is no such jet."""
    objects = {
        "PRI_tau": events.tau,
        "PRI_lep": events.lepton,
        "PRI_jet_leading": events.leading,
        "PRI_jet_subleading": events.subleading,
    }
    columns = {
        f"{name}_{part}": getattr(each, part)
        for name, each in objects.items()
        for part in Momenta._fields
    }
    columns |= {"PRI_met": events.met, "PRI_met_phi": events.met_phi}
    columns |= {"PRI_jet_num": events.jet_num.astype(float), "PRI_jet_all_pt": events.jet_all_pt}
    return columns if events.sumet is None else columns | {"PRI_met_sumet": events.sumet}


def derived_columns(events: Primaries) -> Columns:
    """The derived quantities by name, (n,); NaN where they need jets that are not there."""
    return {
        **_masses(events),
        **_sums(events),
        **_dijets(events),
        "DER_deltar_tau_lep": np.hypot(
            events.tau.eta - events.lepton.eta, delta_phi(events.tau.phi, events.lepton.phi)
        ),
        "DER_sum_pt": events.tau.pt + events.lepton.pt + events.jet_all_pt,
        "DER_pt_ratio_lep_tau": events.lepton.pt / events.tau.pt,
        "DER_met_phi_centrality": _met_phi_centrality(events),
    }


def _masses(events: Primaries) -> Columns:
    """m(lep, tau), and m_T = √(2 pT_lep met (1 - cos Δφ)) = 2 √(pT_lep met) abs(sin(Δφ/2))."""
    half = (events.met_phi - events.lepton.phi) / 2
    transverse = 2 * np.sqrt(events.lepton.pt * events.met) * np.abs(np.sin(half))
    visible = dijet_mass(_jets(events.lepton), _jets(events.tau, events.tau_mass))
    return {"DER_mass_transverse_met_lep": transverse, "DER_mass_vis": visible}


def _sums(events: Primaries) -> Columns:
    """pT of lepton + tau + missing momentum, and of these and the two leading jets."""
    x, y = events.missing
    for each in (events.lepton, events.tau):
        px, py = each.transverse
        x, y = x + px, y + py
    higgs = np.hypot(x, y)
    for each in (events.leading, events.subleading):
        px, py = each.transverse
        x, y = x + px, y + py
    return {"DER_pt_h": higgs, "DER_pt_tot": np.hypot(x, y)}


def _dijets(events: Primaries) -> Columns:
    """abs(Δη), η1·η2, m of two jets, exp[-4 ((η_lep - (η1+η2)/2)/(η1-η2))²]."""
    first, second = events.leading, events.subleading
    apart = first.eta - second.eta
    offset = events.lepton.eta - (first.eta + second.eta) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        centrality = np.where(apart == 0, 0.0, np.exp(-4 * (offset / apart) ** 2))
    return {
        "DER_deltaeta_jet_jet": np.abs(apart),
        "DER_prodeta_jet_jet": first.eta * second.eta,
        "DER_mass_jet_jet": dijet_mass(_jets(first), _jets(second)),
        "DER_lep_eta_centrality": centrality,
    }


def _met_phi_centrality(events: Primaries) -> FloatArray:
    """Where φ of the missing momentum lies between those of tau and lepton: (A+B)/√(A²+B²), 0 where
    A = B = 0, with A = sin(φ_met-φ_lep)·s, B = sin(φ_tau-φ_met)·s, s = sign sin(φ_tau-φ_lep)."""
    tau, lepton = events.tau.phi, events.lepton.phi
    sign = np.sign(np.sin(tau - lepton))
    a, b = np.sin(events.met_phi - lepton) * sign, np.sin(tau - events.met_phi) * sign
    size = np.hypot(a, b)
    return np.asarray(np.divide(a + b, size, out=np.zeros_like(size), where=size > 0))


def _jets(momenta: Momenta, mass: float = 0.0) -> Jets:
    m = np.full_like(momenta.pt, mass)
    y: FloatArray = rapidity(momenta.pt, momenta.eta, m) if mass else momenta.eta
    return Jets(momenta.pt, y, momenta.phi, m)
