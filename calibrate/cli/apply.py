"""`calibrate apply`: a stored calibration as new columns in copies of the user's files."""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from calibrate.apply import Applied, Options, apply
from calibrate.cli.progress import progress
from calibrate.context import Context
from calibrate.errors import ConfigurationError

SETTING = re.compile(r"(hydra|sweep)[./][^=]*=.*")
"""Options of the jobs that many files become."""


def apply_run(run: str, given: Sequence[str], options: Options) -> int:
    """Apply the calibration of a run; `given` holds INPUT… OUTPUT, and options of the jobs.

    One file with a file's name for OUTPUT is written at once, anything else as jobs of a sweep.
    Tells what was done, the output's path last; exit status 1 if a job is not done.
    """
    settings = [item for item in given if SETTING.fullmatch(item)]
    paths = [item for item in given if item not in settings]
    if len(paths) < 2:
        raise ConfigurationError(f"apply takes RUN INPUT… OUTPUT, got {' '.join([run, *paths])}")
    *sources, target = paths
    if settings or len(sources) > 1 or _is_many(sources[0], target):
        from calibrate.cli.apply_files import apply_files

        command = shlex.join(["calibrate", "apply", run, *given, *_typed(options)])
        return apply_files(run, sources, target, options, settings, command)
    from calibrate.loading import load_calibration  # brings torch; jobs do without here

    context = Context(progress=progress())
    done = apply(load_calibration(run), Path(sources[0]), Path(target), options, context)
    for line in (*_told(done, options.outside), target):
        print(line)
    return 0


def apply_options(
    columns: Sequence[str],
    names: Sequence[str],
    outside: str,
    rows: int,
    tree: str | None,
    friend: bool,
) -> Options:
    """The options of the command; ConfigurationError for a column that is no pair."""
    pairs = [item.partition("=") for item in columns]
    for feature, sign, expression in pairs:
        if not (feature and sign and expression):
            raise ConfigurationError(f"--column takes FEATURE=EXPRESSION, got '{feature}{sign}'")
    given = {feature.strip(): expression.strip() for feature, _, expression in pairs}
    return Options(given, names, outside, rows, tree, friend)


def _is_many(source: str, target: str) -> bool:
    """Whether the source is a pattern, or the target a folder."""
    pattern = glob.has_magic(source) and not Path(source).exists()
    return pattern or target.endswith("/") or Path(target).is_dir()


def _typed(options: Options) -> list[str]:
    """The options as they are typed, but for those that have their defaults."""
    usual = Options()
    typed = [f"--column={name}={text}" for name, text in options.columns.items()]
    typed += [f"--name={name}" for name in options.names]
    for option, name in (("outside", "outside"), ("chunk", "rows"), ("tree", "tree")):
        if getattr(options, name) != getattr(usual, name):
            typed.append(f"--{option}={getattr(options, name)}")
    return [*typed, *(["--friend"] if options.friend else [])]


def _told(done: Applied, outside: str) -> list[str]:
    lines = [f"{done.rows} rows, new columns {', '.join(done.columns)}"]
    if done.outside:
        share = f"{100 * done.outside / done.rows:.2g} %"
        how = "clamped to it and flagged" if outside == "clamp" else "flagged"
        lines.append(f"{done.outside} rows ({share}) outside the range of the training: {how}")
    if done.unusable:
        lines.append(f"{done.unusable} rows with features that cannot be used: NaN and flagged")
    if done.unsolved:
        lines.append(
            f"{done.unsolved} rows in the range without an estimate (no maximum of the likelihood; "
            "more training events or smaller networks help): NaN and flagged"
        )
    if done.skipped:
        lines.append(f"{done.skipped} lines with missing fields: kept, new fields nan")
    return lines
