"""Errors that a user can act on; each knows the exit status of the command that meets it.

Every message states what was expected, what was received and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

SHOWN = 40
"""Names listed at most where none is near: a tree may have thousands of branches."""


class CalibrateError(Exception):
    """A failure with one clear line for the user: the run failed, exit status 1."""

    exit_status = 1


class DataError(CalibrateError):
    """The events cannot be used as they are: missing, damaged, not finite, too few."""


class DamagedError(DataError):
    """The bytes of a file are not what its format says: truncated, overwritten."""


class FitError(CalibrateError):
    """A fit did not end in a usable calibration."""


class NoEstimateError(FitError):
    """A fitted calibration has no estimate for some events inside its range: the row numbers are
    `rows`."""

    def __init__(self, message: str, rows: Sequence[int]) -> None:
        super().__init__(message)
        self.rows = tuple(rows)


class NoJobError(CalibrateError):
    """No job of a sweep can be done, whichever is tried."""


class StorageError(CalibrateError):
    """A file cannot be read or written."""


class FetchError(CalibrateError):
    """A public file could not be fetched as it is known."""


class ConfigurationError(CalibrateError):
    """The command line or a hyperparameter is wrong: exit status 2."""

    exit_status = 2


class MisfitError(ConfigurationError):
    """A dataset and a method that do not go together; refused before any work."""


def nearest(name: str, available: Iterable[str]) -> str:
    """Name the available spellings closest to `name`, as the end of an error message."""
    known = sorted(available)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    shown = ", ".join(known[:SHOWN]) + (f" … ({len(known)} in all)" if known[SHOWN:] else "")
    return f"available: {shown or 'none'}"
