"""Bins of a quantity with equal effective statistics."""

from __future__ import annotations

import numpy as np

from calibrate.sample import FloatArray, IntArray

CELLS = 4096
"""Candidate edges: fine enough that 12 bins are equal to a percent."""


def bin_index(values: FloatArray, edges: FloatArray) -> IntArray:
    """The bin of each value: 0 … n_b-1, -1 below, n_b above; the last edge is inclusive."""
    index = np.searchsorted(edges, values, side="right") - 1
    return np.where(values == edges[-1], edges.size - 2, index).astype(np.int64)


def equal_statistics_edges(
    values: FloatArray, w: FloatArray, group: IntArray, bins: int, minimum: float
) -> FloatArray:
    """Edges of at most `bins` bins with equal effective size (Σw)²/Σw², `minimum` each or more.

    Tails too thin to fill a bin are cut. Rows of one group with the same value count as one.
    With less than `minimum` in all, there is one bin over everything.
    """
    values, w = _collapsed(values, w, group)
    edges, first, second = _cells(values, w)
    whole = (first.sum() ** 2 / second.sum()) if second.sum() > 0 else 0.0
    low, high = min(minimum, whole), max(whole, minimum)
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if len(_walk(first, second, middle)) > bins else (low, middle)
    cuts = _walk(first, second, high)
    return edges[[0, *cuts]] if cuts else edges[[0, -1]]


def _collapsed(
    values: FloatArray, w: FloatArray, group: IntArray
) -> tuple[FloatArray, FloatArray]:
    order = np.lexsort((group, values))
    values, w, group = values[order], w[order], group[order]
    new = np.append(True, (np.diff(values) != 0) | (np.diff(group) != 0))
    start = np.flatnonzero(new)
    w = np.add.reduceat(w, start)
    return values[start][w != 0], w[w != 0]


def _cells(values: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    row = np.unique(np.linspace(0, values.size - 1, min(CELLS, values.size) + 1).astype(np.int64))
    edges = np.unique(values[row])
    if edges.size < 2:
        half = 0.5 * max(abs(float(edges[0])), 1.0) * 1e-3
        edges = np.array([edges[0] - half, edges[0] + half])
    index = bin_index(values, edges)
    scale = np.max(np.abs(w))
    first = np.bincount(index, weights=w / scale, minlength=edges.size - 1)
    second = np.bincount(index, weights=(w / scale) ** 2, minlength=edges.size - 1)
    return edges, first, second


def _walk(first: FloatArray, second: FloatArray, target: float) -> list[int]:
    """Close a bin as soon as its effective size reaches the target; a thin rest is cut."""
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
