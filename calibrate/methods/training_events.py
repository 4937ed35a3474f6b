"""The labelled events that a classifier learns from: balanced classes, nuisances at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.errors import ConfigurationError, DataError
from calibrate.sample import FloatArray, Sample, concatenate
from calibrate.task import InferenceTask, Nuisance


@dataclass(frozen=True)
class Scale:
    """Nuisances in units of their range: t = (value - nominal)/reach, |t| ≤ 1 in the range."""

    names: tuple[str, ...]
    nominal: FloatArray
    reach: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, nuisances: Sequence[Nuisance]) -> Scale:
        """Of these nuisances; ConfigurationError for one without a finite range."""
        nominal, low, high = (
            np.array([getattr(each, part) for each in nuisances], dtype=np.float64)
            for part in ("nominal", "low", "high")
        )
        for each in nuisances:
            if not (np.isfinite([each.low, each.high]).all() and each.low < each.high):
                raise ConfigurationError(
                    f"the nuisance '{each.name}' has no range to be trained in: {each.low:g} to "
                    f"{each.high:g}; the dataset must name one"
                )
        reach = np.maximum(high - nominal, nominal - low)
        return cls(tuple(each.name for each in nuisances), nominal, reach, low, high)

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value by name."""
        limits = zip(self.low.tolist(), self.high.tolist(), strict=True)
        return dict(zip(self.names, limits, strict=True))

    def forward(self, values: Mapping[str, float | FloatArray]) -> FloatArray:
        """t (n, k), or (1, k) where all values are numbers; others are ignored.

        Raises DataError for a nuisance that is not given, and for values outside the range.
        """
        if not self.names:
            return np.empty((1, 0))
        absent = [name for name in self.names if name not in values]
        if absent:
            raise DataError(f"the score needs a value of the nuisance '{absent[0]}'")
        given = [np.atleast_1d(np.asarray(values[name], np.float64)) for name in self.names]
        columns = np.stack(np.broadcast_arrays(*given), axis=1)
        self._require_inside(columns)
        return np.asarray((columns - self.nominal) / self.reach)

    def _require_inside(self, columns: FloatArray) -> None:
        slack = ROUNDING * self.reach
        outside = ~((columns >= self.low - slack) & (columns <= self.high + slack))
        if outside.any():
            row, k = np.argwhere(outside)[0]
            raise DataError(
                f"{self.names[k]}={columns[row, k]:g} is outside the range {self.low[k]:g} to "
                f"{self.high[k]:g} that the score was trained in, and scores are not extrapolated: "
                "train it in a wider range"
            )


ROUNDING = 1e-9
"""Of a nuisance at the end of its range, relative to the range."""


def training_events(
    task: InferenceTask, varied: Sequence[str], copies: int, rng: np.random.Generator
) -> Sample:
    """The training events, with `varied` nuisances drawn for each from its whole range, evenly, and
    the others nominal; `copies` times, each with other values. Classes are `balanced`.

    An event keeps its group in all copies. The same event at several values shows what a nuisance
    does without the fluctuations between events.
    """
    nominal: dict[str, float | FloatArray] = {each.name: each.nominal for each in task.nuisances}
    if not varied:
        return balanced(task.train.at(nominal))
    shifted = [each for each in task.nuisances if each.name in varied]
    drawn = [
        {each.name: rng.uniform(each.low, each.high, len(task.train)) for each in shifted}
        for _ in range(copies)
    ]
    return balanced(concatenate([task.train.at({**nominal, **values}) for values in drawn]))


def balanced(sample: Sample) -> Sample:
    """The same events with weights of mean 1 whose sum is the same for both classes.

    Raises DataError for a class without events, and for negative weights.
    """
    negative = int(np.count_nonzero(sample.w < 0))
    if negative:
        raise DataError(
            f"classifiers need weights ≥ 0, {negative} of {len(sample)} training events have "
            "negative ones: the cross-entropy has no minimum with them; reweight or leave out "
            "these events"
        )
    signal = sample.z[:, 0] == 1
    sums = [float(np.sum(sample.w[rows])) for rows in (signal, ~signal)]
    for name, total in zip(("signal", "background"), sums, strict=True):
        if not total > 0:
            raise DataError(f"the training events hold no {name}: a classifier needs both classes")
    scale = [0.5 * len(sample) / total for total in sums]
    return sample.with_weights(sample.w * np.where(signal, *scale))
