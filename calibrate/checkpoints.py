"""The state of long trainings in files, so that a process that is killed is not begun anew."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calibrate.errors import StorageError
from calibrate.storage import load_state, save_state

KIND = "training"
log = logging.getLogger("calibrate")


@dataclass(frozen=True)
class CheckpointFolder:
    """Checkpoints in a folder, one file for each training, written `every` so many seconds. It and
    the one around it are made if they are missing, but none above: a shared folder that is away for
    a while does not become one of this machine. `seen` are the files of this process's trainings.
    """

    path: Path
    every: float
    seen: set[Path] = field(default_factory=set, compare=False, repr=False)

    def checkpoint(self, training: str, begin: str = "") -> FileCheckpoint:
        """That of a training, told from others by a text and the numbers that it may begin with.
        If an earlier process left only others with that text, the run's log says so."""
        name = _digest(training)
        if not begin:
            return FileCheckpoint(self.path / f"{name}.h5", training, self.every)
        file = self.path / f"{name}-{_digest(begin)}.h5"
        if not file.is_file() and set(self.path.glob(f"{name}-*.h5")) - self.seen:
            log.warning(
                "a fit begins anew: a checkpoint of its name begins with other numbers (another "
                "machine, another number of threads or other events)"
            )
        self.seen.add(file)
        return FileCheckpoint(file, f"{training} {begin}", self.every)


@dataclass
class FileCheckpoint:
    """The last state of one training; `training` is stored with it and must be the same."""

    path: Path
    training: str
    every: float
    written: float = field(default_factory=time.monotonic)

    def load(self) -> Mapping[str, Any] | None:
        """The state that was kept; None if there is none, or, which the run's log says, if the file
        is damaged or another training's: the next state that is kept replaces it."""
        if not self.path.is_file():
            return None
        try:
            kind, state = load_state(self.path)
        except StorageError as error:
            log.warning(f"a training begins anew, its checkpoint is of no use: {error}")
            return None
        if kind == KIND and state.pop("training", None) == self.training:
            return state
        log.warning(f"a training begins anew: {self.path} is the checkpoint of another one")
        return None

    def keep(self, state: Callable[[], Mapping[str, Any]], over: bool) -> bool:
        """Keep a state if it is time to; that of a training that is `over` if an earlier one was
        kept; whether it is. If it cannot be written training goes on, and the run's log says so."""
        due = time.monotonic() - self.written >= self.every
        if not (due or (over and self.path.is_file())):
            return False
        try:
            for folder in (self.path.parent.parent, self.path.parent):
                folder.mkdir(exist_ok=True)
            save_state(self.path, KIND, {"training": self.training, **state()})
        except (OSError, StorageError) as error:
            log.warning(f"no checkpoint: {error}")
            return False
        finally:
            self.written = time.monotonic()
        return True


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
