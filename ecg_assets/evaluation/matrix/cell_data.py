"""The recordings of one cell: a stored source, labelled anew, as a model reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ecg_assets.build import Manifest, QualityPolicy, build_manifest
from ecg_assets.build.train_limit import TrainLimit
from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.evaluation.external.external_labels import keep_names, label_external
from ecg_assets.evaluation.external.stored_source import StoredSource
from ecg_assets.labels import LabelSet, LabelVocabulary
from ecg_assets.preprocess import SignalSpec


@dataclass(frozen=True)
class CellData:
    """What a cell trains on and is measured on.

    Attributes
    ----------
    manifest
        The recordings, with the labels that the source can express and train can teach.
    vocabulary
        All labels of the label set.
    left_out
        The others, each with the reason.
    """

    manifest: Manifest
    vocabulary: LabelVocabulary
    left_out: dict[str, str]


def build_cell_data(
    stored: StoredSource,
    label_set: LabelSet,
    spec: SignalSpec,
    *,
    threshold: float = 0.5,
    quality: QualityPolicy | None = None,
    train_limit: TrainLimit | None = None,
) -> CellData:
    """Label a stored source's recordings anew and choose those that a model can read.

    Parameters
    ----------
    stored
        The source's results.
    label_set
        Labels of the cell, with their rules.
    spec
        What the model reads.
    threshold
        Lowest probability that makes a label true.
    quality, train_limit
        As `build_manifest` takes them.

    Raises
    ------
    SettingsError
        When a part of the source's results is not stored, or a split has no recording.
    SchemaError
        When the shards lack a lead of the spec, or no label can be trained.
    SpecMismatch
        When the source's coding can express none of the labels.
    """
    missing = stored.find_missing()
    if missing:
        raise SettingsError(
            f"{stored.folder} lacks {', '.join(missing)}. Materialize up to manifests with "
            f"ECG_SOURCE={stored.name}."
        )
    labelled = label_external(stored.read_reports(), label_set, threshold=threshold)
    manifest = build_manifest(
        stored.read_records(),
        labelled.labels,
        stored.read_split(),
        stored.shard_folder,
        spec=spec,
        vocabulary=labelled.label_set.vocabulary,
        quality=quality,
        train_limit=train_limit,
    )
    _require_splits(manifest, stored.name)
    untrained = find_one_sided(manifest)
    kept = [name for name in manifest.vocabulary.names if name not in untrained]
    if not kept:
        raise SchemaError(
            f"No label has both positive and negative recordings in the train split of "
            f"{stored.name}: {next(iter(untrained.values()))}. Take another label set, store "
            "more recordings, or lower ECG_LABEL_THRESHOLD."
        )
    return CellData(
        _select_labels(manifest, kept),
        label_set.vocabulary,
        _in_order({**labelled.unmapped, **untrained}, label_set.vocabulary),
    )


def find_one_sided(manifest: Manifest) -> dict[str, str]:
    """Find the labels that train has positives or negatives of alone, with the reason."""
    train = manifest.targets[manifest.rows("train")]
    reasons = {}
    for name, n_pos in zip(manifest.vocabulary.names, train.sum(axis=0), strict=True):
        if n_pos in {0, len(train)}:
            kind = "no positive" if n_pos == 0 else "no negative"
            reasons[name] = f"{kind} record in the train split of {len(train)} records"
    return reasons


def _require_splits(manifest: Manifest, source: str) -> None:
    empty = [name for name in ("train", "valid", "test") if not len(manifest.rows(name))]
    if empty:
        raise SettingsError(
            f"No usable recording of {source} is in {', '.join(empty)}. Split it in three "
            "(ECG_SEED, ECG_SPLIT), or store more recordings."
        )


def _select_labels(manifest: Manifest, names: list[str]) -> Manifest:
    """Keep some labels of a manifest, in its order."""
    columns = np.array([manifest.vocabulary.names.index(name) for name in names])
    return replace(
        manifest,
        targets=np.ascontiguousarray(manifest.targets[:, columns]),
        vocabulary=keep_names(manifest.vocabulary, names),
        pos_weight=manifest.pos_weight[columns],
    )


def _in_order(reasons: Mapping[str, str], vocabulary: LabelVocabulary) -> dict[str, str]:
    return {name: reasons[name] for name in vocabulary.names if name in reasons}
