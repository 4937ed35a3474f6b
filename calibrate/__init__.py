"""Derive, test and ship detector calibrations in high-energy physics.

`calibrate.load(path)` opens a stored calibration; everything else is imported from its module.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from calibrate.estimate import Calibration

__all__ = ["load"]


def load(path: str | Path) -> Calibration:
    """The calibration stored in a run folder or in a `fitted.h5`; see `calibrate.loading`."""
    from calibrate.loading import load as load_calibration  # torch only where it is needed

    return load_calibration(path)
