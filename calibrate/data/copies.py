"""Events that stand in a table more than once, as in a damaged file that repeats blocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from calibrate.sample import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Copies:
    """Which rows are the `first` of their event, and which are of an event whose rows have
    `differing` values, (n,) each."""

    first: BoolArray
    differing: BoolArray

    @classmethod
    def of(cls, number: IntArray, columns: Iterable[FloatArray]) -> Copies:
        """From the number of each row's event and all its values, (n,) each."""
        _, start, event = np.unique(number, return_index=True, return_inverse=True)
        first = np.zeros(number.size, dtype=bool)
        first[start] = True
        again = np.flatnonzero(~first)
        differing = np.zeros(start.size, dtype=bool)
        for values in columns:
            differing[event[again[values[again] != values[start[event[again]]]]]] = True
        return cls(first, differing[event])

    @property
    def repeated(self) -> int:
        """The number of rows that are not the first of their event."""
        return int(np.count_nonzero(~self.first))

    @property
    def certain(self) -> BoolArray:
        """One row (n,) of each event but those whose rows differ: which is right is not known."""
        return self.first & ~self.differing
