"""Folders of conditions to concepts."""

from __future__ import annotations

from ecg_assets.labels.codes import look_up
from ecg_assets.labels.reading import LineReading

FOLDER_RULE = "condition folder"


def read_condition(line: str) -> LineReading:
    """Read a line that holds the name of a condition's folder.

    >>> read_condition("Sinus_Rhythm").mentions[0].concept
    'Sinus rhythm'
    """
    return look_up("condition_folders", line, rule=FOLDER_RULE)
