"""A reader that crashes, hangs or fails: each a bad record, and the next call works."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from ecg_assets.errors import BadRecord
from ecg_assets.sources.reader_process import ReaderProcess, call_in_child
from ecg_assets_tests.killed_parent import child_ends_with_killed_parent, needs_proc


def _double(values: np.ndarray) -> np.ndarray:
    sys.stdout.write("a library that prints\n")
    return 2 * values


def _crash() -> None:
    os.abort()


def _hang() -> None:
    time.sleep(3600)


def _refuse() -> None:
    raise BadRecord("missing_file", "x does not exist")


def _fail() -> None:
    raise ZeroDivisionError("no number")


def _take_memory() -> int:
    return len(bytearray(16 << 30))


def _own_id() -> int:
    return os.getpid()


@pytest.fixture
def process() -> Iterator[ReaderProcess]:
    process = ReaderProcess(most_seconds=3)
    yield process
    process.close()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_crash, "unreadable: its reader crashed"),
        (_hang, "unreadable: its reader crashed or took more than 3 s"),
        (_refuse, "missing_file: x does not exist"),
        (_fail, "unreadable: ZeroDivisionError: no number"),
        pytest.param(
            _take_memory,
            "unreadable: MemoryError",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's"),
        ),
    ],
)
def test_fault_of_a_reader_is_a_bad_record_and_the_next_call_works(
    process: ReaderProcess, function: Callable[[], None], message: str
) -> None:
    for _ in range(2):
        with pytest.raises(BadRecord, match=message):
            process.call(function)
        values = np.arange(6.0).reshape(2, 3)
        assert np.array_equal(process.call(_double, values), 2 * values)


def test_child_stays_for_the_next_call_and_is_replaced_when_it_was_killed(
    process: ReaderProcess,
) -> None:
    first = process.call(_own_id)
    assert process.call(_own_id) == first != os.getpid()
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert process.call(_own_id) != first


def test_child_that_cannot_start_is_no_bad_record(
    process: ReaderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(RuntimeError, match="No child process could be started"):
        process.call(_own_id)


def test_one_process_has_one_child() -> None:
    assert call_in_child(_own_id) == call_in_child(_own_id)


@needs_proc
def test_child_ends_with_a_killed_parent() -> None:
    assert child_ends_with_killed_parent(_PARENT)


_PARENT = """
import os, time
from ecg_assets.sources.reader_process import call_in_child
print(call_in_child(os.getpid), flush=True)
time.sleep(60)
"""
