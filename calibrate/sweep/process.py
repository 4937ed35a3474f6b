"""A process as it is told from all others: host, number and time of birth."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache

import psutil

SAME_BIRTH = 1.0
"""Seconds by which two readings of one birth may differ."""


@dataclass(frozen=True)
class Process:
    """A process on a host; `born` [s since 1970], since its number is used again after its end."""

    host: str
    pid: int
    born: float

    @property
    def here(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.host == hostname()

    @property
    def alive(self) -> bool:
        """Whether it runs on this machine; a zombie does not."""
        if not self.here:
            return False
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.born) < SAME_BIRTH
            return bool(same and found.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


@cache
def hostname() -> str:
    """The name of this machine."""
    return socket.gethostname()


def this_process() -> Process:
    """The process that asks."""
    return Process(hostname(), os.getpid(), psutil.Process().create_time())
