"""Which database each recording comes from, where a source is made of several."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pandas as pd

UNKNOWN = "unknown"

_COLLECTIONS = ("physionet-2021", "condition-folders")
"""Sources whose recordings come from several databases."""

_FOLDERS = (
    "cpsc_2018",
    "cpsc_2018_extra",
    "st_petersburg_incart",
    "ptb",
    "ptb-xl",
    "georgia",
    "chapman_shaoxing",
    "ningbo",
)
"""Folders of the PhysioNet/CinC Challenge 2021 (https://doi.org/10.13026/34va-7q14)."""

_NAMES = {
    r"A\d{4}": "cpsc_2018",
    r"Q\d{4}": "cpsc_2018_extra",
    r"I\d{4}": "st_petersburg_incart",
    r"S\d{4}": "ptb",
    r"HR\d{5}": "ptb-xl",
    r"E\d{5}": "georgia",
    # One numbering of two hospitals; JS10646 is the last of Chapman-Shaoxing.
    r"JS(?:0\d{4}|10[0-5]\d\d|106[0-3]\d|1064[0-6])": "chapman_shaoxing",
    r"JS\d{5}": "ningbo",
    # MIMIC-IV-ECG's study ids.
    r"4\d{7}": "mimic-iv-ecg",
}
"""Names of records there, the first that fits."""

_DATABASE_OF_NAME = [(re.compile(pattern), database) for pattern, database in _NAMES.items()]


def name_databases(records: pd.DataFrame) -> pd.Series[str]:
    """Name the database of each recording.

    For a source that collects several it is a folder on the recording's path that is named as
    one, else what the recording's name is numbered by, else ``unknown``; for any other source
    the source itself.

    Parameters
    ----------
    records
        Table with ``source``, ``path`` and ``record_id``.

    Returns
    -------
    Series
        In the records' order, with their index.

    >>> records = pd.DataFrame(
    ...     {
    ...         "source": ["physionet-2021", "condition-folders", "ptb-xl"],
    ...         "path": ["training/georgia/g1/E00001", "Atrial Flutter/JS20001", "x/1_lr"],
    ...         "record_id": ["E00001", "JS20001", "1"],
    ...     }
    ... )
    >>> name_databases(records).tolist()
    ['georgia', 'ningbo', 'ptb-xl']
    """
    found = records["source"].astype(object).copy()
    for index in records.index[records["source"].isin(_COLLECTIONS)]:
        path, name = str(records.at[index, "path"]), str(records.at[index, "record_id"])
        found[index] = _find_folder(path) or _find_by_name(name)
    return found


def _find_folder(path: str) -> str | None:
    folders = PurePosixPath(path).parts[:-1]
    return next((folder for folder in folders if folder in _FOLDERS), None)


def _find_by_name(name: str) -> str:
    matches = (database for pattern, database in _DATABASE_OF_NAME if pattern.fullmatch(name))
    return next(matches, UNKNOWN)
