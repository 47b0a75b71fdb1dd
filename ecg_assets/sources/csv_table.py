"""Read a dataset's CSV with clear errors for what users really have on disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ecg_assets.errors import SchemaError


def read_csv_table(
    path: Path, required: Sequence[str], *, text: Sequence[str] = (), optional: str = ""
) -> pd.DataFrame:
    """Read the required columns (and those that match `optional`) of a CSV.

    Parameters
    ----------
    path
        File, plain or ``.gz``; a byte-order mark is accepted.
    required
        Columns that must be there.
    text
        Columns to keep as text, exactly as written.
    optional
        Regular expression of further columns to keep.

    Raises
    ------
    SchemaError
        When the file is empty or a column is missing.
    """
    try:
        names = list(pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns)
    except pd.errors.EmptyDataError as error:
        raise SchemaError(f"{path} is empty; it must hold the columns {list(required)}.") from error
    missing = [name for name in required if name not in names]
    if missing:
        raise SchemaError(f"{path}: columns {missing} are missing; found {names}.")
    keep = [n for n in names if n in required or (optional and re.fullmatch(optional, n))]
    frame = pd.read_csv(
        path,
        usecols=keep,
        dtype={name: str for name in text if name in keep},
        encoding="utf-8-sig",
        low_memory=False,
    )
    if frame.empty:
        raise SchemaError(f"{path} has a header and no rows.")
    return frame
