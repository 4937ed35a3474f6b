"""The FAIR Universe HiggsML set: Higgs to tau tau in a fast simulation, CC BY 4.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calibrate.context import Context
from calibrate.data.higgsml_events import HiggsEvents
from calibrate.data.higgsml_files import FAIR_UNIVERSE
from calibrate.data.higgsml_source import HiggsFiles, expected
from calibrate.data.higgsml_task import HiggsInference
from calibrate.task import InferenceTask

TAU_SCALE = {"tau": 0.01}
"""The tau energy scale, with the width of its constraint in the challenge."""


@dataclass(frozen=True)
class FairUniverse:
    """Signal and background of FAIR Universe, as a function of energy scales.

    The columns have their names in HiggsML (PRI_had_pt is PRI_tau_pt, PRI_n_jets PRI_jet_num);
    there is no PRI_met_sumet. The set does not number its events: the number is that of the row,
    over all files, and an event that stands twice is not noticed. `yields` are `read`, or
    [signal, background]; `max_events` is the largest number of rows read; the other options are
    those of `HiggsInference`.
    Raises ConfigurationError for wrong options, DataError for files that cannot be used.
    """

    path: Sequence[str] | str
    yields: Sequence[float] | str = "read"
    nuisances: Mapping[str, float] | None = None
    tau_threshold: float | None = 26.0
    features: Sequence[str] | None = None
    undefined: float = 0.0
    test_modulus: int = 3
    test_remainder: int = 1
    max_events: int | None = None

    def __post_init__(self) -> None:
        self._files()
        self._asked()

    def events(self, context: Context) -> HiggsEvents:
        """All events, as they are in the files but for the yields."""
        return self._files().read(context).events

    def inference(self, context: Context) -> InferenceTask:
        """Signal over background under the nuisances."""
        read = self._files().read(context)
        return self._asked().task(read.events, read.digests, read.notes)

    def _files(self) -> HiggsFiles:
        return HiggsFiles(self.path, FAIR_UNIVERSE, expected(self.yields, None), self.max_events)

    def _asked(self) -> HiggsInference:
        return HiggsInference(
            TAU_SCALE if self.nuisances is None else self.nuisances,
            self.tau_threshold,
            self.features,
            self.undefined,
            self.test_modulus,
            self.test_remainder,
        )
