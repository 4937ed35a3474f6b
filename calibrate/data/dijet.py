"""Simulated dijet events with truth and detector level: the bundled sample, or a file like it.

The layout is HDF5 with 1-D columns at the root: `event`, `weight` [mb] and, for both jets
i = 1, 2, `gen{i}_*` and `reco{i}_*` with pt, y, phi, m [GeV, rad].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import h5py
import numpy as np

from calibrate.checks import choice, positive_number
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError, nearest
from calibrate.kinematics import Jets, dijet_mass, pseudorapidity
from calibrate.prior import GaussianPrior, reweight
from calibrate.provenance import sha256
from calibrate.sample import MINIMUM_EVENTS, Column, FloatArray, Sample
from calibrate.task import NOMINAL, RegressionTask

DETECTORS = ("full", "fast")
TARGETS = ("mjj", "jet_pt")
PARTS = ("pt", "y", "phi", "m")
Columns = Mapping[str, FloatArray]


@dataclass(frozen=True)
class Dijet:
    """Dijets at 7 TeV: true m_jj (or each jet's true pT) from detector level.

    `path` names a file of the same layout instead of the bundled `detector` sample (`full` or
    `fast`). `target` is `mjj` (z = true m_jj, x = m_jj) or `jet_pt` (z = true jet pT, x = jet
    pT, η, mass; both jets of an event stay together). A fraction of the events trains, the
    complement tests: `nominal` with the generator's weights, `resonance` reweighted to
    N(resonance_mass, resonance_width²) [GeV] in true m_jj.
    Raises ConfigurationError for wrong options, DataError for files that cannot be used.
    """

    path: str | None = None
    detector: str = "full"
    target: str = "mjj"
    train_fraction: float = 0.5
    resonance_mass: float = 2800.0
    resonance_width: float = 10.0

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | None):
            raise ConfigurationError(f"data.path must be a path, got {self.path!r}")
        choice("data.detector", self.detector, DETECTORS)
        choice("data.target", self.target, TARGETS)
        for name in ("resonance_mass", "resonance_width", "train_fraction"):
            positive_number(f"data.{name}", getattr(self, name))
        if not self.train_fraction < 1:
            raise ConfigurationError(f"data.train_fraction must be < 1, got {self.train_fraction}")

    def regression(self, context: Context) -> RegressionTask:
        """True m_jj or jet pT, with the test samples `nominal` and `resonance`."""
        path = self.source()
        columns = read_columns(path)
        events = columns["weight"].size
        if events < MINIMUM_EVENTS:
            raise DataError(
                f"{path.name} holds {events} events: at least {MINIMUM_EVENTS} are needed to "
                "train with, and as many to test"
            )
        masses = Sample(
            x=_masses(columns, "reco"),
            z=_masses(columns, "gen"),
            w=columns["weight"],
            x_columns=(Column("mjj_reco", "GeV", positive=True),),
            z_columns=(Column("mjj_true", "GeV", positive=True),),
        )
        signal = reweight(masses, GaussianPrior(self.resonance_mass, self.resonance_width))
        nominal = masses if self.target == "mjj" else _single_jets(columns)
        rows = np.arange(len(masses)) if self.target == "mjj" else nominal.group
        train, test = nominal.split(self.train_fraction, context.child("data").stream("split"))
        resonance = nominal.with_weights(signal.w[rows])
        kept = np.isin(nominal.group, test.group)
        tests = {NOMINAL: test, "resonance": _nonzero(resonance.take(kept))}
        uncalibrated = (nominal.x_columns[0].name,)
        return RegressionTask(train, tests, uncalibrated, files={path.name: sha256(path)})

    def source(self) -> Path:
        """The file the events come from; DataError if it does not exist."""
        if self.path is None:
            bundled = resources.files("calibrate.data") / "bundled" / f"dijet_{self.detector}.h5"
            return Path(str(bundled))
        path = Path(self.path)
        if not path.is_file():
            what = "a folder" if path.is_dir() else "no such file"
            raise DataError(f"data.path={self.path}: {what}; an HDF5 file with dijets is needed")
        return path


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
    _check_values(path, columns)
    return columns


def _check_values(path: Path, columns: Columns) -> None:
    for name, values in columns.items():
        broken = int(np.count_nonzero(~np.isfinite(values)))
        if broken:
            raise DataError(
                f"{path.name}: column '{name}' holds {broken} values of {values.size} that are "
                "not finite: remove these events"
            )
        low = int(np.count_nonzero(values <= 0))
        if name.endswith("_pt") and low:
            raise DataError(
                f"{path.name}: column '{name}' is a transverse momentum, but {low} values of "
                f"{values.size} are zero or below: remove these events"
            )


def _masses(columns: Columns, level: str) -> FloatArray:
    """m_jj [GeV] at generator or detector level, (n, 1)."""
    jets = [Jets(*(columns[f"{level}{i}_{part}"] for part in PARTS)) for i in (1, 2)]
    return dijet_mass(*jets)[:, None]


def _single_jets(columns: Columns) -> Sample:
    """One row per jet, the event as group."""
    n = columns["weight"].size

    def both(name: str) -> FloatArray:
        return np.concatenate([columns[name.format(i)] for i in (1, 2)])

    pt, y, m = both("reco{}_pt"), both("reco{}_y"), both("reco{}_m")
    return Sample(
        x=np.column_stack([pt, pseudorapidity(pt, y, m), m]),
        z=both("gen{}_pt")[:, None],
        w=np.tile(columns["weight"], 2),
        x_columns=(
            Column("pt_reco", "GeV", positive=True),
            Column("eta_reco"),
            Column("m_reco", "GeV"),
        ),
        z_columns=(Column("pt_true", "GeV", positive=True),),
        group=np.tile(np.arange(n), 2),
    )


def _nonzero(sample: Sample) -> Sample:
    """Without the events that a narrow spectrum leaves no weight: they only cost time."""
    return sample.take(sample.w > 1e-9 * np.max(sample.w))
