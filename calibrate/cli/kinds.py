"""Which kind of task a choice is for, from the class that its file names; without instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import hydra
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from calibrate.cli.groups import choices, configuration_folder
from calibrate.errors import MisfitError
from calibrate.study import REGRESSION, common_tasks, misfit, offered_tasks, tasks_of

UNFITTED = ("none", "column", "ensemble")
"""Methods that no ensemble is made of."""
DATA, METHOD, EVALUATOR, EXPERIMENT = "data", "method", "evaluator", "experiment"


@cache
def named_class(group: str, name: str) -> Any:  # noqa: ANN401 - any class
    """The class that `conf/<group>/<name>.yaml` names."""
    part: Any = OmegaConf.load(configuration_folder() / group / f"{name}.yaml")
    return hydra.utils.get_class(str(part["_target_"]))


def with_evaluators(overrides: Sequence[str], parsed: Sequence[Override]) -> list[str]:
    """The overrides, with the evaluators of the method's kind of task where that is not the
    default kind and neither evaluators nor an experiment are named."""
    named = {override.key_or_group.split("@")[0] for override in parsed}
    methods = [name for override in parsed if override.key_or_group == METHOD
               for name in _values(override) if name in choices(METHOD)]  # fmt: skip
    kinds = {tasks_of(named_class(METHOD, name))[0] for name in methods}
    if named & {EVALUATOR, EXPERIMENT} or len(kinds) != 1 or kinds == {REGRESSION}:
        return list(overrides)
    (kind,) = kinds
    return [*overrides, f"{EVALUATOR}=[{','.join(_evaluators(kind))}]"]


def bases() -> list[str]:
    """The methods that are derived from a training sample, and are no ensembles themselves."""
    return [name for name in choices(METHOD) if name not in UNFITTED
            and REGRESSION in tasks_of(named_class(METHOD, name))]  # fmt: skip


def refuse_misfit(data: str, target: str, methods: Mapping[str, object]) -> None:
    """Raise MisfitError, with the datasets that fit, if a dataset does not offer what the methods
    need, or the methods need different things."""
    kinds, offered = common_tasks(methods), offered_tasks(hydra.utils.get_class(target))
    if not set(kinds) & set(offered):
        fitting = [name for name in choices(DATA)
                   if set(kinds) & set(offered_tasks(named_class(DATA, name)))]  # fmt: skip
        reason = misfit(f"data={data}", offered, methods, kinds)
        raise MisfitError(f"{reason} (data that fits: {', '.join(fitting) or 'none'})")


def _values(override: Override) -> list[str]:
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    return [str(override.value())]


def _evaluators(kind: str) -> list[str]:
    """The evaluators that are for this kind of task."""
    return [name for name in choices(EVALUATOR) if kind in tasks_of(named_class(EVALUATOR, name))]
