"""`calibrate run`: one study in a run folder of its own."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from calibrate import provenance
from calibrate.cli.compose import compose
from calibrate.cli.planning import Plan, plan
from calibrate.cli.progress import progress
from calibrate.cli.recipe import shown
from calibrate.context import Context
from calibrate.errors import CalibrateError, StorageError
from calibrate.records import ClosureCurve, Outcome, TransportHistogram, TwoSample
from calibrate.report import transport_verdict
from calibrate.report.files import create_run_folder, write
from calibrate.report.verdict import sentence
from calibrate.study import Fits, Loaded, conclude, fit, load

LOG_FILE = "run.log"
log = logging.getLogger("calibrate")


def run(overrides: Sequence[str]) -> int:
    """Run one study; prints verdicts and the page's path. Exit status 0: a report was written."""
    return execute(plan(overrides), shlex.join(["calibrate", "run", *overrides]))


def execute(planned: Plan, command: str, about: Mapping[str, Any] | None = None) -> int:
    """Run what is planned; `about` goes into the `run` block of the report."""
    folder = create_run_folder(Path(planned.output), planned.data, planned.method)
    _tell(run_in(folder, planned, command, planned.context(progress()), about or {}), folder)
    return 0


def run_in(
    folder: Path, planned: Plan, command: str, context: Context, about: Mapping[str, Any]
) -> Outcome:
    """Run what is planned in a new, empty folder; a failure leaves its traceback in run.log."""
    with logged(folder, command):
        loaded = load(planned.study, context)
        (fits,) = fit([loaded])
        return _concluded(folder, planned, command, loaded, fits, about)


def conclude_in(
    folder: Path, planned: Plan, command: str, loaded: Loaded, fits: Fits, about: Mapping[str, Any]
) -> Outcome:
    """Evaluate fits that were made together with others', and write their report."""
    with logged(folder, "fitted"):
        return _concluded(folder, planned, command, loaded, fits, about)


def _concluded(
    folder: Path, planned: Plan, command: str, loaded: Loaded, fits: Fits, about: Mapping[str, Any]
) -> Outcome:
    known = {**_about(planned, command), **about}
    result = conclude(loaded, fits, known, planned.configuration)
    if planned.note:
        notes = (planned.note, *result.outcome.notes)
        result = replace(result, outcome=replace(result.outcome, notes=notes))
    for warning in result.outcome.warnings:
        log.warning(warning)
    outcome = write(folder, result, planned.figures, loaded.context)
    log.info("report written")
    return outcome


def show_configuration(overrides: Sequence[str]) -> str:
    """The composed configuration as YAML."""
    return OmegaConf.to_yaml(shown(compose(overrides)))


def _about(planned: Plan, command: str) -> dict[str, Any]:
    return {
        "command": command,
        "data": planned.data,
        "method": planned.method,
        "compare_with": list(planned.compare_with),
        "seed": planned.seed,
        "version": provenance.version(),
        "commit": provenance.commit(),
        "environment": provenance.environment(),
    }


def _tell(outcome: Outcome, folder: Path) -> None:
    for text in outcome.warnings:
        print(f"warning: {text}", file=sys.stderr)
    for method in outcome.methods:
        curves = [r for r in outcome.records if isinstance(r, ClosureCurve) and r.method == method]
        if curves:
            print(sentence(curves))
        known = [r for r in outcome.records if isinstance(r, TransportHistogram | TwoSample)]
        tests = [record for record in known if record.method == method]
        if tests:
            print(transport_verdict.sentence(tests))
    print(folder / "report.html")


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
