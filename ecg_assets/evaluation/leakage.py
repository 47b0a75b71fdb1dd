"""Patients of an evaluation set that a checkpoint was trained or pre-trained on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ecg_assets.models.families import FAMILIES
from ecg_assets.models.seen_patients import FINE_TUNING, UNKNOWN, SeenPatients, TrainingStage
from ecg_assets.sources.datasets import shared_recordings


@dataclass(frozen=True)
class StageOverlap:
    """What one training saw of the evaluated patients.

    Attributes
    ----------
    stage
        The training.
    n_seen
        Evaluated patients in its train or valid split; None where they cannot be counted.
    is_leak
        Whether it is known to have seen evaluated patients.
    statement
        How that is known, or why it is not, in a sentence.
    """

    stage: TrainingStage
    n_seen: int | None
    is_leak: bool
    statement: str

    @property
    def saw_labels(self) -> bool:
        """Whether labels of evaluated patients were learned."""
        return self.is_leak and self.stage.kind == FINE_TUNING

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; counts, no patient's id."""
        return {
            "training": self.stage.name,
            "kind": self.stage.kind,
            "source": self.stage.source,
            "split_rule": self.stage.split_rule,
            "evaluated_patients_seen": self.n_seen,
            "is_leak": self.is_leak,
            "statement": self.statement,
        }


def find_overlaps(
    seen: SeenPatients, subject_ids: Collection[object], source: str
) -> list[StageOverlap]:
    """Compare the evaluated patients with those of every training behind a checkpoint.

    Parameters
    ----------
    seen
        What the checkpoint's folder says of its trainings.
    subject_ids
        Patients of the evaluation set.
    source
        Dataset that they are of.
    """
    counts = seen.count(subject_ids, source)
    return [
        _judge(stage, n_seen, source) for stage, n_seen in zip(seen.stages, counts, strict=True)
    ]


def _judge(stage: TrainingStage, n_seen: int | None, source: str) -> StageOverlap:
    if n_seen is not None:
        found = "Compared with the patients that it was trained and validated on."
        return StageOverlap(stage, n_seen, n_seen > 0, found)
    if stage.kind == UNKNOWN or not stage.source:
        known = "".join(
            f" {family.pretrained_on}, {family.pretrained_part}."
            for family in FAMILIES.values()
            if source in family.pretrained_sources and stage.family in ("", family.name)
        )
        unknown = f"Unknown: nothing stored here says which patients it saw.{known}"
        return StageOverlap(stage, None, False, unknown)
    shared = shared_recordings(stage.source, source)
    apart = f"Trained on {stage.source}, whose ids say nothing about patients of {source}."
    return StageOverlap(stage, None, shared is not None, shared or apart)


def overlap_table(overlaps: Sequence[StageOverlap]) -> pd.DataFrame:
    """Say of each training what it is and what it saw; counts, no patient's id."""
    return pd.DataFrame([found.to_json() for found in overlaps])


def describe_overlaps(overlaps: Sequence[StageOverlap], n_patients: int) -> str:
    """Say of each training how many of the evaluated patients it saw, in sentences."""
    return " ".join(
        f"{found.stage.name}: {found.statement}"
        if found.n_seen is None
        else f"{found.stage.name}: saw {found.n_seen} of {n_patients} test patients."
        for found in overlaps
    )
