"""Numbers of Bayesian regression, beside what is expected of them.

python benchmarks/bayesian_numbers.py gaussian asymmetric top_jets dijet smearing prior
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise

import numpy as np
from scipy.integrate import cumulative_trapezoid

from calibrate.cli.planning import plan
from calibrate.context import Context
from calibrate.data.asymmetric import Asymmetric
from calibrate.estimate import Estimate
from calibrate.methods.bayesian_network import BayesianNetwork
from calibrate.mixture import ONE_SIGMA
from calibrate.sample import FloatArray, Sample
from calibrate.study import run
from calibrate.task import RegressionTask

SIZES = (2000, 5000, 10000, 20000, 50000, 100000, 200000)
NETWORKS: Mapping[str, tuple[str, ...]] = {
    "linear map alone (specialised)": (),
    "with 100-100-50-50 (default)": ("~specialise",),
}
TESTED = 100000
WIDTHS = (0.04, 0.06, 0.08, 0.10)
SEEDS = 2
SMEARED = {
    "asymmetric toy, 50 000 events": (
        ("data=asymmetric", "data.n=50000"), "pT", (600.0, 620.0)
    ),
    "dijets, 72 000 events": (("data=dijet",), "m_jj", (2400.0, 2500.0)),
}  # fmt: skip
Estimates = tuple[Estimate, list[FloatArray] | None]
POINTS = np.array([450.0, 500.0, 550.0, 600.0, 610.0, 620.0, 650.0, 700.0, 750.0, 800.0, 900.0])


def main() -> None:
    """Run the parts that are named."""
    every = (gaussian, asymmetric, top_jets, dijet, smearing, prior)
    parts = {each.__name__: each for each in every}
    for part in sys.argv[1:] or parts:
        parts[part]()


def gaussian() -> None:
    """σ_stoch, σ_pred, slope and coverage against the number of training events."""
    for name, options in NETWORKS.items():
        print(f"\nGaussian example, {name}; exact: σ_stoch 0.8944, slope 0.2, coverage 0.6827")
        print("      N  σ_stoch  σ_pred  least squares  √MSE    slope  ± error   68 %    CPU s")
        predictive = [row for n in SIZES for row in _gaussian(n, options)]
        exponent = np.polyfit(np.log(SIZES), np.log(predictive), 1)[0]
        ratio = predictive[0] / predictive[-1]
        print(f"σ_pred ∝ N^{exponent:.2f}, falls by {ratio:.1f} from first to last")


def _gaussian(n: int, options: tuple[str, ...]) -> Iterator[float]:
    """Print one row; σ_pred is yielded."""
    fitted, task, seconds = _fitted("data=gaussian", f"data.n={n}", *options)
    sample = task.tests["nominal"].take(slice(0, TESTED))
    found, x = fitted.estimate(sample.x), sample.x[:, 0]
    stochastic, predictive, mse = _budget(found, sample)
    line = 0.8944 * np.sqrt(2 / (0.9 * n))
    slope, error = np.polyfit(x, found.z[:, 0], 1)[0], 0.8944 / np.sqrt(5 * 0.9 * n)
    coverage = np.mean(np.abs(found.z - sample.z) < found.sigma)
    print(f"{n:7d}  {stochastic:.4f}   {predictive:.4f}  {line:.4f}         {mse:.4f}  {slope:.4f} "
          f"{error:.4f}   {coverage:.4f}  {seconds:.0f}")  # fmt: skip
    yield predictive


def asymmetric() -> None:
    """The 68 % interval with one, two and three Gaussians, at values of the measured pT."""
    data = Asymmetric()
    exact = _exact_intervals(data)
    for components in (1, 2, 3):
        options = ("data=asymmetric", "data.n=100000", f"method.components={components}")
        fitted, task, seconds = _fitted(*options)
        sample = task.tests["nominal"].take(slice(0, TESTED))
        found = fitted.estimate(sample.x)
        stochastic, predictive, mse = _budget(found, sample)
        ends = found.mixture.interval()
        held = np.mean((ends[:, 0] < sample.z[:, 0]) & (sample.z[:, 0] < ends[:, 1]))
        density = found.mixture.log_density(sample.z[:, 0]).mean()
        print(f"\nAsymmetric toy, {components} Gaussians: σ_stoch {stochastic:.1f}, σ_pred "
              f"{predictive:.1f}, √MSE {mse:.1f} GeV; interval holds {held:.4f}; mean log-density "
              f"{density:.4f}; {seconds:.0f} CPU s")  # fmt: skip
        mixture = fitted.estimate(POINTS[:, None]).mixture
        print("  pT [GeV]  interval        exact           off/width        mode    exact")
        for x, here, mode, (low, high, top) in zip(
            POINTS, mixture.interval(), mixture.mode(), exact, strict=True
        ):
            off = (here - [low, high]) / (high - low)
            print(f"  {x:6.0f}    {here[0]:5.1f} … {here[1]:5.1f}   {low:5.1f} … {high:5.1f}   "
                  f"{off[0]:+.3f} {off[1]:+.3f}    {mode:5.1f}   {top:5.1f}")  # fmt: skip


def top_jets() -> None:
    """σ_stoch beside √MSE in bins of the measured pT, with initial-state radiation and without."""
    paper = {"true": (69.7, 11.43), "false": (50.6, 8.30)}
    for isr, (mse, percent) in paper.items():
        options = ("data=top_jets", f"data.isr={isr}", "data.slice=[600,620]")
        fitted, task, seconds = _fitted(*options)
        print(f"\nTop jets, data.isr={isr}: {len(task.train)} train; {seconds:.0f} CPU s; "
              f"arXiv:2003.11099 at 600-620 GeV: √MSE {mse} GeV, {percent} % of pT")  # fmt: skip
        _print_header()
        _print_bins(fitted, task.tests["nominal"], np.arange(400.0, 1001.0, 100.0))
        _print_row(fitted, "slice 600-620", task.tests["slice"])


def dijet() -> None:
    """The same for single jets of the bundled dijets."""
    fitted, task, seconds = _fitted("data=dijet", "data.target=jet_pt")
    print(f"\nDijets in jet pT: {len(task.train)} jets train; {seconds:.0f} CPU s")
    _print_header()
    edges = np.array([600.0, 900.0, 1100.0, 1300.0, 1600.0, 2200.0])
    for name, sample in task.tests.items():
        _print_row(fitted, name, sample)
    _print_bins(fitted, task.tests["nominal"], edges)


def _print_header() -> None:
    print(
        "pT [GeV]              jets   σ_stoch  σ_pred   √MSE ± error   √MSE/pT  σ_stoch/√MSE  68 %"
    )


def _print_bins(fitted: BayesianNetwork, sample: Sample, edges: FloatArray) -> None:
    pt = sample.column("pt_reco")
    for low, high in pairwise(edges):
        _print_row(fitted, f"{low:.0f}-{high:.0f}", sample.take((low <= pt) & (pt < high)))


def _print_row(fitted: BayesianNetwork, name: str, sample: Sample) -> None:
    """One row; the error of √MSE from (ẑ - z)⁴, for independent jets."""
    found = fitted.estimate(sample.x)
    stochastic, predictive, mse = _budget(found, sample)
    fourth = np.average((found.z - sample.z)[:, 0] ** 4, weights=sample.w)
    error = np.sqrt((fourth - mse**4) / sample.effective_size) / (2 * mse)
    pt = np.average(sample.column("pt_reco"), weights=sample.w)
    held = np.average((np.abs(found.z - sample.z) < found.sigma)[:, 0], weights=sample.w)
    print(f"{name:18s} {len(sample):7d}   {stochastic:6.2f}  {predictive:6.2f}   {mse:6.2f} ± "
          f"{error:4.2f}   {100 * mse / pt:5.2f} %      {stochastic / mse:.3f}     "
          f"{held:.3f}")  # fmt: skip


def smearing() -> None:
    """σ_cal of smeared labels and σ of smeared inputs against σ_smear, with seeds for errors."""
    for name, (options, feature, window) in SMEARED.items():
        for where, limits in (("everywhere", (0.0, np.inf)), (f"{feature} in {window}", window)):
            print(f"\n{name}, {where}: σ/σ_smear, mean and error over {SEEDS} seeds")
            rows = np.array([_smearing(seed, options, limits) for seed in range(SEEDS)])
            mean, error = rows.mean(axis=0), rows.std(axis=0, ddof=1) / np.sqrt(SEEDS)
            for i, width in enumerate(WIDTHS):
                smear, cal, moved = mean[i]
                print(f"  {100 * width:4.0f} %: σ_smear {smear:6.1f} GeV, labels "
                      f"{cal / smear:.3f} ± {error[i, 1] / smear:.3f}, inputs {moved / smear:.3f} "
                      f"± {error[i, 2] / smear:.3f}")  # fmt: skip
            slopes = [np.polyfit(row[:, 0], row[:, 1], 1)[0] for row in rows]
            through = [row[:, 0] @ row[:, 1] / (row[:, 0] @ row[:, 0]) for row in rows]
            for what, found in (("a line", slopes), ("a line through zero", through)):
                spread = np.std(found, ddof=1) / np.sqrt(SEEDS)
                print(f"  slope of {what}: {np.mean(found):.3f} ± {spread:.3f}")


@cache
def _smeared_fits(seed: int, options: tuple[str, ...]) -> tuple[RegressionTask, list[Estimates]]:
    """The task, and what fits with true and with smeared labels say of the nominal test events:
    estimates as they are, and with the features scaled up and down."""
    smeared = [(f"data.label_smearing={width}",) for width in WIDTHS]
    fits = [_fitted(*options, *extra, seed=seed) for extra in ((), *smeared)]
    task = fits[0][1]
    x = task.tests["nominal"].x[:TESTED]
    moved = [[fits[0][0].estimate(x * (1 + s * w)).z for s in (-1, 1)] for w in WIDTHS]
    return task, [(fitted.estimate(x), pair) for (fitted, _, _), pair in
                  zip(fits, [None, *moved], strict=True)]  # fmt: skip


def _smearing(seed: int, options: tuple[str, ...], limits: tuple[float, float]) -> FloatArray:
    """σ_smear, σ_cal and σ_input for each width (n, 3), of events whose feature lies in limits."""
    task, ((true, _), *smeared) = _smeared_fits(seed, options)
    x, w = task.tests["nominal"].x[:TESTED, 0], task.tests["nominal"].w[:TESTED]
    rows, trained = ((v > limits[0]) & (v < limits[1]) for v in (x, task.train.x[:, 0]))

    def square(values: FloatArray) -> float:
        return float(np.average(values[rows, 0] ** 2, weights=w[rows]))

    z, weights = task.train.z[trained, 0], task.train.w[trained]
    typical = np.sqrt(np.average(z**2, weights=weights))
    return np.array([
        [width * typical, np.sqrt(max(square(found.stochastic) - square(true.stochastic), 0.0)),
         np.sqrt(square(0.5 * (up - down)))]
        for width, (found, (down, up)) in zip(WIDTHS, smeared, strict=True)
    ])  # fmt: skip


def prior() -> None:
    """Whether the calibration depends on the training spectrum, measured by `prior_stress`."""
    options = ["evaluator=[prior_stress]", "compare_with=[]", "data.n=5000"]
    options += ["evaluator.prior_stress.refits=2", "evaluator.prior_stress.refit_replicas=5"]
    study = plan(["method=bayesian", "data=gaussian", *options]).study
    found = run(study, Context(0), {}, "").outcome.metrics["bayesian"]
    for name, each in found.items():
        if name.startswith("prior/"):
            print(f"Gaussian example, 5000 events: {name} {each.value} ± {each.error}")


def _exact_intervals(data: Asymmetric) -> FloatArray:
    """The shortest interval of the posterior, and its mode, at POINTS (n, 3)."""
    z, p = data.response.posterior(POINTS, data.low, data.high)
    rows = []
    for density, cdf in zip(p, cumulative_trapezoid(p, z, initial=0.0), strict=True):
        low = np.linspace(z[0], z[-1], 100001)
        high = np.interp(np.interp(low, z, cdf) + ONE_SIGMA, cdf, z, right=np.inf)
        best = np.argmin(high - low)
        rows.append((low[best], high[best], z[np.argmax(density)]))
    return np.array(rows)


def _fitted(*options: str, seed: int = 0) -> tuple[BayesianNetwork, RegressionTask, float]:
    """Fit, task, and CPU seconds of the fit."""
    study, context = plan(["method=bayesian", *options]).study, Context(seed)
    task = study.data.regression(context)
    start = time.process_time()
    fitted = study.methods["bayesian"].fit(task, context.child("bayesian"))
    return fitted, task, time.process_time() - start


def _budget(found: Estimate, sample: Sample) -> tuple[float, float, float]:
    """Root mean squares of σ_stoch, σ_pred and ẑ - z."""
    parts = (found.stochastic, found.statistical, found.z - sample.z)
    first, second, third = (
        float(np.sqrt(np.average(part[:, 0] ** 2, weights=sample.w))) for part in parts
    )
    return first, second, third


if __name__ == "__main__":
    main()
