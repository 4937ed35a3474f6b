"""Open a stored calibration, transport map or score: `calibrate.load(path)`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from calibrate import plugins
from calibrate.errors import MisfitError, StorageError, nearest
from calibrate.estimate import Calibration, Domain, Fitted, Score, State
from calibrate.methods.bayesian_network import BayesianNetwork
from calibrate.methods.column import GivenColumns
from calibrate.methods.ensemble import Ensemble
from calibrate.methods.exact_classifier import ExactScore
from calibrate.methods.feature_map import FeatureMap
from calibrate.methods.gaussian_ansatz import FittedGaussianAnsatz
from calibrate.methods.generalised_inversion import GeneralisedInversion
from calibrate.methods.monotone import QuantileMap
from calibrate.methods.network import Network
from calibrate.methods.none import UncalibratedFeatures, UntouchedSimulation
from calibrate.methods.numerical_inversion import InvertedResponse
from calibrate.methods.oracle_classifier import OracleScores
from calibrate.methods.polynomial import Polynomial
from calibrate.methods.resampled import AveragedEnsemble
from calibrate.methods.response_map import ResponseMap
from calibrate.methods.score_network import ScoreNetwork
from calibrate.storage import fitted_file, load_state


class Stored(Protocol):
    """A class of fitted objects that can be rebuilt."""

    kind: str

    @classmethod
    def from_state(cls, state: State) -> Any: ...  # noqa: ANN401 - each class returns itself


CLASSES = (
    BayesianNetwork,
    ExactScore,
    FeatureMap,
    FittedGaussianAnsatz,
    GeneralisedInversion,
    GivenColumns,
    InvertedResponse,
    Network,
    OracleScores,
    Polynomial,
    QuantileMap,
    ResponseMap,
    ScoreNetwork,
    UncalibratedFeatures,
    UntouchedSimulation,
)
KINDS: Mapping[str, Stored] = {fitted.kind: cast(Stored, fitted) for fitted in CLASSES}
"""The classes of ours that a file can become; a file never names a class to import."""
ENSEMBLES = (Ensemble.kind, AveragedEnsemble.kind)
"""Kinds whose members are stored objects of their own."""


def load_calibration(path: str | Path) -> Calibration:
    """The calibration of `load`; MisfitError if a transport map or a score is stored."""
    fitted = load(path)
    if isinstance(fitted, Calibration):
        return fitted
    what, use = (
        ("score of signal over background", "score(x, values)")
        if isinstance(fitted, Score)
        else ("map of simulation to data", "transport(x, z)")
    )
    raise MisfitError(
        f"{path} holds a '{fitted.kind}' {what}, which estimates no truth: a calibration is "
        f"needed; use it in Python, calibrate.load(…).{use}"
    )


def load(path: str | Path) -> Fitted:
    """The calibration, transport map or score stored in a run folder or in a `fitted.h5`.

    Raises StorageError if there is none, it is damaged, or its kind is unknown; ConfigurationError
    if several packages bring the kind, or the class of one cannot be imported.
    """
    path = fitted_file(path)
    kind, state = load_state(path)
    try:
        return _rebuilt(path, kind, state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise StorageError(f"{path} holds a damaged '{kind}': {error!r}") from error


def _rebuilt(path: Path, kind: str, state: State) -> Fitted:
    theirs: Stored | None = plugins.fitted_class(kind, {*KINDS, *ENSEMBLES})
    if kind in ENSEMBLES:
        members = tuple(
            cast(Calibration, _rebuilt(path, member["fitted"], member["state"]))
            for member in state["members"]
        )
        if kind == Ensemble.kind:
            return Ensemble(members[0], members[1:])
        domain = Domain.from_state(state["domain"])
        return AveragedEnsemble(domain, members, bool(state["disjoint"]))
    rebuilder = KINDS.get(kind, theirs)
    if rebuilder is None:
        raise StorageError(
            f"{path} holds an unknown kind '{kind}': {nearest(kind, KINDS)}; one of another "
            f"package needs that package, with an entry point in '{plugins.FITTED}'"
        )
    fitted: Fitted = rebuilder.from_state(state)
    return fitted
