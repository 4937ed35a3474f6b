"""Derive, test and ship detector calibrations in high-energy physics.

`calibrate.load(path)` opens a stored calibration or transport map; import all else from modules.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from calibrate.estimate import Fitted

__all__ = ["load"]


def load(path: str | Path) -> Fitted:
    """The calibration or transport map of a run folder or `fitted.h5`; see `calibrate.loading`."""
    from calibrate.loading import load as load_fitted  # torch only where it is needed

    return load_fitted(path)
