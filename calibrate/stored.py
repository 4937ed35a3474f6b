"""A stored calibration in a study: evaluated, not fitted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from calibrate.context import Context
from calibrate.errors import MisfitError
from calibrate.estimate import Calibration
from calibrate.protocols import RegressionDataset
from calibrate.sample import concatenate
from calibrate.task import NOMINAL, RegressionTask


@dataclass(frozen=True)
class Stored:
    """A method whose fit is done: it gives the stored calibration, unchanged."""

    calibration: Calibration

    def fit(self, task: RegressionTask, context: Context) -> Calibration:
        """The stored calibration.

        Raises DataError if the task's sample lacks one of its features, MisfitError if its truth
        columns are others in number or unit.
        """
        domain = self.calibration.domain
        domain.features(task.train)
        known, given = domain.z_columns, task.train.z_columns
        units = zip(known, given, strict=False)
        other = any(a.unit and b.unit and a.unit != b.unit for a, b in units)
        if len(known) != len(given) or other:
            names = [", ".join(c.label for c in each) for each in (known, given)]
            raise MisfitError(f"the calibration estimates {names[0]}; the data has {names[1]}")
        return self.calibration


@dataclass(frozen=True)
class AllEvents:
    """A dataset of which nothing is needed for training: `nominal` is all of it.

    Only where the files are not those that the calibration was derived from (`trained_on`, their
    sha256): else its own training events would test it, and the split stays. That split is the
    training's if seed and options of the data are the same (`same_split`). `estimated` names the
    truth columns that the calibration estimates; `keep_split` where another method is trained.
    """

    data: RegressionDataset
    trained_on: Collection[str]
    same_split: bool
    estimated: Sequence[str]
    keep_split: bool = False

    def regression(self, context: Context) -> RegressionTask:
        """The dataset's task, with training events and complement together as `nominal`, which
        then is what tolerances and ranges refer to, too."""
        task = self._named(self.data.regression(context))
        if not task.files:
            return task
        if not set(task.files.values()) & set(self.trained_on):
            if self.keep_split:
                return task
            whole = concatenate([task.train, task.tests[NOMINAL]])
            note = f"the files are not those of the training: all {len(whole)} events are tested"
            tests = {**task.tests, NOMINAL: whole}
            return replace(task, train=whole, tests=tests, notes=(*task.notes, note))
        if self.same_split:
            note = "tested on the complement of the training events: files, options, seed are equal"
            return replace(task, notes=(*task.notes, note))
        warning = (
            "the files are those of the training, but seed or data options are not: many of the "
            "tested events were trained with; repeat those of the run's config.yaml"
        )
        return replace(task, warnings=(*task.warnings, warning))

    def _named(self, task: RegressionTask) -> RegressionTask:
        """With a warning where the truth has another name than in the training."""
        told = other_names(self.estimated, task)
        return replace(task, warnings=(*task.warnings, *told)) if told else task


def other_names(estimated: Sequence[str], task: RegressionTask) -> tuple[str, ...]:
    """A warning where the truth has another name than what a calibration estimates."""
    names = [column.name for column in task.train.z_columns]
    if names == list(estimated):
        return ()
    return (
        f"the calibration estimates {', '.join(estimated)}, compared here with {', '.join(names)}",
    )
