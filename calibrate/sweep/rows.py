"""The tables of a ledger, and a job as its rows say it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from calibrate.sweep.job import STATES, Job

ROOM = 500
"""Bytes kept in each row for the error; a longer one is cut."""
ROOM_TO_RUN = 200
"""Bytes kept for process, times and folder."""
CODES = {state: code for code, state in enumerate(STATES, start=2)}
"""States as numbers that SQLite stores in one byte (0 and 1 take none)."""
STATE_OF = {code: state for state, code in CODES.items()}
TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE states (number INTEGER PRIMARY KEY, state INTEGER);
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, content TEXT UNIQUE, overrides TEXT, parameters TEXT,
    attempt INTEGER, started REAL, finished REAL, host TEXT, pid INTEGER, born REAL,
    folder TEXT, error TEXT, slurm TEXT, room BLOB);
CREATE TABLE recipes (number INTEGER PRIMARY KEY, recipe TEXT);
"""
JOBS = """
SELECT number, content, overrides, parameters, state, attempt, started, finished, host, pid,
       folder, error, slurm, born FROM jobs JOIN states USING (number)
"""


def job_of(row: Sequence[Any]) -> Job:
    """The job of a row of `JOBS`."""
    number, content, overrides, parameters, state, *rest = row[:-1]
    texts = tuple(json.loads(overrides)), json.loads(parameters)
    return Job(number, content, *texts, STATE_OF[state], *rest)
