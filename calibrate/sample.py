"""Weighted events with named columns: the one container that every floor understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrate.errors import ConfigurationError, DataError, nearest

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
KeyArray = NDArray[np.uint64]
Array = TypeVar("Array", FloatArray, IntArray)

MINIMUM_EVENTS = 100


@dataclass(frozen=True)
class Column:
    """One named quantity: its unit, and whether it is positive by nature (a pT, a mass)."""

    name: str
    unit: str = ""
    positive: bool = False

    @property
    def label(self) -> str:
        """The name with its unit, as an axis or a table shows it."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


@dataclass(frozen=True)
class Groups:
    """The number of groups, the group (n,) of each row counted from 0 in ascending order of the
    labels, and whether every row is a group of its own, in that order."""

    number: int
    row: IntArray
    single: bool

    @classmethod
    def of(cls, labels: IntArray) -> Groups:
        """From group labels (n,); ascending ones, the usual case, are not sorted again."""
        if bool(np.all(labels[1:] > labels[:-1])):
            return cls(labels.size, np.arange(labels.size), single=True)
        unique, row = np.unique(labels, return_inverse=True)
        return cls(unique.size, row.astype(np.int64), single=False)


@dataclass(frozen=True)
class Sample:
    """Events with features x (n, d_x), truth z (n, d_z; d_z = 0 in data) and weights w (n,).

    `group` (n,) names the event that a row came from: rows of one group are never parted and
    fluctuate together. `spectators` are columns for binning that no fit sees. All arrays are
    read-only; everything is checked once, here.

    Raises DataError when shapes disagree, a value is not finite, a column that is positive by
    nature is not, or the weights sum to nothing.
    """

    x: FloatArray
    z: FloatArray
    w: FloatArray
    x_columns: tuple[Column, ...]
    z_columns: tuple[Column, ...]
    group: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    spectators: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        w = _frozen(np.asarray(self.w, dtype=np.float64).reshape(-1))
        group = np.arange(w.size) if len(self.group) == 0 else np.asarray(self.group, np.int64)
        spectators = {k: _frozen(np.asarray(v, np.float64)) for k, v in self.spectators.items()}
        object.__setattr__(self, "w", w)
        object.__setattr__(self, "x", _frozen(_matrix(self.x, w.size)))
        object.__setattr__(self, "z", _frozen(_matrix(self.z, w.size)))
        object.__setattr__(self, "group", _frozen(group))
        object.__setattr__(self, "spectators", MappingProxyType(spectators))
        _check_shapes(self)
        _check_values(self)

    def __len__(self) -> int:
        return int(self.w.size)

    def __reduce__(self) -> tuple[type[Sample], tuple[Any, ...]]:
        """For another process; a read-only view of a dictionary cannot be pickled."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return type(self), tuple({**values, "spectators": dict(self.spectators)}.values())

    @cached_property
    def groups(self) -> Groups:
        """Which group each row belongs to, counted from 0."""
        return Groups.of(self.group)

    @cached_property
    def ascending(self) -> IntArray:
        """The rows in the order of each truth column (n, d_z)."""
        return np.asarray(np.argsort(self.z.T).T)

    @cached_property
    def effective_size(self) -> float:
        """Kish's (Σ_g W_g)²/Σ_g W_g², W_g the summed weight of group g."""
        return effective_size(self.w, self.groups)

    def column(self, name: str) -> FloatArray:
        """The values (n,) of a feature, truth or spectator column; DataError lists near names."""
        named = {c.name: self.x[:, i] for i, c in enumerate(self.x_columns)}
        named.update({c.name: self.z[:, i] for i, c in enumerate(self.z_columns)})
        named.update(self.spectators)
        if name not in named:
            raise DataError(f"no column '{name}' in the sample: {nearest(name, named)}")
        return named[name]

    def take(self, index: IntArray | BoolArray | slice) -> Sample:
        """The selected rows as a sample."""
        return replace(
            self,
            x=self.x[index],
            z=self.z[index],
            w=self.w[index],
            group=self.group[index],
            spectators={k: v[index] for k, v in self.spectators.items()},
        )

    def with_weights(self, w: ArrayLike) -> Sample:
        """The same events under other weights (n,)."""
        return replace(self, w=np.asarray(w, dtype=np.float64))

    def split(self, fraction: float, rng: np.random.Generator) -> tuple[Sample, Sample]:
        """Two complements at random, the first with `fraction` of the groups."""
        if not 0 < fraction < 1:
            raise ConfigurationError(f"a split needs a fraction between 0 and 1, got {fraction}")
        groups = self.groups
        chosen = np.zeros(groups.number, dtype=bool)
        chosen[rng.permutation(groups.number)[: round(fraction * groups.number)]] = True
        first = chosen[groups.row]
        return self.take(first), self.take(~first)


def concatenate(samples: Sequence[Sample]) -> Sample:
    """Several samples of the same columns and spectators as one.

    Groups keep their labels, and rows of one label are one event whichever sample they come from:
    right for copies of the same events and for parts of one sample. Samples of other events need
    labels of their own first. Raises DataError for different columns or spectators.
    """
    first = samples[0]
    columns = [(s.x_columns, s.z_columns, set(s.spectators)) for s in samples]
    if any(other != columns[0] for other in columns):
        raise DataError("samples with different columns cannot be put together")
    return replace(
        first,
        x=np.concatenate([s.x for s in samples]),
        z=np.concatenate([s.z for s in samples]),
        w=np.concatenate([s.w for s in samples]),
        group=np.concatenate([s.group for s in samples]),
        spectators={
            k: np.concatenate([s.spectators[k] for s in samples]) for k in first.spectators
        },
    )


def without_truth(sample: Sample) -> Sample:
    """The same events as measured data: no truth columns (d_z = 0)."""
    return replace(sample, z=np.empty((len(sample), 0)), z_columns=())


def effective_size(w: FloatArray, groups: Groups | None = None) -> float:
    """Kish's effective sample size (Σw)²/Σw², with the weights summed per group first."""
    if groups is not None and not groups.single:
        w = np.asarray(np.bincount(groups.row, weights=w), dtype=np.float64)
    squares = float(np.sum((w / np.max(np.abs(w), initial=1e-300)) ** 2))
    total = float(np.sum(w / np.max(np.abs(w), initial=1e-300)))
    return total**2 / squares if squares > 0 else 0.0


def _frozen(array: Array) -> Array:
    view: Array = array.view()
    view.flags.writeable = False
    return view


def _matrix(values: ArrayLike, rows: int) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    return array.reshape(rows, -1) if array.ndim == 1 and rows else array


def _check_shapes(sample: Sample) -> None:
    n = len(sample)
    if n == 0:
        raise DataError("the sample holds no events")
    for name, array, columns in (
        ("x", sample.x, sample.x_columns),
        ("z", sample.z, sample.z_columns),
    ):
        if array.shape != (n, len(columns)):
            expected = (n, len(columns))
            raise DataError(f"{name} must have shape {expected} (n, columns), got {array.shape}")
    for name, column in {"group": sample.group, **sample.spectators}.items():
        if column.shape != (n,):
            raise DataError(f"'{name}' must have one value for each of {n} rows: {column.shape}")


def _check_values(sample: Sample) -> None:
    columns = [*zip(sample.x_columns, sample.x.T, strict=True)]
    columns += zip(sample.z_columns, sample.z.T, strict=True)
    columns += [(Column(k), v) for k, v in sample.spectators.items()]
    columns += [(Column("weight"), sample.w)]
    for column, values in columns:
        broken = int(np.count_nonzero(~np.isfinite(values)))
        if broken:
            raise DataError(
                f"column '{column.name}' holds {broken} values of {len(sample)} that are not "
                "finite: remove these events or repair the column"
            )
        if column.positive and float(np.min(values)) <= 0:
            low = int(np.count_nonzero(values <= 0))
            raise DataError(
                f"column '{column.name}' is positive by nature, but {low} values of "
                f"{len(sample)} are zero or below (smallest {np.min(values):g}): remove them"
            )
    if not np.any(sample.w):
        raise DataError(f"all {len(sample)} weights are zero: check the weight column")
    if float(np.sum(sample.w)) <= 0:
        raise DataError(f"the weights sum to {np.sum(sample.w):g}: a positive sum is needed")
