"""The calibration that all jobs of a sweep of files need."""

from __future__ import annotations

from calibrate.errors import CalibrateError, NoJobError
from calibrate.estimate import Calibration
from calibrate.loading import load_calibration


def shared_calibration(path: str) -> Calibration:
    """The calibration; NoJobError if it cannot be used, since the other jobs need not try."""
    try:
        return load_calibration(path)
    except CalibrateError as error:
        raise NoJobError(str(error)) from error
