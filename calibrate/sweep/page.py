"""The page of a sweep, `sweep.html`: how its jobs ended, figures, the table, what failed."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibrate.errors import StorageError
from calibrate.figures.style import save
from calibrate.report.html import template
from calibrate.report.rounding import formatted
from calibrate.storage import write_text
from calibrate.sweep.collect import Averaged, Point
from calibrate.sweep.gallery import Drawn, label_of
from calibrate.sweep.job import DONE, Job, written
from calibrate.sweep.ledger import Ledger
from calibrate.sweep.shown import metric_names
from calibrate.sweep.told import verdict

TEMPLATE = Path(__file__).with_name("page.html")
PAGE = "sweep.html"
FIGURES = "figures"


@dataclass(frozen=True)
class Picture:
    """A figure on the page, as a data URI."""

    name: str
    title: str
    text: str
    source: str
    wide: bool


@dataclass(frozen=True)
class Row:
    """A point of the sweep as it is printed, with links to its runs."""

    values: Sequence[str]
    metrics: Sequence[str]
    runs: Sequence[tuple[str, str]]


def write_page(
    ledger: Ledger, points: Sequence[Point], drawn: Sequence[Drawn], asked: Sequence[str] | None
) -> Path:
    """Write figures (PNG and PDF) and the page that shows them; returns the page's path."""
    jobs, about = ledger.jobs(), ledger.about()
    names = metric_names(points, asked)
    path = ledger.folder / PAGE
    page = template(TEMPLATE).render(
        title=_title(jobs, about),
        verdict=verdict(jobs),
        good=all(job.state == DONE for job in jobs),
        pictures=[_picture(ledger.folder / FIGURES, each) for each in drawn],
        keys=list(points[0].values) if points else [],
        heads=[label_of(name) for name in names],
        rows=[_row(point, names) for point in points],
        undone=[job for job in jobs if job.state != DONE],
        facts=list(_facts(jobs, about)),
    )
    write_text(path, page)
    return path


def _title(jobs: Sequence[Job], about: Mapping[str, Any]) -> str:
    swept = list(dict.fromkeys(key for job in jobs for key in job.parameters))
    return f"Sweep over {', '.join(swept)}" if swept else str(about["command"])


def _picture(folder: Path, drawn: Drawn) -> Picture:
    try:
        folder.mkdir(exist_ok=True)
        png, *_ = save(drawn.figure, folder / drawn.name, ("png", "pdf"))
        source = base64.b64encode(png.read_bytes()).decode()
    except OSError as error:
        raise StorageError(f"cannot write figures to {folder}: {error.strerror}") from error
    width, height = drawn.figure.get_size_inches()
    wide = width > 1.4 * height
    return Picture(drawn.name, drawn.title, drawn.text, f"data:image/png;base64,{source}", wide)


def _row(point: Point, names: Sequence[str]) -> Row:
    return Row(
        [written(value) for value in point.values.values()],
        [_cell(point.metrics.get(name)) for name in names],
        [(str(job.number), f"{job.folder}/report.html") for job in point.jobs],
    )


def _cell(found: Averaged | None) -> str:
    """Value ± spread over seeds, or ± the run's own error."""
    if found is None or found.value is None:
        return ""
    if isinstance(found.value, str):
        return found.value
    text = formatted(found.value, found.error if found.spread is None else found.spread)
    return f"{text} {found.unit}".strip()


def _facts(jobs: Sequence[Job], about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "command", str(about["command"])
    yield "version", str(about["version"])
    times = [job.finished - job.started for job in jobs if job.started and job.finished]
    if times:
        yield "time of the jobs", f"{sum(times):.0f} s in all, {max(times):.1f} s the longest"
    yield "hosts", ", ".join(dict.fromkeys(str(job.host) for job in jobs if job.host))
