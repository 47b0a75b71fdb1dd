"""Refuse cells of a dataset's table, by column and row and without quoting them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.errors import SchemaError

_OUTSIDE = re.compile(r"^/|^[A-Za-z]:|\\|(?:^|/)\.\.(?:/|$)|\x00")


def refuse_cells(wrong: pd.Series[bool], path: Path, column: str, what: str) -> None:
    """Raise `SchemaError` if a cell is wrong; a cell may hold what must stay secret."""
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0]) + 1
        raise SchemaError(
            f"{path}: in {int(wrong.sum())} rows column {column!r} {what}, first in data row {row}."
        )


def require_filled(table: pd.DataFrame, columns: tuple[str, ...], path: Path) -> None:
    """Raise `SchemaError` if a cell of these columns is empty."""
    for column in columns:
        refuse_cells(table[column].isna(), path, column, "is empty")


def require_below_root(files: pd.Series[str], path: Path) -> None:
    """Raise `SchemaError` if a path is absolute or leads out of the root by ``..``."""
    outside = files.map(lambda file: _OUTSIDE.search(file) is not None)
    what = "leaves the dataset's root (absolute, '..' or a backslash)"
    refuse_cells(outside, path, str(files.name), what)
