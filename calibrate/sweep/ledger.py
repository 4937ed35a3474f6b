"""The ledger of a sweep: one row per job, in an SQLite file in the sweep's folder.

**A full disk.** The journal keeps its size from one transaction to the next, a row holds `room` for
the words that it will need, and states are numbers of one byte in a table of their own: they can be
written when nothing else can.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from calibrate.errors import ConfigurationError, StorageError
from calibrate.sweep.database import Database
from calibrate.sweep.job import DONE, FAILED, LOST, PLANNED, QUEUED, RUNNING, Job, Planned
from calibrate.sweep.process import Process, this_process
from calibrate.sweep.rows import CODES, JOBS, ROOM, ROOM_TO_RUN, TABLES, job_of

FILE, RUNS = "sweep.db", "runs"


class Ledger:
    """An open ledger; a context that closes it. `folder` is the sweep's."""

    def __init__(self, folder: Path, *, new: bool = False) -> None:
        """Open the ledger of a folder, or make one if it is `new` and there is none.

        Raises StorageError if there is none, it is damaged, or of another version.
        """
        if not new and not (folder / FILE).is_file():
            raise StorageError(f"{folder} holds no sweep: there is no {FILE} in it")
        self.folder, self._db = folder, Database(folder / FILE, TABLES, new)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    # The sweep

    def about(self) -> dict[str, Any]:
        """What is known of the sweep: its command, version, launcher, files."""
        with self._db.reading():
            rows = self._db.execute("SELECT key, value FROM about").fetchall()
        return {key: json.loads(value) for key, value in rows}

    def note(self, **values: Any) -> None:  # noqa: ANN401 - anything that JSON holds
        """Remember facts about the sweep."""
        with self._db.writing():
            self._note(values)

    def drive(self, *, resume: bool = True) -> None:
        """Take the sweep over: this process starts its jobs, and no other does. To `resume` lifts
        an earlier `stop`.

        Raises StorageError if another process does, or did on another machine.
        """
        with self._db.writing():
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
            self._note({"driver": vars(this_process())} | ({"stop": None} if resume else {}))

    def _driver(self) -> Process | None:
        found = self._db.execute("SELECT value FROM about WHERE key = 'driver'").fetchone()
        return Process(**json.loads(found[0])) if found else None

    def release(self) -> None:
        """The end of `drive`: another process, on any machine, may take over."""
        with self._db.writing():
            self._db.execute("DELETE FROM about WHERE key = 'driver'")

    def stop(self, reason: str) -> None:
        """No further job is started. A driver on another machine loses its claim."""
        with self._db.writing():
            self._note({"stop": reason})
            driver = self._driver()
            if driver and not driver.alive:
                self._db.execute("DELETE FROM about WHERE key = 'driver'")

    def stopped(self) -> str | None:
        """Why no further job is started, if so."""
        reason: str | None = self.about().get("stop")
        return reason

    def plan(self, jobs: Sequence[Planned], **about: Any) -> None:  # noqa: ANN401
        """Add jobs that are not there yet, and facts about the sweep.

        Raises ConfigurationError if the ledger holds a job that is not among them: another sweep's.
        """
        with self._db.writing():
            rows = self._db.execute("SELECT content, overrides FROM jobs").fetchall()
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
            self._note(about)
        with (
            self._db.writing()
        ):  # the journal grows to the size of a large transaction, and keeps it
            self._db.execute("UPDATE states SET state = state")
            self._db.execute("UPDATE jobs SET attempt = attempt WHERE number < 64")

    # The jobs

    def jobs(self) -> list[Job]:
        """All jobs by number."""
        with self._db.reading():
            rows = self._db.execute(f"{JOBS} ORDER BY number").fetchall()
        return [job_of(row) for row in rows]

    def job(self, number: int) -> Job:
        """A job by its number."""
        with self._db.reading():
            return self._job(number)

    def counts(self) -> dict[str, int]:
        """The number of jobs in each state."""
        with self._db.reading():
            query = "SELECT state, count(*) FROM states GROUP BY state"
            found = dict(self._db.execute(query).fetchall())
        return {state: found.get(code, 0) for state, code in CODES.items()}

    def recipe(self, number: int) -> dict[str, Any]:
        """The recipe of a job."""
        with self._db.reading():
            query = "SELECT recipe FROM recipes WHERE number = ?"
            (text,) = self._db.execute(query, (number,)).fetchone()
        found: dict[str, Any] = json.loads(text)
        return found

    def claim(self, number: int | None = None) -> Job | None:
        """The next planned job (or that of a number), now running in this process; None if there
        is none, or the sweep is stopped."""
        chosen = "" if number is None else f"AND number = {number:d}"
        with self._db.writing():
            found = self._db.execute(
                f"SELECT number FROM states WHERE state = ? {chosen} ORDER BY number LIMIT 1",
                (CODES[PLANNED],),
            ).fetchone()
            if found is None or self.stopped():
                return None
            return self._start(found[0], RUNNING)

    def queue(self) -> list[Job]:
        """All planned jobs, now queued, since this process hands them to a batch system; none if
        the sweep is stopped."""
        with self._db.writing():
            found = self._db.execute(
                "SELECT number FROM states WHERE state = ? ORDER BY number", (CODES[PLANNED],)
            ).fetchall()
            return [] if self.stopped() else [self._start(number, QUEUED) for (number,) in found]

    def submitted(self, numbers: Mapping[int, str]) -> None:
        """Remember the numbers in Slurm of queued jobs, by their own."""
        with self._db.writing():
            rows = [(slurm, number) for number, slurm in numbers.items()]
            self._db.executemany("UPDATE jobs SET slurm = ? WHERE number = ?", rows)

    def stands(self, job: Job, state: str, host: str | None, why: str | None) -> None:
        """What a batch system says of a queued or running job."""
        with self._db.writing():
            if self._is_current(job):
                values = (host, why, job.number)
                self._db.execute("UPDATE jobs SET host = ?, error = ? WHERE number = ?", values)
                self._set_state(job.number, state)

    def finish(self, job: Job) -> None:
        """The job is done: the report stands in its run folder."""
        self._end(job, DONE, None)

    def found(self, job: Job, folder: str, **known: str | float) -> None:
        """A whole report was found in a run folder: the job is done, whatever was said of it.
        `known`: host, started, finished."""
        with self._db.writing():
            values = {"folder": folder, "error": None, "room": None, **known}
            names = ", ".join(f"{name} = ?" for name in values)
            query = f"UPDATE jobs SET {names} WHERE number = ?"
            self._db.execute(query, (*values.values(), job.number))
            self._set_state(job.number, DONE)

    def fail(self, job: Job, error: str) -> None:
        """The job has failed."""
        self._end(job, FAILED, " ".join(error.split()).encode()[:ROOM].decode(errors="ignore"))

    def put_back(self, job: Job) -> None:
        """The job was interrupted: it is planned again."""
        self._end(job, PLANNED, None)

    def running(self) -> list[tuple[Job, Process]]:
        """The jobs that a process is said to have in hand: to do, or to hand to a batch system."""
        with self._db.reading():
            query = f"{JOBS} WHERE state IN (?, ?) AND slurm IS NULL ORDER BY number"
            rows = self._db.execute(query, (CODES[RUNNING], CODES[QUEUED])).fetchall()
        return [(job, Process(job.host or "", job.pid or 0, row[-1]))
                for row, job in zip(rows, map(job_of, rows), strict=True)]  # fmt: skip

    def under_way(self) -> list[Job]:
        """The jobs that Slurm has been given, and of which no end is known."""
        return [job for job in self.jobs() if job.slurm and job.state in (QUEUED, RUNNING)]

    def lose(self, job: Job, error: str) -> None:
        """The job's process is gone without a word."""
        self._end(job, LOST, error)

    def again(self, *states: str, number: int | None = None) -> None:
        """Plan all jobs of these states again, or that of a number."""
        marks = ", ".join("?" for _ in states)
        chosen = "" if number is None else f"AND number = {number:d}"
        with self._db.writing():
            query = f"UPDATE states SET state = ? WHERE state IN ({marks}) {chosen}"
            self._db.execute(query, (CODES[PLANNED], *(CODES[state] for state in states)))

    def _end(self, job: Job, state: str, error: str | None) -> None:
        with self._db.writing():
            if not self._is_current(job):
                return
            self._db.execute(
                "UPDATE jobs SET error = ?, finished = ?, room = NULL WHERE number = ?",
                (error, time.time(), job.number),
            )
            self._set_state(job.number, state)

    def _start(self, number: int, state: str) -> Job:
        """A new attempt, in the hands of this process."""
        me, job = this_process(), self._job(number)
        attempt = job.attempt + 1
        run = f"{RUNS}/{number:04d}_{job.content[:8]}_{attempt}"
        self._db.execute(
            "UPDATE jobs SET attempt = ?, started = ?, finished = NULL, host = ?, pid = ?, "
            "born = ?, folder = ?, error = NULL, slurm = NULL, room = zeroblob(?) WHERE number = ?",
            (attempt, time.time(), me.host, me.pid, me.born, run, ROOM, number),
        )
        self._set_state(number, state)
        return self._job(number)

    def _is_current(self, job: Job) -> bool:
        """Only the attempt that runs or waits may say how it ended."""
        now = self._job(job.number)
        return now.attempt == job.attempt and now.state in (RUNNING, QUEUED)

    def _job(self, number: int) -> Job:
        return job_of(self._db.execute(f"{JOBS} WHERE number = ?", (number,)).fetchone())

    def _set_state(self, number: int, state: str) -> None:
        self._db.execute("UPDATE states SET state = ? WHERE number = ?", (CODES[state], number))

    def _insert(self, number: int, job: Planned) -> None:
        texts = json.dumps(job.overrides), json.dumps(dict(job.parameters))
        self._db.execute(
            "INSERT INTO jobs (number, content, overrides, parameters, attempt, room) "
            "VALUES (?, ?, ?, ?, 0, zeroblob(?))",
            (number, job.content, *texts, ROOM + ROOM_TO_RUN),
        )
        self._db.execute("INSERT INTO states VALUES (?, ?)", (number, CODES[PLANNED]))
        self._db.execute("INSERT INTO recipes VALUES (?, ?)", (number, json.dumps(job.recipe)))

    def _note(self, values: Mapping[str, Any]) -> None:
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        self._db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", rows)
