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

import math
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calibrate.context import Advance
from calibrate.device import resolve, threads_for
from calibrate.member import Column, Member, Run, Trained
from calibrate.model_axis import Adam, Stack, corrections
from calibrate.sample import FloatArray, IntArray
from calibrate.train import description

TOGETHER = 1_000_000
"""Activations of one step, of all its networks, that stay in the cache of a core."""


def minimise_minibatch(members: Sequence[Member]) -> list[Trained]:
    """Train every member; those of one shape side by side.

    The recorded loss is the mean over each epoch, `seconds` a member's share of the wall time of
    its group. Members whose loss stopped being finite are left with a DivergedError. One whose
    state was kept by another process goes on from there.
    """
    if not members:
        return []
    first = members[0]
    runs = [Run(member, resolve(first.context.device)) for member in members]
    blocks = _blocks([run for run in runs if not run.over])
    workers = min(len(blocks), torch.get_num_threads())
    elements = first.schedule.batch * first.nodes if len(members) == 1 else 0
    total = sum(block[0].member.schedule.epochs for block in blocks)
    with (
        threads_for(elements),
        first.context.progress.track(description(first.context), total) as advance,
    ):
        _each(blocks, lambda block, stop: _train(block, advance, stop), workers)
    return [run.ended() for run in runs]


def _blocks(runs: Sequence[Run]) -> list[list[Run]]:
    """Those that are trained side by side."""
    groups: dict[Hashable, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.member.shape].append(run)
    return [
        group[start : start + size]
        for group in groups.values()
        for size in [_together(group[0].member, len(group))]
        for start in range(0, len(group), size)
    ]


def _together(member: Member, number: int) -> int:
    """How many of a number of networks are trained in one block."""
    if resolve(member.context.device).type != "cpu":
        return number
    fitting = max(1, TOGETHER // (member.schedule.batch * member.nodes))
    return min(fitting, math.ceil(number / torch.get_num_threads()))


def _each(
    blocks: Sequence[list[Run]], train: Callable[[list[Run], Event], None], workers: int
) -> None:
    """Train all blocks, on threads of their own if there are several workers."""
    stop = Event()
    if workers <= 1:
        for block in blocks:
            train(block, stop)
        return
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(train, block, stop) for block in blocks]
        try:
            for future in futures:
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _train(runs: list[Run], advance: Advance, stop: Event) -> None:
    """Train networks of one shape side by side, until all have ended."""
    start = time.perf_counter()
    before = [run.seconds for run in runs]
    group = _Group(runs, runs[0].device)
    advance(min(run.epochs for run in runs))
    while group.runs and not stop.is_set():
        losses = group.epoch()
        share = (time.perf_counter() - start) / len(runs)
        for run, earlier in zip(runs, before, strict=True):
            run.seconds = earlier + share
        group.look(losses)
        advance(1)


class _Group:
    """Members of one shape on the device; those that have ended are no longer among the `runs`."""

    def __init__(self, runs: Sequence[Run], device: torch.device) -> None:
        self.device, self.runs = device, list(runs)
        members = [run.member for run in runs]
        self.stack = Stack([member.objective for member in members], device)
        self.adam = Adam(self.stack.values)
        for i, run in enumerate(runs):
            if run.moments is not None:
                self.adam.go_on(i, run.moments)
        self.columns = _padded([member.columns for member in members], device)
        held_out = [member.held_out for member in members]
        self.held_out = _padded(held_out, device) if held_out[0] else []
        if held_out[0]:
            self.held_out[-1] *= _filled([len(part[-1]) for part in held_out], device)
        self.batch = members[0].schedule.batch
        self.steps = members[0].schedule.minibatches(members[0].events)

    def epoch(self) -> FloatArray:
        """One step for each minibatch; the mean losses (K,) over the events."""
        columns, rows = self._shuffled(), self._rows()
        shares = self._tensor(rows / np.array([[run.events for run in self.runs]]))
        rates, scales = self._rates()
        total = torch.zeros(len(self.runs), device=self.device)
        for step in range(self.steps):
            part = slice(step * self.batch, (step + 1) * self.batch)
            noise = self._noise(rows[step])
            losses = self.stack.module([column[:, part] for column in columns], noise)
            gradient = self.stack.gradient(losses)
            self.adam.step(self.stack.values, gradient, rates[step], scales[step])
            total += losses.detach() * shares[step]
        return np.asarray(total.cpu().numpy(), dtype=np.float64)

    def look(self, losses: FloatArray) -> None:
        """Write the losses of an epoch down, keep the states that are due, and part with the
        members that have ended."""
        held_out = self._held_out_losses()
        for i, run in enumerate(self.runs):
            run.after_epoch(float(losses[i]), float(held_out[i]) if self.held_out else None)
            if run.over and not run.diverged:
                self.stack.write_back(i)
            run.checkpoint.keep(partial(self._state, i), run.over)
        left = [i for i, run in enumerate(self.runs) if not run.over]
        if len(left) < len(self.runs):
            self._keep(left)

    def _state(self, position: int) -> dict[str, Any]:
        """All that the rest of a member's training depends on."""
        values = self.stack.values[position].cpu().numpy()
        return {**self.runs[position].state(), "values": values, **self.adam.state(position)}

    def _rates(self) -> tuple[Tensor, Tensor]:
        """The learning rates and scales of Adam for each step (steps, K, 1) of an epoch: members
        that went on from a checkpoint may be in other epochs than others."""
        given = np.stack([run.rates(self.steps) for run in self.runs], 1)
        done = np.array([run.epochs for run in self.runs]) * self.steps
        taken = done + 1 + np.arange(self.steps)[:, None]
        first, second = corrections(taken)
        return self._tensor((given / first)[..., None]), self._tensor(second[..., None])

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
