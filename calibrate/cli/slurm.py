"""Jobs of a sweep in Slurm: `hydra/launcher=slurm`, on submitit and its plugin for Hydra.

The plugin gives the options, with their types; submitit writes the batch script and carries each
job's order to its node. The plugin's own launcher is not called: it must stay alive until the last
job has ended, and knows a job that ran out of time or memory only where the cluster keeps accounts.
Here jobs are sent, and the ledger is brought up to date with Slurm by whoever asks next: this
process, as long as it lives, or `calibrate sweep status`.
"""

from __future__ import annotations

import io
import shlex
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from calibrate.checks import positive_integer
from calibrate.cli.order import Order
from calibrate.cli.worker import tell
from calibrate.errors import ConfigurationError, StorageError
from calibrate.sweep import slurm
from calibrate.sweep.batch import LOGS, carry_over
from calibrate.sweep.job import LOST, QUEUED
from calibrate.sweep.ledger import Ledger

TARGET = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
GENERAL = ("name", "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb",
           "nodes", "stderr_to_stdout")  # fmt: skip
"""Options that submitit has for every kind of cluster; its other ones are named `slurm_…`."""
NOT_SENT = ("_target_", "submitit_folder", "max_num_timeout", "setup", "name")
AT_LEAST_ONE = ("timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node", "array_parallelism")
BATCH_FAILED = "Batch job submission failed: "
SHORTEST, LONGEST, GROWTH = 0.5, 20.0, 1.3
"""Seconds between two looks at the jobs."""
PATIENCE = 600.0
"""Seconds in which Slurm, or the folder, may be out of reach before the sweep is left alone."""


@dataclass(frozen=True)
class Slurm:
    """Sends jobs to Slurm, by the options of Hydra's plugin. `detach`: without waiting for them."""

    options: Mapping[str, Any]
    detach: bool = False
    here: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for key in AT_LEAST_ONE:
            if self.options[key] is not None:
                positive_integer(f"hydra.launcher.{key}", self.options[key])
        if self.options["max_num_timeout"]:
            raise ConfigurationError(
                "hydra.launcher.max_num_timeout must be 0: what timed out is done again, from its "
                "last checkpoint, with sweep.retry=failed"
            )

    def launch(self, folder: Path) -> None:
        """Have all planned jobs done, and those that are under way; detached, have them sent."""
        with Ledger(folder) as ledger:
            sent = self._submit(ledger)
        if sent:
            arrays = ", ".join(dict.fromkeys(number.partition("_")[0] for number in sent))
            print(f"{len(sent)} jobs sent to Slurm as {arrays}", flush=True)
        if not self.detach:
            follow(folder)

    def _submit(self, ledger: Ledger) -> list[str]:
        """Send the planned jobs; returns their numbers in Slurm.

        Raises ConfigurationError, and leaves them planned, if Slurm does not take them.
        """
        forget_unsent(ledger)
        executor, size = self._executor(ledger), slurm.largest_array()
        jobs, sent = iter(ledger.queue()), []
        while some := list(islice(jobs, size)):
            orders = [Order.of(ledger, job, self._cores) for job in some]
            try:
                with redirect_stderr(io.StringIO()):  # submitit prints what it raises
                    taken = executor.submit_array(orders)
            except Exception as error:
                for job in [*some, *jobs]:
                    ledger.put_back(job)
                raise _refused(error) from error
            numbers = [str(each.job_id) for each in taken]
            ledger.submitted({job.number: n for job, n in zip(some, numbers, strict=True)})
            sent += numbers
        return sent

    @property
    def _cores(self) -> int:
        return int(self.options["cpus_per_task"] or 1)

    def _executor(self, ledger: Ledger) -> Any:  # noqa: ANN401 - submitit's, imported here
        """submitit's, which writes below the sweep's folder: not in one for each array, which would
        be made after sbatch, and too late for a job that starts at once. One process to a job:
        without srun, which hands on one core only in some versions, and hides why a job ended."""
        name = f"{self.options['name']}_{uuid.uuid4().hex[:6]}"
        ledger.note(submission=name)
        given = {key if key in GENERAL else f"slurm_{key}": value
                 for key, value in self.options.items() if key not in NOT_SENT}  # fmt: skip
        threads = f"export OMP_NUM_THREADS={self._cores} MKL_NUM_THREADS={self._cores}"
        setup = [threads, *(self.options["setup"] or ())]
        try:
            import submitit

            executor = submitit.AutoExecutor(
                ledger.folder.absolute() / LOGS, "slurm", slurm_python=_python()
            )
            executor.update_parameters(**given, name=name, slurm_setup=setup, slurm_use_srun=False)
        except (ImportError, RuntimeError, NameError, AssertionError) as error:
            raise ConfigurationError(
                f"hydra/launcher=slurm: {str(error).splitlines()[0]}"
            ) from error
        return executor


def _python() -> str:
    """This interpreter in the place of the batch script's shell, so that Slurm sees how it ends."""
    return f"exec {shlex.quote(sys.executable)}"


def forget_unsent(ledger: Ledger) -> None:
    """Jobs whose sender died before it knew their numbers: whatever it sent is cancelled."""
    unsent = [job for job, process in ledger.running()
              if job.state == QUEUED and not process.alive]  # fmt: skip
    if unsent:
        slurm.cancel_named(ledger.about()["submission"])
    for job in unsent:
        ledger.put_back(job)


def _refused(error: Exception) -> ConfigurationError:
    """What sbatch says, without the lines of submitit around it."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    said = [line.partition("error: ")[2] for line in lines if "sbatch: error: " in line]
    reason = "; ".join(dict.fromkeys(text.removeprefix(BATCH_FAILED) for text in said))
    return ConfigurationError(f"Slurm does not take the jobs: {reason or lines[0]}")


def follow(folder: Path) -> None:
    """Wait until no job is under way, or one was lost; the ledger is opened anew at each look.

    A folder or a Slurm that is out of reach for a while is waited for.
    """
    pause, seen = SHORTEST, time.monotonic()
    while True:
        try:
            if not _looked(folder):
                return
            seen = time.monotonic()
        except StorageError as error:
            if time.monotonic() - seen > PATIENCE:
                raise
            print(f"warning: {error}; trying again", file=sys.stderr, flush=True)
        time.sleep(pause)
        pause = min(pause * GROWTH, LONGEST)


def _looked(folder: Path) -> bool:
    """Bring the ledger up to date, tell what ended; whether there is more to wait for."""
    with Ledger(folder) as ledger:
        ended = carry_over(ledger)
        for job in ended:
            tell(ledger, job.number)
        return bool(ledger.under_way()) and not any(job.state == LOST for job in ended)
