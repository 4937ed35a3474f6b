"""Where tensors live, and how many threads work on them.

Small networks are slower on many threads than on one: 0.78 ms a step on one thread against
8.6 ms on two threads of a busy two-core machine. The number is chosen from the size of a step,
not measured, so that the same problem is summed in the same order every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from calibrate.errors import ConfigurationError, nearest

DEVICES = ("auto", "cpu", "cuda")
PARALLEL_ELEMENTS = 4_000_000
"""Activations computed in one step above which a second thread pays off."""


def resolve(device: str) -> torch.device:
    """The torch device for `auto`, `cpu` or `cuda`; ConfigurationError if there is none."""
    if device not in DEVICES:
        raise ConfigurationError(f"device={device!r}: {nearest(device, DEVICES)}")
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ConfigurationError("device=cuda, but torch finds no GPU here: use device=cpu")
    return torch.device("cuda" if device != "cpu" and available else "cpu")


@contextmanager
def threads_for(elements: int) -> Iterator[int]:
    """Run a block on one thread if a step computes fewer activations than pay for more."""
    before = torch.get_num_threads()
    chosen = before if elements >= PARALLEL_ELEMENTS else 1
    torch.set_num_threads(chosen)
    try:
        yield chosen
    finally:
        torch.set_num_threads(before)
