"""Simulated dijet events with truth and detector level: the bundled sample, or a file like it.

The layout is HDF5 with 1-D columns at the root: `event`, `weight` [mb] and, for both jets
i = 1, 2, `gen{i}_*` and `reco{i}_*` with pt, y, phi, m [GeV, rad].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import h5py
import numpy as np

from calibrate.checks import choice
from calibrate.context import Context
from calibrate.data.dijet_events import DijetEvents, DijetRegression, check_values
from calibrate.data.dijet_pairs import DijetTransport
from calibrate.errors import ConfigurationError, DataError, nearest
from calibrate.kinematics import Jets
from calibrate.provenance import sha256
from calibrate.sample import MINIMUM_EVENTS, FloatArray
from calibrate.task import RegressionTask, TransportTask

DETECTORS = ("full", "fast")
PARTS = ("pt", "y", "phi", "m")
Columns = Mapping[str, FloatArray]


@dataclass(frozen=True)
class Dijet:
    """Dijets at 7 TeV: true m_jj (or each jet's true pT) from detector level.

    `path` names a file of the same layout instead of the bundled `detector` sample (`full` or
    `fast`). `target`, `train_fraction`, `resonance_mass` and `resonance_width` are those of
    `DijetRegression`.

    Transport carries m_jj of the `simulation` sample to the other bundled one, or to `path`; its
    tests are `nominal` and the resonances of `resonance_masses` [GeV].
    Raises ConfigurationError for wrong options, DataError for files that cannot be used.
    """

    path: str | None = None
    detector: str = "full"
    target: str = "mjj"
    train_fraction: float = 0.5
    resonance_mass: float | None = 2800.0
    resonance_width: float = 10.0
    simulation: str = "fast"
    resonance_masses: Sequence[float] = (2200.0, 2800.0, 3400.0)

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | None):
            raise ConfigurationError(f"data.path must be a path, got {self.path!r}")
        choice("data.detector", self.detector, DETECTORS)
        choice("data.simulation", self.simulation, DETECTORS)
        self._asked()
        self._pairs()

    def regression(self, context: Context) -> RegressionTask:
        """True m_jj or jet pT, with the test samples `nominal` and `resonance`."""
        path = self.source()
        return self._asked().task(_events(path), context, {path.name: sha256(path)})

    def transport(self, context: Context) -> TransportTask:
        """m_jj of the simulated detector to that of data: `detector`, or the file `path`.

        Raises ConfigurationError if both are the same sample, or `target` is not `mjj`.
        """
        simulation, data = bundled(self.simulation), self.source()
        if simulation == data:
            raise ConfigurationError(
                f"data.simulation={self.simulation} and data.detector={self.detector} are the same "
                "events: choose fast and full"
            )
        if self.target != "mjj":
            raise ConfigurationError(
                f"data.target={self.target}: transport is made of one quantity, data.target=mjj"
            )
        return self._pairs().task(
            _events(simulation).masses(),
            _events(data).masses(),
            context,
            {path.name: sha256(path) for path in (simulation, data)},
            (
                f"{simulation.name} is the simulation; {data.name} stands for data, whose truth is "
                "used for nothing but its own reweighting to resonances",
            ),
        )

    def _pairs(self) -> DijetTransport:
        return DijetTransport(self.train_fraction, self.resonance_masses, self.resonance_width)

    def _asked(self) -> DijetRegression:
        return DijetRegression(
            self.target, self.train_fraction, self.resonance_mass, self.resonance_width
        )

    def inputs(self) -> list[Path]:
        """The files that the numbers come from."""
        return [self.source(), bundled(self.simulation)]

    def source(self) -> Path:
        """The file the events come from; DataError if it does not exist."""
        if self.path is None:
            return bundled(self.detector)
        path = Path(self.path)
        if not path.is_file():
            what = "a folder" if path.is_dir() else "no such file"
            raise DataError(f"data.path={self.path}: {what}; an HDF5 file with dijets is needed")
        return path


def bundled(detector: str) -> Path:
    """The bundled file of a detector."""
    return Path(str(resources.files("calibrate.data") / "bundled" / f"dijet_{detector}.h5"))


def _events(path: Path) -> DijetEvents:
    """The events of a file; DataError if they are too few."""
    columns = read_columns(path)
    n = columns["weight"].size
    if n < MINIMUM_EVENTS:
        raise DataError(
            f"{path.name} holds {n} events: at least {MINIMUM_EVENTS} are needed to "
            "train with, and as many to test"
        )
    return DijetEvents(_jets(columns, "gen"), _jets(columns, "reco"), columns["weight"])


def read_columns(path: Path) -> dict[str, FloatArray]:
    """The weight and the four-vector columns of a dijet file, float64 (n,).

    Raises DataError if the file is not HDF5, is damaged, or lacks a column.
    """
    names = ["weight"]
    names += [f"{level}{i}_{part}" for level in ("gen", "reco") for i in (1, 2) for part in PARTS]
    try:
        with h5py.File(path) as file:
            missing = [name for name in names if not isinstance(file.get(name), h5py.Dataset)]
            if missing:
                hint = nearest(missing[0], file)
                raise DataError(f"{path.name} has no column '{missing[0]}': {hint}")
            columns = {name: np.asarray(file[name][()], dtype=np.float64) for name in names}
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{path} cannot be read as HDF5 dijets: {error}") from error
    lengths = {name: column.shape for name, column in columns.items()}
    if len(set(lengths.values())) != 1 or columns["weight"].ndim != 1:
        raise DataError(f"{path.name} must hold columns of one length, got {lengths}")
    if not columns["weight"].size:
        raise DataError(f"{path.name} holds no events")
    for name, values in columns.items():
        check_values(path.name, name, values, momentum=name.endswith("_pt"))
    return columns


def _jets(columns: Columns, level: str) -> Jets:
    """Both jets of one level, components (n, 2)."""
    return Jets(
        *(np.column_stack([columns[f"{level}{i}_{part}"] for i in (1, 2)]) for part in PARTS)
    )
