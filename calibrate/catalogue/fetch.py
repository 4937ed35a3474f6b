"""The files of a set, several at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from calibrate.catalogue.cache import set_folder
from calibrate.catalogue.download import Download, Meter
from calibrate.catalogue.entries import PublicSet
from calibrate.checks import positive_integer, positive_number
from calibrate.errors import ConfigurationError, FetchError


class Unseen:
    """Shows nothing."""

    def started(self, name: str, have: int, total: int | None) -> None:
        """Nothing."""

    def advance(self, name: str, number: int) -> None:
        """Nothing."""

    def finished(self, name: str) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Fetch:
    """How files are fetched: the first `files` of a set (None: all), `parallel` at a time, from a
    mirror `base_url`, given up after `timeout` seconds without a byte.

    Raises ConfigurationError when out of range.
    """

    files: int | None = None
    parallel: int = 4
    base_url: str | None = None
    timeout: float = 60.0
    meter: Meter = field(default_factory=Unseen)

    def __post_init__(self) -> None:
        if self.files is not None:
            positive_integer("files", self.files)
        positive_integer("parallel", self.parallel)
        positive_number("timeout", self.timeout)
        if self.base_url is not None and not self.base_url.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"--base-url is an address http://… or https://…, got '{self.base_url}'"
            )

    def __call__(self, chosen: PublicSet) -> list[Path]:
        """The paths of the files, all of them complete and checked.

        Raises FetchError after all others have been fetched if some could not.
        """
        wanted = chosen.files[: self.files]
        stop = threading.Event()
        download = Download(set_folder(chosen), self.base_url, self.timeout, self.meter, stop)
        failed: list[FetchError] = []
        pool = ThreadPoolExecutor(min(self.parallel, len(wanted)))
        try:
            for future in as_completed([pool.submit(download.fetch, file) for file in wanted]):
                error = future.exception()
                if isinstance(error, FetchError):
                    failed.append(error)
                elif error is not None:
                    raise error
        finally:  # interrupted: threads end with their next bytes, nobody waits for a silent server
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
        _raise(failed, len(wanted))
        return [set_folder(chosen) / file.name for file in wanted]


def _raise(failed: Sequence[FetchError], wanted: int) -> None:
    if len(failed) == 1 and wanted == 1:
        raise failed[0]
    if failed:
        raise FetchError(f"{len(failed)} of {wanted} files could not be fetched: {failed[0]}")
