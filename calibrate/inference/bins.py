"""Bins of a score: equal ones between 0 and 1, merged where simulation does not fill them.

No template may be empty at any value of the nuisances that it is filled at: its logarithm is
interpolated, and data in a bin that expects nothing has no likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibrate.errors import DataError
from calibrate.sample import FloatArray, IntArray

FEWEST_EFFECTIVE = 5.0


@dataclass(frozen=True)
class ScoreBins:
    """`edges` (n_b+1,) of bins of the score, which lies in 0 … 1."""

    edges: FloatArray

    @classmethod
    def equal(cls, number: int) -> ScoreBins:
        """Equal bins."""
        return cls(np.linspace(0.0, 1.0, number + 1))

    def __len__(self) -> int:
        return self.edges.size - 1

    def index(self, score: FloatArray) -> IntArray:
        """The bin (n,) of each score."""
        inner = np.searchsorted(self.edges[1:-1], score, side="right")
        return np.asarray(inner, dtype=np.int64)

    def merged(self, sums: FloatArray, squares: FloatArray) -> tuple[ScoreBins, IntArray]:
        """Neighbours joined, from the highest score down, until each bin holds at least five
        effective events, (Σw)²/Σw², in all of `sums` and `squares` (…, n_b); and the first of the
        bins that each was made of.

        Raises DataError if all bins together hold less.
        """
        firsts: list[int] = []
        upper = len(self)
        for first in reversed(range(len(self))):
            if _enough(sums[..., first:upper], squares[..., first:upper]):
                firsts.insert(0, first)
                upper = first
        if not firsts:
            raise DataError(
                f"the score has less than {FEWEST_EFFECTIVE:g} effective events of a class in all "
                "bins together: templates need more simulated events"
            )
        firsts[0] = 0
        return ScoreBins(self.edges[[*firsts, -1]]), np.array(firsts, dtype=np.int64)


def _enough(sums: FloatArray, squares: FloatArray) -> bool:
    total, square = sums.sum(axis=-1), squares.sum(axis=-1)
    positive = bool(np.all(total > 0))
    return positive and bool(np.all(total**2 >= FEWEST_EFFECTIVE * square))
