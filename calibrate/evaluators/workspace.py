"""One score at one point as HistFactory knows it: the nominal score, three templates a nuisance."""

from __future__ import annotations

import numpy as np

from calibrate.evaluators.point_model import Seen
from calibrate.inference.bins import ScoreBins
from calibrate.inference.contents import Axes, Constant
from calibrate.inference.histfactory import BinnedModel, ThreePoint, required_width
from calibrate.inference.observed import Paths
from calibrate.inference.templates import FrozenAt, Templates
from calibrate.sample import FloatArray
from calibrate.task import Auxiliary, InferenceTask


def exported(seen: Seen, task: InferenceTask, bins: int) -> BinnedModel:
    """The model of the nominal score with expected counts of the point.

    Raises ConfigurationError for a nuisance without a constraint.
    """
    nominal = {n.name: n.nominal for n in seen.nuisances}
    frozen = FrozenAt(seen.score, nominal)
    axes = Axes(nominal, {n.name: n.nominal + required_width(n) * np.array([-1.0, 0.0, 1.0])
                          for n in seen.nuisances})  # fmt: skip
    templates = Templates.fill(frozen, task.test, axes, ScoreBins.equal(bins)).merged()
    values = seen.point.values
    paths = Paths.of(frozen, task.test.at(values), values, axes, templates.bins)
    counts = paths.asimov(seen.point.strength)
    observed = counts.values if isinstance(counts, Constant) else np.empty(0)
    return binned_model(seen, templates, observed, task.auxiliary)


def binned_model(
    seen: Seen, templates: Templates, counts: FloatArray, auxiliary: Auxiliary | None
) -> BinnedModel:
    """From templates at three values of each nuisance: low, nominal and high."""
    squares, nuisances = templates.squares[1], seen.nuisances
    centres = np.array([n.nominal for n in nuisances])
    widths = np.array([required_width(n) for n in nuisances])

    def three(filled: FloatArray) -> ThreePoint:
        pieces = np.stack(templates.axes.parted(filled))
        return ThreePoint(pieces[0, 1], pieces[:, 0], pieces[:, 2], centres, widths)

    background, signal = (three(templates.sums[:, k]) for k in range(2))
    if auxiliary is None:
        return BinnedModel(nuisances, signal, background, squares, counts)
    settings = templates.axes.settings()
    columns = {n.name: np.array([each[n.name] for each in settings]) for n in nuisances}
    true = {name: np.array([value]) for name, value in seen.point.values.items()}
    return BinnedModel(
        nuisances, signal, background, squares, counts,
        three(auxiliary.expected(columns)), auxiliary.expected(true)[0],
    )  # fmt: skip
