"""One job of a sweep of runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from calibrate.cli.order import Order
from calibrate.cli.planning import Plan, built
from calibrate.cli.recipe import Recipe
from calibrate.cli.run import run_in
from calibrate.context import Context, Progress


def perform(order: Order, folder: Path, progress: Progress) -> None:
    """One study, in an ordinary run folder."""
    planned, context = made(order, progress)
    run_in(folder, planned, order.command, context, {"content": order.content})


def made(order: Order, progress: Progress) -> tuple[Plan, Context]:
    """What an order is about, and what its parts are given: the job's checkpoints among it."""
    planned = built(Recipe.of(order.recipe))
    context = planned.context(progress)
    if order.checkpoints:
        context = replace(context, checkpoints=order.checkpoints)
    return planned, context
