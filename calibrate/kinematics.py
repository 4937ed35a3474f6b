"""Relativistic kinematics in (pT, y, φ, m): rapidity y, angles in rad, energies in GeV."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from calibrate.sample import FloatArray


class Jets(NamedTuple):
    """Jets: pT [GeV], rapidity, φ [rad], mass [GeV], each (n,), or (n, 2) for two of each event."""

    pt: FloatArray
    y: FloatArray
    phi: FloatArray
    m: FloatArray


def dijet_mass(first: Jets, second: Jets) -> FloatArray:
    """Invariant mass [GeV] of two jets, (n,).

    m² = m1² + m2² + 2 [E_T1 E_T2 cosh(y1-y2) - pT1 pT2 cos(φ1-φ2)], E_T² = pT² + m².
    """
    transverse = np.hypot(first.pt, first.m) * np.hypot(second.pt, second.m)
    angular = first.pt * second.pt * np.cos(first.phi - second.phi)
    product = transverse * np.cosh(first.y - second.y) - angular
    return np.asarray(np.sqrt(np.maximum(first.m**2 + second.m**2 + 2 * product, 0.0)))


def pseudorapidity(pt: FloatArray, y: FloatArray, m: FloatArray) -> FloatArray:
    """η from pT [GeV], rapidity and mass [GeV]: sinh η = sinh y · √(1 + m²/pT²)."""
    return np.asarray(np.arcsinh(np.sinh(y) * np.hypot(1.0, m / pt)))


def rapidity(pt: FloatArray, eta: FloatArray, m: FloatArray) -> FloatArray:
    """y from pT [GeV], η and mass [GeV]: sinh y = sinh η / √(1 + m²/pT²)."""
    return np.asarray(np.arcsinh(np.sinh(eta) / np.hypot(1.0, m / pt)))


def delta_phi(first: FloatArray, second: FloatArray) -> FloatArray:
    """The angle [rad] from the second to the first, in [-π, π]."""
    apart = first - second
    return np.asarray(apart - 2 * np.pi * np.round(apart / (2 * np.pi)))
