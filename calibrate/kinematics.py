"""Relativistic kinematics in (pT, y, φ, m): rapidity y, angles in rad, energies in GeV."""

from __future__ import annotations

import numpy as np

from calibrate.sample import FloatArray


def dijet_mass(
    first: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    second: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
) -> FloatArray:
    """Invariant mass [GeV] of two jets given as (pT, y, φ, m), each (n,).

    m² = m1² + m2² + 2 [E_T1 E_T2 cosh(y1-y2) - pT1 pT2 cos(φ1-φ2)], E_T² = pT² + m².
    """
    pt1, y1, phi1, m1 = first
    pt2, y2, phi2, m2 = second
    transverse = np.hypot(pt1, m1) * np.hypot(pt2, m2)
    product = transverse * np.cosh(y1 - y2) - pt1 * pt2 * np.cos(phi1 - phi2)
    return np.asarray(np.sqrt(np.maximum(m1**2 + m2**2 + 2 * product, 0.0)))


def pseudorapidity(pt: FloatArray, y: FloatArray, m: FloatArray) -> FloatArray:
    """η from pT [GeV], rapidity and mass [GeV]: sinh η = sinh y · √(1 + m²/pT²)."""
    return np.asarray(np.arcsinh(np.sinh(y) * np.hypot(1.0, m / pt)))
