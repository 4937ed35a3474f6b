"""What each score is worth: the strength μ that it measures at every observed point.

Templates of the score, their likelihood and its profile; data as expected at the point (Asimov), or
one Poisson experiment. Expected data is what the templates expect there, so that the simulation's
noise is not in a best μ; it is in the widths (γ of each template and bin), and fluctuates, with all
else, in the pseudo-experiments that say whether the interval covers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from calibrate.checks import choice, count, finite_number, positive_integer
from calibrate.context import Context
from calibrate.errors import ConfigurationError, DataError, FitError
from calibrate.estimate import Score
from calibrate.evaluators.inferred import Inferred, common_strengths, template_curves
from calibrate.evaluators.likelihood_tables import tables
from calibrate.evaluators.point_model import Binning, Fillings, PointModel, Seen, inside
from calibrate.evaluators.workspace import exported
from calibrate.inference.coverage import PseudoExperiments, experiments
from calibrate.inference.histfactory import pyhf_fit, require_pyhf, required_width
from calibrate.inference.profile import Profile
from calibrate.protocols import InferenceRefit
from calibrate.records import Findings, Quantity, Record, WorkspaceFile
from calibrate.task import InferenceTask, Point

ASIMOV, POISSON = "asimov", "poisson"
CURVE_STRENGTHS = 101
FAR = 10.0
"""Upper bound of μ in a workspace, in true strengths, where none is given."""


@dataclass(frozen=True)
class LikelihoodEvaluator:
    """Profile likelihoods of every score at every point of the task.

    `bins` of the score; `values` of each nuisance at which templates are filled, and `pieces` of
    the splines between them (None: through all values); `observed` is `asimov` or `poisson`;
    `experiments` pseudo-experiments (0: no coverage); `simulation_error`: whether templates have
    the errors of their events; `strengths` are bounds [low, high] of μ (None: as low as expected
    counts stay positive); `workspaces`: whether the model of the nominal score is exported for
    HistFactory, `pyhf`: whether pyhf fits it too.
    Raises ConfigurationError for options out of range.
    """

    bins: int = 10
    values: int = 21
    pieces: int | None = 4
    observed: str = ASIMOV
    experiments: int = 200
    simulation_error: bool = True
    strengths: Sequence[float] | None = None
    workspaces: bool = True
    pyhf: bool = False
    tasks: ClassVar[tuple[str, ...]] = ("inference",)

    def __post_init__(self) -> None:
        for name in ("bins", "values", *([] if self.pieces is None else ["pieces"])):
            positive_integer(f"evaluator.likelihood.{name}", getattr(self, name))
        count("evaluator.likelihood.experiments", self.experiments)
        choice("evaluator.likelihood.observed", self.observed, (ASIMOV, POISSON))
        for name, least in {"values": 4, "experiments": 2}.items():
            given = getattr(self, name)
            if 0 < given < least:
                raise ConfigurationError(
                    f"evaluator.likelihood.{name} must be at least {least}, got {given}"
                )
        if self.pyhf and not self.workspaces:
            raise ConfigurationError(
                "evaluator.likelihood.pyhf=true fits the workspaces: use "
                "evaluator.likelihood.workspaces=true"
            )
        self._bounds()

    def _bounds(self) -> tuple[float, float] | None:
        if self.strengths is None:
            return None
        given = list(self.strengths)
        for value in given:
            finite_number("each of evaluator.likelihood.strengths", value)
        if len(given) != 2 or not given[0] < given[1]:
            raise ConfigurationError(
                f"evaluator.likelihood.strengths takes [low, high], got {self.strengths!r}"
            )
        return float(given[0]), float(given[1])

    def check(self, task: InferenceTask) -> None:
        """Raise ConfigurationError for a task without observed points, for points beyond the
        bounds of μ, for a nuisance without a constraint that is to be in a workspace, and
        without pyhf where it is asked for."""
        if not task.points:
            raise ConfigurationError("evaluator=likelihood needs observed points: name data.points")
        for nuisance in task.nuisances if self.workspaces else ():
            required_width(nuisance)
        if self.pyhf:
            require_pyhf()
        bounds = self._bounds()
        for point in task.points:
            if bounds is not None and not bounds[0] <= point.strength <= bounds[1]:
                raise ConfigurationError(
                    f"evaluator.likelihood.strengths={list(bounds)} leaves out the point with "
                    f"mu={point.strength:g}"
                )

    def __call__(
        self,
        fits: Mapping[str, Score],
        task: InferenceTask,
        refit: InferenceRefit,
        context: Context,
    ) -> Findings:
        """Metrics `likelihood/<point>/mu_hat` …, tables, records.

        Raises FitError if no score can be used at any point.
        """
        self.check(task)
        binning = Binning(self.bins, self.values, self.pieces)
        fillings = Fillings(task, binning, self.simulation_error, self._bounds())
        warnings: list[str] = []
        inferred: dict[str, list[Inferred]] = {}
        with context.progress.track("likelihoods", len(fits) * len(task.points)) as advance:
            for label, fit in fits.items():
                inferred[label] = []
                for seen in _seen(label, fit, fillings, task, warnings):
                    inferred[label] += self._inferred(label, seen, fillings, context, warnings)
                    advance(1)
        if not any(inferred.values()):
            raise FitError(f"no likelihood could be fitted: {warnings[0]}")
        return self._findings(fits, inferred, task, warnings)

    def _inferred(
        self,
        label: str,
        seen: Seen,
        fillings: Fillings,
        context: Context,
        warnings: list[str],
    ) -> list[Inferred]:
        """One score at one point; a fit that does not converge is told, not used."""
        streams = context.child("likelihood", seen.point.name)
        drawn = streams.stream("observed") if self.observed == POISSON else None
        try:
            model = fillings.model(label, seen, drawn)
            found = Inferred.of(model, self._repeated(model, streams))
            # raises here, if at all, and not when the report is written
            _ = model.jackknifed_widths
        except (FitError, DataError) as error:
            warnings.append(f"{label}, {seen.point.name}: left out: {error}")
            return []
        warnings += found.warnings()
        return [found]

    def _repeated(self, model: PointModel, context: Context) -> PseudoExperiments | None:
        """The same random numbers for all scores: their differences fluctuate less."""
        if not self.experiments:
            return None
        rng = context.stream("experiments")
        seen, bounds = model.seen, model.bounds
        return experiments(
            model.expected, seen.templates, seen.paths, seen.point, bounds, self.experiments, rng
        )

    def _findings(
        self,
        fits: Mapping[str, Score],
        inferred: Mapping[str, Sequence[Inferred]],
        task: InferenceTask,
        warnings: list[str],
    ) -> Findings:
        scalars: dict[str, dict[str, Quantity]] = {label: {} for label in fits}
        records: list[Record] = []
        reference = reference_of(fits, task.points)
        compared = {
            each.model.point.name: each for each in inferred.get(reference, ())
        }  # fmt: skip
        for point in task.points:
            group = [each for found in inferred.values() for each in found
                     if each.model.point is point]  # fmt: skip
            if not group:
                continue
            strengths = common_strengths(group, CURVE_STRENGTHS)
            for each in group:
                scalars[each.model.label] |= each.scalars(compared.get(point.name))
                records += [each.curve(strengths, reference), *each.maps(strengths)]
                records += each.repetitions()
                numbers, files = self._exported(each, task, warnings)
                scalars[each.model.label] |= numbers
                records += files
        for found in inferred.values():
            records += [curve for each in found[:1] for curve in template_curves(each.model)]
        made = {label: tables(found, compared) for label, found in inferred.items() if found}
        return Findings(scalars, made, tuple(records), tuple(warnings))

    def _exported(
        self, inferred: Inferred, task: InferenceTask, warnings: list[str]
    ) -> tuple[dict[str, Quantity], list[Record]]:
        """The workspace of one score at one point, and its best μ: ours, and pyhf's on demand."""
        if not self.workspaces:
            return {}, []
        seen, label = inferred.model.seen, inferred.model.label
        low, high = inferred.model.bounds[0]
        strength = seen.point.strength
        bounds = (float(low), float(high) if np.isfinite(high) else FAR * strength)
        try:
            model = exported(seen, task, self.bins)
            start = np.array([strength, *model.signal.centres])
            profile = Profile(model.likelihood(), np.vstack([bounds, model.bounds]), start)
            where = f"likelihood/{seen.point.name}"
            best = profile.best.parameters
            found = {f"{where}/workspace_mu_hat": Quantity(float(best[0]))}
            workspace = model.workspace(bounds)
            if self.pyhf:
                fitted = pyhf_fit(workspace, model, best)
                found[f"{where}/pyhf_mu_hat"] = Quantity(fitted.strength)
        except (FitError, DataError) as error:
            warnings.append(f"{label}, {seen.point.name}: no workspace: {error}")
            return {}, []
        return found, [WorkspaceFile(label, seen.point.name, json.dumps(workspace, indent=1))]


def reference_of(fits: Mapping[str, Score], points: Sequence[Point]) -> str:
    """The label of the score that others are held against: the oracle, which knows the true
    nuisances; without one the first."""
    for label, fit in fits.items():
        if any(fit.knowing(point.values) is not fit for point in points):
            return label
    return next(iter(fits))


def _seen(
    label: str,
    fit: Score,
    fillings: Fillings,
    task: InferenceTask,
    warnings: list[str],
) -> Iterator[Seen]:
    """A score at all points that it can be used at; templates are filled once for each score that
    the oracle has."""
    scores: dict[int, tuple[Score, list[Point]]] = {}
    for point in task.points:
        score = fit.knowing(point.values)
        if not inside(score, point.values):
            warnings.append(
                f"{label}, {point.name}: outside the range of the nuisances that the score was "
                f"trained in{'; left out' if score.uses_nuisances else ''}"
            )
            if score.uses_nuisances:
                continue
        scores.setdefault(id(score), (score, []))[1].append(point)
    for score, points in scores.values():
        try:
            yield from fillings.seen(score, points)
        except DataError as error:
            warnings.append(f"{label}: left out: {error}")
