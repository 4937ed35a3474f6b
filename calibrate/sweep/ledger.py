"""The ledger of a sweep: one row per job, in an SQLite file in the sweep's folder.

**Many writers.** Every worker writes its own transactions: short, immediate (so that a reader
never becomes a writer half-way), and patient (`timeout`). **Network file systems.** The journal is
SQLite's rollback journal, not the write-ahead log, whose shared memory no network file system
offers; all writers are processes of one machine, whose kernel keeps the file locks even where the
server does not; a sweep that is driven on another machine is refused (`drive`). **A full disk.**
The journal keeps its size from one transaction to the next, and a row holds `room` for the words
that it will need: states can be written when nothing else can.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from calibrate.errors import ConfigurationError, StorageError
from calibrate.sweep.job import DONE, FAILED, LOST, PLANNED, RUNNING, STATES, Job, Planned
from calibrate.sweep.process import Process, this_process

FILE, RUNS = "sweep.db", "runs"
SCHEMA = 1
APPLICATION = 0x63616C69
PATIENCE = 60.0
"""Seconds that a writer waits for the others."""
ROOM = 400
"""Bytes kept in each row for what is written later; a longer error is cut."""
TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, content TEXT UNIQUE, overrides TEXT, parameters TEXT,
    state TEXT, attempt INTEGER, started REAL, finished REAL,
    host TEXT, pid INTEGER, born REAL, folder TEXT, error TEXT, room BLOB);
CREATE INDEX states ON jobs (state, number);
CREATE TABLE recipes (number INTEGER PRIMARY KEY, recipe TEXT);
"""
COLUMNS = "number, content, overrides, parameters, state, attempt, started, finished, host, pid, folder, error"  # noqa: E501


class Ledger:
    """An open ledger; a context that closes it. `folder` is the sweep's."""

    def __init__(self, folder: Path, *, new: bool = False) -> None:
        """Open the ledger of a folder, or make one if it is `new` and there is none.

        Raises StorageError if there is none, it is damaged, or of another version.
        """
        self.folder, self._path = folder, folder / FILE
        if not new and not self._path.is_file():
            raise StorageError(f"{folder} holds no sweep: there is no {FILE} in it")
        with self._readable():
            self._file = sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None)
            self._file.execute("PRAGMA journal_mode = PERSIST")
            self._check_schema(new)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    # The sweep

    def about(self) -> dict[str, Any]:
        """What is known of the sweep: its command, version, launcher, files."""
        with self._readable():
            rows = self._file.execute("SELECT key, value FROM about").fetchall()
        return {key: json.loads(value) for key, value in rows}

    def note(self, **values: Any) -> None:  # noqa: ANN401 - anything that JSON holds
        """Remember facts about the sweep."""
        with self._writing():
            self._note(values)

    def drive(self) -> None:
        """Take the sweep over: this process starts its jobs, and no other does.

        Raises StorageError if another process does, or did on another machine.
        """
        with self._writing():
            driver = self._driver()
            if driver and driver != this_process() and driver.alive:
                raise StorageError(
                    f"{self.folder}: process {driver.pid} runs this sweep; wait for it, or end it "
                    "with calibrate sweep cancel"
                )
            if driver and not driver.here:
                raise StorageError(
                    f"{self.folder}: the sweep was started on {driver.host} and has not ended: go "
                    f"on there; if {driver.host} no longer runs it, free it with calibrate sweep "
                    "cancel"
                )
            self._note({"driver": vars(this_process()), "stop": None})

    def _driver(self) -> Process | None:
        found = self._file.execute("SELECT value FROM about WHERE key = 'driver'").fetchone()
        return Process(**json.loads(found[0])) if found else None

    def release(self) -> None:
        """The end of `drive`: another process, on any machine, may take over."""
        with self._writing():
            self._file.execute("DELETE FROM about WHERE key = 'driver'")

    def stop(self, reason: str) -> None:
        """No further job is started. A driver on another machine loses its claim."""
        with self._writing():
            self._note({"stop": reason})
            driver = self._driver()
            if driver and not driver.alive:
                self._file.execute("DELETE FROM about WHERE key = 'driver'")

    def stopped(self) -> str | None:
        """Why no further job is started, if so."""
        reason: str | None = self.about().get("stop")
        return reason

    def plan(self, jobs: Sequence[Planned]) -> None:
        """Add jobs that are not there yet. Raises ConfigurationError if the ledger holds a job
        that is not among them: another sweep's."""
        with self._writing():
            rows = self._file.execute("SELECT content, overrides FROM jobs").fetchall()
            wanted = {job.content for job in jobs}
            other = [" ".join(json.loads(text)) for content, text in rows if content not in wanted]
            if other:
                raise ConfigurationError(
                    f"{self.folder} holds another sweep: its job '{other[0]}' is not among these "
                    "(other options, version or data): choose another folder with sweep.dir=…"
                )
            known = {content for content, _ in rows}
            new = [job for job in jobs if job.content not in known]
            for number, job in enumerate(new, start=len(rows)):
                self._insert(number, job)
        with self._writing():  # the journal grows to the size of a large transaction, and keeps it
            self._file.execute("UPDATE jobs SET attempt = attempt WHERE number % 8 = 0")

    # The jobs

    def jobs(self) -> list[Job]:
        """All jobs by number."""
        with self._readable():
            rows = self._file.execute(f"SELECT {COLUMNS} FROM jobs ORDER BY number").fetchall()
        return [_job(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """The number of jobs in each state."""
        with self._readable():
            rows = self._file.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall()
        return {state: dict(rows).get(state, 0) for state in STATES}

    def recipe(self, number: int) -> dict[str, Any]:
        """The recipe of a job."""
        with self._readable():
            query = "SELECT recipe FROM recipes WHERE number = ?"
            (text,) = self._file.execute(query, (number,)).fetchone()
        found: dict[str, Any] = json.loads(text)
        return found

    def claim(self, number: int | None = None) -> Job | None:
        """The next planned job (or that of a number), now running in this process; None if there
        is none, or the sweep is stopped."""
        me = this_process()
        chosen = "" if number is None else f"AND number = {number:d}"
        with self._writing():
            found = self._file.execute(
                f"SELECT number, attempt, content FROM jobs WHERE state = ? {chosen} "
                "ORDER BY number LIMIT 1",
                (PLANNED,),
            ).fetchone()
            if found is None or self.stopped():
                return None
            chosen_number, attempts, content = found
            run = f"{RUNS}/{chosen_number:04d}_{content[:8]}_{attempts + 1}"
            self._file.execute(
                "UPDATE jobs SET state = ?, attempt = ?, started = ?, finished = NULL, host = ?, "
                "pid = ?, born = ?, folder = ?, error = NULL WHERE number = ?",
                (RUNNING, attempts + 1, time.time(), me.host, me.pid, me.born, run, chosen_number),
            )
            query = f"SELECT {COLUMNS} FROM jobs WHERE number = ?"
            return _job(self._file.execute(query, (chosen_number,)).fetchone())

    def finish(self, job: Job) -> None:
        """The job is done: the report stands in its run folder."""
        self._end(job, DONE, None)

    def fail(self, job: Job, error: str) -> None:
        """The job has failed."""
        self._end(job, FAILED, " ".join(error.split())[:ROOM])

    def put_back(self, job: Job) -> None:
        """The job was interrupted: it is planned again."""
        self._end(job, PLANNED, None)

    def running(self) -> list[tuple[Job, Process]]:
        """The jobs that are said to run, and where."""
        with self._readable():
            query = f"SELECT {COLUMNS}, born FROM jobs WHERE state = ? ORDER BY number"
            rows = self._file.execute(query, (RUNNING,)).fetchall()
        return [(_job(row[:-1]), Process(row[8], row[9], row[-1])) for row in rows]

    def lose(self, job: Job, error: str) -> None:
        """The job's process is gone without a word."""
        self._end(job, LOST, error)

    def again(self, *states: str, number: int | None = None) -> None:
        """Plan all jobs of these states again, or that of a number."""
        marks = ", ".join("?" for _ in states)
        chosen = "" if number is None else f"AND number = {number:d}"
        with self._writing():
            query = f"UPDATE jobs SET state = ? WHERE state IN ({marks}) {chosen}"
            self._file.execute(query, (PLANNED, *states))

    def _end(self, job: Job, state: str, error: str | None) -> None:
        """Only the attempt that is running may say how it ended."""
        with self._writing():
            self._file.execute(
                "UPDATE jobs SET state = ?, error = ?, finished = ?, room = NULL "
                "WHERE number = ? AND attempt = ? AND state = ?",
                (state, error, time.time(), job.number, job.attempt, RUNNING),
            )

    def _insert(self, number: int, job: Planned) -> None:
        self._file.execute(
            "INSERT INTO jobs (number, content, overrides, parameters, state, attempt, room) "
            "VALUES (?, ?, ?, ?, ?, 0, zeroblob(?))",
            (
                number,
                job.content,
                json.dumps(job.overrides),
                json.dumps(dict(job.parameters)),
                PLANNED,
                ROOM,
            ),
        )
        self._file.execute("INSERT INTO recipes VALUES (?, ?)", (number, json.dumps(job.recipe)))

    def _note(self, values: Mapping[str, Any]) -> None:
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        self._file.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", rows)

    def _check_schema(self, new: bool) -> None:
        (schema,) = self._file.execute("PRAGMA user_version").fetchone()
        (application,) = self._file.execute("PRAGMA application_id").fetchone()
        if schema == 0 and new:
            with self._writing():
                if not self._file.execute("PRAGMA user_version").fetchone()[0]:
                    self._make()
        elif application != APPLICATION:
            raise StorageError(f"{self._path} is no ledger of calibrate")
        elif schema != SCHEMA:
            raise StorageError(
                f"{self._path} has schema {schema}, this version of calibrate reads {SCHEMA}: use "
                "the version that wrote it, or another folder with sweep.dir=…"
            )

    def _make(self) -> None:
        for statement in filter(str.strip, TABLES.split(";")):
            self._file.execute(statement)
        self._file.execute(f"PRAGMA application_id = {APPLICATION}")
        self._file.execute(f"PRAGMA user_version = {SCHEMA}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction: all or nothing. Raises StorageError if it cannot be written."""
        with self._readable():
            self._file.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._file.execute("COMMIT")
            except BaseException:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
                raise

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(f"{self._path}: {error}") from error


def _job(row: Sequence[Any]) -> Job:
    number, content, overrides, parameters, *rest = row
    return Job(number, content, tuple(json.loads(overrides)), json.loads(parameters), *rest)
