"""What closure needs of one file of many: the events reduced to truth, weight, group and the
columns to bin in, beside every method's estimates; stored by a job, read when all are merged."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from calibrate.context import Context
from calibrate.errors import StorageError
from calibrate.estimate import Calibration, Estimate, Replicated
from calibrate.evaluators.residuals import Residual, residual_of
from calibrate.records import Findings
from calibrate.sample import Column, Groups, Sample
from calibrate.statistics import Poisson
from calibrate.storage import atomic
from calibrate.task import RegressionTask

ARRAYS, ABOUT = "part.npz", "part.json"
OPTIONAL = ("sigma", "statistical")


@dataclass(frozen=True)
class Part:
    """The events of one file, and what each method estimates; `number` counts the files."""

    number: int
    sample: Sample
    estimates: Mapping[str, Estimate]

    def residual(self, method: str, component: int, label: str) -> Residual:
        """One truth column under one method."""
        column = self.sample.z_columns[component]
        return residual_of(label, column, component, self.sample, self.estimates[method])


@dataclass(frozen=True)
class StoredPart:
    """A part in a folder, with what is known without reading its arrays."""

    folder: Path
    number: int
    methods: tuple[str, ...]
    x_columns: tuple[Column, ...]
    z_columns: tuple[Column, ...]
    spectators: tuple[str, ...]
    rows: int

    @classmethod
    def written(
        cls,
        folder: Path,
        number: int,
        sample: Sample,
        fits: Mapping[str, Calibration],
        kept: Collection[str],
    ) -> StoredPart:
        """Estimate a sample by all fits and store it, of features and spectators only those that
        are to be `kept`, and what replicas of a fit are asked with."""
        replicated = [fit.domain.x_columns for fit in fits.values() if isinstance(fit, Replicated)]
        kept = {*kept, *(column.name for columns in replicated for column in columns)}
        features = [i for i, column in enumerate(sample.x_columns) if column.name in kept]
        spectators = {name: v for name, v in sample.spectators.items() if name in kept}
        arrays: dict[str, Any] = {"x": sample.x[:, features], "z": sample.z, "w": sample.w}
        arrays |= {f"spectator_{i}": values for i, values in enumerate(spectators.values())}
        if not sample.groups.single:
            arrays["group"] = sample.groups.row
        for i, fit in enumerate(fits.values()):
            arrays |= _estimated(i, fit.estimate(fit.domain.features(sample)))
        columns = tuple(sample.x_columns[i] for i in features)
        stored = cls(folder, number, tuple(fits), columns, sample.z_columns, tuple(spectators),
                     len(sample))  # fmt: skip
        with atomic(folder / ARRAYS) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
        with atomic(folder / ABOUT) as temporary:
            temporary.write_text(json.dumps(stored._plain()), encoding="utf-8")
        return stored

    @classmethod
    def at(cls, folder: Path) -> StoredPart:
        """The part that a folder holds; StorageError if there is none."""
        try:
            known: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StorageError(f"{folder} holds no part of an evaluation: {error}") from error
        x, z = (tuple(Column(**c) for c in known[name]) for name in ("x_columns", "z_columns"))
        methods, spectators = tuple(known["methods"]), tuple(known["spectators"])
        return cls(folder, known["number"], methods, x, z, spectators, known["rows"])

    def read(self) -> Part:
        """The events and the estimates."""
        with np.load(self.folder / ARRAYS) as arrays:
            sample = Sample(
                arrays["x"],
                arrays["z"],
                arrays["w"],
                self.x_columns,
                self.z_columns,
                arrays["group"] if "group" in arrays else np.empty(0, np.int64),
                {name: arrays[f"spectator_{i}"] for i, name in enumerate(self.spectators)},
            )
            estimates = {name: _estimate(i, arrays) for i, name in enumerate(self.methods)}
        return Part(self.number, sample, estimates)

    def poisson(self, replicas: int, seed: np.random.SeedSequence) -> Poisson:
        """Counts for the rows of this part."""
        with np.load(self.folder / ARRAYS) as arrays:
            group = arrays["group"] if "group" in arrays else np.arange(self.rows)
        return Poisson(Groups.of(group), replicas, seed)

    def _plain(self) -> dict[str, Any]:
        plain = asdict(self)
        return {name: value for name, value in plain.items() if name != "folder"}


@runtime_checkable
class MergingEvaluator(Protocol):
    """An evaluator whose findings can be put together from parts of a sample."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the samples that it needs besides truth and weight."""
        ...

    def check(self, task: RegressionTask) -> None:
        """Raise ConfigurationError or DataError if the task cannot be evaluated."""
        ...

    def merged(
        self,
        parts: Sequence[StoredPart],
        fits: Mapping[str, Calibration],
        context: Context,
        folder: Path,
    ) -> Findings:
        """Findings of all parts; `fits` by label, where there are replicas that are to be asked,
        `folder` is for scratch files."""
        ...


def _estimated(i: int, found: Estimate) -> dict[str, Any]:
    given = {"z": found.z, "inside": found.inside, "sigma": found.sigma,
             "statistical": found.statistical}  # fmt: skip
    return {f"{name}_{i}": values for name, values in given.items() if values is not None}


def _estimate(i: int, arrays: Mapping[str, Any]) -> Estimate:
    sigma, statistical = (arrays.get(f"{name}_{i}") for name in OPTIONAL)
    covariance = None if sigma is None else sigma[:, :, None] ** 2 * np.eye(sigma.shape[1])
    return Estimate(arrays[f"z_{i}"], covariance, arrays[f"inside_{i}"], statistical)
