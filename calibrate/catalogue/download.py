"""One file over HTTP, resumed where an earlier attempt stopped.

pooch's own downloader starts anew and deletes what does not match; here the bytes that came stay in
a file beside the target, also after an interruption, and the next attempt asks for the rest (HTTP
Range). What does not match the checksum in the end is kept aside under another name.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from calibrate.catalogue.entries import PublicFile
from calibrate.errors import FetchError

if TYPE_CHECKING:
    import requests

BLOCK = 1 << 16
"""Bytes written at a time; of an attempt that breaks off at most as many are lost."""
ATTEMPTS = 3
"""In a row that bring nothing."""
PAUSE = 1.0
"""Seconds before the next attempt, growing."""
OK, PARTIAL, RANGE_NOT_SATISFIABLE, FIRST_SERVER_ERROR = 200, 206, 416, 500


class Meter(Protocol):
    """Shows how far a file has come."""

    def started(self, name: str, have: int, total: int | None) -> None:
        """The size is known, or known to be unknown; `have` bytes are here."""
        ...

    def advance(self, name: str, number: int) -> None:
        """Further bytes have come."""
        ...

    def finished(self, name: str) -> None:
        """The file is here as a whole."""
        ...


class _UnfinishedError(Exception):
    """An attempt that may be repeated: why it ended."""


@dataclass(frozen=True)
class Download:
    """Fetches files into `folder`: from their own addresses, or all from the mirror `base_url`.

    `timeout` is the number of seconds without a byte that ends an attempt; `stop` ends all.
    """

    folder: Path
    base_url: str | None
    timeout: float
    meter: Meter
    stop: threading.Event

    def fetch(self, file: PublicFile) -> Path:
        """The path of the file, complete and checked; it stays as it is if it is already there.

        Raises FetchError where the server does not have it, the connection fails, the disk is
        full, or the checksum does not match.
        """
        target = self.folder / file.name
        part = target.with_name(f"{file.name}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if target.is_file():
                self._check(file, target)
            else:
                with _alone(part):
                    self._complete(file, part)
                    self._check(file, part)
                    os.replace(part, target)
        except OSError as error:
            raise FetchError(
                f"{target} cannot be written: {error.strerror or error}; make room there, or "
                "choose another folder with the variable CALIBRATE_DATA"
            ) from error
        self.meter.finished(file.name)
        return target

    def _complete(self, file: PublicFile, part: Path) -> None:
        """Attempts, until one ends well or several in a row bring nothing."""
        idle = 0
        while True:
            before = part.stat().st_size
            try:
                self._attempt(file, part)
                return
            except _UnfinishedError as error:
                idle = 0 if part.stat().st_size > before else idle + 1
                if idle == ATTEMPTS or self.stop.is_set():
                    raise FetchError(
                        f"{file.name}: {error}; {part.stat().st_size} bytes are kept, and the same "
                        "command goes on from there"
                    ) from error
            self.stop.wait(PAUSE * idle)

    def _attempt(self, file: PublicFile, part: Path) -> None:
        import requests

        have = part.stat().st_size
        url = self._url(file)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        try:
            with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as answer:
                if self._nothing_left(answer, have, part):
                    return
                self._receive(answer, file, part)
        except requests.RequestException as error:
            raise _UnfinishedError(f"{url}: {_reason(error)}") from error

    def _nothing_left(self, answer: requests.Response, have: int, part: Path) -> bool:
        """Whether all is here already; raises FetchError for what no further attempt can mend."""
        status = answer.status_code
        if status == RANGE_NOT_SATISFIABLE and have:
            if answer.headers.get("Content-Range", "").endswith(f"/{have}"):
                return True
            part.write_bytes(b"")
            raise _UnfinishedError(f"{answer.url} has less than the {have} bytes that were kept")
        if status >= FIRST_SERVER_ERROR:
            raise _UnfinishedError(f"{answer.url} answers {status} {answer.reason}")
        if status not in (OK, PARTIAL):
            raise FetchError(
                f"{answer.url} answers {status} {answer.reason}: the file is not there; try again "
                "later, or name a mirror with --base-url"
            )
        return False

    def _receive(self, answer: requests.Response, file: PublicFile, part: Path) -> None:
        """Append the rest, or write all where the server sends all again."""
        have = part.stat().st_size if answer.status_code == PARTIAL else 0
        length = answer.headers.get("Content-Length")
        total = file.size if length is None else have + int(length)
        self.meter.started(file.name, have, total)
        with part.open("ab" if have else "wb") as stream:
            for block in answer.iter_content(BLOCK):
                stream.write(block)
                self.meter.advance(file.name, len(block))
                if self.stop.is_set():
                    raise _UnfinishedError("interrupted")
        size = part.stat().st_size
        if total is not None and size < total:
            raise _UnfinishedError(f"{answer.url} ended after {size} of {total} bytes")

    def _url(self, file: PublicFile) -> str:
        return file.url if self.base_url is None else f"{self.base_url.rstrip('/')}/{file.name}"

    def _check(self, file: PublicFile, path: Path) -> None:
        algorithm, _, expected = file.checksum.partition(":")
        found = checksum(file, path)
        if found == expected:
            return
        aside = self.folder / f"{file.name}.wrong-{found[:8]}"
        os.replace(path, aside)
        raise FetchError(
            f"{file.name}: {algorithm} {found} does not match {expected}; kept aside as {aside}, "
            "and never used: fetch again, or from elsewhere with --base-url"
        )


def checksum(file: PublicFile, path: Path) -> str:
    """The checksum of what is at `path`, in hex, by the algorithm of the public file."""
    import pooch

    return str(pooch.file_hash(str(path), alg=file.checksum.partition(":")[0]))


@contextmanager
def _alone(part: Path) -> Iterator[None]:
    """The file, made if it is not there, for this process alone (where the system has locks); an
    empty one does not stay."""
    with part.open("ab") as stream:
        _lock(stream, part)
        try:
            yield
        finally:
            if part.is_file() and not part.stat().st_size:
                part.unlink()


def _lock(stream: IO[bytes], part: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise FetchError(f"{part} is being fetched by another process: wait for it") from error


def _reason(error: Exception) -> str:
    """The innermost words of a failed connection, in one line."""
    text = " ".join(str(error).split())
    return text if len(text) < 200 else f"{text[:200]} …"
