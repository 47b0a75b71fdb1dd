"""Names of the folders that hold the recordings of one condition each."""

from __future__ import annotations

import re
from pathlib import Path

from ecg_assets.errors import SettingsError

CONDITIONS = (
    "NORMAL",
    "Sinus_Rhythm",
    "Atrial Fibrillation",
    "Atrial Flutter",
    "1st-degree AV block",
    "Right bundle branch block",
    "Left bundle branch block",
)
"""Folders as those who fine-tune ECGFounder on six conditions have them."""

_SEPARATORS = re.compile(r"[\s_-]+")


def _plain(name: str) -> str:
    return _SEPARATORS.sub(" ", name.strip()).casefold()


_CONDITION_OF = {_plain(name): name for name in CONDITIONS}


def find_condition(folder: str) -> str | None:
    """Find the condition that a folder's name means; case, blanks, ``_`` and ``-`` do not count.

    >>> find_condition("1st Degree AV Block"), find_condition("Ischemia")
    ('1st-degree AV block', None)
    """
    return _CONDITION_OF.get(_plain(folder))


def list_condition_folders(root: Path) -> dict[str, str]:
    """List the folders right below the root with the condition of each, sorted by name.

    Hidden folders, and files, are passed over. Two folders may be of one condition.

    Raises
    ------
    SettingsError
        When a folder is of no known condition, or there is no folder at all.
    """
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    unknown = [name for name in names if find_condition(name) is None]
    expected = ", ".join(f"'{name}'" for name in CONDITIONS)
    if unknown:
        raise SettingsError(
            f"ECG_RAW_ROOT is {root}, whose folders {unknown[:10]} are none of the conditions "
            f"{expected}. Rename them, or move them elsewhere; recordings with labels of your own "
            "are ECG_SOURCE=folder."
        )
    if not names:
        raise SettingsError(
            f"ECG_RAW_ROOT is {root}, which holds no folder; ECG_SOURCE=condition-folders needs "
            f"one or more of {expected}, each with its recordings."
        )
    return {name: _CONDITION_OF[_plain(name)] for name in names}
