"""Keep reading below the dataset's root: tables and headers name files, and may name any."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from ecg_assets.errors import BadRecord


def require_inside_root(path: str | Path, root: Path | None) -> None:
    """Refuse a path that leaves the root by being absolute, by ``..`` or through a link.

    Parameters
    ----------
    path
        File as it would be opened; it need not exist.
    root
        Folder that it must lie in; None allows every path.

    Raises
    ------
    BadRecord
        ``outside_root``.
    """
    if root is None or _is_plainly_inside(os.fspath(path), os.fspath(root)):
        return
    path = Path(path)
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise BadRecord(
            "outside_root",
            f"{path.name} lies outside the dataset's root: its path is absolute, has '..', "
            "or a link leads there",
        )


def require_plain_name(name: str) -> None:
    """Refuse a signal file's name, as a header has it, that names another folder.

    Raises
    ------
    BadRecord
        ``outside_root``.
    """
    if "/" in name or "\\" in name or name in ("", ".", ".."):
        raise BadRecord("outside_root", "the header names a signal file in another folder")


def _is_plainly_inside(path: str, root: str) -> bool:
    """Say whether no component below the root is a link or ``..``.

    Resolving both paths would cost more than reading a recording does.
    """
    start = root.rstrip(os.sep) + os.sep
    if not path.startswith(start) or ".." in path:
        return False
    folder, name = path[len(start) :].rpartition(os.sep)[::2]
    # os.path: a Path for each folder would cost ten times as much.
    return _has_no_link(start, folder) and not os.path.islink(start + folder + os.sep + name)  # noqa: PTH114


@lru_cache(maxsize=4096)
def _has_no_link(start: str, folder: str) -> bool:
    """Say whether no folder on the way is a link; each folder is looked at once a process."""
    place = start
    for part in folder.split(os.sep):  # noqa: PTH206
        place = place + part + os.sep
        if os.path.islink(place.rstrip(os.sep)):  # noqa: PTH114
            return False
    return True
