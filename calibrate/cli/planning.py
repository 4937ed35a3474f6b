"""From a recipe to the objects of a run; what does not fit together is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calibrate.checks import choice, fraction
from calibrate.cli.groups import choices
from calibrate.cli.instances import check_targets, instantiated
from calibrate.cli.kinds import refuse_misfit
from calibrate.cli.recipe import Plain, Recipe, recipe, usable
from calibrate.context import Context, Progress
from calibrate.data.training_sample import OPTIONS, trained_on
from calibrate.device import DEVICES, resolve
from calibrate.errors import ConfigurationError
from calibrate.kinds_of_task import REGRESSION, common_tasks
from calibrate.study import Study


@dataclass(frozen=True)
class Plan:
    """A composed run: the study's parts and what goes with them."""

    recipe: Recipe
    study: Study
    data: str
    method: str
    compare_with: tuple[str, ...]
    seed: int
    device: str
    memory: float | None
    output: str
    figures: bool
    note: str | None

    def context(self, progress: Progress) -> Context:
        """What the run's parts are given; ConfigurationError if this machine lacks the device.

        Asked here and not when it is planned: what plans a sweep may be another machine.
        """
        device = resolve(self.device).type
        return Context(seed=self.seed, device=device, progress=progress, memory=self.memory)

    @property
    def configuration(self) -> str:
        """The configuration as YAML."""
        return self.recipe.text


def plan(overrides: Sequence[str]) -> Plan:
    """Compose and instantiate everything a run needs; refuses what does not fit together."""
    return built(recipe(overrides))


def built(made: Recipe) -> Plan:
    """The objects of a recipe.

    Raises ConfigurationError for values out of range and parts that do not go together.
    """
    with usable():
        return _planned(made, made.configuration)


def _planned(made: Recipe, given: Plain) -> Plan:
    methods = {made.method: instantiated(given["method"], "method")}
    methods |= {name: instantiated(node, name) for name, node in made.compared.items()}
    data = _dataset(made, methods)
    if not given.get("evaluator"):
        raise ConfigurationError(f"a run needs an evaluator: {', '.join(choices('evaluator'))}")
    evaluators = {
        name: instantiated(node, f"evaluator.{name}") for name, node in given["evaluator"].items()
    }
    replicas = given["replicas"]
    if not isinstance(replicas, int) or replicas < 0 or replicas == 1:
        raise ConfigurationError(f"replicas must be 0, or at least 2: got {replicas!r}")
    study = Study(data, methods, evaluators, replicas)
    _check_scalars(given)
    return Plan(
        recipe=made,
        study=study,
        data=made.data,
        method=made.method,
        compare_with=tuple(made.compared),
        seed=given["seed"],
        device=given["device"],
        memory=given["memory"],
        output=given["output"],
        figures=given["report"]["figures"],
        note=given["note"],
    )


def _check_scalars(given: Plain) -> None:
    seed, figures = given["seed"], given["report"]["figures"]
    if isinstance(given["note"], list | dict):
        raise ConfigurationError(f"note is a sentence for the report, got {given['note']!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigurationError(f"seed must be an integer ≥ 0, got {seed!r}")
    choice("device", given["device"], DEVICES)
    if given["memory"] is not None:
        fraction("memory", given["memory"])
    if not isinstance(given["output"], str) or not given["output"]:
        raise ConfigurationError(f"output names a folder, got {given['output']!r}")
    if not isinstance(figures, bool):
        raise ConfigurationError(f"report.figures is true or false: {figures!r}")


def _dataset(made: Recipe, methods: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """The dataset, which must offer what the methods need, with the columns that they name."""
    node = dict(made.configuration["data"])
    check_targets(node, "data")
    refuse_misfit(made.data, node["_target_"], methods)
    shared = {option: node.pop(option, None) for option in OPTIONS}
    data = instantiated(node, "data")
    needed = [name for method in methods.values() for name in getattr(method, "columns", ())]
    if needed and hasattr(data, "with_columns"):
        data = data.with_columns(needed)
    _refuse_transported(shared, methods)
    return trained_on(data, shared)


def _refuse_transported(shared: Mapping[str, Any], methods: Mapping[str, Any]) -> None:
    """The options that every dataset has change the training sample of a regression."""
    given = [option for option, value in shared.items() if value is not None]
    if given and REGRESSION not in common_tasks(methods):
        raise ConfigurationError(
            f"data.{given[0]} changes the training sample of a regression, and {', '.join(methods)}"
            " solve another task: leave it out"
        )
