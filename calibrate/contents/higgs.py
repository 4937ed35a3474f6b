"""The two Higgs to tau tau sets: classes and their weights, undefined values, event numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibrate.contents.columns import flat, readable, tabular
from calibrate.contents.finding import Contents
from calibrate.data.higgsml_files import FAIR_UNIVERSE, HIGGSML, LABELS, Layout
from calibrate.sample import IntArray
from calibrate.tables import Table

SETS = (("HiggsML (ATLAS 2014)", HIGGSML), ("FAIR Universe HiggsML", FAIR_UNIVERSE))
CLASSES = {"signal": LABELS["s"], "background": LABELS["b"]}


def set_of(names: Sequence[str]) -> tuple[str, Layout] | None:
    """The set that has these columns: its tau, its labels and, where it numbers events, those."""
    for name, layout in SETS:
        numbered = [] if layout.event is None else [layout.event]
        if {layout.primary["PRI_tau_pt"], layout.label, *numbered} <= set(names):
            return name, layout
    return None


def higgs(table: Table, name: str, layout: Layout) -> Contents:
    """What any table is asked, and: the events and summed weight of each class, undefined values,
    events that stand twice (a damaged copy repeats rows, which would be in training and test)."""
    found = tabular(table)
    found.format = f"{name}, {table.kind}"
    events, undefined = _Classes(), 0
    numbers: list[IntArray] = []
    kept = ("DER_", "PRI_", layout.label, layout.weight, layout.event or layout.label)
    columns = [column for column in table.names if column.startswith(kept)]
    for chunk in readable(table, columns, Contents("")):
        values = {column: flat(v) for column, v in chunk.columns.items()}
        features = [v for column, v in values.items() if column.startswith(("DER_", "PRI_"))]
        undefined += sum(int(np.count_nonzero(v == layout.undefined)) for v in features)
        if layout.weight in values:
            events.add(values[layout.label], values[layout.weight])
        if layout.event is not None:
            numbers.append(np.asarray(values[layout.event], dtype=np.int64))
    found.facts["classes"] = events.told() if layout.weight in table.names else "no weights"
    found.facts[f"undefined ({layout.undefined:g})"] = f"{undefined} values"
    if layout.event is not None:
        _repeated(np.concatenate([np.empty(0, np.int64), *numbers]), layout.event, found)
    return found


class _Classes:
    """Events and summed weight of signal and background."""

    def __init__(self) -> None:
        self.events = dict.fromkeys(CLASSES, 0)
        self.weights = dict.fromkeys(CLASSES, 0.0)

    def add(self, labels: IntArray, weights: IntArray) -> None:
        for name, label in CLASSES.items():
            rows = labels == label
            self.events[name] += int(np.count_nonzero(rows))
            self.weights[name] += float(np.sum(weights[rows]))

    def told(self) -> str:
        return ", ".join(f"{n} {name} with weight {self.weights[name]:.6g}"
                         for name, n in self.events.items())  # fmt: skip


def _repeated(events: IntArray, name: str, found: Contents) -> None:
    repeated = events.size - np.unique(events).size
    found.facts["events"] = f"{events.size - repeated} different {name}"
    if repeated:
        found.problems.append(
            f"{repeated} of {events.size} rows repeat an {name}: a damaged copy, whose events "
            "would be in training and test; fetch it again"
        )
