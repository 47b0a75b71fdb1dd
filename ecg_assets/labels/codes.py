"""Diagnosis codes to concepts: one table, one file a coding."""

from __future__ import annotations

from functools import lru_cache

from ecg_assets.labels.knowledge import load_knowledge
from ecg_assets.labels.reading import LineReading, Mention
from ecg_assets.labels.yaml_tables import read_table


@lru_cache(maxsize=8)
def load_code_table(name: str) -> dict[str, str]:
    """Read ``<name>.yaml`` of this room: code to concept.

    Raises
    ------
    ValueError
        When a concept is not in ``concepts.yaml``.
    """
    codes = {str(code): str(concept) for code, concept in read_table(name)["codes"].items()}
    unknown = sorted(set(codes.values()) - set(load_knowledge().wordings))
    if unknown:
        raise ValueError(f"{name}.yaml names concepts that concepts.yaml lacks: {unknown}.")
    return codes


def look_up(table: str, code: str, *, rule: str, probability: float = 1.0) -> LineReading:
    """Read a line that holds one code; a code that the table lacks is left unread."""
    code = code.strip()
    concept = load_code_table(table).get(code)
    if concept is None:
        return LineReading((), (code,) if code else ())
    return LineReading((Mention(concept, code, rule, probability),), ())
