"""What is found out about the dependence of a calibration on the spectrum."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from calibrate.records.closure import Deviation
from calibrate.sample import FloatArray

UNIVERSAL, DEPENDENT = "universal", "prior dependent"


@dataclass(frozen=True)
class PriorApplication(Deviation):
    """Mean of u over one test sample under several spectra, arrays (n_s,): u = ẑ/z with reference
    1 if `relative`, else ẑ - z with reference 0. `spectra` (n_s,) names them."""

    method: str
    test: str
    z_name: str
    z_unit: str
    relative: bool
    tolerance: float
    spectra: tuple[str, ...]
    n_effective: FloatArray
    mean: FloatArray
    mean_error: FloatArray


@dataclass(frozen=True)
class PriorSensitivity:
    """How the calibration changes when it is derived on other spectra.

    `difference` (n_k, n_z): mean of (ẑ_k - ẑ_0)/scale given z, as a smooth function at the points
    `z` (n_z,), for the fits on the `spectra` (n_k,), NaN outside the bulk of each; scale = z if
    `relative`, else the width of the training spectrum; `quantity` says what changes: ẑ, or x'
    of a transport map. `band` is the half width of the band that holds all curves at 95 %;
    `limit` (n_k, n_z) the upper 95 % limit of a change at one place, counted from the curve.
    It is empty in records of versions without it.
    """

    method: str
    z_name: str
    z_unit: str
    relative: bool
    threshold: float
    spectra: tuple[str, ...]
    z: FloatArray
    difference: FloatArray
    band: float
    verdict: str
    limit: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    quantity: str = "ẑ"
