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
    a while does not become one of this machine."""

    path: Path
    every: float

    def checkpoint(self, training: str) -> FileCheckpoint:
        """That of a training, told from others by a text."""
        name = hashlib.sha256(training.encode()).hexdigest()[:16]
        return FileCheckpoint(self.path / f"{name}.h5", training, self.every)


@dataclass
class FileCheckpoint:
    """The last state of one training; `training` is stored with it and must be the same."""

    path: Path
    training: str
    every: float
    written: float = field(default_factory=time.monotonic)

    def load(self) -> Mapping[str, Any] | None:
        """The state that was kept; None if there is none, or it is another training's.

        Raises StorageError if the file is damaged.
        """
        if not self.path.is_file():
            return None
        kind, state = load_state(self.path)
        return state if kind == KIND and state.pop("training") == self.training else None

    def keep(self, state: Callable[[], Mapping[str, Any]], over: bool) -> None:
        """Keep a state if it is time to; that of a training that is `over` if an earlier one was
        kept. Where it cannot be written, training goes on, and the run's log says so."""
        due = time.monotonic() - self.written >= self.every
        if not (due or (over and self.path.is_file())):
            return
        try:
            for folder in (self.path.parent.parent, self.path.parent):
                folder.mkdir(exist_ok=True)
            save_state(self.path, KIND, {"training": self.training, **state()})
        except (OSError, StorageError) as error:
            log.warning(f"no checkpoint: {error}")
        self.written = time.monotonic()
