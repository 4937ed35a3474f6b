"""The FAIR Universe HiggsML set: Higgs to tau tau in a fast simulation, CC BY 4.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from calibrate.data.higgsml_dataset import HiggsDataset
from calibrate.data.higgsml_files import FAIR_UNIVERSE
from calibrate.data.higgsml_source import HiggsFiles, expected

TAU_SCALE = {"tau": 0.01}
"""The tau energy scale, with the width of its constraint in the challenge."""


@dataclass(frozen=True)
class FairUniverse(HiggsDataset):
    """Signal and background of FAIR Universe, as a function of energy scales.

    The columns have their names in HiggsML (PRI_had_pt is PRI_tau_pt, PRI_n_jets PRI_jet_num);
    there is no PRI_met_sumet. The set does not number its events: the number is that of the row,
    over all files, and an event that stands twice is not noticed. `yields` are `read`, or
    [signal, background]; `max_events` is the largest number of rows read; the other options are
    those of `HiggsInference`.
    Raises ConfigurationError for wrong options, DataError for files that cannot be used.
    """

    yields: Sequence[float] | str = "read"
    tau_threshold: float | None = 26.0
    scales: ClassVar[Mapping[str, float]] = TAU_SCALE
    tau_scales: ClassVar[Sequence[float]] = (0.97, 1.0, 1.03)

    def _files(self) -> HiggsFiles:
        return HiggsFiles(self.path, FAIR_UNIVERSE, expected(self.yields, None), self.max_events)
