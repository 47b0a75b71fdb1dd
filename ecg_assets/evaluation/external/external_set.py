"""Another stored dataset as an evaluation set of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ecg_assets.build import Manifest, QualityPolicy, build_manifest
from ecg_assets.errors import LeakageError, SchemaError
from ecg_assets.evaluation.external.external_labels import label_external
from ecg_assets.evaluation.external.shared_recordings import SHARED_RECORDINGS
from ecg_assets.evaluation.external.stored_source import StoredSource
from ecg_assets.labels import LabelSet, require_same_labels
from ecg_assets.models.checkpoint_files import CheckpointCard
from ecg_assets.models.predictions import ValidationPredictions


@dataclass(frozen=True)
class SetKind:
    """What a dataset is to a checkpoint.

    Attributes
    ----------
    name
        The evaluation set in words.
    is_test_split
        Whether the checkpoint was trained on the dataset, so that its test split alone counts.
    note
        Why the set is not called external; empty where it is.
    """

    name: str
    is_test_split: bool = False
    note: str = ""


@dataclass(frozen=True)
class ExternalSet:
    """Recordings of another dataset, labelled as far as its coding can.

    Attributes
    ----------
    source
        The dataset.
    kind
        What it is to the checkpoint.
    manifest
        The recordings, with the checkpoint's signal spec, and those of its labels that the
        coding can express.
    unmapped
        Its other labels, each with the reason.
    """

    source: str
    kind: SetKind
    manifest: Manifest
    unmapped: dict[str, str]


def describe_set(source: str, trained_on: Mapping[str, str]) -> SetKind:
    """Say what a dataset is to a checkpoint.

    Parameters
    ----------
    source
        The dataset to evaluate on.
    trained_on
        ``source`` and more of the checkpoint's training data; empty where it is unknown.

    >>> describe_set("code-15", {"source": "mimic-iv-ecg"}).name
    'code-15, all recordings (external)'
    """
    trained = trained_on.get("source", "")
    everything = f"{source}, all recordings"
    if not trained:
        note = "What the checkpoint was trained on is unknown; it may have seen these recordings."
        return SetKind(f"{everything} (training data unknown)", note=note)
    if trained == source:
        note = "The checkpoint was trained on the other splits of this dataset."
        return SetKind(f"{source}, test split", is_test_split=True, note=note)
    overlap = SHARED_RECORDINGS.get(frozenset({source, trained}))
    if overlap:
        note = f"{overlap} The checkpoint was trained on {trained}: not an external set."
        return SetKind(f"{everything} (overlaps with the training data)", note=note)
    return SetKind(f"{everything} (external)")


def build_external_set(
    stored: StoredSource,
    card: CheckpointCard,
    label_set: LabelSet,
    validation: ValidationPredictions,
    *,
    threshold: float = 0.5,
    quality: QualityPolicy | None = None,
) -> ExternalSet:
    """Label another dataset's stored recordings anew and choose those to evaluate on.

    Parameters
    ----------
    stored
        The dataset's results.
    card
        The checkpoint: its signal spec replaces that of the dataset's own manifests.
    label_set
        Rules of the checkpoint's labels.
    validation
        Predictions of the checkpoint's validation split.
    threshold
        Lowest probability that makes a label true.
    quality
        Which recordings are good enough; `QualityPolicy()` by default.

    Raises
    ------
    SpecMismatch
        When the label set's labels are not the checkpoint's, or the coding expresses none.
    SchemaError
        When the shards lack a lead of the spec, or no recording is left.
    LeakageError
        When the dataset is now split otherwise than for the training.
    """
    require_same_labels(card.vocabulary, label_set.vocabulary, where="the current label set")
    kind = describe_set(stored.name, card.trained_on)
    external = label_external(stored.read_reports(), label_set, threshold=threshold)
    manifest = build_manifest(
        stored.read_records(),
        external.labels,
        stored.read_split(),
        stored.shard_folder,
        spec=card.spec,
        vocabulary=external.label_set.vocabulary,
        quality=quality,
    )
    if kind.is_test_split:
        manifest = _take_test_split(manifest, validation, stored.name)
    return ExternalSet(stored.name, kind, manifest, external.unmapped)


def _take_test_split(
    manifest: Manifest, validation: ValidationPredictions, source: str
) -> Manifest:
    """Keep the test split; the patients that thresholds were chosen on must be in valid."""
    split = manifest.index["split"].to_numpy()
    was_valid = np.isin(manifest.index["subject_id"].to_numpy(str), validation.subject_ids)
    if not was_valid.any() or (split[was_valid] != "valid").any():
        raise LeakageError(
            f"The stored split of {source} is not the one of the checkpoint's training: "
            f"{len(np.unique(validation.subject_ids))} patients were its validation split, and "
            f"{int((split[was_valid] == 'valid').sum())} of their {int(was_valid.sum())} "
            "recordings are in valid now. Split as for training, or train again."
        )
    rows = np.flatnonzero(split == "test")
    if not len(rows):
        raise SchemaError(f"No usable recording of {source} is in its test split.")
    return manifest.take(rows)
