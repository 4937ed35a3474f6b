"""How much memory is free, and whether loading fits into it: a stop instead of a dead machine.

Free is what the system has available, or what the process's control group leaves, if that is less:
containers and batch systems set such limits, and kill what goes beyond.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from calibrate.context import Context
from calibrate.errors import DataError

OWN_GROUPS, MOUNTED = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
LIMITS = {
    2: ("memory.max", "memory.current"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
}
"""Files of the limit and of what is used, by the version of control groups."""
RECLAIMABLE = ("inactive_file", "total_inactive_file")
"""Cached files, which count as used but are given back on demand."""
GIB = 1 << 30


def require_memory(context: Context, needed: float, what: str, advice: str) -> None:
    """Raise DataError if `needed` bytes are more than the context's share of the free memory."""
    if context.memory is None:
        return
    free = free_memory()
    if needed > context.memory * free:
        raise DataError(
            f"{what} needs about {needed / GIB:.2g} GiB of memory, more than "
            f"{100 * context.memory:.3g} % of the {free / GIB:.2g} GiB that are free: {advice}, "
            "or do without this check with memory=null"
        )


def free_memory() -> int:
    """Bytes that can be taken without swapping or being killed."""
    import psutil

    return int(min(psutil.virtual_memory().available, *group_free(OWN_GROUPS, MOUNTED)))


def group_free(own: Path, mounted: Path) -> Iterator[float]:
    """What each control group above the process leaves; infinity where none has a limit."""
    yield float("inf")
    lines = own.read_text("utf-8").splitlines() if own.is_file() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _left(mounted, path, *LIMITS[2])
        elif "memory" in controllers.split(","):
            yield from _left(mounted / "memory", path, *LIMITS[1])


def _left(root: Path, path: str, limit: str, used: str) -> Iterator[float]:
    """Limit minus use of a group and of those above it; inside a container its own is the root."""
    group = root / path.lstrip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(root):
            return
        allowed, taken = _number(folder / limit), _number(folder / used)
        if allowed is not None and taken is not None:
            yield max(allowed - taken + _reclaimable(folder / "memory.stat"), 0)


def _number(path: Path) -> int | None:
    """The number in a file; None for `max`, or if there is no such file."""
    try:
        text = path.read_text("utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _reclaimable(path: Path) -> int:
    try:
        fields = dict(line.split() for line in path.read_text("utf-8").splitlines())
    except (OSError, ValueError):
        return 0
    return int(next((fields[name] for name in reversed(RECLAIMABLE) if name in fields), 0))
