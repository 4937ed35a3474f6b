"""Jets of boosted top quarks: the top's true pT from what is measured of the jet.

The sample of arXiv:2003.11099, Sec. 3, with a parametric detector and seven numbers for each jet
instead of its constituents: tt̄ with hadronic decays at 14 TeV, anti-kT R = 1.2, |η| < 2, a top
quark within the jet, flat in its pT between 400 and 1000 GeV, with initial-state radiation or
without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibrate.checks import fraction, positive_number
from calibrate.context import Context
from calibrate.data.bundled_files import chosen_file
from calibrate.data.hdf5_columns import read_hdf5_columns
from calibrate.errors import ConfigurationError, DataError
from calibrate.provenance import sha256
from calibrate.sample import MINIMUM_EVENTS, Column, Sample
from calibrate.task import NOMINAL, RegressionTask

SLICE = "slice"
FEATURES = {
    "jet_pt": Column("pt_reco", "GeV", positive=True),
    "jet_eta": Column("eta_reco"),
    "jet_m": Column("m_reco", "GeV"),
    "jet_constituents": Column("constituents", positive=True),
    "jet_girth": Column("girth"),
    "subjet1_pt": Column("subjet1_pt", "GeV"),
    "subjet2_pt": Column("subjet2_pt", "GeV"),
    "subjet3_pt": Column("subjet3_pt", "GeV"),
}
"""The columns of the file that measure the jet, and what they are called here."""
TRUTH, EVENT = "top_pt", "event"


@dataclass(frozen=True)
class TopJets:
    """True top pT [GeV] from pT, η, mass, number of constituents, girth and subjets of its jet.

    `isr` chooses between the bundled samples with initial-state radiation and without; `path` names
    a file of the same layout instead. A fraction of the events trains, the complement tests, both
    jets of an event on one side. `slice`, two values of the measured pT [GeV], adds the test sample
    `slice`: the test jets between them. It is selected by what is measured, so that no calibration
    closes there in bins of the truth; it is for σ_stoch, σ_pred and √MSE.
    Raises ConfigurationError for wrong options, DataError for files that cannot be used and for a
    slice with too few jets.
    """

    isr: bool = True
    path: str | None = None
    train_fraction: float = 0.5
    slice: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.isr, bool):
            raise ConfigurationError(f"data.isr is true or false, got {self.isr!r}")
        if not isinstance(self.path, str | None):
            raise ConfigurationError(f"data.path must be a path, got {self.path!r}")
        fraction("data.train_fraction", self.train_fraction)
        if self.slice is not None:
            _check_slice(self.slice)

    def regression(self, context: Context) -> RegressionTask:
        """True top pT, with the test samples `nominal` and, if asked for, `slice`."""
        path = self.source()
        jets = _jets(path)
        train, test = jets.split(self.train_fraction, context.child("data").stream("split"))
        tests = {NOMINAL: test}
        if self.slice is not None:
            tests[SLICE] = _between(test, *self.slice)
        return RegressionTask(train, tests, ("pt_reco",), files={path.name: sha256(path)})

    def inputs(self) -> list[Path]:
        """The file that the numbers come from."""
        return [self.source()]

    def source(self) -> Path:
        """The file the jets come from; DataError if it does not exist."""
        name = f"top_jets_isr_{'on' if self.isr else 'off'}.h5"
        return chosen_file(self.path, name, "top jets")


def _check_slice(edges: Sequence[float]) -> None:
    if isinstance(edges, str) or not isinstance(edges, Sequence) or len(edges) != 2:
        raise ConfigurationError(
            f"data.slice takes two values of pT such as [600,620], got {edges!r}"
        )
    for edge in edges:
        positive_number("each of data.slice", edge)
    low, high = edges
    if not low < high:
        raise ConfigurationError(f"data.slice must rise, got [{low:g},{high:g}]")


def _jets(path: Path) -> Sample:
    """All jets of a file; both jets of an event are one group."""
    names = [*FEATURES, TRUTH, EVENT]
    columns = read_hdf5_columns(path, names, "top jets", momenta=("jet_pt", TRUTH))
    truth = columns[TRUTH]
    return Sample(
        x=np.column_stack([columns[name] for name in FEATURES]),
        z=truth[:, None],
        w=np.ones(truth.size),
        x_columns=tuple(FEATURES.values()),
        z_columns=(Column("pt_true", "GeV", positive=True),),
        group=columns[EVENT].astype(np.int64),
    )


def _between(test: Sample, low: float, high: float) -> Sample:
    """The test jets whose measured pT lies in [low, high); DataError if they are too few."""
    pt = test.column("pt_reco")
    rows = (low <= pt) & (pt < high)
    found = int(np.count_nonzero(rows))
    if found < MINIMUM_EVENTS:
        first, last = np.quantile(pt, [0.01, 0.99])
        raise DataError(
            f"the test sample 'slice' would hold {found} jets: at least {MINIMUM_EVENTS} are "
            f"needed; most pt_reco lie in {first:.0f}-{last:.0f} GeV: change or widen data.slice"
        )
    return test.take(rows)
