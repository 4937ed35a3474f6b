"""A calibration applied to many files: each output is written once and as a whole, what is done
stays done.

An output is made in the folder of the attempt that makes it. Then a record of it (what was
done, size and time of the finished file) is written there, and the file takes its place by a
rename, which changes neither size nor time. So an output without report is told from a foreign
file, whenever the process died: it is as some attempt recorded it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from calibrate.apply.estimates import Applied
from calibrate.apply.file import Options, apply
from calibrate.context import Context
from calibrate.errors import CalibrateError, ConfigurationError, DataError, StorageError
from calibrate.estimate import Calibration
from calibrate.provenance import file_state
from calibrate.storage import write_text

RECORD = ".applied.json"
"""What the name of a record ends in, after the name of its output."""
KEPT = (".json", ".log")


@dataclass(frozen=True)
class Written:
    """A finished output: where it comes from, what was done, and how both files were then, as
    (bytes, nanoseconds of the last change)."""

    source: Path
    target: Path
    applied: Applied
    source_state: tuple[int, int]
    target_state: tuple[int, int]

    def plain(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {**asdict(self), "source": str(self.source), "target": str(self.target)}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Written:
        """From `plain`, as JSON gives it back."""
        states = (tuple(plain[name]) for name in ("source_state", "target_state"))
        given = {**plain["applied"], "columns": tuple(plain["applied"]["columns"])}
        return cls(Path(plain["source"]), Path(plain["target"]), Applied(**given), *states)


def outputs(sources: Sequence[Path], folder: Path) -> list[Path]:
    """The output of each source, of the same name, in a folder.

    Raises ConfigurationError for two sources of one name, or a source in that folder.
    """
    by_name: dict[str, Path] = {}
    for source in sources:
        other = by_name.setdefault(source.name, source)
        if other is not source:
            raise ConfigurationError(
                f"{other} and {source} would both become {folder / source.name}: apply the "
                "calibration to each folder in a command of its own"
            )
        if source.parent.resolve() == folder.resolve():
            raise ConfigurationError(
                f"{source} is in the folder of the outputs, {folder}, and would be its own: choose "
                "another folder"
            )
    return [folder / source.name for source in sources]


def apply_each(
    calibration: Calibration,
    files: Sequence[tuple[Path, Path]],
    folder: Path,
    earlier: Sequence[Path],
    options: Options,
    context: Context,
) -> list[Written]:
    """Write the output (second) of each file (first), in the folder of this attempt, `folder`; the
    folders of `earlier` attempts tell what is done already.

    One file that fails does not stop the others; CalibrateError then tells which, and why.
    """
    found, failed = [], []
    for left in (path for attempt in earlier for path in _left(attempt)):
        left.unlink(missing_ok=True)
    for source, target in files:
        try:
            written = _finished(source, target, earlier)
            found.append(written or _applied(calibration, source, target, folder, options, context))
        except (CalibrateError, OSError) as error:
            failed.append(str(error) if source.name in str(error) else f"{source.name}: {error}")
    if failed:
        others = f" ({len(found)} other files are done)" if found else ""
        raise DataError(f"{'; '.join(failed)}{others}")
    return found


def records(folder: Path) -> list[Written]:
    """The outputs that an attempt has recorded; those of them that were given up may be missing."""
    paths = sorted(folder.glob(f"*{RECORD}"))
    return [Written.of(json.loads(path.read_text(encoding="utf-8"))) for path in paths]


def _left(attempt: Path) -> Iterator[Path]:
    """What a process that died left half-written: all but records and the outputs they tell of."""
    kept = {written.target.name for written in records(attempt)}
    for path in attempt.iterdir() if attempt.is_dir() else ():
        if path.name not in kept and path.suffix not in KEPT:
            yield path


def _finished(source: Path, target: Path, earlier: Sequence[Path]) -> Written | None:
    """What an earlier attempt did, put into its place if it died just before."""
    for folder in earlier:
        path = folder / f"{target.name}{RECORD}"
        if not path.is_file():
            continue
        known = Written.of(json.loads(path.read_text(encoding="utf-8")))
        staged = folder / target.name
        if known.source_state != file_state(source):
            continue
        if file_state(target) == known.target_state:
            return known
        if file_state(staged) == known.target_state:
            _publish(staged, target)
            return known
    return None


def _applied(
    calibration: Calibration,
    source: Path,
    target: Path,
    folder: Path,
    options: Options,
    context: Context,
) -> Written:
    _refuse(target)
    staged, before = folder / target.name, file_state(source)
    try:
        done = apply(calibration, source, staged, options, context)
        after = file_state(staged)
        if before is None or after is None or before != file_state(source):
            raise DataError(f"{source} changed while it was read: apply the calibration again")
        written = Written(source, target, done, before, after)
        write_text(folder / f"{target.name}{RECORD}", json.dumps(written.plain()))
        _publish(staged, target)
    finally:
        staged.unlink(missing_ok=True)
    return written


def _publish(staged: Path, target: Path) -> None:
    """Give a finished file its place; StorageError if there is one already."""
    _refuse(target)
    try:
        os.rename(staged, target)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror}") from error


def _refuse(target: Path) -> None:
    if target.exists():
        raise StorageError(f"{target} exists: it is kept; move it away, or choose another folder")
