"""Call a reader in a child process: one in C may take its process down with a damaged file.

The child starts with the first call, stays for the next ones and ends with this process. What
it crashes on, or does not come to an end with, is a `BadRecord`; the next call starts another.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeVar

from ecg_assets.errors import BadRecord

MOST_SECONDS = 60
"""What one call may take; the largest recording that is read takes a few seconds."""

MOST_BYTES = 1 << 33
"""Of memory that a child may take: 2**26 values, the most that are read, take some copies of
512 MiB. A few kB of a compressed file can stand for more than any machine has."""

_READY = "ready"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Reading needs no threads of linear algebra, which take memory for each core."""
_START = "import sys; sys.path[:] = {path!r}; from {module} import serve; serve({seconds})"

Result = TypeVar("Result")


def call_in_child(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function in the child of this process.

    Parameters
    ----------
    function
        A function of a module. What it raises but `BadRecord` becomes ``unreadable``.
    arguments
        Anything that can be pickled, as the result must be.

    Raises
    ------
    BadRecord
        That of the function; ``unreadable`` when it took the child down or took longer than
        `MOST_SECONDS`.
    RuntimeError
        When no child can be started, which is no fault of a recording.
    """
    # By process: one that was forked must not share the pipes of the other.
    return _reader_process(os.getpid()).call(function, *arguments)


class ReaderProcess:
    """A child process that calls functions, one after the other."""

    def __init__(self, most_seconds: float = MOST_SECONDS) -> None:
        self._lock = threading.Lock()
        self._most_seconds = most_seconds
        self._child: subprocess.Popen[bytes] | None = None

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function, as `call_in_child` says."""
        with self._lock:
            child = self._find_child()
            try:
                _write(child.stdin, (function, arguments))
                is_good, answer = _read(child.stdout)
            except Exception as error:  # half an answer can be anything
                self._end()
                raise BadRecord(
                    "unreadable",
                    f"its reader crashed or took more than {self._most_seconds:g} s: it is damaged",
                ) from error
        if not is_good:
            raise BadRecord(*answer)
        result: Result = answer
        return result

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def _find_child(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._end()
        code = _START.format(path=sys.path, module=__name__, seconds=self._most_seconds)
        self._child = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, **_ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            is_ready = _read(self._child.stdout) == _READY
        except Exception:
            is_ready = False
        if not is_ready:
            self._end()
            raise RuntimeError(
                f"No child process could be started with {sys.executable} to read files in; what "
                "it wrote to standard error says why."
            )
        return self._child

    def _end(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()
        self._child = None


@lru_cache(maxsize=1)
def _reader_process(process: int) -> ReaderProcess:
    found = ReaderProcess()
    atexit.register(found.close)
    return found


def serve(most_seconds: float) -> None:
    """Answer calls on standard input until it ends: with its parent, however that ends."""
    _limit_memory()
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not print into the answers
    with Path(os.devnull).open("w") as nowhere:
        _write(answers, _READY)
        while True:
            try:
                function, arguments = _read(requests)
            except EOFError:
                return
            # Ends this process even from within a library in C.
            faulthandler.dump_traceback_later(most_seconds, exit=True, file=nowhere)
            answer = _answer(function, arguments)
            faulthandler.cancel_dump_traceback_later()
            _write(answers, answer)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MOST_BYTES if hard == resource.RLIM_INFINITY else min(MOST_BYTES, hard)
    with contextlib.suppress(OSError, ValueError):  # macOS knows it and refuses it
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    """Give whether the call succeeded, and its result or the parts of its `BadRecord`."""
    try:
        return True, function(*arguments)
    except BadRecord as error:
        return False, (error.reason, error.detail)
    except Exception as error:
        return False, ("unreadable", f"{type(error).__name__}: {error}"[:200])


def _write(stream: IO[bytes] | None, value: Any) -> None:
    assert stream is not None
    pickle.dump(value, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _read(stream: IO[bytes] | None) -> Any:
    assert stream is not None
    return pickle.load(stream)
