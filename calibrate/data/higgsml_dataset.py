"""What the two Higgs to tau tau sets have in common: the same options, the same inference task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from calibrate.context import Context
from calibrate.data.higgsml_events import HiggsEvents
from calibrate.data.higgsml_source import HiggsFiles
from calibrate.data.higgsml_task import HiggsInference
from calibrate.data.points import Given
from calibrate.task import InferenceTask


@dataclass(frozen=True)
class HiggsDataset(ABC):
    """Signal and background as a function of energy scales; a set says what its files are, and
    which nuisances it has by default (`scales`, with the widths of their constraints) and at which
    `tau_scales` it is observed."""

    path: Sequence[str] | str
    yields: Sequence[float] | str = "read"
    nuisances: Mapping[str, float] | None = None
    tau_threshold: float | None = None
    features: Sequence[str] | None = None
    undefined: float = 0.0
    test_modulus: int = 3
    test_remainder: int = 1
    max_events: int | None = None
    ranges: Mapping[str, Sequence[float]] | None = None
    points: Sequence[Given] | None = None
    scales: ClassVar[Mapping[str, float]] = {}
    tau_scales: ClassVar[Sequence[float]] = ()

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

    @abstractmethod
    def _files(self) -> HiggsFiles:
        """The set's files, and how they are read."""

    def _asked(self) -> HiggsInference:
        return HiggsInference(
            self.scales if self.nuisances is None else self.nuisances,
            self.tau_threshold,
            self.features,
            self.undefined,
            self.test_modulus,
            self.test_remainder,
            self.ranges,
            self.points,
            self.tau_scales,
        )
