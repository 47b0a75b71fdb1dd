"""What the outputs of ECGFounder's public checkpoints mean."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from ecg_assets.labels.label_vocabulary import LabelVocabulary


@cache
def ecg_founder_labels() -> LabelVocabulary:
    """Read the 150 statements in the order of the outputs; segments are averaged.

    >>> names = ecg_founder_labels().names
    >>> len(names), names[5]
    (150, 'ATRIAL FIBRILLATION')
    """
    names = tuple(_read()["statements"])
    return LabelVocabulary(names, ("mean",) * len(names))


def find_statements(vocabulary: LabelVocabulary) -> list[str] | None:
    """Find the statement that stands for each label; None unless every label has one.

    >>> find_statements(LabelVocabulary(("AFLT", "RBBB"), ("mean", "mean")))
    ['ATRIAL FLUTTER', 'RIGHT BUNDLE BRANCH BLOCK']
    """
    statement_of: dict[str, str] = _read()["six_conditions"]
    if not set(vocabulary.names) <= set(statement_of):
        return None
    return [statement_of[name] for name in vocabulary.names]


@cache
def _read() -> dict[str, Any]:
    text = files("ecg_assets.models").joinpath("ecg_founder_labels.yaml").read_text("utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    return table
