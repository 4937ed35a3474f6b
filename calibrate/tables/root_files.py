"""What TTrees and RNTuples share: the ROOT file that is written, and jagged arrays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from calibrate.tables.columns import Jagged, NewColumns, Values
from calibrate.tables.failures import writing

KIND = "ROOT"


@contextmanager
def opened_for_writing(source: Path, target: Path, name: str | None) -> Iterator[Any]:
    """uproot's file at `target`: one of the same compression, if `source` holds nothing but the
    table `name`, else a copy of `source`, which the table is added to."""
    with uproot.open(source) as file:
        others = {key.split(";")[0] for key in file.keys(recursive=False)} - {name}
        compression = file.file.compression
    if others:
        with writing(target):
            shutil.copyfile(source, target)
        with writing(target), uproot.update(target) as written:
            yield written
    else:
        with writing(target), uproot.recreate(target, compression=compression) as written:
            yield written


def column_of(array: ak.Array) -> Values | Jagged:
    """An array with one value for each entry, or with several."""
    return jagged(array) if array.ndim > 1 else np.asarray(array)


def jagged(array: ak.Array) -> Jagged:
    """Its values and how many of them each entry has."""
    counts = np.asarray(ak.num(array, axis=1), dtype=np.int64)
    return Jagged(np.asarray(ak.flatten(array, axis=1)), counts)


def nested(values: Values, counts: Values | None) -> Any:  # noqa: ANN401 - numpy or awkward
    """One value for each entry, or as many as `counts` says."""
    return values if counts is None else ak.unflatten(values, counts)


def next_columns(
    new: NewColumns, like: ak.Array | None, entries: int, row: int
) -> tuple[dict[str, Any], int]:
    """The new columns of so many entries, whose values begin at `row`: one for each entry, or as
    many as the jagged array `like` has; and the row behind them."""
    counts = None if like is None else jagged(like).counts
    last = row + (entries if counts is None else int(counts.sum()))
    return {name: nested(values, counts) for name, values in new.read(row, last).items()}, last
