"""Which kinds of task datasets, methods and evaluators are for, as their classes say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from calibrate.errors import MisfitError

REGRESSION, TRANSPORT, INFERENCE = TASKS = ("regression", "transport", "inference")


def tasks_of(part: object) -> tuple[str, ...]:
    """The kinds of task that a method or an evaluator (or its class) is for: its `tasks`, or
    regression where it has none."""
    return tuple(getattr(part, "tasks", (REGRESSION,)))


def offered_tasks(data: object) -> tuple[str, ...]:
    """The kinds of task that a dataset (or its class) can pose."""
    return tuple(kind for kind in TASKS if hasattr(data, kind))


def common_tasks(parts: Mapping[str, object], kinds: Sequence[str] = TASKS) -> tuple[str, ...]:
    """The `kinds` that all parts are for; MisfitError if there is none."""
    common = tuple(kind for kind in kinds if all(kind in tasks_of(p) for p in parts.values()))
    if not common:
        said = ", ".join(f"{name} is for {' and '.join(tasks_of(p))}" for name, p in parts.items())
        one = "one study solves one kind of task"
        needed = one if tuple(kinds) == TASKS else f"the study solves a {' or '.join(kinds)} task"
        raise MisfitError(f"{needed}, but {said}")
    return common


def misfit(data: str, offered: Sequence[str], methods: Mapping[str, object],
           kinds: Sequence[str]) -> str:  # fmt: skip
    """Why a dataset does not go with the methods, in words."""
    needed = " or ".join(f"a {kind}" for kind in kinds)
    truth = ": use data with truth" if REGRESSION in kinds else ""
    return (
        f"{data} offers {', '.join(offered) or 'no task'}, "
        f"but {', '.join(methods)} need {needed} task{truth}"
    )
