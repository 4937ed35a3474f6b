"""An SQLite file that many processes of one machine write.

**Many writers.** Transactions are short, immediate (so that a reader never becomes a writer
half-way), and patient. **Network file systems.** The journal is SQLite's rollback journal, not the
write-ahead log, whose shared memory no network file system offers; all writers are processes of one
machine, whose kernel keeps the file locks even where the server does not. The journal's file is
kept from one transaction to the next, so that a full disk does not stop them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from calibrate.errors import StorageError

SCHEMA = 2
APPLICATION = 0x63616C69
PATIENCE = 60.0
"""Seconds that a writer waits for the others."""


class Database:
    """An open file with `tables`, which are made if it is `new` and has none.

    Raises StorageError if it is damaged, or of another version.
    """

    def __init__(self, path: Path, tables: str, new: bool) -> None:
        self._path, self._tables = path, tables
        with self.reading():
            self._file = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            self._file.execute("PRAGMA journal_mode = PERSIST")
            self._check_schema(new)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute a statement."""
        return self._file.execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for each row."""
        self._file.executemany(statement, rows)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction: all or nothing. Raises StorageError if it cannot be written."""
        with self.reading():
            self._file.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._file.execute("COMMIT")
            except BaseException:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Errors of SQLite become StorageError, with the path."""
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(f"{self._path}: {error}") from error

    def _check_schema(self, new: bool) -> None:
        (schema,) = self._file.execute("PRAGMA user_version").fetchone()
        (application,) = self._file.execute("PRAGMA application_id").fetchone()
        if schema == 0 and new:
            with self.writing():
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
        for statement in filter(str.strip, self._tables.split(";")):
            self._file.execute(statement)
        self._file.execute(f"PRAGMA application_id = {APPLICATION}")
        self._file.execute(f"PRAGMA user_version = {SCHEMA}")
