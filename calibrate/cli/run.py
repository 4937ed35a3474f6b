"""`calibrate run`: one study, or a sweep of them through Hydra's launcher."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from calibrate import provenance
from calibrate.checks import choice
from calibrate.cli.compose import VERSION_BASE, Plan, as_yaml, compose, parse, plan
from calibrate.cli.groups import GROUPS, choices, configuration_folder
from calibrate.cli.kinds import with_evaluators
from calibrate.cli.progress import progress
from calibrate.context import Context
from calibrate.errors import CalibrateError
from calibrate.records import ClosureCurve, Outcome, TransportHistogram, TwoSample
from calibrate.report import transport_verdict
from calibrate.report.files import create_run_folder, write
from calibrate.report.verdict import sentence
from calibrate.study import run as run_study

LOG_FILE = "run.log"
log = logging.getLogger("calibrate")


def run(overrides: Sequence[str]) -> int:
    """Run one study; prints verdicts and the page's path. Exit status 0: a report was written."""
    return execute(plan(overrides), shlex.join(["calibrate", "run", *overrides]))


def execute(planned: Plan, command: str, about: Mapping[str, Any] | None = None) -> int:
    """Run what is planned; `about` goes into the `run` block of the report."""
    context = Context(
        seed=planned.seed, device=planned.device, progress=progress(), memory=planned.memory
    )
    folder = create_run_folder(Path(planned.output), planned.data, planned.method)
    with _logged(folder, command):
        known = {**_about(planned, command), **(about or {})}
        result = run_study(planned.study, context, known, planned.configuration)
        if planned.note:
            notes = (planned.note, *result.outcome.notes)
            result = replace(result, outcome=replace(result.outcome, notes=notes))
        for warning in result.outcome.warnings:
            log.warning(warning)
        outcome = write(folder, result, planned.figures, context)
    _tell(outcome, folder)
    return 0


def run_many(overrides: Sequence[str]) -> int:
    """Run every combination of a sweep through Hydra; exit status 1 if any of them failed."""
    _check_choices(overrides)
    first = [
        f"{o.key_or_group}={next(o.sweep_string_iterator())}" if o.is_sweep_override() else text
        for o, text in zip(parse(overrides), overrides, strict=True)
    ]
    plan(first)
    failed: list[str] = []

    def job(composed: DictConfig) -> None:
        task = list(HydraConfig.get().overrides.task)
        print(f"calibrate run {' '.join(task)}")
        try:
            run(task)
        except CalibrateError as error:
            failed.append(f"{' '.join(task)}: {error}")
            print(f"calibrate: error: {failed[-1]}", file=sys.stderr)

    overrides = with_evaluators(overrides, parse(overrides))
    folder = str(configuration_folder())
    sys.argv = ["calibrate", "--multirun", *overrides]
    hydra.main(version_base=VERSION_BASE, config_path=folder, config_name="config")(job)()
    if failed:
        jobs = "1 job" if len(failed) == 1 else f"{len(failed)} jobs"
        print(f"calibrate: error: {jobs} failed", file=sys.stderr)
    return 1 if failed else 0


def _check_choices(overrides: Sequence[str]) -> None:
    """Refuse a misspelt choice anywhere in a sweep before its first job."""
    for override in parse(overrides):
        if override.key_or_group in GROUPS and override.is_sweep_override():
            for name in override.sweep_string_iterator():
                choice(override.key_or_group, name, choices(override.key_or_group))


def show_configuration(overrides: Sequence[str]) -> str:
    """The composed configuration as YAML."""
    return as_yaml(compose(overrides))


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


@contextmanager
def _logged(folder: Path, command: str) -> Iterator[None]:
    """Log to the run folder; a failure leaves its traceback there and goes on upwards."""
    handler = logging.FileHandler(folder / LOG_FILE, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    log.info(command)
    try:
        yield
        log.info("report written")
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
