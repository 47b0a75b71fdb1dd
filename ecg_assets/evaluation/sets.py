"""Evaluation sets as values: which recordings and labels, and what they are to a checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.build import Manifest
from ecg_assets.errors import LeakageError
from ecg_assets.evaluation.leakage import StageOverlap, find_overlaps
from ecg_assets.lineage import fingerprint_bytes, fingerprint_json
from ecg_assets.models.predictions import Predictions
from ecg_assets.models.seen_patients import FINE_TUNING, UNKNOWN, SeenPatients
from ecg_assets.sources.datasets import shared_recordings


class Part(StrEnum):
    """Which recordings of a dataset an evaluation is of."""

    TEST = "test"
    ALL = "all"
    CHOSEN = "chosen"


class Relation(StrEnum):
    """What a dataset is to a checkpoint."""

    OWN = "own"
    EXTERNAL = "external"
    SHARED = "shares-recordings"
    UNKNOWN = "unknown"


_PARTS = {Part.TEST: "test split", Part.ALL: "all recordings", Part.CHOSEN: "chosen recordings"}
RELATIONS = {
    Relation.OWN: "test split of its training data",
    Relation.EXTERNAL: "external",
    Relation.SHARED: "overlaps with the training data",
    Relation.UNKNOWN: "training data unknown",
}
"""Each relation in words."""


@dataclass(frozen=True)
class EvaluationSet:
    """Recordings that checkpoints are measured on; equal ones are measured alike.

    Attributes
    ----------
    source
        The dataset.
    part
        Which recordings of it.
    label_set
        Name of the labels where there are several for one dataset; empty otherwise.
    content_sha256
        Of the recordings' names, the labels' names and the targets; empty while not known.
    """

    source: str
    part: Part
    label_set: str = ""
    content_sha256: str = ""

    @property
    def name(self) -> str:
        """The set in words, without what tells two of one kind apart.

        >>> EvaluationSet("ptb-xl", Part.ALL).name
        'ptb-xl, all recordings'
        """
        labels = f", labels {self.label_set}" if self.label_set else ""
        return f"{self.source}, {_PARTS[self.part]}{labels}"

    def describe(self, relation: Relation) -> str:
        """Put the set in words, and what else it is to a checkpoint than its own test split.

        >>> EvaluationSet("ptb-xl", Part.ALL).describe(Relation.EXTERNAL)
        'ptb-xl, all recordings (external)'
        >>> EvaluationSet("ptb-xl", Part.TEST).describe(Relation.OWN)
        'ptb-xl, test split'
        """
        return self.name if relation == Relation.OWN else f"{self.name} ({RELATIONS[relation]})"

    def of(self, predictions: Predictions, left_out: Collection[str] = ()) -> EvaluationSet:
        """Name the content by predictions of it; labels that are left out do not count."""
        names = predictions.vocabulary.names
        kept = sorted(name for name in names if name not in left_out)
        order = np.argsort(predictions.record_ids)
        target = predictions.target[order][:, [names.index(name) for name in kept]]
        content = fingerprint_bytes(
            fingerprint_json([predictions.record_ids[order].tolist(), kept]).encode(),
            np.ascontiguousarray(target).tobytes(),
        )
        return replace(self, content_sha256=content)

    def to_json(self) -> dict[str, str]:
        """Fields as JSON values; `from_json` reads them back."""
        return {name: str(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> EvaluationSet:
        """Build a set from `to_json`'s value."""
        return cls(**{**value, "part": Part(value["part"])})


def name_sets(sets: Sequence[EvaluationSet]) -> dict[EvaluationSet, str]:
    """Give each set its words; those of the same words get the start of their content's hash."""
    distinct = list(dict.fromkeys(sets))
    names = [one.name for one in distinct]
    return {
        one: f"{one.name} #{one.content_sha256[:6]}" if names.count(one.name) > 1 else one.name
        for one in distinct
    }


def relate(seen: SeenPatients, source: str) -> Relation:
    """Say what a dataset is to a checkpoint; recordings in common count in its whole history.

    A dataset that its own training read is its own, whatever came before.
    """
    trained = seen.stages[0]
    if trained.kind != UNKNOWN and trained.source == source:
        return Relation.OWN
    if any(shared_recordings(stage.source, source) for stage in seen.stages):
        return Relation.SHARED
    if trained.kind == UNKNOWN or not trained.source:
        return Relation.UNKNOWN
    return Relation.EXTERNAL


def choose_part(seen: SeenPatients, source: str, *, gave_thresholds: bool) -> Part:
    """Choose the test split of a dataset that training or thresholds read, or all of another one.

    Parameters
    ----------
    gave_thresholds
        Whether the thresholds of a checkpoint whose training is unknown come from the dataset's
        validation split.
    """
    relation = relate(seen, source)
    is_read = relation == Relation.OWN or (relation == Relation.UNKNOWN and gave_thresholds)
    return Part.TEST if is_read else Part.ALL


def choose_unseen_rows(
    seen: SeenPatients, manifest: Manifest, source: str, part: Part
) -> tuple[NDArray[np.int64], list[StageOverlap]]:
    """Choose the rows of a manifest's index that a part is; give also what trainings saw of them.

    Raises
    ------
    LeakageError
        As `require_unseen`.
    """
    rows = np.arange(len(manifest.index)) if part == Part.ALL else manifest.rows("test")
    patients = manifest.index["subject_id"].iloc[rows].tolist()
    return rows, require_unseen(seen, patients, source)


def require_unseen(
    seen: SeenPatients, subject_ids: Collection[object], source: str
) -> list[StageOverlap]:
    """Find what the trainings behind a checkpoint saw of the patients to evaluate on.

    Raises
    ------
    LeakageError
        When labels of some were learned: their test is worth nothing.
    """
    overlaps = find_overlaps(seen, subject_ids, source)
    for found in overlaps:
        if found.n_seen and found.stage.kind == FINE_TUNING:
            raise LeakageError(
                f"{found.n_seen} of {len(set(subject_ids))} patients of the test split of {source} "
                f"were in train or valid of {found.stage.name}, which was split by "
                f"{found.stage.split_rule or 'an unnamed rule'!r}. Split as for that training "
                "(ECG_SEED, ECG_VALID_SHARE, ECG_TEST_SHARE, ECG_META_SPLIT) and materialize split "
                "and manifests again, or train again."
            )
    return overlaps
