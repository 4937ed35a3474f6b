"""The numbers of response transport: pulls on the Gaussian example, resonances on two dijet pairs.

    python benchmarks/response_transport.py gaussian
    python benchmarks/response_transport.py dijet
    CALIBRATE_TEST_DATA=FOLDER python benchmarks/response_transport.py delphes

Errors are those of the `transport` evaluator: bootstrap of the test's events, and 20 refits of the
map, in quadrature.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calibrate.context import Context
from calibrate.data.delphes_dijet import DelphesDijet
from calibrate.data.dijet import Dijet
from calibrate.data.gaussian import Gaussian
from calibrate.evaluators.transport import Transport
from calibrate.methods.ot import OptimalTransport
from calibrate.methods.response_transport import ResponseTransport
from calibrate.records import Quantity
from calibrate.study import Study, run

EVALUATOR = Transport(refits=20, replicas=50)
SEEDS = 10
PRIORS = ((2.0, 1.0), (2.0, 0.5), (-1.0, 2.0))
DIJET_SEEDS = 3
METHODS = {
    "ot": OptimalTransport(),
    "spectrum": ResponseTransport(anchor="spectrum", spectrum_variation=0),
    "both": ResponseTransport(anchor=["spectrum", "balance"], spectrum_variation=0),
    "both, 3 pieces": ResponseTransport(
        anchor=["spectrum", "balance"], pieces=3, spectrum_variation=0
    ),
}
Metrics = Mapping[str, Quantity]


def gaussian() -> None:
    """Pulls of mean and std at priors that the fit never saw, trained at μ = 0, σ = 1."""
    methods = {"response_transport": METHODS["spectrum"]}
    print("seed  μ_test  σ_test    mean      data   pull      std      data   pull")
    beyond: set[int] = set()
    for seed in range(SEEDS):
        for mu, sigma in PRIORS:
            data = Gaussian(n=100_000, mu_test=mu, sigma_test=sigma)
            found = _metrics(data, methods, seed)["response_transport"]
            shown = f"{seed:4d}  {mu:6.1f}  {sigma:6.1f}"
            for name in ("mean", "std"):
                one, other = (found[f"transport/shifted/{key}"] for key in (name, f"data_{name}"))
                pull = _pull(one, other)
                beyond |= {seed} if abs(pull) > 3 else set()
                shown += f"  {one.value:8.3f}  {other.value:8.3f}  {pull:+5.2f}"
            print(shown, flush=True)
    print(f"seeds with a pull beyond 3: {sorted(beyond)} of {SEEDS}")


def dijets(data: Any) -> None:
    """Half 16-84 % widths and means of the resonances under each method, and those of data."""
    for seed in range(DIJET_SEEDS):
        found = _metrics(data, METHODS, seed)
        first = found["ot"]
        for mass in data.resonance_masses:
            test = f"transport/resonance{mass:g}"
            print(f"seed {seed}, {mass:g} GeV: data {_both(first, test, 'data_')}")
            print(f"    uncalibrated: {_both(first, test, 'uncalibrated_')}")
            for method in METHODS:
                mine = found[method]
                width, mean = (
                    (mine[f"{test}/{name}"], first[f"{test}/data_{name}"])
                    for name in ("iqr", "mean")
                )
                print(
                    f"    {method}: {_both(mine, test, '')}; from data: width "
                    f"{100 * (width[0].value / width[1].value - 1):+.0f} % ({_pull(*width):+.1f} "
                    f"errors), mean {100 * (mean[0].value / mean[1].value - 1):+.2f} % "
                    f"({_pull(*mean):+.1f} errors)",
                    flush=True,
                )


def _metrics(data: Any, methods: Mapping[str, Any], seed: int) -> Mapping[str, Metrics]:
    study = Study(data, methods, {"transport": EVALUATOR})
    return run(study, Context(seed=seed), {}, "").outcome.metrics


def _pull(one: Quantity, other: Quantity) -> float:
    error = ((one.error or 0.0) ** 2 + (other.error or 0.0) ** 2) ** 0.5
    return (float(one.value) - float(other.value)) / error


def _both(found: Metrics, test: str, prefix: str) -> str:
    width, mean = (found[f"{test}/{prefix}{name}"] for name in ("iqr", "mean"))
    return f"width {width.value:.1f} ± {width.error:.1f}, mean {mean.value:.1f} ± {mean.error:.1f}"


def delphes() -> DelphesDijet:
    """CMS card as simulation, ATLAS card as data."""
    folder = Path(os.environ["CALIBRATE_TEST_DATA"]) / "delphes_dijet"
    cms, atlas = (str(folder / card / f"delphes_dijet_{card}.h5") for card in ("cms", "atlas"))
    return DelphesDijet(path=cms, target_path=atlas)


if __name__ == "__main__":
    wanted = sys.argv[1]
    if wanted == "gaussian":
        gaussian()
    else:
        dijets(delphes() if wanted == "delphes" else Dijet())
