"""What a reading means for the labels of a vocabulary."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ecg_assets.errors import SchemaError
from ecg_assets.labels.code_15 import CODE_15_RULE, read_column
from ecg_assets.labels.condition_folders import FOLDER_RULE, read_condition
from ecg_assets.labels.knowledge import DEFINITE, load_knowledge
from ecg_assets.labels.own_labels import OWN_RULE, is_own, read_own_label
from ecg_assets.labels.reading import LineReading, Mention, read_line
from ecg_assets.labels.report_lines import DistinctLine
from ecg_assets.labels.scp_ecg import SCP_RULE, read_statement
from ecg_assets.labels.snomed_ct import SNOMED_RULE, read_code
from ecg_assets.sources.schema import (
    CODE_15,
    CODINGS,
    CONDITION_FOLDER,
    OWN_LABELS,
    REPORT_TEXT,
    SCP_ECG,
    SNOMED_CT,
)

_READERS = {
    REPORT_TEXT: read_line,
    SNOMED_CT: read_code,
    SCP_ECG: read_statement,
    CODE_15: read_column,
    OWN_LABELS: read_own_label,
    CONDITION_FOLDER: read_condition,
}
_CODE_RULES = (SNOMED_RULE, SCP_RULE, CODE_15_RULE, OWN_RULE, FOLDER_RULE)
"""Rules that a certainty does not replace: the code is the reason."""


class Reason(NamedTuple):
    """Why a concept that is asked for is true, uncertain or rejected."""

    concept: str
    matched: str
    rule: str
    probability: float


def read_distinct(line: DistinctLine) -> LineReading:
    """Read a line by its coding.

    Raises
    ------
    SchemaError
        When the coding is unknown.
    """
    if line.coding not in _READERS:
        raise SchemaError(
            f"machine_reports: coding is {line.coding!r}; expected one of {', '.join(CODINGS)}."
        )
    return _READERS[line.coding](line.text)


def find_reasons(reading: LineReading, concepts: Collection[str]) -> list[Reason]:
    """List reasons for the concepts asked for, of a line's mentions and what they imply.

    >>> from ecg_assets.labels.reading import read_line
    >>> find_reasons(read_line("Sinus bradycardia"), ["Bradycardia"])
    [Reason(concept='Bradycardia', matched='sinus bradycardia', rule='stated', probability=1.0)]
    """
    reasons = {
        Reason(concept, mention.matched, *_verdict(mention, certainty)): None
        for mention in reading.mentions
        for concept, certainty in _implied(mention.concept).items()
        if concept in concepts
    }
    return list(reasons)


def _implied(concept: str) -> dict[str, str]:
    """List what a concept implies, itself included; an own label implies nothing else."""
    return {concept: DEFINITE} if is_own(concept) else load_knowledge().implied[concept]


def _verdict(mention: Mention, certainty: str) -> tuple[str, float]:
    """Rule and probability of what a mention implies with this certainty."""
    ceiling = load_knowledge().uncertainty[certainty]
    if mention.probability <= ceiling:
        return mention.rule, mention.probability
    return mention.rule if mention.rule in _CODE_RULES else certainty, ceiling
