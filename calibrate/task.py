"""What is to be solved, and all that a dataset hands over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from calibrate.errors import ConfigurationError, DataError
from calibrate.sample import MINIMUM_EVENTS, FloatArray, Sample

NOMINAL = "nominal"


@dataclass(frozen=True)
class ClosedForm:
    """The exact answer for one kind of estimator, where a dataset knows it (1-D x and z).

    `estimate(x)` and `point_resolution(x)` at detector level; `bias(z)` and `resolution(z)`
    at truth level: arXiv:2205.05084, Eq. 30-33 and 39-41 for the Gaussian example.
    """

    estimate: Callable[[FloatArray], FloatArray]
    point_resolution: Callable[[FloatArray], FloatArray]
    bias: Callable[[FloatArray], FloatArray]
    resolution: Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class RegressionTask:
    """Learn ẑ(x) from `train`, test it on independent samples; one of them is `nominal`.

    `uncalibrated` names, for each column of z, the feature that measures it before any
    calibration. `closed_forms` holds exact answers by the name of the estimator
    (`posterior_mean`, `maximum_likelihood`). `files` maps the sources to their sha256.
    """

    train: Sample
    tests: Mapping[str, Sample]
    uncalibrated: tuple[str, ...]
    closed_forms: Mapping[str, ClosedForm] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if NOMINAL not in self.tests:
            raise ConfigurationError(f"a task needs a test sample '{NOMINAL}': {list(self.tests)}")
        if len(self.uncalibrated) != len(self.train.z_columns):
            raise ConfigurationError(
                f"{len(self.train.z_columns)} truth columns need as many uncalibrated features, "
                f"got {list(self.uncalibrated)}"
            )
        for name, sample in {"training": self.train, **self.tests}.items():
            usable = int(np.count_nonzero(sample.w))
            if usable < MINIMUM_EVENTS:
                raise DataError(
                    f"the {name} sample holds {usable} usable events (nonzero weight) of "
                    f"{len(sample)}: at least {MINIMUM_EVENTS} are needed"
                )
        for column, values in zip(self.train.z_columns, self.train.z.T, strict=True):
            if np.ptp(values) == 0:
                raise DataError(
                    f"the truth '{column.name}' is {values[0]:g} in every training event: there is "
                    "nothing to calibrate"
                )
