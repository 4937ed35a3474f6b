"""A generation in chunks: made in parallel, kept in a work folder until the file is written.

A chunk's random numbers follow from its place alone, so the result does not depend on the number
of workers. An interrupted run, started again, goes on where it stopped.
"""

import json
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing import Pool
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from columns import Columns, replacing
from pythia_events import GenerationError
from rich.console import Console
from rich.progress import track

PACKAGES = ("pythia8mc", "fastjet", "numpy")


@dataclass(frozen=True)
class Chunk:
    """A part of the events of one bin, with random numbers of its own."""

    bin: int  # from 1
    index: int  # from 0, within the bin
    events: int

    @property
    def name(self) -> str:
        """Name of its file in the work folder."""
        return f"bin{self.bin}-{self.index:05d}.npz"


class Job(Protocol):
    """One output file."""

    @property
    def target(self) -> Path:
        """The HDF5 file to write."""

    @property
    def label(self) -> str:
        """What is made, for the progress bar."""

    @property
    def chunks(self) -> Sequence[Chunk]:
        """All chunks, bin by bin."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that the result depends on, ready for JSON."""


def chunks_of(totals: Sequence[int], size: int) -> list[Chunk]:
    """Chunks of at most `size` events that hold the `totals` of the bins."""
    return [
        Chunk(number, index, min(size, total - start))
        for number, total in enumerate(totals, start=1)
        for index, start in enumerate(range(0, total, size))
    ]


def pythia_seed(seeds: np.random.SeedSequence) -> int:
    """Pythia's own seed, from 1 to 9e8."""
    return int(seeds.generate_state(1)[0]) % 900_000_000 + 1


def versions() -> dict[str, str]:
    """Versions of the packages that the numbers depend on."""
    return {name: version(name) for name in PACKAGES}


def work_folder(job: Job) -> Path:
    """The folder of finished chunks."""
    return job.target.with_suffix(".work")


def open_work(job: Job) -> None:
    """Make the work folder, or check that it holds chunks of this very job."""
    work = work_folder(job)
    work.mkdir(parents=True, exist_ok=True)
    record = work / "settings.json"
    if not record.exists():
        with replacing(record) as path:
            path.write_text(json.dumps(job.settings, indent=1))
    found = json.loads(record.read_text())
    different = [name for name in job.settings if found.get(name) != job.settings[name]]
    if different:
        raise GenerationError(
            f"{work} holds chunks of other settings ({', '.join(different)}): "
            "remove it or choose another --output"
        )


def start_worker() -> None:
    """Leave Ctrl-C to the parent process, and discard the banners that libraries print."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def make_chunk(make: Callable[[Any, Chunk], Columns], job: Job, chunk: Chunk) -> None:
    """Make a chunk and leave it in the work folder."""
    content: dict[str, Any] = make(job, chunk)
    with replacing(work_folder(job) / chunk.name) as path:
        np.savez(path, **content)


def make_chunks(job: Job, make: Callable[[Any, Chunk], Columns], workers: int) -> None:
    """Make the missing chunks in parallel."""
    missing = [chunk for chunk in job.chunks if not (work_folder(job) / chunk.name).exists()]
    if not missing:
        return
    with Pool(min(workers, len(missing)), initializer=start_worker) as pool:
        done = pool.imap_unordered(partial(make_chunk, make, job), missing)
        follow(done, len(missing), job.label)


def follow(steps: Iterable[None], total: int, label: str) -> None:
    """Exhaust an iterable under a progress bar, or with some twenty lines if not on a terminal."""
    console = Console(stderr=True)
    if console.is_terminal:
        steps = track(steps, label, total, console=console)
    for done, _ in enumerate(steps, start=1):
        if not console.is_terminal and (done % max(1, total // 20) == 0 or done == total):
            console.print(f"{label}: {done} of {total} chunks")


def finished(job: Job, number: int) -> list[Columns]:
    """The chunks of a bin, in their order."""
    return [dict(np.load(work_folder(job) / c.name)) for c in job.chunks if c.bin == number]


def joined(parts: Sequence[Columns]) -> Columns:
    """Parts with the same columns as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
