"""Open a stored calibration or transport map: `calibrate.load(path)`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from calibrate.errors import MisfitError, StorageError, nearest
from calibrate.estimate import Calibration, Domain, Fitted, State
from calibrate.methods.bayesian_network import BayesianNetwork
from calibrate.methods.column import GivenColumns
from calibrate.methods.ensemble import Ensemble
from calibrate.methods.feature_map import FeatureMap
from calibrate.methods.gaussian_ansatz import FittedGaussianAnsatz
from calibrate.methods.generalised_inversion import GeneralisedInversion
from calibrate.methods.monotone import QuantileMap
from calibrate.methods.network import Network
from calibrate.methods.none import UncalibratedFeatures, UntouchedSimulation
from calibrate.methods.numerical_inversion import InvertedResponse
from calibrate.methods.polynomial import Polynomial
from calibrate.methods.resampled import AveragedEnsemble
from calibrate.methods.response_map import ResponseMap
from calibrate.storage import load_state

FITTED_FILE = "fitted.h5"


class Stored(Protocol):
    """A class of fitted objects that can be rebuilt."""

    kind: str

    @classmethod
    def from_state(cls, state: State) -> Any: ...  # noqa: ANN401 - each class returns itself


CLASSES = (
    BayesianNetwork,
    FeatureMap,
    FittedGaussianAnsatz,
    GeneralisedInversion,
    GivenColumns,
    InvertedResponse,
    Network,
    Polynomial,
    QuantileMap,
    ResponseMap,
    UncalibratedFeatures,
    UntouchedSimulation,
)
KINDS: Mapping[str, Stored] = {fitted.kind: cast(Stored, fitted) for fitted in CLASSES}
"""The only classes that a file can become; a file never names a class to import."""


def load_calibration(path: str | Path) -> Calibration:
    """The calibration of `load`; MisfitError if a transport map is stored."""
    fitted = load(path)
    if not isinstance(fitted, Calibration):
        raise MisfitError(
            f"{path} holds a '{fitted.kind}' map of simulation to data, which estimates no truth: "
            "a calibration is needed; use the map in Python, calibrate.load(…).transport(x, z)"
        )
    return fitted


def load(path: str | Path) -> Fitted:
    """The calibration, or the transport map, stored in a run folder or in a `fitted.h5`.

    Raises StorageError if there is none, it is damaged, or its kind is unknown.
    """
    path = fitted_file(path)
    kind, state = load_state(path)
    try:
        return _rebuilt(path, kind, state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise StorageError(f"{path} holds a damaged '{kind}': {error!r}") from error


def fitted_file(path: str | Path) -> Path:
    """The `fitted.h5` of a run folder, or the file itself."""
    path = Path(path)
    return path / FITTED_FILE if path.is_dir() else path


def _rebuilt(path: Path, kind: str, state: State) -> Fitted:
    if kind in (Ensemble.kind, AveragedEnsemble.kind):
        members = tuple(
            cast(Calibration, _rebuilt(path, member["fitted"], member["state"]))
            for member in state["members"]
        )
        if kind == Ensemble.kind:
            return Ensemble(members[0], members[1:])
        domain = Domain.from_state(state["domain"])
        return AveragedEnsemble(domain, members, bool(state["disjoint"]))
    if kind not in KINDS:
        raise StorageError(f"{path} holds an unknown kind '{kind}': {nearest(kind, KINDS)}")
    fitted: Fitted = KINDS[kind].from_state(state)
    return fitted
