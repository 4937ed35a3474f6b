"""The tasks that the user's files pose: a regression, or a transport from simulation to data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from calibrate.context import Context
from calibrate.data.table_files import TableFiles, TableRows
from calibrate.task import NOMINAL, Pair, RegressionTask, TransportTask, Whole

FilePair = tuple[TableFiles, TableFiles]


@dataclass(frozen=True)
class TableTasks:
    """`uncalibrated` names, for each truth, the feature that measures it; `positive` the columns
    that are positive by nature (None: those pairs whose values all are)."""

    uncalibrated: tuple[str, ...]
    units: Mapping[str, str]
    positive: Sequence[str] | None
    train_fraction: float

    def regression(
        self, train: TableFiles, tests: Mapping[str, TableFiles], context: Context
    ) -> RegressionTask:
        """z from x: a part of `train` trains, the rest is `nominal`, beside the `tests`."""
        rows = train.load(context).refuse_few()
        others = {name: files.load(context) for name, files in tests.items()}
        everything = [rows, *others.values()]
        positive, notes = self._positive(everything, "judged by the response ẑ/z")
        samples = [each.sample(self.units, positive) for each in everything]
        random = context.child("data").stream("split")
        kept, nominal = samples[0].split(self.train_fraction, random)
        return RegressionTask(
            kept,
            {NOMINAL: nominal, **dict(zip(others, samples[1:], strict=True))},
            self.uncalibrated,
            files=_digests(everything),
            notes=(*_notes(everything), *notes),
            warnings=tuple(_shared(rows, everything[1:])),
        )

    def whole(self, files: TableFiles, context: Context) -> Whole:
        """All events, as training sample and as `nominal`."""
        rows = files.load(context)
        positive, notes = self._positive([rows], "judged by the response ẑ/z")
        sample = rows.sample(self.units, positive)
        task = RegressionTask(
            sample,
            {NOMINAL: sample},
            self.uncalibrated,
            files=dict(rows.digests),
            notes=(*rows.notes, *notes),
        )
        return Whole(task, rows.group_keys())

    def transport(
        self, train: FilePair, tests: Mapping[str, FilePair], context: Context
    ) -> TransportTask:
        """x of simulation to that of data: parts of both train, the rests are the pair `nominal`,
        beside the `tests`."""
        simulation, data = (files.load(context).refuse_few() for files in train)
        others = [[files.load(context) for files in pair] for pair in tests.values()]
        everything = [simulation, data, *chain(*others)]
        positive, notes = self._positive(everything, "their response is the ratio x/z")
        named = {"simulation": simulation, "data": data}
        child = context.child("data", "transport")
        halves = [
            rows.sample(self.units, positive).split(self.train_fraction, child.stream(side))
            for side, rows in named.items()
        ]
        kept, nominal = (Pair(*half) for half in zip(*halves, strict=True))
        more = {
            name: Pair(*(rows.sample(self.units, positive) for rows in pair))
            for name, pair in zip(tests, others, strict=True)
        }
        return TransportTask(
            kept,
            {NOMINAL: nominal, **more},
            files=_digests(everything),
            notes=(*_notes(everything), *_assumed(simulation, data), *notes),
            warnings=(
                *_shared(simulation, everything[1:]),
                *_shared(data, everything[2:]),
            ),
        )

    def _positive(
        self, everything: Sequence[TableRows], meaning: str
    ) -> tuple[set[str], tuple[str, ...]]:
        """The columns that are positive by nature, and what is said of them."""
        if self.positive is not None:
            return set(self.positive), ()
        found: set[str] = set()
        for pair in zip(everything[0].files.roles.z, self.uncalibrated, strict=True):
            if all(rows.all_positive(pair) for rows in everything):
                found |= set(pair)
        if not found:
            return found, ()
        listed = " and ".join(sorted(found))
        return found, (
            f"{listed} are positive in every row: {meaning} (data.positive=[] for differences)",
        )


def _digests(everything: Sequence[TableRows]) -> dict[str, str]:
    return {path: digest for rows in everything for path, digest in rows.digests.items()}


def _notes(everything: Sequence[TableRows]) -> Iterator[str]:
    """What was left out, with the option where it is not the first one."""
    yield from everything[0].notes
    for rows in everything[1:]:
        yield from (f"{rows.files.option}: {note}" for note in rows.notes)


def _assumed(simulation: TableRows, data: TableRows) -> Iterator[str]:
    """What is done to data for want of another word."""
    if simulation.files.roles.w is not None and data.files.roles.w is None:
        yield "every row of data.target_path has weight 1 (data.target_w names a weight)"
    select = data.files.source.select
    if select is not None and select == simulation.files.source.select:
        yield f"data.target_path is selected as the simulation: {select}"


def _shared(train: TableRows, others: Sequence[TableRows]) -> Iterator[str]:
    """On files among the others that hold training events."""
    for rows in others:
        for path, digest in rows.digests.items():
            if digest in train.digests.values():
                yield (
                    f"{rows.files.option} reads {Path(path).name}, which holds the training events "
                    f"of {train.files.option}"
                )
