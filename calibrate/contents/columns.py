"""Any table: its numbers column by column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from calibrate.contents.finding import Contents, Tally
from calibrate.errors import DamagedError, DataError
from calibrate.tables import Chunk, Jagged, Table
from calibrate.tables.columns import Values

ROWS = 100_000
WEIGHTS = ("weight", "weights", "w", "Weight", "event_weight", "genWeight")


def tabular(table: Table) -> Contents:
    """Entries, columns, weights; values that are not finite, damaged parts, lines left out."""
    found = Contents(f"table ({table.kind})")
    refused = dict(_refused(table, table.names))
    tallies = scanned(table, [name for name in table.names if name not in refused], found)
    found.columns(table.names)
    damaged = [name for name, error in refused.items() if isinstance(error, DamagedError)]
    if damaged:
        found.columns(damaged, "damaged")
        found.problems.append(str(refused[damaged[0]]))
    if len(refused) > len(damaged):
        found.columns([name for name in refused if name not in damaged], "without numbers")
    found.broken(tallies)
    for name in WEIGHTS:
        if name in tallies:
            found.weights(name, tallies[name])
    if table.skipped:
        found.problems.append(f"{table.skipped} lines have missing or surplus fields")
    return found


def scanned(table: Table, names: Sequence[str], found: Contents) -> dict[str, Tally]:
    """A tally of each column; the entries that could be read, and why not all, go to `found`."""
    tallies = {name: Tally() for name in names}
    entries = 0
    for chunk in readable(table, names, found):
        entries += chunk.entries
        for name, values in chunk.columns.items():
            tallies[name].add(flat(values))
    found.facts["entries"] = str(entries)
    if table.entries is not None and names and entries < table.entries:
        found.facts["entries"] += f" could be read of {table.entries}"
    if not entries:
        found.problems.append("no entry could be read")
    return tallies


def readable(table: Table, names: Sequence[str], found: Contents) -> Iterator[Chunk]:
    """The chunks of a table up to where it is damaged, which is a problem."""
    try:
        yield from table.chunks(names, ROWS)
    except DataError as error:
        found.problems.append(str(error))


def flat(values: Values | Jagged) -> Values:
    """All values of a column."""
    return values.content if isinstance(values, Jagged) else values


def _refused(table: Table, names: Sequence[str]) -> Iterator[tuple[str, DataError]]:
    """The columns whose beginning cannot be read as numbers, and why: all at once, or by halves."""
    try:
        next(iter(table.chunks(names, 1)), None)
    except DataError as error:
        if len(names) <= 1:
            yield from ((name, error) for name in names)
            return
        half = len(names) // 2
        yield from _refused(table, names[:half])
        yield from _refused(table, names[half:])
