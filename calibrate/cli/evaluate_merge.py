"""The end of `calibrate evaluate -m`: all parts that are there become one ordinary report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from calibrate.cli.evaluate_job import GROUPS, evaluators, plan_of
from calibrate.cli.planning import Plan
from calibrate.cli.progress import progress
from calibrate.cli.run import executed
from calibrate.context import Context
from calibrate.errors import DataError, StorageError
from calibrate.estimate import Calibration
from calibrate.evaluators.parts import StoredPart
from calibrate.evaluators.shared_groups import refuse_shared_groups
from calibrate.loading import load_calibration
from calibrate.records import FitSummary
from calibrate.study import Result, Study, outcome_of
from calibrate.sweep.job import DONE, Job
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.runs import report

FEW = 5
"""Notes of single files that a report holds; of more it says how many there are."""


@dataclass(frozen=True)
class Done:
    """A finished job with its part and what is known of its files."""

    job: Job
    folder: Path
    document: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.job.finished or 0.0) - (self.job.started or 0.0)


def collect(ledger: Ledger) -> Path:
    """Merge the parts that are done into a report in a run folder of its own; the page's path.

    Raises StorageError if there is none, DataError if the parts do not go together.
    """
    about = ledger.about()
    asked = about["evaluation"]
    done, missing = _done(ledger)
    if not done:
        raise StorageError(f"{ledger.folder}: no part is done yet")
    first = ledger.recipe(done[0].job.number)["chunk"]
    planned = _plan(asked)
    merged = Merged(load_calibration(first["calibration"]), asked["label"], planned, done, missing)
    known = {"stored": asked["stored"], "sweep": str(ledger.folder)}
    shown = replace(planned, method=asked["label"],
                    compare_with=(planned.method, *planned.compare_with))  # fmt: skip
    context = replace(planned, device="cpu").context(progress())  # jobs alone had the device
    return executed(shown, about["command"], context, known, merged.result)


def _plan(asked: Mapping[str, Any]) -> Plan:
    return plan_of(asked["recipe"])


def _done(ledger: Ledger) -> tuple[list[Done], list[Job]]:
    """The finished jobs, and the others."""
    done, missing = [], []
    for job in ledger.jobs():
        document = report(ledger.folder, job) if job.state == DONE else None
        if document:
            done.append(Done(job, ledger.folder / str(job.folder), document))
        else:
            missing.append(job)
    return done, missing


@dataclass(frozen=True)
class Merged:
    """What stands for a study: the parts of a calibration's evaluation, of which some jobs may be
    missing."""

    calibration: Calibration
    label: str
    planned: Plan
    done: Sequence[Done]
    missing: Sequence[Job]

    def result(
        self, study: Study, context: Context, about: Mapping[str, Any], configuration: str
    ) -> Result:
        """The outcome of the whole."""
        start, parts = time.perf_counter(), [StoredPart.at(each.folder) for each in self.done]
        _refuse_differing(parts)
        keys = [each.folder / GROUPS for each in self.done]
        refuse_shared_groups([path for path in keys if path.is_file()])
        with TemporaryDirectory(prefix="merge_", dir=self.done[0].folder.parent) as scratch:
            fits = {self.label: self.calibration}
            found = [each.merged(parts, fits, context.child(name), Path(scratch))
                     for name, each in evaluators(self.planned).items()]  # fmt: skip
        block = {**about, "seconds": self._seconds(time.perf_counter() - start),
                 "data_sha256": self._digests()}  # fmt: skip
        others = dict.fromkeys(parts[0].methods[1:], FitSummary())
        summaries = {self.label: self.calibration.summary, **others}
        notes = [*self._notes(parts), *_gathered(each.document["notes"] for each in self.done)]
        warnings = [*self._missing(), *_gathered(each.document["warnings"] for each in self.done)]
        outcome = outcome_of(summaries, notes, warnings, found, block, configuration)
        return Result({self.label: self.calibration}, outcome)

    def _seconds(self, merging: float) -> dict[str, float]:
        """Jobs one after the other as loading, merging as evaluation."""
        return {"load": sum(each.seconds for each in self.done), "fit": 0.0, "evaluate": merging}

    def _digests(self) -> dict[str, str]:
        return {path: digest for each in self.done
                for path, digest in each.document["data_sha256"].items()}  # fmt: skip

    def _notes(self, parts: Sequence[StoredPart]) -> list[str]:
        rows, files = sum(part.rows for part in parts), len(self._digests())
        return [
            f"the files are not those of the training: all {rows} events are tested",
            f"merged from {len(parts)} parts, {files} files",
        ]

    def _missing(self) -> list[str]:
        """A warning of the jobs that are not in it."""
        names = [name for job in self.missing for name in job.overrides]
        if not names:
            return []
        shown = ", ".join(names[:FEW]) + (" …" if len(names) > FEW else "")
        return [f"not in this report, since their jobs are not done: {shown} ({len(names)} files)"]


def _refuse_differing(parts: Sequence[StoredPart]) -> None:
    """Raise DataError if parts hold different columns."""
    for part in parts[1:]:
        if part.z_columns != parts[0].z_columns:
            raise DataError(
                "a truth, or what measures it, is positive in every row of some files, and not of "
                "others: say what is positive by nature with data.positive=[…], [] for none"
            )


def _gathered(texts: Iterable[Sequence[str]]) -> list[str]:
    """Texts of all parts, each once; the first few where there are many."""
    found = list(dict.fromkeys(text for each in texts for text in each))
    more = len(found) - FEW
    return [*found[:FEW], f"and {more} more notes of single files"] if more > 0 else found
