"""Keep reading below the dataset's root: tables and headers name files, and may name any."""

from __future__ import annotations

import os
from pathlib import Path

from ecg_assets.errors import BadRecord


def require_inside_root(path: Path, root: Path | None) -> None:
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
    if root is None or _is_plainly_inside(str(path), str(root)):
        return
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
    place, separator = start[:-1], os.sep
    for part in path[len(start) :].split(separator):
        # os.path: a Path for each folder would cost ten times as much.
        place = place + separator + part
        if os.path.islink(place):  # noqa: PTH114
            return False
    return True
