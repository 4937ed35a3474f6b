"""What a reader of closure has to know besides its numbers."""

from __future__ import annotations

import numpy as np

from calibrate.records import MINIMUM_EFFECTIVE, ClosureCurve

OUTSIDE_FRACTION = 1e-3


def told(
    method: str, label: str, outside: float, negative: bool, size: float, curve: ClosureCurve
) -> list[str]:
    """Warnings of a share of events `outside` the range of the training, of negative weights, and
    of `size` effective events that do not fill the bins."""
    found = []
    if outside > OUTSIDE_FRACTION:
        share = f"{100 * outside:.2g} % of {label} lies"
        found.append(f"{method}: {share} outside the range it was derived in")
    if negative:
        found.append(f"{label} has negative weights: no medians, intervals and modes")
    enough = np.count_nonzero(curve.n_effective >= MINIMUM_EFFECTIVE)
    if enough < 3:
        bins = "no bin" if enough == 0 else f"only {enough} bin{'s' if enough > 1 else ''}"
        found.append(
            f"{label}: {size:.0f} effective events fill {bins} of {MINIMUM_EFFECTIVE} or more"
        )
    return found
