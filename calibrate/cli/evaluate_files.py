"""`calibrate evaluate -m`: many files as jobs of a sweep, merged into one ordinary report."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

from calibrate import provenance
from calibrate.cli.compose import compose
from calibrate.cli.evaluate import Asked
from calibrate.cli.evaluate_job import Chunk, evaluators
from calibrate.cli.launchers import launcher_of, refuse_missing_device
from calibrate.cli.sweep import Request, check_options, have_done, sweep_folder
from calibrate.errors import ConfigurationError, DataError, MisfitError
from calibrate.protocols import FileDataset
from calibrate.storage import fitted_file, load_kinds
from calibrate.sweep.job import EVALUATE, KIND, Planned, content_hash, with_packages
from calibrate.sweep.ledger import FILE, Ledger
from calibrate.sweep.runs import report


def evaluate_files(run: str, overrides: Sequence[str]) -> int:
    """Evaluate a run's calibration on every chunk of files that is not done yet, and merge. Exit
    status 1 if a chunk is not done."""
    asked = Asked.of(run, overrides)
    files = _checked(asked)
    composed = compose([*asked.overrides])
    check_options(composed.sweep)
    jobs = list(_jobs(asked, files, composed.sweep.files))
    launcher = launcher_of(composed)
    refuse_missing_device(launcher, (job.recipe for job in jobs))
    command = shlex.join(["calibrate", "evaluate", "-m", run, *overrides])
    request = Request(command, jobs, launcher, composed.sweep, composed.output)
    about = {"recipe": asked.planned.recipe.plain(), "stored": asked.stored, "label": asked.label}
    folder = sweep_folder(composed.sweep, composed.output)
    _refuse_changed(folder)
    return have_done(folder, request, overrides=list(asked.overrides), kind=EVALUATE,
                     evaluation=about)  # fmt: skip


def _refuse_changed(folder: Path) -> None:
    """Raise DataError if a file has changed since its chunk was done."""
    if not (folder / FILE).is_file():
        return
    with Ledger(folder) as ledger:
        for job in ledger.jobs():
            document = report(folder, job) or {"states": {}}
            for path, known in document["states"].items():
                if provenance.file_state(Path(path)) not in (None, tuple(known)):
                    raise DataError(
                        f"{path} has changed since it was evaluated in {folder}: choose another "
                        "folder with sweep.dir=…"
                    )


def _checked(asked: Asked) -> list[tuple[Path, float]]:
    """The files with their factors.

    Raises ConfigurationError for what cannot be done file by file.
    """
    data: Any = asked.planned.study.data
    if not isinstance(data, FileDataset):
        raise MisfitError(
            f"data={asked.planned.data} cannot be taken file by file: evaluate without -m, or use "
            "data=table"
        )
    able = evaluators(asked.planned)
    whole = [name for name in asked.planned.study.evaluators if name not in able]
    if whole:
        raise ConfigurationError(
            f"{', '.join(whole)} cannot be merged from parts of the events: write "
            f"'evaluator=[{','.join(able) or 'closure'}]', or evaluate without -m"
        )
    if asked.fitted_beside:
        raise ConfigurationError(
            f"method={asked.fitted_beside[0]} would be fitted to each chunk of files by itself: "
            "compare with none or column, or evaluate without -m"
        )
    return data.files()


def _jobs(asked: Asked, files: Sequence[tuple[Path, float]], size: int) -> Iterator[Planned]:
    calibration = fitted_file(asked.run)
    digests = {"calibration": provenance.sha256(calibration)}
    kinds = load_kinds(calibration)
    for number, start in enumerate(range(0, len(files), size)):
        part = files[start : start + size]
        names = [str(path) for path, _ in part]
        chunk = Chunk(number, str(calibration.absolute()), asked.label, sorted(asked.trained_on))
        parts = {**_recipe(asked, part), KIND: EVALUATE, "chunk": chunk._asdict()}
        recipe = with_packages(parts, kinds)
        told = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]} ({len(names)} files)"
        content = content_hash(recipe, provenance.version(), digests)
        yield Planned(tuple(names), {"data.path": told}, recipe, content)


def _recipe(asked: Asked, part: Sequence[tuple[Path, float]]) -> dict[str, Any]:
    """The recipe of the evaluation on some of the files."""
    plain = deepcopy(asdict(asked.planned.recipe))
    paths, factors = zip(*part, strict=True)
    options: dict[str, Any] = plain["configuration"]["data"]
    options |= {"path": [str(path) for path in paths], "scale": list(factors)}
    return plain
