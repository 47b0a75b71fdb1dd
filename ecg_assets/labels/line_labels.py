"""What a reading means for the labels of a vocabulary."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ecg_assets.errors import SchemaError
from ecg_assets.labels.knowledge import load_knowledge
from ecg_assets.labels.reading import LineReading, Mention, read_line
from ecg_assets.labels.report_lines import DistinctLine
from ecg_assets.labels.snomed_ct import SNOMED_RULE, read_code
from ecg_assets.sources.schema import REPORT_TEXT, SNOMED_CT


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
    if line.coding == REPORT_TEXT:
        return read_line(line.text)
    if line.coding == SNOMED_CT:
        return read_code(line.text)
    raise SchemaError(
        f"machine_reports: coding is {line.coding!r}; expected {REPORT_TEXT!r} or {SNOMED_CT!r}."
    )


def find_reasons(reading: LineReading, concepts: Collection[str]) -> list[Reason]:
    """List reasons for the concepts asked for, of a line's mentions and what they imply.

    >>> from ecg_assets.labels.reading import read_line
    >>> find_reasons(read_line("Sinus bradycardia"), ["Bradycardia"])
    [Reason(concept='Bradycardia', matched='sinus bradycardia', rule='stated', probability=1.0)]
    """
    reasons = {
        Reason(concept, mention.matched, *_verdict(mention, certainty)): None
        for mention in reading.mentions
        for concept, certainty in load_knowledge().implied[mention.concept].items()
        if concept in concepts
    }
    return list(reasons)


def _verdict(mention: Mention, certainty: str) -> tuple[str, float]:
    """Rule and probability of what a mention implies with this certainty."""
    ceiling = load_knowledge().uncertainty[certainty]
    if mention.probability <= ceiling:
        return mention.rule, mention.probability
    return mention.rule if mention.rule == SNOMED_RULE else certainty, ceiling
