"""A stored calibration applied to the user's file."""

from calibrate.apply.estimates import Applied
from calibrate.apply.file import Options, apply

__all__ = ["Applied", "Options", "apply"]
