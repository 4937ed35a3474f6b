"""Which kind of task a choice is for, from the class that its file names; without instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from inspect import isclass, ismethod
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from calibrate.cli.groups import choice_file, choices, configuration_folder, told_file
from calibrate.errors import ConfigurationError, MisfitError
from calibrate.kinds_of_task import (
    INFERENCE,
    REGRESSION,
    common_tasks,
    misfit,
    offered_tasks,
    tasks_of,
)
from calibrate.plugins import TARGET, named_object

UNFITTED = ("none", "column", "ensemble")
"""Methods that no ensemble is made of."""
DATA, METHOD, EVALUATOR, EXPERIMENT = "data", "method", "evaluator", "experiment"
COMPARED = "compare_with"
COMPARED_BY_KIND = {INFERENCE: ("baseline_classifier",)}
"""What a study compares with by default, where that is not `none`."""


@cache
def named_class(group: str, name: str) -> Any:  # noqa: ANN401 - any class
    """The class that the file of a choice names, or a constructor of which it names.

    Raises ConfigurationError if there is none, or it cannot be imported.
    """
    target = OmegaConf.select(read_choice(group, name), TARGET)
    if target is None:
        raise ConfigurationError(
            f"{group}={name} names no class: {told_file(group, name)} needs a line {TARGET}: …"
        )
    return _class_of(named_object(str(target), f"{group}={name}"))


def read_choice(group: str, name: str) -> DictConfig:
    """The file of a choice; ConfigurationError, with the package, if it is no mapping in YAML."""
    try:
        found = OmegaConf.load(choice_file(group, name))
    except (YAMLError, OmegaConfBaseException, OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"{group}={name} cannot be read from {told_file(group, name)}: {error}"
        ) from error
    if not isinstance(found, DictConfig):
        raise ConfigurationError(
            f"{group}={name} cannot be read from {told_file(group, name)}: it holds no keys"
        )
    return found


def _class_of(found: Any) -> Any:  # noqa: ANN401 - any class or function
    """The class that a constructor of its own (a classmethod) is of; anything else as it is."""
    return found.__self__ if ismethod(found) else found


def with_defaults(overrides: Sequence[str], parsed: Sequence[Override]) -> list[str]:
    """The overrides, with what the methods have by default where that is not the default of all:
    the evaluators of their kind of task, or those that a method names beside the default ones (its
    `evaluators`), and what they are compared with; where no experiment is named."""
    named = {override.key_or_group.split("@")[0] for override in parsed}
    methods = [name for override in parsed if override.key_or_group == METHOD
               for name in _values(override) if name in choices(METHOD)]  # fmt: skip
    kinds = {tasks_of(named_class(METHOD, name))[0] for name in methods}
    if EXPERIMENT in named or len(kinds) != 1:
        return list(overrides)
    (kind,) = kinds
    classes = [named_class(METHOD, name) for name in methods]
    own = dict.fromkeys(name for each in classes for name in getattr(each, "evaluators", ()))
    defaults = {EVALUATOR: _evaluators(kind, tuple(own)), COMPARED: COMPARED_BY_KIND.get(kind)}
    added = [f"{key}=[{','.join(names)}]" for key, names in defaults.items()
             if names is not None and key not in named]  # fmt: skip
    return [*overrides, *added]


def bases() -> list[str]:
    """The methods that are derived from a training sample, and are no ensembles themselves."""
    known = _classes(METHOD)
    return [name for name in choices(METHOD) if name not in UNFITTED
            and (name not in known or REGRESSION in tasks_of(known[name]))]  # fmt: skip


def refuse_misfit(data: str, target: str, methods: Mapping[str, object]) -> None:
    """Raise MisfitError, with the datasets that fit, if a dataset does not offer what the methods
    need, or the methods need different things."""
    kinds, source = common_tasks(methods), _class_of(named_object(target, DATA))
    offered = offered_tasks(source)
    if isclass(source) and not set(kinds) & set(offered):  # a function's dataset the study refuses
        fitting = [name for name, each in _classes(DATA).items()
                   if set(kinds) & set(offered_tasks(each))]  # fmt: skip
        reason = misfit(f"data={data}", offered, methods, kinds)
        raise MisfitError(f"{reason} (data that fits: {', '.join(fitting) or 'none'})")


def _classes(group: str) -> dict[str, Any]:
    """The choices and their classes, but those that cannot be read or imported, which is told
    where one of them is named and stops nothing else."""
    found = {}
    for name in choices(group):
        with suppress(ConfigurationError):
            found[name] = named_class(group, name)
    return found


def _values(override: Override) -> list[str]:
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    return [str(override.value())]


def _evaluators(kind: str, named: Sequence[str]) -> list[str] | None:
    """Our evaluators of this kind of task, None where that is what the configuration begins with;
    of regressions those, and the ones that a method names. Those of other packages are asked for:
    to install one changes no run that does not name it."""
    if kind == REGRESSION:
        return [*_default(), *named] if named else None
    own = (path.stem for path in sorted((configuration_folder() / EVALUATOR).glob("*.yaml")))
    return [name for name in own if kind in tasks_of(named_class(EVALUATOR, name))]


@cache
def _default() -> tuple[str, ...]:
    """The evaluators that the configuration begins with."""
    found: Any = OmegaConf.load(configuration_folder() / "config.yaml")
    return next(tuple(each[EVALUATOR]) for each in found.defaults if EVALUATOR in each)
