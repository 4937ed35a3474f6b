"""`calibrate run -m` and `calibrate sweep`: many runs, one ledger, none lost."""

from __future__ import annotations

import shlex
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from calibrate import plugins, provenance
from calibrate.checks import choice, positive_integer, positive_number
from calibrate.cli.collect import end
from calibrate.cli.combinations import Combination, Composer, Swept, parsed
from calibrate.cli.compose import METHOD, compose
from calibrate.cli.groups import options
from calibrate.cli.launchers import Launcher, launcher_of, refuse_missing_device
from calibrate.cli.slurm import Slurm
from calibrate.errors import CalibrateError, ConfigurationError, StorageError
from calibrate.protocols import FromFiles
from calibrate.sweep.batch import carry_over, recover
from calibrate.sweep.job import (
    DONE,
    FAILED,
    LOST,
    PACKAGES,
    PLANNED,
    Planned,
    content_hash,
    unique,
    with_packages,
)
from calibrate.sweep.ledger import FILE, Ledger
from calibrate.sweep.runs import settle

SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
MOST_LOSSES = 2
"""Times that a job is started in one go if its process dies each time."""
MOST_IDLE = 2
"""Rounds of a launcher in a row that end no job."""


@dataclass(frozen=True)
class Request:
    """A sweep that is asked for: its jobs, checked, and what is to be done with them."""

    command: str
    jobs: Sequence[Planned]
    launcher: Launcher
    options: DictConfig
    output: str


def sweep(overrides: Sequence[str]) -> int:
    """Run every combination that is not done yet. Exit status 1 if any of them is not done."""
    asked = request(overrides)
    metrics = None if asked.options.metrics is None else list(asked.options.metrics)
    folder = sweep_folder(asked.options, asked.output)
    return have_done(folder, asked, overrides=list(overrides), metrics=metrics)


def have_done(folder: Path, asked: Request, **about: Any) -> int:  # noqa: ANN401 - as JSON holds it
    """Have the jobs done that are not done yet; `about` is remembered of them."""
    again = (LOST, FAILED) if asked.options.retry else (LOST,)
    with Ledger(folder, new=True) as ledger, _driven(ledger):
        known = {"command": asked.command, "version": provenance.version()}
        known |= {key: asked.options[key] for key in ("fail_fast", "checkpoint")}
        ledger.plan(asked.jobs, **known, **about)
        return _carry_on(ledger, asked.launcher, again)


def request(overrides: Sequence[str]) -> Request:
    """Compose and check everything before the first job.

    Raises ConfigurationError, with the combination, for what does not exist or does not fit.
    """
    Swept.of(overrides)
    first = compose([_first(text) for text in overrides])
    if first.hydra.sweeper._target_ != SWEEPER:
        raise ConfigurationError(
            "hydra/sweeper: only basic is supported, since all jobs are checked before the first"
        )
    check_options(first.sweep)
    own = [f"{key}={value}" for key, value in (first.hydra.sweeper.params or {}).items()]
    swept = Swept.of([*own, *overrides])
    command = shlex.join(["calibrate", "run", "-m", *overrides])
    launcher, jobs = launcher_of(first), _planned(swept)
    refuse_missing_device(launcher, (job.recipe for job in jobs))
    return Request(command, jobs, launcher, first.sweep, first.output)


def _first(text: str) -> str:
    """An override, with the first of its values if it is a sweep."""
    override = parsed(text)
    if not override.is_sweep_override():
        return text
    return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"


def check_options(given: DictConfig) -> None:
    """Raise ConfigurationError for options of a sweep that are out of range."""
    positive_integer("sweep.files", given.files)
    if given.dir is not None and (not isinstance(given.dir, str) or not given.dir):
        raise ConfigurationError(f"sweep.dir names a folder, got {given.dir!r}")
    if given.retry is not None:
        choice("sweep.retry", given.retry, (FAILED,))
    for name in ("fail_fast", "detach"):
        if not isinstance(given[name], bool):
            raise ConfigurationError(f"sweep.{name} is true or false: {given[name]!r}")
    if given.checkpoint is not None:
        positive_number("sweep.checkpoint", given.checkpoint)
    if given.metrics is not None and not isinstance(given.metrics, ListConfig):
        raise ConfigurationError(f"sweep.metrics takes a list of metrics, got {given.metrics!r}")


def _planned(swept: Swept) -> list[Planned]:
    from calibrate.cli.planning import built  # brings torch, which jobs of other kinds do without

    composer, version = Composer(), provenance.version()
    checksums: dict[Path, str] = {}
    jobs = []
    for combination in swept.combinations():
        parameters = swept.parameters(combination)
        with _explained(combination[len(swept.fixed) :], swept):
            recipe = composer.recipe(combination)
            files = _checksums(built(recipe).study.data, checksums)
        plain = with_packages(recipe.plain())
        content = content_hash(plain, version, files)
        jobs.append(Planned(combination, parameters, plain, content))
    return unique(jobs)


def _checksums(data: Any, known: dict[Path, str]) -> dict[str, str]:  # noqa: ANN401 - any dataset
    """The checksums of the files that a dataset reads; each file is read once."""
    paths: Sequence[Path] = data.inputs() if isinstance(data, FromFiles) else ()
    for path in paths:
        if path not in known:
            known[path] = provenance.sha256(path)
    return {str(path): known[path] for path in paths}


@contextmanager
def _explained(chosen: Combination, swept: Swept) -> Iterator[None]:
    """Put the combination before what is wrong with it."""
    try:
        yield
    except CalibrateError as error:
        where = f"{' '.join(chosen)}: " if chosen else ""
        raise type(error)(f"{where}{error}{_only_of(str(error), swept)}") from error


def _only_of(reason: str, swept: Swept) -> str:
    """What to do where one of several methods has an option that another one lacks."""
    methods = swept.axes.get(METHOD, ())
    for key in [*swept.axes, *(parsed(text).key_or_group for text in swept.fixed)]:
        if f"'{key}'" in reason and key.startswith("method."):
            name = key.removeprefix("method.")
            having = [m for m in methods if name in {k for k, _, _ in options(METHOD, m)}]
            if having:
                return f" ({key} is an option of {', '.join(having)}: one sweep for each method)"
    return ""


def sweep_folder(options: DictConfig, output: str) -> Path:
    """The sweep's folder: the given one, if it is empty or a sweep's, or a new one."""
    given = options.dir
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    unused = Path(output) / "sweeps" / f"{stamp}_{uuid.uuid4().hex[:6]}"
    folder = unused if given is None else Path(given)
    try:
        folder.mkdir(parents=True, exist_ok=given is not None)
        other = any(folder.iterdir()) and not (folder / FILE).is_file()
    except OSError as error:
        raise StorageError(
            f"cannot use the folder {folder}: {error.strerror}; choose another with sweep.dir=…"
        ) from error
    if other:
        raise ConfigurationError(
            f"sweep.dir={given} holds other files and no sweep: choose a new or an empty folder"
        )
    return folder


@contextmanager
def _driven(ledger: Ledger) -> Iterator[None]:
    """This process starts the sweep's jobs, and no other one does."""
    ledger.drive()
    try:
        yield
    except KeyboardInterrupt:
        for number in settle(ledger):  # interrupted before its worker could say so
            ledger.again(LOST, number=number)
        counts, goes_on = ledger.counts(), f"calibrate sweep retry {ledger.folder} goes on"
        if ledger.under_way():
            goes_on = f"those in Slurm go on, calibrate sweep status {ledger.folder} follows them"
        raise CalibrateError(
            f"interrupted: {counts[DONE]} of {sum(counts.values())} jobs are done; {goes_on}"
        ) from None
    finally:
        ledger.release()


def _carry_on(ledger: Ledger, launcher: Launcher, again: Sequence[str]) -> int:
    carry_over(ledger)
    settle(ledger)
    recover(ledger)
    ledger.again(*again)
    counts = ledger.counts()
    print(f"{ledger.folder}: {sum(counts.values())} jobs, {counts[PLANNED]} to be done", flush=True)
    start = time.perf_counter()
    _launch(ledger, launcher)
    if isinstance(launcher, Slurm) and launcher.detach:
        print(f"calibrate sweep status {ledger.folder} follows them", flush=True)
        return 0
    return end(ledger, time.perf_counter() - start)


def _launch(ledger: Ledger, launcher: Launcher) -> None:
    """Have the planned jobs done; again, where a process died under a job or a launcher broke."""
    losses: Counter[int] = Counter()
    idle, broken = 0, "it ended without them"
    while _something_to_do(ledger, launcher):
        before = _ended(ledger)
        try:
            launcher.launch(ledger.folder)
        except CalibrateError:
            raise
        except Exception as error:  # a launcher of Hydra's, whose workers died for example
            broken = f"{type(error).__name__}: {error}"
        settle(ledger)
        idle = 0 if _ended(ledger) > before else idle + 1
        lost = [job.number for job in ledger.jobs() if job.state == LOST]
        losses.update(lost)
        for number in lost:
            if losses[number] < MOST_LOSSES:
                ledger.again(LOST, number=number)
        if idle == MOST_IDLE and ledger.counts()[PLANNED]:
            left = ledger.counts()[PLANNED]
            raise CalibrateError(f"the launcher leaves {left} jobs undone: {broken}")


def _something_to_do(ledger: Ledger, launcher: Launcher) -> bool:
    if isinstance(launcher, Slurm) and not launcher.detach and ledger.under_way():
        return True
    return bool(ledger.counts()[PLANNED]) and not ledger.stopped()


def _ended(ledger: Ledger) -> int:
    counts: Mapping[str, int] = ledger.counts()
    return counts[DONE] + counts[FAILED] + counts[LOST]


def retry(folder: str) -> int:
    """Do again what failed or was lost, and what is still planned."""
    with Ledger(Path(folder)) as ledger, _driven(ledger):
        about = ledger.about()
        if about["version"] != provenance.version():
            raise ConfigurationError(
                f"{folder} was made by calibrate {about['version']}, this is "
                f"{provenance.version()}: their results are not mixed"
            )
        left = [job.number for job in ledger.jobs() if job.state != DONE]
        _refuse_other_packages(folder, map(ledger.recipe, left))
        launcher = launcher_of(compose([_first(text) for text in about["overrides"]]))
        refuse_missing_device(launcher, map(ledger.recipe, left))
        return _carry_on(ledger, launcher, (LOST, FAILED))


def _refuse_other_packages(folder: str, recipes: Iterable[Mapping[str, Any]]) -> None:
    """Raise ConfigurationError if a package whose code does a job has another version by now."""
    planned = {item for recipe in recipes for item in recipe.get(PACKAGES, {}).items()}
    for package, version in sorted(planned):
        now = plugins.installed_version(package)
        if now != version:
            raise ConfigurationError(
                f"{folder} was made with {package} {version}, this is {now}: their results are "
                "not mixed"
            )
