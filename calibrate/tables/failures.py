"""What a user reads when a file cannot be read or written: one line, with what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calibrate.errors import CalibrateError, DamagedError, StorageError

LONGEST_REASON = 200
BLOCK = 1 << 20


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """One DamagedError for all that damaged bytes lead libraries to: they raise whatever comes."""
    try:
        yield
    except CalibrateError:
        raise
    except Exception as error:
        raise DamagedError(
            f"{path} cannot be read as {kind}: {_reason(error)}; the file may be truncated or "
            "damaged: fetch or write it again"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """StorageError where the disk is full, or the place cannot be written to."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {_reason(error)}; make room there, or choose another place"
        ) from error


def reserve(path: Path, size: int) -> None:
    """Let a file grow to its largest size at once. For HDF5, which cannot be closed, and brings
    the program down, where a disk becomes full; it cuts off what it does not need."""
    with writing(path), path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        for start in range(file.seek(0, os.SEEK_END), size, BLOCK):
            file.write(bytes(min(BLOCK, size - start)))


def _reason(error: Exception) -> str:
    given = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = " ".join(given.split()) or type(error).__name__
    return text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON] + " …"
