"""Mean changes of an answer given z, as parabolas over the bulk of the spectrum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibrate.context import Context
from calibrate.evaluators.spectra_family import quantiles
from calibrate.evaluators.subjects import Subject
from calibrate.sample import FloatArray, Sample
from calibrate.statistics import weighted_std

BULK = (0.05, 0.95)
DEGREE = 2
POINTS = 50
LARGEST = 200_000
"""Test events that are looked at: a change is a smooth function of x, so that they add less to
its error than the training events do."""


def bulk(sample: Sample) -> tuple[float, float]:
    """The inner 90 % of the truth."""
    low, high = quantiles(sample, BULK)
    return float(low), float(high)


@dataclass(frozen=True)
class Parabolas:
    """Test events in the bulk with the scale (n,) of a change, points z (n_z,) over it, and the
    range in z of each curve (n_k, 2): the bulk of the spectrum that it was derived on."""

    sample: Sample
    scale: FloatArray
    z: FloatArray
    ranges: FloatArray

    @classmethod
    def of(cls, subject: Subject, spectra: Iterable[Sample], context: Context) -> Parabolas:
        """From the nominal test, and the training samples under other `spectra`."""
        train, test, column = subject.train, subject.test, subject.train.z_columns[0]
        low, high = bulk(test)
        rows = np.flatnonzero((test.z[:, 0] >= low) & (test.z[:, 0] <= high))
        if rows.size > LARGEST:
            rows = np.sort(context.stream("bulk").choice(rows, LARGEST, replace=False))
        sample, z = test.take(rows), np.linspace(low, high, POINTS)
        width = float(weighted_std(train.z[:, 0], train.w))
        scale = sample.z[:, 0] if column.positive else np.full(len(sample), width)
        return cls(sample, scale, z, np.array([bulk(each) for each in spectra]))

    def changes(self, answers: Sequence[FloatArray]) -> FloatArray:
        """(answer_k - answer_0)/scale (n_k, n)."""
        return np.stack([(answer - answers[0]) / self.scale for answer in answers[1:]])

    def curves(self, changes: FloatArray, counts: ArrayLike | None = None) -> FloatArray:
        """d_k at the points z (n_k, n_z), NaN outside a curve's range; `counts` (n,) draw the
        test events again."""
        w = self.sample.w if counts is None else self.sample.w * np.asarray(counts)
        pairs = zip(changes, self.ranges, strict=True)
        return np.stack([self._curve(change, w, *limits) for change, limits in pairs])

    def _curve(self, change: FloatArray, w: FloatArray, low: float, high: float) -> FloatArray:
        z = self.sample.z[:, 0]
        inside = (z >= low) & (z <= high)
        powers = self._powers(z[inside])
        weighted = powers * w[inside, None]
        coefficients = np.linalg.solve(weighted.T @ powers, weighted.T @ change[inside])
        shown = (self.z >= low) & (self.z <= high)
        return np.where(shown, self._powers(self.z) @ coefficients, np.nan)

    def _powers(self, z: FloatArray) -> FloatArray:
        low, high = self.z[0], self.z[-1]
        return np.asarray(np.polynomial.legendre.legvander((2 * z - low - high) / (high - low),
                                                           DEGREE))  # fmt: skip
