"""A stored calibration in a study: evaluated, not fitted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from calibrate.context import Context
from calibrate.errors import MisfitError
from calibrate.estimate import Calibration, RegressionDataset
from calibrate.sample import concatenate
from calibrate.task import NOMINAL, RegressionTask


@dataclass(frozen=True)
class Stored:
    """A method whose fit is done: it gives the stored calibration, unchanged."""

    calibration: Calibration

    def fit(self, task: RegressionTask, context: Context) -> Calibration:
        """The stored calibration.

        Raises DataError if the task's sample lacks one of its features, MisfitError if it has
        another number of truth columns.
        """
        domain = self.calibration.domain
        domain.features(task.train)
        if len(domain.z_columns) != len(task.train.z_columns):
            names = [", ".join(c.name for c in each) for each in
                     (domain.z_columns, task.train.z_columns)]  # fmt: skip
            raise MisfitError(f"the calibration estimates {names[0]}; the data has {names[1]}")
        return self.calibration


@dataclass(frozen=True)
class AllEvents:
    """A dataset of which nothing is needed for training: `nominal` is all of it.

    Only where the files are not those that the calibration was derived from (`trained_on`, their
    sha256): else its own training events would test it, and the split stays.
    """

    data: RegressionDataset
    trained_on: Collection[str]

    def regression(self, context: Context) -> RegressionTask:
        """The dataset's task, with training events and complement together as `nominal`."""
        task = self.data.regression(context)
        if not task.files:
            return task
        if set(task.files.values()) & set(self.trained_on):
            note = "tested on the complement of the training events: the files are the same"
            return replace(task, notes=(*task.notes, note))
        whole = concatenate([task.train, task.tests[NOMINAL]])
        note = f"no event of the data was trained with: all {len(whole)} are tested"
        return replace(task, tests={**task.tests, NOMINAL: whole}, notes=(*task.notes, note))
