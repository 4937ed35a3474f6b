"""Jets of two levels matched by ΔR, many events at a time.

Collections are padded to rectangles (n, k): one row per event, one column per jet. A jet that is
not there has an infinite η, hence no partner.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from calibrate.kinematics import delta_phi
from calibrate.sample import BoolArray, FloatArray, IntArray
from calibrate.tables import Jagged

PAIR = 2


class Matches(NamedTuple):
    """The column (n, 2) of the jet matched to each of two gen jets, its ΔR (n, 2; infinite where
    there is none), and whether both have one (n,)."""

    column: IntArray
    dr: FloatArray
    both: BoolArray


def padded(jets: Jagged, fill: float) -> FloatArray:
    """One row per event, (n, k), k ≥ 2, with `fill` where an event has fewer jets."""
    width = max(PAIR, int(np.max(jets.counts, initial=0)))
    table = np.full((jets.counts.size, width), fill, dtype=np.float64)
    table[np.arange(width) < jets.counts[:, None]] = jets.content
    return table


def leading_pair(pt: FloatArray) -> IntArray:
    """The columns (n, 2) of the largest and the second largest pT of (n, k); of equal ones the
    first comes first."""
    return np.asarray(np.argsort(-pt, axis=1, kind="stable")[:, :PAIR], dtype=np.int64)


def match_distinct(
    eta: FloatArray, phi: FloatArray, jets_eta: FloatArray, jets_phi: FloatArray, radius: float
) -> Matches:
    """Match two gen jets (n, 2) to distinct jets (n, k) with ΔR² = Δη² + Δφ² < radius².

    Each takes the nearest jet. Where both want the same one, the closer gen jet keeps it (at equal
    distance the first) and the other takes its next nearest.
    """
    apart = eta[:, :, None] - jets_eta[:, None, :]
    distance = np.hypot(apart, delta_phi(phi[:, :, None], jets_phi[:, None, :]))
    distance[~(distance < radius)] = np.inf
    index, dr = _nearest(distance)
    contested = (index[:, 0] == index[:, 1]) & np.all(np.isfinite(dr), axis=1)
    rows = np.flatnonzero(contested)
    loser = np.where(dr[rows, 1] < dr[rows, 0], 0, 1)
    distance[rows, loser, index[rows, 0]] = np.inf
    index[rows], dr[rows] = _nearest(distance[rows])
    return Matches(index, dr, np.all(np.isfinite(dr), axis=1))


def _nearest(distance: FloatArray) -> tuple[IntArray, FloatArray]:
    """The column of the smallest of (n, 2, k) and its value, each (n, 2)."""
    index = np.argmin(distance, axis=2)
    dr = np.take_along_axis(distance, index[:, :, None], axis=2)[:, :, 0]
    return np.asarray(index, dtype=np.int64), dr
