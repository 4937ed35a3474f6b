"""`calibrate apply` over many files: jobs of a sweep, one for each chunk of files.

The ledger is in the folder of the outputs, so that the same command goes on where it ended.
"""

from __future__ import annotations

import glob
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

from calibrate import provenance
from calibrate.apply import Options, Written, check, outputs
from calibrate.cli.apply_table import reported
from calibrate.cli.compose import compose
from calibrate.cli.launchers import launcher_of
from calibrate.cli.sweep import Request, check_options, have_done
from calibrate.errors import ConfigurationError, DataError, StorageError
from calibrate.storage import fitted_file, load_domain, load_kinds
from calibrate.sweep.job import APPLY, DONE, KIND, Planned, content_hash, with_packages
from calibrate.sweep.ledger import FILE, Ledger

ANY_RUN = ("data=gaussian", "method=none")
"""What makes the options of sweep and launcher a whole configuration."""

Pair = tuple[Path, Path]


def apply_files(
    run: str, patterns: Sequence[str], target: str, options: Options, settings: Sequence[str],
    command: str,
) -> int:  # fmt: skip
    """Apply the calibration of a run to all files of the patterns that are not done yet, by the
    launcher that the settings name. Exit status 1 if any of them is not done."""
    overrides = [*ANY_RUN, *settings]
    composed, fitted = compose(overrides), fitted_file(run)
    check_options(composed.sweep)
    check(load_domain(fitted), options)
    sources, folder = _sources(patterns), Path(target)
    pairs = list(zip(sources, outputs(sources, folder), strict=True))
    where = _made(folder if composed.sweep.dir is None else Path(composed.sweep.dir), folder)
    known = _known(where)
    kinds = load_kinds(fitted)
    jobs = [_planned(fitted, kinds, chunk, options)
            for chunk in _chunks(pairs, known, composed.sweep.files)]  # fmt: skip
    asked = Request(command, jobs, launcher_of(composed), composed.sweep, composed.output)
    return have_done(where, asked, overrides=overrides, kind=APPLY)


def _sources(patterns: Sequence[str]) -> list[Path]:
    """All files of the patterns, each once; DataError for a pattern without any."""
    found: list[Path] = []
    for pattern in patterns:
        is_pattern = glob.has_magic(pattern) and not Path(pattern).exists()
        matches = sorted(glob.glob(pattern, recursive=True)) if is_pattern else [pattern]
        if not matches:
            raise DataError(f"{pattern} matches no file in {Path.cwd()}: correct the pattern")
        found += [Path(match).absolute() for match in matches]
    return list(dict.fromkeys(found))


def _made(where: Path, folder: Path) -> Path:
    """The ledger's folder, which is made, as is that of the outputs; ConfigurationError if no file
    can be moved from one to the other."""
    for path in (folder, where):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot create the folder {path}: {error.strerror}") from error
    if where.stat().st_dev != folder.stat().st_dev:
        raise ConfigurationError(
            f"sweep.dir={where} is on another file system than the outputs in {folder}, and "
            "finished files are renamed: choose a folder on the same one"
        )
    return where


def _known(where: Path) -> list[list[str]]:
    """The chunks of earlier commands in this folder; jobs whose outputs are gone are planned
    again.

    Raises DataError if a file has changed since its output was written.
    """
    if not (where / FILE).is_file():
        return []
    with Ledger(where) as ledger:
        jobs = ledger.jobs()
        for job in jobs:
            if job.state == DONE and any(_gone(each) for each in reported(ledger, job)):
                ledger.again(DONE, number=job.number)
    return [list(job.overrides) for job in jobs]


def _gone(written: Written) -> bool:
    """Whether an output is not there any more; DataError if its source is another one now."""
    now = provenance.file_state(written.source)
    if now is not None and now != written.source_state:
        raise DataError(
            f"{written.source} has changed since {written.target} was made of it: choose another "
            "folder for the outputs"
        )
    return not written.target.exists()


def _chunks(pairs: Sequence[Pair], known: Sequence[Sequence[str]], size: int) -> list[list[Pair]]:
    """The files in chunks: the known ones as they were, new ones `size` at a time."""
    by_source = {str(source): (source, target) for source, target in pairs}
    chunks = [[by_source.pop(name) for name in chunk]
              for chunk in known if all(name in by_source for name in chunk)]  # fmt: skip
    new = list(by_source.values())
    return chunks + [new[start : start + size] for start in range(0, len(new), size)]


def _planned(
    fitted: Path, kinds: Collection[str], chunk: Sequence[Pair], options: Options
) -> Planned:
    files = [(str(source), str(target.absolute())) for source, target in chunk]
    given = {"calibration": str(fitted.absolute()), "options": asdict(options), "files": files}
    recipe = with_packages({KIND: APPLY, "configuration": given}, kinds)
    content = content_hash(recipe, provenance.version(), {"fitted": provenance.sha256(fitted)})
    names = [source for source, _ in files]
    title = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]} ({len(names)} files)"
    return Planned(tuple(names), {"input": title}, recipe, content)
