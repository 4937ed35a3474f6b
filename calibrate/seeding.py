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
    seed = context.sequence(*names).generate_state(1, dtype=np.uint64)[0]
    torch.manual_seed(int(seed >> np.uint64(1)))
    try:
        yield
    finally:
        torch.set_rng_state(state)
