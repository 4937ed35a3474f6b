"""Whether events stand in several parts of a sample: then the parts do not fluctuate apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from calibrate.errors import DataError

AT_ONCE = 4_000_000
"""Keys that are compared together."""


def refuse_shared_groups(paths: Sequence[Path]) -> None:
    """Raise DataError if a key is in more than one of the files, each of which holds keys (n,) of
    64 bits, once each and in ascending order."""
    if not paths:
        return
    keys = [np.load(path, mmap_mode="r") for path in paths]
    total = sum(each.size for each in keys)
    pieces = total // AT_ONCE + 1
    cuts = [np.uint64((k << 64) // pieces) for k in range(1, pieces)]
    ends = [[0, *(int(np.searchsorted(each, cut)) for cut in cuts), each.size] for each in keys]
    shared = 0
    for k in range(pieces):
        parts = [each[end[k] : end[k + 1]] for each, end in zip(keys, ends, strict=True)]
        _, times = np.unique(np.concatenate(parts), return_counts=True)
        shared += int(np.count_nonzero(times > 1))
    if shared:
        raise DataError(
            f"{shared} events (data.group) are in files of more than one job, whose errors would "
            "be too small: name what tells them apart in data.group, such as [run,event]; or "
            "put their files into one job with sweep.files=…, or evaluate without -m"
        )
