"""The parts of a test sample that is larger than the memory, taken one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np

from calibrate.context import Context
from calibrate.cores import threads
from calibrate.evaluators.parts import Part, StoredPart
from calibrate.sample import Column, FloatArray, IntArray, Sample
from calibrate.statistics import Poisson, Summary
from calibrate.statistics.bins import collapsed, edges_of_sorted
from calibrate.statistics.long_summary import Run, summarise_on_disk
from calibrate.statistics.on_disk import RowsOnDisk, Space

T = TypeVar("T")


@dataclass(frozen=True)
class Facts:
    """Of the values u of all events: a centre to count from, the largest absolute weight, and
    whether there are negative ones."""

    centre: float
    scale: float
    negative: bool


def one_bin(part: Part) -> IntArray:
    """All events in one bin."""
    return np.zeros(len(part.sample), np.int64)


@dataclass(frozen=True)
class Pile:
    """All parts of one test sample; sums over them come out the same in whatever order they were
    stored. `folder` is for scratch files, `replicas` for the bootstrap, each part with a stream of
    its own."""

    parts: Sequence[StoredPart]
    test: str
    replicas: int
    context: Context
    folder: Path

    @property
    def methods(self) -> tuple[str, ...]:
        """The labels of the methods."""
        return self.parts[0].methods

    @property
    def z_columns(self) -> tuple[Column, ...]:
        """The truth columns."""
        return self.parts[0].z_columns

    def each(self, function: Callable[[Part], T]) -> list[T]:
        """The function of every part, in their order; as many in memory as there are threads."""
        with ThreadPoolExecutor(threads()) as pool:
            return list(pool.map(lambda stored: function(stored.read()), self.parts))

    def joined(self, function: Callable[[Part], T], join: Callable[[T, T], T]) -> T:
        """What the function gives of every part, joined in their order as they come."""
        with ThreadPoolExecutor(threads()) as pool:
            return reduce(join, pool.map(lambda stored: function(stored.read()), self.parts))

    def total(self, function: Callable[[Part], FloatArray]) -> FloatArray:
        """The sum of a function over all parts."""
        return np.asarray(np.sum(self.each(function), axis=0))

    def edges(
        self, values: Callable[[Sample], FloatArray], bins: int, minimum: float
    ) -> FloatArray:
        """Edges of bins with equal effective statistics, as `equal_statistics_edges` gives them."""
        with self._scratch("edges") as folder:
            space = self._space(folder)

            def run(part: Part) -> RowsOnDisk:
                sample = part.sample
                found, w = collapsed(values(sample), sample.w, sample.group)
                return space.filled(self._start(part), found, w, np.array([0, found.size]))

            rows = RowsOnDisk.merged(folder / "all", self.each(run))
            return edges_of_sorted(rows.values, rows.w, bins, minimum)

    @contextmanager
    def sorted(self, u: Callable[[Part], FloatArray]) -> Iterator[RowsOnDisk]:
        """The values u of all parts in ascending order, on disk."""
        with self._scratch("sorted") as folder:
            runs = self.each(partial(self._run, self._space(folder), 1.0, u, one_bin, 1))
            yield RowsOnDisk.merged(folder / "all", [run.rows for run in runs])

    def summary(
        self, u: Callable[[Part], FloatArray], index: Callable[[Part], IntArray], bins: int,
        facts: Facts, mode: bool,
    ) -> Summary:  # fmt: skip
        """Statistics of u in the bins that `index` names."""
        with self._scratch("summary") as folder:

            def centred(part: Part) -> FloatArray:
                return u(part) - facts.centre

            space = self._space(folder)
            runs = self.each(partial(self._run, space, facts.scale, centred, index, bins))
            rows = RowsOnDisk.merged(folder / "rows", [run.rows for run in runs])
            known = self.replicas, facts.centre, facts.negative
            return summarise_on_disk(rows, runs, *known, mode)

    def _run(
        self, space: Space, scale: float, u: Callable[[Part], FloatArray],
        index: Callable[[Part], IntArray], bins: int, part: Part,
    ) -> Run:  # fmt: skip
        """The values of one part, sorted by the bins that `index` names; weights over `scale`."""
        counts, w = self._poisson(part.number), part.sample.w / scale
        return Run.sorted(space, self._start(part), u(part), w, index(part), bins, counts)

    def _space(self, folder: Path) -> Space:
        """Room for the rows of all parts."""
        return Space.of(folder / "runs", sum(stored.rows for stored in self.parts))

    def _start(self, part: Part) -> int:
        """The number of rows in the parts before."""
        numbers = [stored.number for stored in self.parts]
        return sum(stored.rows for stored in self.parts[: numbers.index(part.number)])

    @contextmanager
    def _scratch(self, name: str) -> Iterator[Path]:
        """A folder that is gone afterwards."""
        with TemporaryDirectory(prefix=f"{name}_", dir=self.folder) as folder:
            yield Path(folder)

    def _poisson(self, number: int) -> Callable[[], Poisson]:
        """Counts of a part, drawn when they are needed."""
        (stored,) = (part for part in self.parts if part.number == number)
        seed = self.context.sequence("bootstrap", self.test, str(number))
        return lambda: stored.poisson(self.replicas, seed)
