"""Diagnosis codes of SNOMED CT to concepts."""

from __future__ import annotations

from functools import lru_cache

from ecg_assets.labels.knowledge import load_knowledge
from ecg_assets.labels.reading import LineReading, Mention
from ecg_assets.labels.yaml_tables import read_table

SNOMED_RULE = "snomed-ct code"


@lru_cache(maxsize=1)
def load_codes() -> dict[str, str]:
    """Read ``snomed_ct.yaml``: code to concept.

    Raises
    ------
    ValueError
        When a concept is not in ``concepts.yaml``.
    """
    codes = {str(code): str(name) for code, name in read_table("snomed_ct")["codes"].items()}
    unknown = sorted(set(codes.values()) - set(load_knowledge().wordings))
    if unknown:
        raise ValueError(f"snomed_ct.yaml names concepts that concepts.yaml lacks: {unknown}.")
    return codes


def read_code(line: str) -> LineReading:
    """Read a line that holds one code.

    >>> read_code("164889003").mentions[0].concept
    'Atrial fibrillation'
    >>> read_code("1").unread
    ('1',)
    """
    code = line.strip()
    concept = load_codes().get(code)
    if concept is None:
        return LineReading((), (code,) if code else ())
    return LineReading((Mention(concept, code, SNOMED_RULE, 1.0),), ())
