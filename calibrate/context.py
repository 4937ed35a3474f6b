"""What a computation may use besides its arguments: random streams, device, progress."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

Advance = Callable[[int], None]


class Progress(Protocol):
    """Shows how far a computation has come: `with progress.track("fit", 60) as advance: …`."""

    def track(self, description: str, total: int) -> AbstractContextManager[Advance]: ...


class Silent:
    """No progress shown: for libraries, tests and output that is not a terminal."""

    @contextmanager
    def track(self, description: str, total: int) -> Iterator[Advance]:
        yield lambda steps: None


class Checkpoint(Protocol):
    """Where the state of one training is kept, so that another process can go on with it."""

    def load(self) -> Mapping[str, Any] | None: ...

    def keep(self, state: Callable[[], Mapping[str, Any]], over: bool) -> bool: ...


class Checkpoints(Protocol):
    """Checkpoints of trainings, each told from the others by a text, and by the numbers that it may
    `begin` with, which another machine rounds differently."""

    def checkpoint(self, training: str, begin: str = "") -> Checkpoint: ...


class Forgotten:
    """No state is kept: what is killed begins anew."""

    def checkpoint(self, training: str, begin: str = "") -> Forgotten:
        return self

    def load(self) -> None:
        return None

    def keep(self, state: Callable[[], Mapping[str, Any]], over: bool) -> bool:
        return False


@dataclass(frozen=True)
class Context:
    """Seed, device, progress, the share of the free memory that loading data may take (None: no
    limit) and where long trainings keep their state, passed explicitly; `child` gives a computation
    its own streams.

    One seed serves a whole run: each stream's `numpy.random.SeedSequence` is the seed followed
    by the CRC-32 of the names that lead to it, so that no stream depends on another's use.
    """

    seed: int = 0
    device: str = "cpu"
    progress: Progress = field(default_factory=Silent)
    path: tuple[str, ...] = ()
    memory: float | None = 0.7
    checkpoints: Checkpoints = field(default_factory=Forgotten)

    def child(self, *names: str) -> Context:
        """The context of a part of the computation."""
        return replace(self, path=self.path + names)

    def sequence(self, *names: str) -> np.random.SeedSequence:
        """The seed sequence of a named stream."""
        keys = [zlib.crc32(name.encode()) for name in self.path + names]
        return np.random.SeedSequence([self.seed, *keys])

    def stream(self, *names: str) -> np.random.Generator:
        """A fresh random generator for a named purpose; the same names give the same numbers."""
        return np.random.default_rng(self.sequence(*names))
