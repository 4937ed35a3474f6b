"""Threads are as many as the user, or a sweep's worker, is told to take; else one for each core."""

from __future__ import annotations

import os

import pytest

from calibrate.cores import available, threads


@pytest.mark.parametrize(("told", "expected"), [("3", 3), ("2,1", 2)])
def test_threads_are_those_of_numerical_libraries(monkeypatch, told: str, expected: int):
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert threads() == expected


@pytest.mark.parametrize("told", ["", "0", "many"])
def test_without_a_word_there_is_one_for_each_core(monkeypatch, told: str):
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert threads() == available()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinity, as on Linux")
def test_cores_are_those_that_the_process_may_use():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available() == 1
    finally:
        os.sched_setaffinity(0, before)
