"""`calibrate apply`: a stored calibration as new columns in a copy of the user's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calibrate.apply import Applied, Options, apply
from calibrate.cli.progress import progress
from calibrate.context import Context
from calibrate.errors import ConfigurationError
from calibrate.loading import load_calibration


def apply_run(
    run: str,
    source: str,
    target: str,
    columns: Sequence[str],
    names: Sequence[str],
    outside: str,
    rows: int,
    tree: str | None,
    friend: bool,
) -> list[str]:
    """Apply the calibration of a run; what to tell, the output's path last."""
    pairs = [item.partition("=") for item in columns]
    for feature, sign, expression in pairs:
        if not (feature and sign and expression):
            raise ConfigurationError(f"--column takes FEATURE=EXPRESSION, got '{feature}{sign}'")
    given = {feature.strip(): expression.strip() for feature, _, expression in pairs}
    options = Options(given, names, outside, rows, tree, friend)
    done = apply(
        load_calibration(run), Path(source), Path(target), options, Context(progress=progress())
    )
    return [*_told(done, outside), target]


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
