"""Numbers of Bayesian regression, beside what is expected of them.

python benchmarks/bayesian_numbers.py gaussian asymmetric
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping

import numpy as np
from scipy.integrate import cumulative_trapezoid

from calibrate.cli.compose import plan
from calibrate.context import Context
from calibrate.data.asymmetric import Asymmetric
from calibrate.estimate import Estimate
from calibrate.methods.bayesian_network import BayesianNetwork
from calibrate.mixture import ONE_SIGMA
from calibrate.sample import FloatArray
from calibrate.task import RegressionTask

SIZES = (2000, 5000, 10000, 20000, 50000, 100000, 200000)
NETWORKS: Mapping[str, tuple[str, ...]] = {
    "linear map alone (specialised)": (),
    "with 100-100-50-50 (default)": ("~specialise",),
}
TESTED = 100000
POINTS = np.array([450.0, 500.0, 550.0, 600.0, 610.0, 620.0, 650.0, 700.0, 750.0, 800.0, 900.0])


def main() -> None:
    """Run the parts that are named."""
    for part in sys.argv[1:] or ("gaussian", "asymmetric"):
        {"gaussian": gaussian, "asymmetric": asymmetric}[part]()


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
    stochastic, predictive, mse = _budget(found, sample.z)
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
        stochastic, predictive, mse = _budget(found, sample.z)
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


def _fitted(*options: str) -> tuple[BayesianNetwork, RegressionTask, float]:
    """Fit, task, and CPU seconds of the fit."""
    study, context = plan(["method=bayesian", *options]).study, Context(0)
    task = study.data.regression(context)
    start = time.process_time()
    fitted = study.methods["bayesian"].fit(task, context.child("bayesian"))
    return fitted, task, time.process_time() - start


def _budget(found: Estimate, z: FloatArray) -> tuple[float, float, float]:
    """Root mean squares of σ_stoch, σ_pred and ẑ - z."""
    parts = (found.stochastic, found.statistical, found.z - z)
    first, second, third = (float(np.sqrt(np.mean(part**2))) for part in parts)
    return first, second, third


if __name__ == "__main__":
    main()
