"""Diagnosis codes of SNOMED CT to concepts."""

from __future__ import annotations

from ecg_assets.labels.codes import load_code_table, look_up
from ecg_assets.labels.reading import LineReading

SNOMED_RULE = "snomed-ct code"


def load_codes() -> dict[str, str]:
    """Read ``snomed_ct.yaml``: code to concept."""
    return load_code_table("snomed_ct")


def read_code(line: str) -> LineReading:
    """Read a line that holds one code.

    >>> read_code("164889003").mentions[0].concept
    'Atrial fibrillation'
    >>> read_code("1").unread
    ('1',)
    """
    return look_up("snomed_ct", line, rule=SNOMED_RULE)
