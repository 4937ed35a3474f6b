"""The ATLAS HiggsML set (2014): Higgs to tau tau with 818 238 simulated events, DOI
10.7483/OPENDATA.ATLAS.ZBP2.M5T8, CC0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from calibrate.checks import choice
from calibrate.data.higgsml_dataset import HiggsDataset
from calibrate.data.higgsml_events import Yields
from calibrate.data.higgsml_files import HIGGSML
from calibrate.data.higgsml_source import HiggsFiles, expected

COMPLETE = Yields(691.9886, 410999.8473)
"""Expected events of the challenge: the summed weights of v2, and of Kaggle's training.csv."""
TAU_SCALE = {"tau": 0.05}
"""The nuisance of the published studies, and the width of its constraint."""
DUPLICATES = ("refuse", "drop")


@dataclass(frozen=True)
class HiggsML(HiggsDataset):
    """Signal and background of the HiggsML challenge, as a function of energy scales.

    `path` is v2 or Kaggle's training.csv, packed or not, a glob, a list, or `higgsml`, which stands
    for the fetched v2. Broken lines and events whose EventId stands twice are refused; with
    `duplicates=drop` one row of each event stays (none where they differ). `yields` are the
    expected numbers of signal and background, to which each class is scaled: those of the complete
    set (`complete`), the sums of what was read (`read`), or [signal, background]. `max_events` is
    the largest number of rows read. `nuisances` are by default `TAU_SCALE`. The other options are
    those of `HiggsInference`.
    Raises ConfigurationError for wrong options, DataError for files that cannot be used.
    """

    yields: Sequence[float] | str = "complete"
    tau_threshold: float | None = 22.0
    duplicates: str = "refuse"
    scales: ClassVar[Mapping[str, float]] = TAU_SCALE
    tau_scales: ClassVar[Sequence[float]] = (0.8, 1.0, 1.1)

    def __post_init__(self) -> None:
        choice("data.duplicates", self.duplicates, DUPLICATES)
        super().__post_init__()

    def _files(self) -> HiggsFiles:
        return HiggsFiles(
            self.path, HIGGSML, expected(self.yields, COMPLETE), self.max_events,
            self.duplicates == "drop",
        )  # fmt: skip
