"""How much room recordings take on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_SUFFIXES = ("", ".hea", ".dat", ".mat")


def count_bytes(root: Path, paths: Iterable[str]) -> int:
    """Add up the sizes of the files of recordings; a file that several share counts once.

    Parameters
    ----------
    root
        Root of the dataset.
    paths
        Paths of record_list; what stands behind a ``#`` names a part of a file.
    """
    start = os.fspath(root) + os.sep
    files = {start + path.partition("#")[0] + suffix for path in paths for suffix in _SUFFIXES}
    total = 0
    for file in files:
        try:
            status = os.stat(file)  # noqa: PTH116 - a Path for each would take twice the time
        except OSError:
            continue
        total += status.st_size if os.path.isfile(file) else 0  # noqa: PTH113
    return total
