"""From overrides to objects: Hydra composes, this module checks and explains."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from calibrate.checks import choice, fraction
from calibrate.cli.compare_with import compared_with, with_options
from calibrate.cli.groups import choices, configuration_folder, options
from calibrate.cli.instances import check_targets, instantiated
from calibrate.cli.kinds import refuse_misfit, with_evaluators
from calibrate.device import DEVICES
from calibrate.errors import ConfigurationError, StorageError, nearest
from calibrate.study import Study

METHOD = "method"
REQUIRED = ("data", METHOD)
SPECIALISE = "specialise"
VERSION_BASE = "1.3"
EXPRESSION_SIGNS = set("()<>&|`!")


@dataclass(frozen=True)
class Plan:
    """A composed run: the study's parts and what goes with them."""

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
    configuration: str


def compose(overrides: Sequence[str]) -> DictConfig:
    """The configuration that the overrides name.

    Raises ConfigurationError, with the nearest spelling, for anything that does not exist.
    """
    parsed = parse(overrides)
    _require_choices(parsed)
    overrides = with_evaluators(overrides, parsed)
    with _initialised():
        try:
            plain = hydra.compose("config", list(overrides), return_hydra_config=True)
            special = _specialisation(plain, parsed)
            if special is None:
                return plain
            return hydra.compose("config", [*overrides, special], return_hydra_config=True)
        except MissingConfigException as error:
            raise ConfigurationError(_missing(error)) from error
        except ValueError as error:
            raise ConfigurationError(f"the overrides cannot be used: {error}") from error
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigurationError(_explained(error, parsed)) from error


def _specialisation(composed: DictConfig, parsed: Sequence[Override]) -> str | None:
    """The override that adds what the method should be on this dataset, where there is such a
    file. Not an interpolation in the defaults list: Hydra cannot resolve one in a sweep over
    `method` or `data`."""
    chosen = composed.hydra.runtime.choices
    name = f"{chosen['data']}_{chosen['method']}"
    named = any(override.key_or_group == SPECIALISE for override in parsed)
    return None if named or name not in choices(SPECIALISE) else f"{SPECIALISE}={name}"


@contextmanager
def _initialised() -> Iterator[None]:
    """Hydra with this package's configuration folder, or as a running sweep has set it up."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    folder = str(configuration_folder())
    with hydra.initialize_config_dir(folder, job_name="calibrate", version_base=VERSION_BASE):
        yield


def parse(overrides: Sequence[str]) -> list[Override]:
    """The overrides as Hydra reads them; ConfigurationError for a syntax error."""
    for item in overrides:
        if item.startswith("-"):
            raise ConfigurationError(f"no option '{item}': see calibrate run --help")
        if "=" not in item and not item.startswith("~"):
            raise ConfigurationError(f"'{item}' is no override: write key=value")
    try:
        return list(OverridesParser.create().parse_overrides(list(overrides)))
    except HydraException as error:
        reason = _unquoted(overrides) or f"cannot read the overrides: {error}"
        raise ConfigurationError(reason) from error


def _unquoted(overrides: Sequence[str]) -> str | None:
    """How to write an expression that Hydra takes for its own grammar."""
    for item in overrides:
        key, _, value = item.partition("=")
        if not EXPRESSION_SIGNS & set(value):
            continue
        try:
            OverridesParser.create().parse_override(item)
        except HydraException:
            return (
                f"cannot read {item}: an expression needs double quotes of its own inside the "
                f"quotes for the shell, such as {_quoted(key, value)}"
            )
    return None


def _quoted(key: str, value: str) -> str:
    inner = value[1:-1] if value[0] == "[" else value
    if any(sign in inner for sign in ",\"'{"):
        return f"""'{key}=["log(pt)",eta]'"""
    return f"""'{key}=["{inner}"]'""" if value[0] == "[" else f"""'{key}="{inner}"'"""


def named_groups(overrides: Sequence[str]) -> set[str]:
    """The groups and keys that the overrides name."""
    return {override.key_or_group.split("@")[0] for override in parse(overrides)}


def plan(overrides: Sequence[str]) -> Plan:
    """Compose and instantiate everything a run needs; refuses what does not fit together."""
    overrides = with_evaluators(overrides, parse(overrides))
    composed = compose(overrides)
    try:
        return _planned(composed, overrides)
    except (OmegaConfBaseException, AttributeError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"the configuration cannot be used: {reason}; look at it with --cfg"
        ) from error


def _planned(composed: DictConfig, overrides: Sequence[str]) -> Plan:
    chosen = composed.hydra.runtime.choices
    compared = compared_with(composed.compare_with, chosen["method"])
    others = tuple(compared)
    for group in REQUIRED:
        _require_values(composed[group], group, chosen[group])
    methods = {chosen["method"]: instantiated(composed.method, "method")}
    for name, given in compared.items():
        part = compose(_alone(chosen["data"], name, overrides)).method
        methods[name] = instantiated(with_options(part, given, name), name)
    data = _dataset(composed, methods)
    if not composed.evaluator:
        raise ConfigurationError(f"a run needs an evaluator: {', '.join(choices('evaluator'))}")
    evaluators = {
        name: instantiated(part, f"evaluator.{name}") for name, part in composed.evaluator.items()
    }
    _check_run(composed)
    study = Study(data, methods, evaluators, composed.replicas)
    return Plan(
        study=study,
        data=chosen["data"],
        method=chosen["method"],
        compare_with=others,
        seed=composed.seed,
        device=composed.device,
        memory=composed.memory,
        output=str(composed.output),
        figures=composed.report.figures,
        note=composed.note,
        configuration=as_yaml(composed),
    )


def _check_run(composed: DictConfig) -> None:
    """Raise ConfigurationError for options of the run itself that are out of range."""
    if not isinstance(composed.replicas, int) or composed.replicas < 0 or composed.replicas == 1:
        raise ConfigurationError(f"replicas must be 0, or at least 2: got {composed.replicas!r}")
    seed = composed.seed
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigurationError(f"seed must be an integer ≥ 0, got {seed!r}")
    choice("device", composed.device, DEVICES)
    if composed.memory is not None:
        fraction("memory", composed.memory)
    if not isinstance(composed.output, str) or not composed.output:
        raise ConfigurationError(f"output names a folder, got {composed.output!r}")
    if not isinstance(composed.report.figures, bool):
        raise ConfigurationError(f"report.figures is true or false: {composed.report.figures!r}")


def _dataset(composed: DictConfig, methods: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """The dataset, which must offer what the methods need, with the columns that they name."""
    check_targets(composed.data, "data")
    refuse_misfit(composed.hydra.runtime.choices["data"], composed.data["_target_"], methods)
    data = instantiated(composed.data, "data")
    needed = [name for method in methods.values() for name in getattr(method, "columns", ())]
    if needed and hasattr(data, "with_columns"):
        data = data.with_columns(needed)
    return data


def as_yaml(composed: DictConfig) -> str:
    """The configuration without Hydra's own part."""
    plain = cast(dict[str, Any], OmegaConf.to_container(composed))
    return OmegaConf.to_yaml({key: value for key, value in plain.items() if key != "hydra"})


def plain_options(text: str, where: object) -> dict[str, Any]:
    """What `as_yaml` wrote as plain containers; StorageError, with its place, for another text."""
    try:
        found = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (OmegaConfBaseException, YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise StorageError(f"{where} holds a damaged configuration: {reason}") from error
    return {str(k): v for k, v in found.items()} if isinstance(found, dict) else {}


def _require_choices(parsed: Sequence[Override]) -> None:
    named = {override.key_or_group.split("@")[0] for override in parsed}
    missing = [] if "experiment" in named else [key for key in REQUIRED if key not in named]
    if missing:
        lists = "; ".join(f"{group}: {', '.join(choices(group))}" for group in REQUIRED)
        needed = " and ".join(f"{group}=…" for group in missing)
        typo = _similar(named, missing)
        raise ConfigurationError(f"a run needs {needed}{typo}. Choices: {lists}")


def _require_values(part: Any, group: str, name: str) -> None:  # noqa: ANN401 - any node
    """Refuse options without a default that are not given."""
    missing = [
        f"{group}.{key}=…" + (f" ({note})" if note else "")
        for key, _, note in options(group, name)
        if isinstance(part, DictConfig) and OmegaConf.is_missing(part, key)
    ]
    if missing:
        needed = ", ".join(missing)
        raise ConfigurationError(f"{group}={name} needs {needed}")


def _similar(named: Collection[str], missing: Sequence[str]) -> str:
    """`(methd=… is no option: did you mean method=…?)` for a key that looks like a missing one."""
    for key in sorted(named):
        for wanted in difflib.get_close_matches(key, missing, n=1, cutoff=0.6):
            return f" ({key}=… is no option: did you mean {wanted}=…?)"
    return ""


def _alone(data: str, name: str, overrides: Sequence[str]) -> list[str]:
    """Overrides that compose another method to its defaults on this dataset: options of the
    studied one, be they the command line's or an experiment's, are not its own."""
    deleted = [
        item
        for item, override in zip(overrides, parse(overrides), strict=True)
        if override.key_or_group == SPECIALISE and override.is_delete()
    ]
    return [f"data={data}", f"method={name}", *deleted]


def _missing(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    known = [str(option) for option in error.options or choices(group)]
    if not group:
        return str(error).splitlines()[0]
    return f"no {group} '{name}': {nearest(name, known)} (choices: {', '.join(known)})"


def _explained(error: Exception, parsed: Sequence[Override]) -> str:
    """Name the key that does not exist, and the nearest one that does."""
    found = re.search(r"Could not override '([^']+)'", str(error))
    if found is None:
        return str(error).splitlines()[0]
    key = found[1]
    parent, _, name = key.rpartition(".")
    others = [o.input_line for o in parsed if o.key_or_group != key and o.input_line]
    valid = hydra.compose("config", others, return_hydra_config=False)
    node = OmegaConf.select(valid, parent) if parent else valid
    if not isinstance(node, DictConfig):
        return f"no option '{key}': '{parent}' has no options; {nearest(parent, map(str, valid))}"
    hint = nearest(name, [str(option) for option in node if not str(option).startswith("_")])
    return f"no option '{key}': {hint}"
