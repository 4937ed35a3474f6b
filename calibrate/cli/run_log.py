"""The log of a run folder: what was done, and the traceback of what failed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calibrate.errors import CalibrateError, StorageError

LOG_FILE = "run.log"
log = logging.getLogger("calibrate")


class LogFile(logging.FileHandler):
    """A log that keeps to itself that it cannot be written, until it is asked."""

    error: BaseException | None = None

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Remember the error; logging would print its traceback."""
        self.error = sys.exc_info()[1]

    def close(self) -> None:
        """Close the file, as far as that is possible."""
        try:
            super().close()
        except OSError as error:
            self.error = error

    def refuse_broken(self) -> None:
        """Raise StorageError if something could not be written."""
        if self.error is not None:
            raise StorageError(f"cannot write {self.baseFilename}: {self.error}") from self.error


@contextmanager
def logged(folder: Path, what: str) -> Iterator[None]:
    """Log to the run folder; a failure leaves its traceback there and goes on upwards."""
    handler = LogFile(folder / LOG_FILE, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        log.info(what)
        handler.refuse_broken()
        yield
    except CalibrateError:
        log.exception("the run failed")
        raise
    except KeyboardInterrupt:
        log.error("interrupted")
        raise
    except Exception as error:
        log.exception("the run failed unexpectedly")
        reason = f"{type(error).__name__}: {error}"
        raise CalibrateError(f"unexpected {reason}; traceback in {folder / LOG_FILE}") from error
    finally:
        log.removeHandler(handler)
        handler.close()
