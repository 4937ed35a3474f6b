"""A job of a sweep: what it is, told by a hash of its content, and how it stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calibrate import plugins

STATES = ("planned", "running", "done", "failed", "lost", "queued")
"""`lost`: its process died without a word; `queued`: it waits in a batch system."""
PLANNED, RUNNING, DONE, FAILED, LOST, QUEUED = STATES

KIND = "kind"
"""Key of a recipe, and of what is known of a sweep, that says what its jobs do: without it, run."""
RUN, APPLY, EVALUATE = "run", "apply", "evaluate"

PACKAGES = "packages"
"""Key of a recipe that holds the versions of other packages whose code does the job, if any."""

APART_FROM_CONTENT = ("output",)
"""Keys of the configuration that change nothing but where a run is written."""


@dataclass(frozen=True)
class Planned:
    """A job that is to be done: its overrides, the values by swept key, the recipe, and `content`,
    the hash that tells it from others."""

    overrides: tuple[str, ...]
    parameters: Mapping[str, Any]
    recipe: Mapping[str, Any]
    content: str


@dataclass(frozen=True)
class Job:
    """A row of the ledger. Times in seconds since 1970; `folder` of the run is below the sweep's,
    `error` one line: why it is not done, or what it waits for. `attempt` counts the starts, `slurm`
    is the number of the last one in Slurm: `12_3`, or `12` where it was sent alone."""

    number: int
    content: str
    overrides: tuple[str, ...]
    parameters: Mapping[str, Any]
    state: str
    attempt: int
    started: float | None
    finished: float | None
    host: str | None
    pid: int | None
    folder: str | None
    error: str | None
    slurm: str | None = None

    @property
    def title(self) -> str:
        """The swept values, `data.mu=1 seed=0`; all overrides where nothing is swept."""
        swept = " ".join(f"{key}={written(value)}" for key, value in self.parameters.items())
        return swept or " ".join(self.overrides)


def written(value: Any) -> str:  # noqa: ANN401 - a value of the configuration
    """A value as it is typed: text as it is, `null`, `true`, numbers without a tail of noughts."""
    if isinstance(value, str):
        return value
    return json.dumps(value)


def with_packages(recipe: Mapping[str, Any], kinds: Iterable[str] = ()) -> dict[str, Any]:
    """A recipe with the versions of other packages that its `_target_`s, and the stored objects of
    these `kinds` that it works with, are of; as it is where there are none."""
    found = plugins.versions(recipe, kinds)
    return {**recipe, PACKAGES: found} if found else dict(recipe)


def content_hash(recipe: Mapping[str, Any], version: str, files: Mapping[str, str]) -> str:
    """SHA-256 in hex of a recipe, the version of calibrate and the checksums of the data."""
    configuration = {
        key: value
        for key, value in recipe["configuration"].items()
        if key not in APART_FROM_CONTENT
    }
    content = [{**recipe, "configuration": configuration}, version, sorted(files.values())]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def unique(jobs: Sequence[Planned]) -> list[Planned]:
    """The jobs in their order, without those whose content an earlier one has."""
    found: dict[str, Planned] = {}
    for job in jobs:
        found.setdefault(job.content, job)
    return list(found.values())
