"""A stored calibration applied to the user's files."""

from calibrate.apply.estimates import Applied
from calibrate.apply.file import Options, apply, check
from calibrate.apply.files import Written, apply_each, outputs

__all__ = ["Applied", "Options", "Written", "apply", "apply_each", "check", "outputs"]
