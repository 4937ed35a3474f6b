"""`calibrate run`: one study in a run folder of its own."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from calibrate import provenance
from calibrate.cli.compose import compose
from calibrate.cli.planning import Plan, plan
from calibrate.cli.progress import progress
from calibrate.cli.recipe import shown
from calibrate.cli.run_log import logged
from calibrate.context import Context
from calibrate.records import Outcome
from calibrate.report.files import HTML_FILE, create_run_folder, write
from calibrate.report.html import verdict_of
from calibrate.report.measured import judged, main_numbers, told
from calibrate.study import Fits, Loaded, Result, Study, conclude
from calibrate.study import run as run_study

Solve = Callable[[Study, Context, Mapping[str, Any], str], Result]
"""What makes a result of a study: `study.run`, or what stands for it."""
log = logging.getLogger("calibrate")


def run(overrides: Sequence[str]) -> int:
    """Run one study; prints verdicts and the page's path. Exit status 0: a report was written."""
    return execute(plan(overrides), shlex.join(["calibrate", "run", *overrides]))


def execute(planned: Plan, command: str, about: Mapping[str, Any] | None = None) -> int:
    """Run what is planned; `about` goes into the `run` block of the report."""
    print(executed(planned, command, planned.context(progress()), about or {}))
    return 0


def executed(
    planned: Plan,
    command: str,
    context: Context,
    about: Mapping[str, Any],
    solve: Solve = run_study,
) -> Path:
    """Solve what is planned in a run folder of its own, and tell verdicts; the page's path."""
    folder = create_run_folder(Path(planned.output), planned.data, planned.method)
    with logged(folder, command):
        outcome = run_in(folder, planned, command, context, about, solve)
    _tell(outcome)
    return folder / HTML_FILE


def run_in(
    folder: Path,
    planned: Plan,
    command: str,
    context: Context,
    about: Mapping[str, Any],
    solve: Solve = run_study,
) -> Outcome:
    """Run what is planned in a new, empty folder, whose log is open."""
    known = {**_about(planned, command), **about}
    result = solve(planned.study, context, known, planned.configuration)
    return _written(folder, planned, result, context)


def conclude_in(
    folder: Path, planned: Plan, command: str, loaded: Loaded, fits: Fits, about: Mapping[str, Any]
) -> Outcome:
    """Evaluate fits that were made together with others', and write their report."""
    with logged(folder, "fitted"):
        known = {**_about(planned, command), **about}
        result = conclude(loaded, fits, known, planned.configuration)
        return _written(folder, planned, result, loaded.context)


def _written(folder: Path, planned: Plan, result: Result, context: Context) -> Outcome:
    if planned.note:
        notes = (planned.note, *result.outcome.notes)
        result = replace(result, outcome=replace(result.outcome, notes=notes))
    for warning in result.outcome.warnings:
        log.warning(warning)
    outcome = write(folder, result, planned.figures, context)
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


def _tell(outcome: Outcome) -> None:
    """Warnings and verdicts; where closure was not measured, the main numbers of what was."""
    for text in outcome.warnings:
        print(f"warning: {text}", file=sys.stderr)
    for method in told(outcome):
        print(verdict_of(method, outcome).sentence)
    if not judged(outcome):
        for table in main_numbers(outcome):
            print(*table.lines, sep="\n")
