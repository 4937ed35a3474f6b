"""Bins of a quantity with equal effective statistics."""

from __future__ import annotations

import numpy as np

from calibrate.sample import FloatArray, IntArray

CELLS = 4096
"""Candidate edges: fine enough that 12 bins are equal to a percent."""

TAIL = 1e-3
TOGETHER = 256
"""Cells that are summed at a time: the weights may be a memory map."""
STRETCH = 512
"""Candidate edges that are looked at first: more than a bin of twelve has."""
ITERATIONS = 20
COMPLETE = 0.97
"""A rest with less than this share of a bin's effective size joins the bin before it."""


def bin_index(values: FloatArray, edges: FloatArray, ascending: IntArray | None = None) -> IntArray:
    """The bin of each value: 0 … n_b-1, -1 below, n_b above; the last edge is inclusive.

    `ascending` (n,) are the rows in the order of the values, where the caller knows them.
    """
    if ascending is not None:
        index, ends = np.empty(values.size, np.int64), bin_ends(values[ascending], edges)
        sizes = np.diff(ends, prepend=0, append=values.size)
        index[ascending] = np.repeat(np.arange(-1, edges.size), sizes)
        return index
    index = np.searchsorted(edges, values, side="right") - 1
    return np.where(values == edges[-1], edges.size - 2, index).astype(np.int64)


def bin_ends(values: FloatArray, edges: FloatArray) -> IntArray:
    """The places of the edges (n_b + 1,) among ascending values; the last edge is inclusive."""
    ends = np.searchsorted(values, edges)
    ends[-1] = np.searchsorted(values, edges[-1], side="right")
    return ends


def equal_statistics_edges(
    values: FloatArray,
    w: FloatArray,
    group: IntArray,
    bins: int,
    minimum: float,
    ascending: IntArray | None = None,
) -> FloatArray:
    """Edges of at most `bins` bins with equal effective size (Σw)²/Σw², `minimum` each or more.

    The outermost 0.1 % of the events on each side are cut, so that no bin reaches into an empty
    tail. Rows of one group with the same value count as one. With less than `minimum` in all,
    there is one bin over everything. `ascending` (n,) are the rows in the order of the values,
    where the caller knows them.
    """
    return edges_of_sorted(*collapsed(values, w, group, ascending), bins, minimum)


def edges_of_sorted(values: FloatArray, w: FloatArray, bins: int, minimum: float) -> FloatArray:
    """The same of values (n,) in ascending order with weights (n,) that are not zero, one row for
    each group and value; both may be memory maps."""
    edges, first, second = _cells(values, w)
    low, high = minimum, max(minimum, first.sum() ** 2 / second.sum())
    if len(_walk(first, second, minimum)) > bins:
        for _ in range(ITERATIONS):
            middle = 0.5 * (low + high)
            enough = len(_walk(first, second, middle)) >= bins
            low, high = (middle, high) if enough else (low, middle)
    cuts = _walk(first, second, low)[: bins - 1]
    if len(cuts) and _effective(first[cuts[-1] :], second[cuts[-1] :]) < low * COMPLETE:
        cuts = cuts[:-1]
    return np.asarray(edges[[0, *cuts, -1]])


def collapsed(
    values: FloatArray, w: FloatArray, group: IntArray, ascending: IntArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Values (m,) in ascending order and weights (m,), one row for each group and value; without
    those whose weight is zero."""
    if bool(np.all(group[1:] > group[:-1])):
        order = np.argsort(values) if ascending is None else ascending
        values, w = values[order], w[order]
        return (values, w) if w.all() else (values[w != 0], w[w != 0])
    order = np.lexsort((group, values))
    values, w, group = values[order], w[order], group[order]
    new = np.append(True, (np.diff(values) != 0) | (np.diff(group) != 0))
    start = np.flatnonzero(new)
    w = np.add.reduceat(w, start)
    return values[start][w != 0], w[w != 0]


def _cells(values: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    last = values.size - 1
    cut = int(TAIL * values.size)
    row = np.linspace(cut, last - cut, min(CELLS, values.size) + 1).astype(np.int64)
    edges = np.unique(values[row])
    if edges.size < 2:
        half = 0.5 * max(abs(float(edges[0])), 1.0) * 1e-3
        edges = np.array([edges[0] - half, edges[0] + half])
    ends = bin_ends(values, edges)
    starts = range(0, ends.size - 1, TOGETHER)
    pieces = [(w[s[0] : s[-1]], s[:-1] - s[0])
              for s in (ends[i : i + TOGETHER + 1] for i in starts)]  # fmt: skip
    largest = max(float(np.max(np.abs(piece), initial=0.0)) for piece, _ in pieces)
    sums = [
        np.stack([np.add.reduceat((piece / largest) ** k, cell) for k in (1, 2)])
        for piece, cell in pieces
    ]
    first, second = np.concatenate(sums, axis=1)
    return edges, first, second


def _walk(first: FloatArray, second: FloatArray, target: float) -> list[int]:
    """Close a bin as soon as its effective size reaches the target: the places of its ends."""
    cuts, start = [], 0
    sums = np.pad(np.cumsum(first), (1, 0))
    squares = np.pad(np.cumsum(second), (1, 0))
    while start < first.size:
        end = _reaching(sums, squares, start, start + STRETCH, target)
        end = end or _reaching(sums, squares, start, first.size, target)
        if end is None:
            break
        start = end
        cuts.append(start)
    return cuts


def _reaching(
    sums: FloatArray, squares: FloatArray, start: int, stop: int, target: float
) -> int | None:
    """The first end of a bin from `start` on, at most `stop`, that gives it the target."""
    square = squares[start + 1 : stop + 1] - squares[start]
    size = (sums[start + 1 : stop + 1] - sums[start]) ** 2
    reached = (size >= target * (1 - 1e-12) * square) & (square > 0)
    first = int(np.argmax(reached))
    return start + first + 1 if reached[first] else None


def _effective(first: FloatArray, second: FloatArray) -> float:
    squares = float(second.sum())
    return float(first.sum()) ** 2 / squares if squares > 0 else 0.0
