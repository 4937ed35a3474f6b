"""What starts the jobs of a sweep: worker processes of our own, Slurm, or any launcher of Hydra's.

A launcher of Hydra's composes each job's configuration before it calls the job. Here all is
composed, checked and stored beforehand: the launcher is given a loader that answers at once with
Hydra's own part of the configuration and the job's number; the job finds the rest in the ledger.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from hydra._internal.callbacks import Callbacks  # what a HydraContext is made of
from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from calibrate.checks import positive_integer
from calibrate.cli.batched import Batched
from calibrate.cli.compose import initialised
from calibrate.cli.processes import GLANCE, dismiss, employed
from calibrate.cli.slurm import TARGET, Slurm
from calibrate.cli.worker import do, load_libraries, work
from calibrate.cores import available
from calibrate.errors import ConfigurationError
from calibrate.sweep.job import PLANNED
from calibrate.sweep.ledger import Ledger

CPU = "cpu"
LOCAL, BATCHED = "calibrate.cli.launchers.Local", "calibrate.cli.batched.Batched"
BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"


@dataclass(frozen=True)
class Local:
    """Worker processes of this machine, `workers` of them (None: one for each core), each with
    one thread. They import once, and take job after job from the ledger. A worker that dies is
    replaced; nobody else's job suffers."""

    workers: int | None = None
    here: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.workers is not None:
            positive_integer("hydra.launcher.workers", self.workers)

    def launch(self, folder: Path) -> None:
        """Have all planned jobs done."""
        with Ledger(folder) as ledger:
            number = min(self.workers or available(), ledger.counts()[PLANNED])
        if number <= 1:
            return work(folder)
        workers = [employed(folder) for _ in range(number)]
        try:
            while workers:
                time.sleep(GLANCE)
                ended = [each for each in workers if each.poll() is not None]
                workers = [each for each in workers if each not in ended]
                killed = sum(each.returncode < 0 for each in ended)
                workers += [employed(folder) for _ in range(killed) if _more_to_do(folder)]
        finally:
            dismiss(workers)
        return None


def _more_to_do(folder: Path) -> bool:
    with Ledger(folder) as ledger:
        return bool(ledger.counts()[PLANNED]) and not ledger.stopped()


@dataclass(frozen=True)
class Plugin:
    """A launcher of Hydra's, by the composed configuration that names it."""

    composed: DictConfig

    @property
    def here(self) -> bool:
        """Whether it is known to do the jobs on this machine; those of others may, too."""
        return self.composed.hydra.launcher._target_ in (BASIC, JOBLIB)

    def launch(self, folder: Path) -> None:
        """Have all planned jobs done. Raises ConfigurationError if the launcher is not there."""
        with Ledger(folder) as ledger:
            planned = [job.number for job in ledger.jobs() if job.state == PLANNED]
        in_this_process = self.composed.hydra.launcher._target_ == BASIC
        given = OmegaConf.create({"hydra": self.composed.hydra, "job": None})
        with open_dict(given):
            given.hydra.sweep.dir, given.hydra.sweep.subdir = str(folder), "."
        context = HydraContext(cast(ConfigLoader, Prepared()), Callbacks())
        task = Task(folder, None if in_this_process else 1)
        with initialised():
            launcher = Plugins.instance().instantiate_launcher(context, task, given)
            try:
                jobs = [[f"job={number}"] for number in planned]
                _refuse_broken(launcher.launch(jobs, initial_job_idx=0))
            finally:
                _close_pool()


def _refuse_broken(returned: Sequence[JobReturn]) -> None:
    """Raise what kept a job from being done, which Hydra's launchers keep to themselves."""
    for each in returned:
        with redirect_stderr(io.StringIO()):  # where Hydra prints the overrides of what it raises
            _ = each.return_value


def _close_pool() -> None:
    """End joblib's workers, which would wait five minutes for more, and hold the terminal."""
    loky = sys.modules.get("joblib.externals.loky")
    if loky:
        pool = loky.get_reusable_executor(reuse=True)
        getattr(pool, "terminate", pool.shutdown)(kill_workers=True)  # joblib's own also tidies up


@dataclass(frozen=True)
class Task:
    """What a launcher of Hydra's calls, in whichever process."""

    folder: Path
    threads: int | None

    def __call__(self, composed: DictConfig) -> None:
        """Do the job whose number is given, unless it is done or the sweep is stopped."""
        with Ledger(self.folder) as ledger:
            load_libraries(ledger)
            job = ledger.claim(composed.job)
            if job:
                do(ledger, job, self.threads)


class Prepared:
    """Stands where launchers expect Hydra's loader of configurations."""

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: Sequence[str]
    ) -> DictConfig:
        """The master configuration with `job=number`."""
        composed = deepcopy(master_config)
        composed.job = int(sweep_overrides[0].removeprefix("job="))
        return composed


Launcher = Local | Batched | Slurm | Plugin
"""Each has `here`: whether the jobs are done on this machine."""


def launcher_of(composed: DictConfig) -> Launcher:
    """The launcher that a composed configuration names.

    Raises ConfigurationError if a sweep is to be detached that this process must do itself.
    """
    part, detach = composed.hydra.launcher, composed.sweep.detach
    if part is None:
        raise ConfigurationError(
            "hydra/launcher is null: choose local, batched, slurm, basic or joblib"
        )
    if part._target_ == TARGET:
        return Slurm(cast(dict[str, Any], OmegaConf.to_container(part, resolve=True)), detach)
    if detach:
        raise ConfigurationError("sweep.detach=true needs a batch system: hydra/launcher=slurm")
    if part._target_ == BATCHED:
        return Batched(Local(part.workers), part.workers, part.together)
    return Local(part.workers) if part._target_ == LOCAL else Plugin(composed)


def refuse_missing_device(launcher: Launcher, recipes: Iterable[Mapping[str, Any]]) -> None:
    """Raise ConfigurationError for a device of a job that this machine lacks, where it is to do the
    jobs; one that sends them to others need not have it."""
    asked = {recipe["configuration"].get("device", CPU) for recipe in recipes} - {CPU}
    if launcher.here and asked:
        from calibrate.device import resolve  # brings torch, which jobs of files may do without

        for device in asked:
            resolve(device)
