"""The one minibatch loop: any number of networks of one shape, trained side by side.

A single network is a group of one. Each member has its own events, shuffles, noise, optimiser,
learning rate and early stopping, all from the streams that it has alone, so that its result is
that of a training of its own but for rounding. A member that stops, or diverges, leaves the
group.

Members may differ in the number of events as long as their epochs have equally many minibatches.
The last minibatch is then filled up with rows of weight zero, and the weights of the others are
so much larger that the mean is over these alone.

On a CPU as many networks are taken together as keep a step in the cache (`TOGETHER`); these blocks
are trained one after the other, or on as many threads as torch may use, one core each.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from threading import Event
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from calibrate.context import Advance
from calibrate.device import resolve, threads_for
from calibrate.member import Column, Member, Run, Trained
from calibrate.model_axis import Adam, Stack, flat
from calibrate.sample import FloatArray, IntArray
from calibrate.train import description

log = logging.getLogger("calibrate")
TOGETHER = 1_000_000
"""Activations of one step, of all its networks, that stay in the cache of a core."""


def minimise_minibatch(members: Sequence[Member]) -> list[Trained]:
    """Train every member; those of one shape side by side.

    The recorded loss is the mean over each epoch, `seconds` a member's share of the wall time of
    its group. Members whose loss stopped being finite are left with a DivergedError.
    """
    if not members:
        return []
    blocks = _blocks(members)
    workers = min(len(blocks), torch.get_num_threads())
    first = members[0]
    elements = first.schedule.batch * first.nodes if len(members) == 1 else 0
    total = sum(members[block[0]].schedule.epochs for block in blocks)
    with (
        threads_for(elements),
        first.context.progress.track(description(first.context), total) as advance,
    ):
        done = _each(blocks, lambda block, stop: _trained(
            [members[i] for i in block], advance, stop), workers)  # fmt: skip
    found = dict(zip(chain.from_iterable(blocks), chain.from_iterable(done), strict=True))
    return [found[i] for i in range(len(members))]


def _blocks(members: Sequence[Member]) -> list[list[int]]:
    """The positions of members that are trained side by side."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for i, member in enumerate(members):
        groups[member.shape].append(i)
    return [
        group[start : start + size]
        for group in groups.values()
        for size in [_together(members[group[0]], len(group))]
        for start in range(0, len(group), size)
    ]


def _together(member: Member, number: int) -> int:
    """How many of a number of networks are trained in one block."""
    if resolve(member.context.device).type != "cpu":
        return number
    fitting = max(1, TOGETHER // (member.schedule.batch * member.nodes))
    return min(fitting, math.ceil(number / torch.get_num_threads()))


def _each(
    blocks: Sequence[list[int]],
    train: Callable[[list[int], Event], list[Trained]],
    workers: int,
) -> list[list[Trained]]:
    """All blocks trained, on threads of their own if there are several workers."""
    stop = Event()
    if workers == 1:
        return [train(block, stop) for block in blocks]
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(train, block, stop) for block in blocks]
        try:
            return [future.result() for future in futures]
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _trained(members: Sequence[Member], advance: Advance, stop: Event) -> list[Trained]:
    """Train members of one shape side by side, until all have ended."""
    start = time.perf_counter()
    group = _Group(members, resolve(members[0].context.device))
    epochs = members[0].schedule.epochs
    checkpoint = members[0].context.checkpoints.checkpoint(_identity(members))
    kept = checkpoint.load()
    begun, before = group.go_on(kept) if kept else (0, 0.0)
    advance(begun)
    for epoch in range(begun, epochs):
        if stop.is_set() or not group.runs:
            break
        group.look(group.epoch(epoch), last=epoch == epochs - 1)
        advance(1)
        seconds = before + time.perf_counter() - start
        checkpoint.keep(partial(group.state, epoch + 1, seconds), over=not group.runs)
    share = (before + time.perf_counter() - start) / len(members)
    return [run.ended(share) for run in group.all]


def _identity(members: Sequence[Member]) -> str:
    """What tells a training from the others of a run: its streams and its events, since refits
    to other events have the same streams."""
    contexts = [(member.context.seed, *member.context.path) for member in members]
    events = hashlib.sha256()
    for member in members:
        for column in (*member.columns, *member.held_out):
            events.update(column.tobytes())
    return f"{contexts} {members[0].shape} {events.hexdigest()}"


class _Group:
    """Members of one shape on the device; those that have ended are no longer among the `runs`."""

    def __init__(self, members: Sequence[Member], device: torch.device) -> None:
        self.device = device
        self.runs = self.all = [Run(member, device) for member in members]
        self.stack = Stack([member.objective for member in members], device)
        self.adam = Adam(self.stack.values)
        self.columns = _padded([member.columns for member in members], device)
        held_out = [member.held_out for member in members]
        self.held_out = _padded(held_out, device) if held_out[0] else []
        if held_out[0]:
            self.held_out[-1] *= _filled([len(part[-1]) for part in held_out], device)
        self.batch = members[0].schedule.batch
        self.steps = members[0].schedule.minibatches(members[0].events)

    def epoch(self, epoch: int) -> FloatArray:
        """One step for each minibatch; the mean losses (K,) over the events."""
        columns, rows = self._shuffled(), self._rows()
        shares = self._tensor(rows / np.array([[run.events for run in self.runs]]))
        rates = self._tensor(np.stack([run.rates(epoch, self.steps) for run in self.runs], 1))
        total = torch.zeros(len(self.runs), device=self.device)
        for step in range(self.steps):
            part = slice(step * self.batch, (step + 1) * self.batch)
            noise = self._noise(rows[step])
            losses = self.stack.module([column[:, part] for column in columns], noise)
            gradient = self.stack.gradient(losses)
            self.adam.step(self.stack.values, gradient, rates[step, :, None])
            total += losses.detach() * shares[step]
        return np.asarray(total.cpu().numpy(), dtype=np.float64)

    def look(self, losses: FloatArray, last: bool) -> None:
        """Write the losses of an epoch down, and part with the members that have ended."""
        held_out = self._held_out_losses()
        left = []
        for i, run in enumerate(self.runs):
            run.history.append(float(losses[i]))
            if run.plateau is not None:
                run.plateau.after_epoch(float(held_out[i]))
            if not math.isfinite(losses[i]):
                continue
            if last or (run.plateau is not None and run.plateau.reached):
                self.stack.write_back(i)
            else:
                left.append(i)
        if len(left) < len(self.runs):
            self._keep(left)

    def state(self, epochs: int, seconds: float) -> dict[str, Any]:
        """All that the rest of the training depends on, after so many epochs."""
        for position in range(len(self.runs)):
            self.stack.write_back(position)
        objectives = [run.member.objective for run in self.all]
        return {
            "epochs": epochs,
            "seconds": seconds,
            "going": np.array([self.all.index(run) for run in self.runs], dtype=np.int64),
            "values": np.stack([flat(objective).cpu().numpy() for objective in objectives]),
            "adam": self.adam.state(),
            "runs": [run.state() for run in self.all],
        }

    def go_on(self, state: Mapping[str, Any]) -> tuple[int, float]:
        """Take up a state that was kept; the epochs that are done, and their seconds."""
        values = torch.from_numpy(state["values"])
        for run, own, row in zip(self.all, state["runs"], values, strict=True):
            run.go_on(own)
            vector_to_parameters(row, run.member.objective.parameters())
        going = [int(i) for i in state["going"]]
        if len(going) < len(self.all):
            self._keep(going)
        if going:
            self.stack.values.copy_(values[going])
            self.adam.go_on(state["adam"])
        log.info(f"a training goes on from its checkpoint, after {state['epochs']} epochs")
        return state["epochs"], state["seconds"]

    def _keep(self, positions: Sequence[int]) -> None:
        self.runs = [self.runs[i] for i in positions]
        if not self.runs:
            return
        kept = torch.tensor(positions, device=self.device)
        self.stack.keep(kept)
        self.adam.keep(kept)
        self.columns = [column[kept] for column in self.columns]
        self.held_out = [column[kept] for column in self.held_out]

    def _shuffled(self) -> list[Tensor]:
        """The columns in the order of an epoch; their last minibatch filled up."""
        before = (self.steps - 1) * self.batch
        last = [run.events - before for run in self.runs]
        order = np.zeros((len(self.runs), before + max(last)), dtype=np.int64)
        for row, run in zip(order, self.runs, strict=True):
            row[: run.events] = run.shuffle.permutation(run.events)
        index = torch.from_numpy(order).to(self.device)
        member = torch.arange(len(self.runs), device=self.device)[:, None]
        columns = [column[member, index] for column in self.columns]
        if len(set(last)) > 1:
            columns[-1][:, before:] *= _filled(last, self.device)
        return columns

    def _rows(self) -> IntArray:
        """The events (steps, K) in each minibatch."""
        rows = np.full((self.steps, len(self.runs)), self.batch)
        rows[-1] = [run.events - (self.steps - 1) * self.batch for run in self.runs]
        return rows

    def _noise(self, rows: IntArray) -> list[Tensor]:
        drawn = [
            run.member.objective.noise(int(n), run.noise)
            for n, run in zip(rows, self.runs, strict=True)
        ]
        return _padded(drawn, self.device)

    def _held_out_losses(self) -> FloatArray:
        if not self.held_out:
            return np.empty(0)
        with torch.no_grad():
            noise = _padded([run.fixed_noise() for run in self.runs], self.device)
            losses = self.stack.module.judged(self.held_out, noise)
        return np.asarray(losses.cpu().numpy(), dtype=np.float64)

    def _tensor(self, values: FloatArray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)


def _padded(parts: Sequence[Sequence[Column | Tensor]], device: torch.device) -> list[Tensor]:
    """Columns (n_k, …) of K members as columns (K, max n, …), those of fewer rows ending in 0."""
    columns = []
    for column in zip(*parts, strict=True):
        tensors = [torch.as_tensor(each, dtype=torch.float32, device=device) for each in column]
        same = len({len(each) for each in tensors}) == 1
        nested = torch.nn.utils.rnn.pad_sequence
        columns.append(torch.stack(tensors) if same else nested(tensors, batch_first=True))
    return columns


def _filled(rows: Sequence[int], device: torch.device) -> Tensor:
    """Factors (K, max n) of weights that make a mean over all rows one over the first n_k."""
    most = max(rows)
    number = torch.tensor(rows, device=device)[:, None]
    return (torch.arange(most, device=device) < number) * (most / number)
