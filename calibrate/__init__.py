"""Derive, test and ship detector calibrations in high-energy physics.

`calibrate.load(path)` opens a stored calibration or transport map; everything else is imported from its module.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from calibrate.estimate import Fitted

__all__ = ["load"]


def load(path: str | Path) -> Fitted:
    """The calibration, or the transport map, stored in a run folder or in a `fitted.h5`; see `calibrate.loading`."""
    from calibrate.loading import load as load_fitted  # torch only where it is needed

    return load_fitted(path)
