"""Numbers by which rows are known again, in whichever file, part or order they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibrate.sample import KeyArray


def row_keys(columns: Sequence[NDArray[np.generic]]) -> KeyArray:
    """A number for each row of at least one column (n,): a hash of 64 bits of its values, so that
    it is the same wherever they occur together."""
    keys = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        whole = column.dtype.kind in "iub"
        bits = column.astype(np.int64) if whole else column.astype(np.float64) + 0.0  # -0 is 0
        keys = _mixed(keys ^ bits.view(np.uint64))
    return keys


def _mixed(keys: KeyArray) -> KeyArray:
    """Each key spread over all 64 bits, one to one (Steele, Lea & Flood 2014, SplitMix64)."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(keys ^ (keys >> np.uint64(31)))
