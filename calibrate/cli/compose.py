"""From overrides to a configuration: Hydra composes, this module checks and explains."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from calibrate import plugins
from calibrate.cli.groups import (
    choices,
    configuration_folder,
    missing_folders,
    options,
    refuse_ambiguous,
)
from calibrate.cli.kinds import read_choice, with_defaults
from calibrate.errors import ConfigurationError, nearest

METHOD = "method"
REQUIRED = ("data", METHOD)
SPECIALISE = "specialise"
EXPERIMENT, EVALUATOR = "experiment", "evaluator"
VERSION_BASE = "1.3"
ROOT = "config"
"""The file that everything is composed into."""
EXTRAS = {"submitit_slurm": "slurm", "joblib": "joblib"}
"""Launchers that a plugin of Hydra's brings, and the extra that installs it."""
INSTEAD = {
    "hydra.run.dir": "output=FOLDER is where run folders are created",
    "hydra.sweep.dir": "sweep.dir=FOLDER is a sweep's folder",
    "hydra.sweep.subdir": "the folders of a sweep's jobs are numbered",
    "hydra.output_subdir": "a run keeps its configuration as config.yaml",
    "hydra.job.chdir": "a run stays in the folder it was started in",
}
"""Keys of Hydra's that have no effect here, and what has."""
EXPRESSION_SIGNS = set("()<>&|`!")


def compose(overrides: Sequence[str]) -> DictConfig:
    """The configuration that the overrides name.

    Raises ConfigurationError, with the nearest spelling, for anything that does not exist.
    """
    parsed = parse(overrides)
    _refuse_without_effect(parsed)
    _require_choices(parsed)
    _refuse_added(parsed)
    overrides = with_defaults(overrides, parsed)
    with initialised():
        try:
            plain = hydra.compose(ROOT, list(overrides), return_hydra_config=True)
            special = _specialisation(plain, parsed)
            if special is not None:
                overrides = [*overrides, special]
                plain = hydra.compose(ROOT, overrides, return_hydra_config=True)
            _refuse_ambiguous(plain)
            return plain
        except MissingConfigException as error:
            raise ConfigurationError(_missing(error)) from error
        except YAMLError as error:
            raise ConfigurationError(_damaged(error)) from error
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


class BroughtFolders(SearchPathPlugin):
    """What Hydra asks where else to look for a choice: after our own folder."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folders that other packages bring."""
        for folder, package in plugins.folders().items():
            search_path.append(package, str(folder))


@contextmanager
def initialised() -> Iterator[None]:
    """Hydra with this package's configuration folder and those that other packages bring, or as a
    running sweep has set it up."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    Plugins.instance().register(BroughtFolders)
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


def is_sweep(overrides: Sequence[str]) -> bool:
    """Whether the overrides name an experiment that is a sweep by itself (`hydra.mode`)."""
    for text in overrides:
        group, _, name = text.partition("=")
        if group == EXPERIMENT and name in choices(EXPERIMENT):
            found = read_choice(EXPERIMENT, name)
            return str(OmegaConf.select(found, "hydra.mode")) == "MULTIRUN"
    return False


def _refuse_ambiguous(composed: DictConfig) -> None:
    evaluators = ((EVALUATOR, name) for name in composed.get(EVALUATOR, ()))
    for group, name in (*composed.hydra.runtime.choices.items(), *evaluators):
        refuse_ambiguous(str(group), str(name))


def named_groups(overrides: Sequence[str]) -> set[str]:
    """The groups and keys that the overrides name."""
    return {override.key_or_group.split("@")[0] for override in parse(overrides)}


def _refuse_without_effect(parsed: Sequence[Override]) -> None:
    for override in parsed:
        if override.key_or_group in INSTEAD:
            key = override.key_or_group
            raise ConfigurationError(f"{key} has no effect here: {INSTEAD[key]}")


def _require_choices(parsed: Sequence[Override]) -> None:
    named = {override.key_or_group.split("@")[0] for override in parsed}
    named -= {override.key_or_group for override in parsed if override.is_delete()}
    missing = [] if EXPERIMENT in named else [key for key in REQUIRED if key not in named]
    if missing:
        lists = "; ".join(f"{group}: {', '.join(choices(group))}" for group in missing)
        needed = " and ".join(f"{group}=…" for group in missing)
        typo = _similar(named, missing)
        raise ConfigurationError(f"a run needs {needed}{typo}. Choices: {lists}")


def _refuse_added(parsed: Sequence[Override]) -> None:
    """Raise ConfigurationError for `+key=value` that nothing would look at."""
    known = {
        *REQUIRED,
        EVALUATOR,
        EXPERIMENT,
        SPECIALISE,
        *(key for key, _, _ in options("", ROOT)),
    }
    for each in parsed:
        key = re.split(r"[./@]", each.key_or_group)[0]
        if each.is_add() and key not in known:
            raise ConfigurationError(f"no option '{key}': {nearest(key, known)}")


def _similar(named: Collection[str], missing: Sequence[str]) -> str:
    """`(methd=… is no option: did you mean method=…?)` for a key that looks like a missing one."""
    for key in sorted(named):
        for wanted in difflib.get_close_matches(key, missing, n=1, cutoff=0.6):
            return f" ({key}=… is no option: did you mean {wanted}=…?)"
    return ""


def _missing(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    if name in EXTRAS:
        return f"{group}={EXTRAS[name]} needs Hydra's plugin: pip install '.[{EXTRAS[name]}]'"
    known = [str(option) for option in error.options or choices(group)]
    if not group:
        return str(error).splitlines()[0]
    hint = f"{nearest(name, known)} (choices: {', '.join(known)})"
    return f"no {group} '{name}': {hint}{missing_folders()}"


def _damaged(error: YAMLError) -> str:
    """Which file of which package is no YAML, and where."""
    of = [package for folder, package in plugins.folders().items() if str(folder) in str(error)]
    return f"a configuration file of {' '.join(of) or plugins.OURS} is damaged: {error}"


def _explained(error: Exception, parsed: Sequence[Override]) -> str:
    """Name the key that does not exist, and the nearest one that does, or the values that are
    several."""
    several = re.search(r"Ambiguous value for argument '([^=']+)=([^']*)'", str(error))
    if several:
        key, values = several.groups()
        return (
            f"{key}={values} are several values: calibrate run -m does one run for each; one value "
            f"that is a list is written '{key}=[{values}]'"
        )
    found = re.search(r"Could not override '([^']+)'", str(error))
    if found is None:
        reasons = dict.fromkeys(
            str(each).splitlines()[0] for each in (error, error.__cause__) if each
        )
        return ": ".join(reasons)
    key = found[1]
    chosen = [o.input_line for o in parsed if o.input_line and choices(o.key_or_group)]
    valid = hydra.compose(ROOT, chosen, return_hydra_config=key.startswith("hydra."))
    return _unknown(key, valid)


def _unknown(key: str, valid: DictConfig) -> str:
    """The first part of a key that does not exist, and what is there instead."""
    node, there = valid, ""
    for name in key.split("."):
        known = [str(option) for option in node if not str(option).startswith("_")]
        if name not in known:
            return f"no option '{key}': {nearest(name, known)}"
        there = f"{there}.{name}".lstrip(".")
        below = OmegaConf.select(valid, there)
        if not isinstance(below, DictConfig):
            break
        node = below
    return f"no option '{key}': '{there}' has no options"
