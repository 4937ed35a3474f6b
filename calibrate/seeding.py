"""Random streams for torch, derived from the context's named streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from calibrate.context import Context


@contextmanager
def torch_seeded(context: Context, *names: str) -> Iterator[None]:
    """Run a block with torch's CPU generator seeded for a named purpose, then restored."""
    state = torch.get_rng_state()
    torch.manual_seed(stream_seed(context, *names))
    try:
        yield
    finally:
        torch.set_rng_state(state)


def stream_seed(context: Context, *names: str) -> int:
    """The seed of a named stream as a number that torch takes and a file can hold."""
    return int(context.sequence(*names).generate_state(1, dtype=np.uint64)[0] >> np.uint64(1))


def generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator of its own, started at a seed."""
    return torch.Generator(device).manual_seed(seed)
