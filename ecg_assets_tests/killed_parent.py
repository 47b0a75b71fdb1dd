"""Whether child processes end with a parent that is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(
    not Path("/proc").is_dir(), reason="needs /proc to look for processes"
)


def child_ends_with_killed_parent(program: str) -> bool:
    """Run a program that prints the process id of its child, kill it, and wait for the child."""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    ) as parent:
        assert parent.stdout is not None
        child = Path("/proc") / parent.stdout.readline().strip()
        assert (child / "stat").is_file()
        parent.kill()
    deadline = time.monotonic() + 30
    while child.is_dir() and time.monotonic() < deadline:
        # A child that nobody waits for stays as a zombie where no init process reaps it.
        if (child / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return not child.is_dir()
