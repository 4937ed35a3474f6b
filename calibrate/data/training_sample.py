"""What any dataset of regressions may do to its training sample: fewer events, smeared labels.

A jet that calibrates comes with a reference measurement of its energy, and the error of that is
simulated by smearing the label (arXiv:2003.11099, Sec. 5, option 1B): z' = z + s|z| g with g
standard normal, independent for every row and truth. At fixed x this adds s² E[z²|x] to the
variance of the label and leaves its mean where it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from calibrate.checks import finite_number, positive_integer
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError
from calibrate.expressions import Expression
from calibrate.protocols import CheckingDataset, FromFiles, RegressionDataset
from calibrate.sample import FloatArray, Sample
from calibrate.task import RegressionTask

SMEARING, EVENTS = "label_smearing", "train_events"
OPTIONS = (SMEARING, EVENTS)
"""The options that every dataset has besides its own."""


@dataclass(frozen=True)
class TrainingSample:
    """A dataset whose training sample is `train_events` of its events, chosen at random (a larger
    number holds the events of a smaller one; None: all), with labels smeared by the relative
    width `label_smearing`: a number, or an expression of truth columns such as `0.8/sqrt(pt_true)`
    (None or 0: as they are). Test samples are left alone.

    Raises ConfigurationError for values out of range and for more events than there are,
    DataError where smearing makes labels of a positive quantity negative.
    """

    data: RegressionDataset
    train_events: int | None = None
    label_smearing: float | str | None = None

    def __post_init__(self) -> None:
        if self.train_events is not None:
            positive_integer(f"data.{EVENTS}", self.train_events)
        if not isinstance(self.label_smearing, str | None):
            finite_number(f"data.{SMEARING}", self.label_smearing)
            if self.label_smearing < 0:
                raise ConfigurationError(
                    f"data.{SMEARING} must not be negative, got {self.label_smearing:g}"
                )

    def regression(self, context: Context) -> RegressionTask:
        """The dataset's task with its training sample changed; `unsmeared` holds the labels as
        they were. Closed forms, which are those of true labels, are left out then."""
        task = self.data.regression(context)
        context = context.child("data")
        if self.train_events is not None:
            task = _fewer(task, self.train_events, context.stream(EVENTS))
        if self.label_smearing in (None, 0):
            return task
        smeared, note = self._smeared(task.train, context.stream(SMEARING))
        return replace(
            task, train=smeared, unsmeared=task.train, closed_forms={}, notes=(*task.notes, note)
        )

    def inputs(self) -> Sequence[Path]:
        """The files that the dataset reads."""
        return self.data.inputs() if isinstance(self.data, FromFiles) else ()

    def check(self, kind: str) -> None:
        """What the dataset itself checks."""
        if isinstance(self.data, CheckingDataset):
            self.data.check(kind)

    def _smeared(self, train: Sample, rng: np.random.Generator) -> tuple[Sample, str]:
        """The sample with smeared labels, and how much they moved."""
        width = self._widths(train)[:, None] * np.abs(train.z)
        z = train.z + width * rng.standard_normal(train.z.shape)
        for column, values in zip(train.z_columns, z.T, strict=True):
            negative = int(np.count_nonzero(values <= 0))
            if column.positive and negative:
                raise DataError(
                    f"data.{SMEARING}={self.label_smearing} makes {negative} of {len(train)} "
                    f"labels '{column.name}' negative, which are positive by nature: use a "
                    "smaller one"
                )
        note = f"labels of the training sample are smeared (data.{SMEARING}={self.label_smearing})"
        return replace(train, z=z), f"{note}: closed forms do not hold and are not shown"

    def _widths(self, train: Sample) -> FloatArray:
        """The relative width (n,) of each row's labels."""
        if not isinstance(self.label_smearing, str):
            return np.full(len(train), self.label_smearing, dtype=np.float64)
        columns = {c.name: train.z[:, i] for i, c in enumerate(train.z_columns)}
        found = np.asarray(Expression.parse(self.label_smearing, columns)(columns), np.float64)
        wrong = ~(np.isfinite(found) & (found >= 0))
        if wrong.any():
            first = found[wrong][0]
            raise DataError(
                f"data.{SMEARING}='{self.label_smearing}' must be a finite width ≥ 0: it is "
                f"{first:g} for {np.count_nonzero(wrong)} of {len(train)} training events"
            )
        return found


def trained_on(data: Any, asked: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any dataset
    """The dataset, with a changed training sample where one of `OPTIONS` is set."""
    given = {option: asked[option] for option in OPTIONS if asked.get(option) is not None}
    return TrainingSample(data, **given) if given else data


def _fewer(task: RegressionTask, events: int, rng: np.random.Generator) -> RegressionTask:
    """The task with that many groups of its training sample."""
    groups = task.train.groups
    if events > groups.number:
        raise ConfigurationError(
            f"data.{EVENTS}={events}: the training sample holds {groups.number} events"
        )
    chosen = np.zeros(groups.number, dtype=bool)
    chosen[rng.permutation(groups.number)[:events]] = True
    note = f"trained with {events} of {groups.number} training events (data.{EVENTS})"
    return replace(task, train=task.train.take(chosen[groups.row]), notes=(*task.notes, note))
