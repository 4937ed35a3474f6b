"""Bins of a quantity with equal effective statistics."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from calibrate.sample import FloatArray, IntArray

CELLS = 4096
"""Candidate edges: fine enough that 12 bins are equal to a percent."""

TAIL = 1e-3
ITERATIONS = 40
COMPLETE = 0.97
"""A rest with less than this share of a bin's effective size joins the bin before it."""


def bin_index(values: FloatArray, edges: FloatArray) -> IntArray:
    """The bin of each value: 0 … n_b-1, -1 below, n_b above; the last edge is inclusive."""
    index = np.searchsorted(edges, values, side="right") - 1
    return np.where(values == edges[-1], edges.size - 2, index).astype(np.int64)


def equal_statistics_edges(
    values: FloatArray, w: FloatArray, group: IntArray, bins: int, minimum: float
) -> FloatArray:
    """Edges of at most `bins` bins with equal effective size (Σw)²/Σw², `minimum` each or more.

    The outermost 0.1 % of the events on each side are cut, so that no bin reaches into an empty
    tail. Rows of one group with the same value count as one. With less than `minimum` in all,
    there is one bin over everything.
    """
    return edges_of_sorted(*collapsed(values, w, group), bins, minimum)


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


def collapsed(values: FloatArray, w: FloatArray, group: IntArray) -> tuple[FloatArray, FloatArray]:
    """Values (m,) in ascending order and weights (m,), one row for each group and value; without
    those whose weight is zero."""
    rising = bool(np.all(group[1:] >= group[:-1]))
    order = np.argsort(values, kind="stable") if rising else np.lexsort((group, values))
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
    end = np.searchsorted(values, edges[-1], side="right")
    parts = [w[a:b] for a, b in pairwise([*np.searchsorted(values, edges[:-1]), end])]
    largest = max(float(np.max(np.abs(part), initial=0.0)) for part in parts)
    first, second = (np.array([np.sum((part / largest) ** k) for part in parts]) for k in (1, 2))
    return edges, first, second


def _walk(first: FloatArray, second: FloatArray, target: float) -> list[int]:
    """Close a bin as soon as its effective size reaches the target: the places of its ends."""
    cuts, start = [], 0
    sums = np.pad(np.cumsum(first), (1, 0))
    squares = np.pad(np.cumsum(second), (1, 0))
    while start < first.size:
        size = (sums[start + 1 :] - sums[start]) ** 2
        reached = size >= target * (squares[start + 1 :] - squares[start]) * (1 - 1e-12)
        reached &= squares[start + 1 :] > squares[start]
        if not reached.any():
            break
        start += int(np.argmax(reached)) + 1
        cuts.append(start)
    return cuts


def _effective(first: FloatArray, second: FloatArray) -> float:
    squares = float(second.sum())
    return float(first.sum()) ** 2 / squares if squares > 0 else 0.0
