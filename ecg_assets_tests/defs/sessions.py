"""Servers that tests start in a session of their own, and what ends all of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


def free_port() -> int:
    """Find a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def ending_session(process: subprocess.Popen[bytes], *, within_s: float = 30) -> Iterator[None]:
    """End a process started with `start_new_session`, and all that it started: asked, then killed.

    Parameters
    ----------
    process
        Leader of the session.
    within_s
        Seconds that it has to end by itself.
    """
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
