"""`calibrate data`: list and fetch public files, check what a file holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from calibrate.catalogue.cache import cache_folder, fetched, set_folder
from calibrate.catalogue.entries import human_size, public_set, public_sets
from calibrate.catalogue.fetch import Fetch
from calibrate.cli.progress import transfers
from calibrate.errors import ConfigurationError, DataError


def listing() -> Iterator[str]:
    """A paragraph for each set."""
    for name, chosen in public_sets().items():
        here = len(fetched(chosen))
        yield f"{name}: {chosen.title}"
        yield (
            f"  {len(chosen.files)} {'file' if len(chosen.files) == 1 else 'files'}, "
            f"{human_size(chosen.size)}; {here} fetched"
        )
        yield f"  licence: {chosen.licence}"
        yield f"  cite: {chosen.citation}"
    yield f"fetched into {cache_folder()} (variable CALIBRATE_DATA)"


def fetch(
    name: str, options: Sequence[str], base_url: str | None, parallel: int, timeout: float
) -> Iterator[str]:
    """Fetch a set; what to do with it."""
    chosen, files = public_set(name), _files(options)
    with transfers() as meter:
        paths = Fetch(files, parallel, base_url, timeout, meter)(chosen)
    yield f"{len(paths)} of {len(chosen.files)} files of {name} in {set_folder(chosen)}"
    yield f"to be read as data.path={name}; please cite {chosen.citation}"


def _files(options: Sequence[str]) -> int | None:
    """The number of `files=N`; None where it is not given."""
    files = None
    for option in options:
        key, _, value = option.partition("=")
        if key != "files":
            raise ConfigurationError(f"no option '{option}': the only one is files=N")
        if not value.isdecimal() or int(value) < 1:
            raise ConfigurationError(f"files must be a positive integer, got '{value}'")
        files = int(value)
    return files


def check(path: str) -> Iterator[str]:
    """What a file holds; raises DataError at the end if something is wrong with it."""
    from calibrate.contents import examine

    found = examine(Path(path))
    yield f"{path}: {found.format}"
    for name, fact in found.facts.items():
        yield f"  {name:<16} {fact}"
    for problem in found.problems:
        yield f"  problem          {problem}"
    if found.problems:
        number = len(found.problems)
        raise DataError(f"{path} has {'a problem' if number == 1 else f'{number} problems'}")
