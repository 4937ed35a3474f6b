"""Whether the values of a column can be used, checked where they are read."""

from __future__ import annotations

import numpy as np

from calibrate.errors import DataError
from calibrate.sample import FloatArray


def check_values(where: str, name: str, values: FloatArray, momentum: bool = False) -> None:
    """Raise DataError where values are not finite, or a `momentum` is zero or below."""
    broken = int(np.count_nonzero(~np.isfinite(values)))
    if broken:
        raise DataError(
            f"{where}: column '{name}' holds {broken} values of {values.size} that are "
            "not finite: remove these events"
        )
    low = int(np.count_nonzero(values <= 0)) if momentum else 0
    if low:
        raise DataError(
            f"{where}: column '{name}' is a transverse momentum, but {low} values of "
            f"{values.size} are zero or below: remove these events"
        )
