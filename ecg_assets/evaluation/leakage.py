"""Patients of an evaluation set that a checkpoint was trained or pre-trained on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ecg_assets.build import INDEX, fingerprint_manifest, read_manifest
from ecg_assets.errors import SchemaError
from ecg_assets.evaluation.external.shared_recordings import SHARED_RECORDINGS
from ecg_assets.evaluation.training_history import TrainingStage
from ecg_assets.lineage import fingerprint_table
from ecg_assets.models.families import FAMILIES
from ecg_assets.split import parse_hash_rule, split_by_patient


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


def find_overlaps(
    stages: Sequence[TrainingStage], subject_ids: Collection[str], source: str
) -> list[StageOverlap]:
    """Compare the evaluated patients with those of every training behind a checkpoint.

    The train and the validation split both count as seen: one gives weights, the other
    chooses the epoch and the thresholds.

    Parameters
    ----------
    stages
        As `trace_training` gives them.
    subject_ids
        Patients of the evaluation set.
    source
        Dataset that they are of.
    """
    evaluated = {str(patient) for patient in subject_ids}
    return [_compare(stage, evaluated, source) for stage in stages]


def _compare(stage: TrainingStage, evaluated: set[str], source: str) -> StageOverlap:
    if stage.kind == "unknown" or not stage.source:
        known = "".join(
            f" {family.pretrained_on}, its test patients included."
            for family in FAMILIES.values()
            if source in family.pretrained_sources
        )
        unknown = f"Unknown: nothing stored here says which patients it saw.{known}"
        return StageOverlap(stage, None, False, unknown)
    if stage.source != source:
        shared = SHARED_RECORDINGS.get(frozenset({stage.source, source}))
        apart = f"Trained on {stage.source}, whose ids say nothing about patients of {source}."
        return StageOverlap(stage, None, shared is not None, shared or apart)
    for folder in stage.manifest_folders:
        index = _read_index(folder, stage)
        if index is not None:
            learned = index.loc[index["split"] != "test", "subject_id"].astype(str)
            n_seen = len(evaluated & set(learned))
            found = "Compared with the recordings that it read."
            return StageOverlap(stage, n_seen, n_seen > 0, found)
    return _compare_by_rule(stage, evaluated)


def _compare_by_rule(stage: TrainingStage, evaluated: set[str]) -> StageOverlap:
    """Repeat the split of a training whose manifest is no longer stored."""
    found = parse_hash_rule(stage.split_rule)
    if found is None:
        rule = stage.split_rule or "unnamed"
        unknown = f"Unknown: its manifest is not stored, and its split ({rule}) is none to repeat."
        return StageOverlap(stage, None, False, unknown)
    patients = pd.DataFrame({"record_id": sorted(evaluated), "subject_id": sorted(evaluated)})
    seed, shares = found
    split = split_by_patient(patients, seed=seed, shares=shares)["split"]
    n_seen = int((split != "test").sum())
    by_rule = f"By its split rule ({stage.split_rule}); its manifest is not stored."
    return StageOverlap(stage, n_seen, n_seen > 0, by_rule)


def _read_index(folder: Path, stage: TrainingStage) -> pd.DataFrame | None:
    """Read the index that a training read, or None where another one is stored now."""
    inputs = stage.inputs or {}
    try:
        manifest = read_manifest(folder)
    except (SchemaError, OSError, ValueError, KeyError):
        return None  # it was moved, or is of another version: the split rule is asked instead
    if inputs.get("manifests") == fingerprint_manifest(manifest):
        return manifest.index
    recordings = fingerprint_table(INDEX.from_pandas(manifest.index))
    return manifest.index if inputs.get("recordings") == recordings else None


def overlap_table(overlaps: Sequence[StageOverlap]) -> pd.DataFrame:
    """Say of each training what it is and what it saw; counts, no patient's id."""
    rows = [
        {
            "training": found.stage.name,
            "kind": found.stage.kind,
            "source": found.stage.source,
            "split_rule": found.stage.split_rule,
            "evaluated_patients_seen": found.n_seen,
            "statement": found.statement,
        }
        for found in overlaps
    ]
    return pd.DataFrame(rows)
