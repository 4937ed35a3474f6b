"""Truth and detector-level spectra of the test samples (arXiv:2205.05084, Fig. 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from calibrate.checks import positive_integer
from calibrate.context import Context
from calibrate.estimate import Calibration
from calibrate.evaluators.histograms import density
from calibrate.protocols import Refit, RegressionDataset
from calibrate.records import Findings, SpectrumHistogram
from calibrate.sample import Column, FloatArray, Sample
from calibrate.statistics import weighted_quantile
from calibrate.task import RegressionTask


@dataclass(frozen=True)
class Spectra:
    """Histograms of z and of the uncalibrated features, for each test sample.

    `others` maps a label to another dataset with the same quantities, whose detector level is
    shown beside: the fast beside the full simulation.
    """

    bins: int = 60
    others: Mapping[str, RegressionDataset] = field(default_factory=dict)

    def __post_init__(self) -> None:
        positive_integer("evaluator.spectra.bins", self.bins)

    def __call__(
        self, fits: Mapping[str, Calibration], task: RegressionTask, refit: Refit, context: Context
    ) -> Findings:
        """Two records per test sample, and one per other dataset and test sample."""
        edges = self._edges(task)
        records = list(_histograms(task, edges, "detector", truth=True))
        for label, dataset in self.others.items():
            other = dataset.regression(context.child(label))
            records += _histograms(other, edges, f"detector ({label})", truth=False)
        return Findings(records=tuple(records))

    def _edges(self, task: RegressionTask) -> FloatArray:
        sample = task.tests["nominal"]
        x = sample.column(task.uncalibrated[0])
        values = np.concatenate([x, sample.z[:, 0]])
        events = np.tile(sample.w > 0, 2).astype(np.float64)
        low, high = weighted_quantile(values, events, [0.001, 0.999])
        return np.linspace(low, high, self.bins + 1)


def _histograms(
    task: RegressionTask, edges: FloatArray, level: str, truth: bool
) -> Iterator[SpectrumHistogram]:
    names = [column.name for column in task.train.x_columns]
    feature = task.train.x_columns[names.index(task.uncalibrated[0])]
    for test, sample in task.tests.items():
        if truth:
            column = sample.z_columns[0]
            yield _histogram(test, "truth", column, sample.z[:, 0], sample, edges)
        x = sample.column(feature.name)
        yield _histogram(test, level, feature, x, sample, edges)


def _histogram(
    test: str, level: str, column: Column, values: FloatArray, sample: Sample, edges: FloatArray
) -> SpectrumHistogram:
    found = density(values, sample, edges)
    return SpectrumHistogram(
        sample=test,
        level=level,
        name=column.name,
        unit=column.unit,
        edges=edges,
        density=found.density,
        density_error=found.error,
        underflow=found.underflow,
        overflow=found.overflow,
    )
