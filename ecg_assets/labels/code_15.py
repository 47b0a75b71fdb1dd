"""Columns of CODE-15% to concepts."""

from __future__ import annotations

from ecg_assets.labels.codes import look_up
from ecg_assets.labels.reading import LineReading

CODE_15_RULE = "code-15 column"


def read_column(line: str) -> LineReading:
    """Read a line that holds the name of a column.

    >>> read_column("SB").mentions[0].concept
    'Sinus bradycardia'
    """
    return look_up("code_15", line, rule=CODE_15_RULE)
