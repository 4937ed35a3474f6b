"""Numbers of profile likelihoods on the angle toy, the exact score being every classifier; the
coverage on HiggsML with trained ones.

python -m benchmarks.likelihood_numbers speed widths coverage pyhf interpolation higgsml=PATH

`aware` is the exact score at the tested angle, `oracle` that at the true one, `baseline` that at
the nominal one: what networks are at their best. Times are CPU seconds. The loop differs by the
rounding of its sum, whose terms are 10⁶.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.known_scores import Known
from benchmarks.slow_likelihood import loop
from calibrate.context import Context
from calibrate.data.angle import Angle
from calibrate.data.higgsml import HiggsML
from calibrate.estimate import Score
from calibrate.evaluators.likelihood import LikelihoodEvaluator
from calibrate.evaluators.point_model import Binning, Fillings, PointModel
from calibrate.evaluators.workspace import exported
from calibrate.inference.coverage import experiments
from calibrate.inference.histfactory import pyhf_fit
from calibrate.inference.profile import Profile
from calibrate.methods.baseline_classifier import BaselineClassifier
from calibrate.methods.oracle_classifier import OracleClassifier
from calibrate.methods.uncertainty_aware import UncertaintyAware
from calibrate.task import InferenceTask

QUARTER = math.pi / 4
EVENTS = 500_000


FITS = {"aware": Known(), "oracle": Known(QUARTER, oracle=True), "baseline": Known(QUARTER)}


def main() -> None:
    """Run the parts that are named."""
    parts = {"speed": speed, "widths": widths, "coverage": coverage, "pyhf": pyhf,
             "interpolation": interpolation}  # fmt: skip
    for part in sys.argv[1:] or parts:
        print(f"\n# {part}")
        name, _, path = part.partition("=")
        higgsml(path) if name == "higgsml" else parts[name]()


def toy(**options: Any) -> InferenceTask:
    """The toy with its four points."""
    return Angle(n=200, n_test=EVENTS, **options).inference(Context())


def models(
    task: InferenceTask, fits: Mapping[str, Score] = FITS, bins: int = 10, pieces: int | None = 4
) -> Iterator[PointModel]:
    """Every score at every point."""
    fillings = Fillings(task, Binning(bins, 21, pieces), simulation_error=True, strengths=None)
    for label, fit in fits.items():
        for point in task.points:
            (seen,) = fillings.seen(fit.knowing(point.values), [point])
            yield fillings.model(label, seen)


def speed() -> None:
    """A scan of 50 × 21 × 10 and the loop over its terms; one of 200 × 150 × 30."""
    model = next(models(toy(points=[[1, QUARTER]])))
    likelihood, bounds = model.profile.likelihood, model.bounds[1]
    mu, z = np.linspace(0, 4.9, 50), np.linspace(*bounds, 21)[:, None]
    fast = seconds(lambda: likelihood.scan(mu, z))
    start = time.process_time()
    slow = loop(likelihood, mu, z)
    slow_seconds = time.process_time() - start
    difference = np.max(np.abs(slow - likelihood.scan(mu, z)))
    print(f"50 x 21 x 10: scan {1e3 * fast:.2f} ms, loop {slow_seconds:.3f} s, "
          f"{slow_seconds / fast:.0f} times, largest difference {difference:.1e}")  # fmt: skip
    wide = Fillings(toy(points=[[1, QUARTER]]), Binning(30, 21, 4), True, None)
    (seen,) = wide.seen(FITS["aware"], wide.task.points)
    likelihood = wide.model("aware", seen).profile.likelihood
    mu, z = np.linspace(0, 4.9, 200), np.linspace(*bounds, 150)[:, None]
    print(
        f"200 x 150 x {len(seen.templates.bins)}: {seconds(lambda: likelihood.scan(mu, z)):.3f} s"
    )


def seconds(work: Any) -> float:
    """CPU seconds of one call, the best of seven."""
    taken = []
    for _ in range(7):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return max(min(taken), 1e-9)


def widths() -> None:
    """Half widths of the 68 % interval at four points, with and without a control sample."""
    evaluator = LikelihoodEvaluator(experiments=0, workspaces=False)
    for auxiliary in (False, True):
        task = toy(auxiliary=auxiliary)
        start = time.process_time()
        found = evaluator(FITS, task, lambda task, label: FITS[label], Context()).scalars
        taken, fits = time.process_time() - start, len(FITS) * len(task.points)
        named = "with" if auxiliary else "without"
        print(f"{named} a control sample, {taken:.0f} s for {fits} fits")
        for point in task.points:
            print(f"  {point.name}")
            for label in FITS:
                numbers = {k.rpartition("/")[2]: v for k, v in found[label].items()
                           if f"/{point.name}/" in k}  # fmt: skip
                width, ratio = numbers["width"], numbers.get("width_ratio")
                against = f"{ratio.value:.3f} ± {ratio.error:.3f}" if ratio else "1"
                print(f"    {label:9s} mu {numbers['mu_hat'].value:.4f} width {width.value:.5f} ± "
                      f"{width.error:.5f} ratio {against}, statistical "
                      f"{numbers['width_statistical'].value:.5f}, angle "
                      f"{numbers['nuisance_hat'].value:.4f} ± {numbers['nuisance_hat'].error:.4f}, "
                      f"AMS1 {numbers['ams1'].value:.2f}")  # fmt: skip


def coverage() -> None:
    """1000 pseudo-experiments of every score at μ = 1."""
    for auxiliary in (False, True):
        print("with a control sample" if auxiliary else "without a control sample")
        task = toy(auxiliary=auxiliary, points=[[1, QUARTER], [1, 2 * QUARTER]])
        for model in models(task):
            tell_coverage(model)


def higgsml(path: str) -> None:
    """The same of trained classifiers on HiggsML, with the binning of its experiment."""
    whole = HiggsML(path, yields="complete", tau_threshold=22.0).inference(Context())
    task = replace(whole, points=tuple(point for point in whole.points if point.strength == 1))
    methods = {"aware": UncertaintyAware(), "oracle": OracleClassifier(),
               "baseline": BaselineClassifier()}  # fmt: skip
    for label, method in methods.items():
        fit = method.fit(task, Context().child(label))
        for model in models(task, {label: fit}, bins=30, pieces=1):
            tell_coverage(model)


def tell_coverage(model: PointModel) -> None:
    """Of 1000 pseudo-experiments."""
    start, rng, seen = time.process_time(), Context().stream("experiments"), model.seen
    found = experiments(
        model.expected, seen.templates, seen.paths, seen.point, model.bounds, 1000, rng
    )
    taken = time.process_time() - start
    print(f"{model.label:9s} {model.point.name} 68 %: {found.coverage()[0]:.3f} ± "
          f"{found.coverage()[1]:.3f}, 95 %: {found.coverage(0.95)[0]:.3f}, bias "
          f"{found.bias[0]:.4f} ± {found.bias[1]:.4f}, spread {found.spread[0]:.4f}, quoted "
          f"{model.profile.interval().width:.4f}, converged {found.found.mean():.3f}, "
          f"{taken:.1f} s")  # fmt: skip


def pyhf() -> None:
    """The exported model: our best μ and pyhf's."""
    task = toy(width=0.1)
    for model in models(task, {"baseline": FITS["baseline"]}):
        binned = exported(model.seen, task, 10)
        bounds = (-1.0, 10.0)
        start = np.array([1.0, *binned.signal.centres])
        ours = Profile(binned.likelihood(), np.vstack([bounds, binned.bounds]), start).best
        theirs = pyhf_fit(binned.workspace(bounds), binned, ours.parameters)
        print(f"{model.point.name}: {ours.parameters[0]:.8f}, pyhf {theirs.strength:.8f}, "
              f"difference {ours.parameters[0] - theirs.strength:.1e}")  # fmt: skip


def interpolation() -> None:
    """The widths against the pieces of the splines."""
    for pieces in (1, 2, 4, 8, None):
        task = toy(points=[[1, 2 * QUARTER]])
        text = ", ".join(
            f"{model.label} {model.profile.best.parameters[0]:.4f} ± "
            f"{model.profile.interval().width:.5f}, angle ± {model.profile.interval(1).width:.4f}"
            for model in models(task, pieces=pieces)
        )
        print(f"{pieces} pieces: {text}")


if __name__ == "__main__":
    main()
