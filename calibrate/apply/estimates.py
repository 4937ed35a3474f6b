"""Estimates in blocks of rows that do not depend on how a file was cut into chunks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import IO

import numpy as np

from calibrate.apply.layout import Layout
from calibrate.errors import NoEstimateError
from calibrate.estimate import Calibration, Domain, Estimate
from calibrate.sample import BoolArray, FloatArray

BLOCK = 1 << 16
"""Rows estimated at a time."""


@dataclass(frozen=True)
class Applied:
    """What was done: rows in all, rows outside the range, rows that are not finite (or not
    positive where they must be), lines skipped, the new columns, and rows inside the range that
    the calibration has no estimate for."""

    rows: int
    outside: int
    unusable: int
    skipped: int
    columns: tuple[str, ...]
    unsolved: int


class Estimates:
    """Collects features, and writes estimates in blocks that begin at multiples of BLOCK."""

    def __init__(
        self, calibration: Calibration, layout: Layout, clamp: bool, file: IO[bytes]
    ) -> None:
        self.calibration, self.layout, self.file = calibration, layout, file
        self.clamp = clamp
        self.pending: list[FloatArray] = []
        self.waiting = self.rows = self.outside = self.unusable = self.unsolved = 0

    def add(self, x: FloatArray) -> None:
        """Rows x (m, d_x) in the order of the file."""
        self.pending.append(x)
        self.waiting += len(x)
        if self.waiting >= BLOCK:
            together = np.concatenate(self.pending)
            whole = len(together) // BLOCK * BLOCK
            for start in range(0, whole, BLOCK):
                self._write(together[start : start + BLOCK])
            self.pending, self.waiting = [together[whole:]], len(together) - whole

    def finished(self, skipped: int) -> Applied:
        """After the last row."""
        if self.waiting:
            self._write(np.concatenate(self.pending))
        self.file.flush()
        names = tuple(name for name, _ in self.layout.fields)
        return Applied(self.rows, self.outside, self.unusable, skipped, names, self.unsolved)

    def _write(self, x: FloatArray) -> None:
        domain = self.calibration.domain
        usable = _usable(domain, x)
        estimate, solved = self._solved(x, usable)
        self.rows += len(x)
        self.unusable += int(np.count_nonzero(~usable))
        self.unsolved += int(np.count_nonzero(usable & ~solved))
        self.outside += int(np.count_nonzero(solved & ~estimate.inside))
        self.file.write(self.layout.rows(estimate, solved).tobytes())

    def _solved(self, x: FloatArray, usable: BoolArray) -> tuple[Estimate, BoolArray]:
        """The estimates, and which rows have one: a row without does not cost the others theirs."""
        solved = usable.copy()
        while True:
            try:
                return self._estimated(x, solved), solved
            except NoEstimateError as error:
                rows = list(error.rows)
                if not solved[rows].any():  # the middle of the range itself
                    raise
                solved[rows] = False

    def _estimated(self, x: FloatArray, usable: BoolArray) -> Estimate:
        """Rows that cannot be used are estimated in the middle of the range, as outside of it."""
        low, high = self.calibration.domain.x_range
        middle = np.where(np.isfinite(low + high), 0.5 * (low + high), 1.0)
        filled = np.where(usable[:, None], x, middle)
        used = np.clip(filled, low, high) if self.clamp else filled
        found = self.calibration.estimate(used)
        inside = self.calibration.domain.inside(filled) if self.clamp else found.inside
        return replace(found, inside=inside & usable)


def _usable(domain: Domain, x: FloatArray) -> BoolArray:
    """Rows that are finite, and positive where the feature is positive by nature."""
    positive = np.array([column.positive for column in domain.x_columns])
    return np.asarray(np.all(np.isfinite(x) & ((x > 0) | ~positive), axis=1))
