"""The recordings of one cell: a stored source, labelled anew, as a model reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.build import Manifest, QualityPolicy, build_manifest
from ecg_assets.build.builder import TrainLimit, keep_scorable
from ecg_assets.build.fractions import UNUSED, take_train_fraction
from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.evaluation.evaluate import evaluate_checkpoint
from ecg_assets.evaluation.external.labels import keep_names, label_external, widen_labels
from ecg_assets.evaluation.matrix.design import Cell
from ecg_assets.evaluation.matrix.linear_probe import ProbeGrid, fit_probe
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.sets import EvaluationSet, Part, Relation
from ecg_assets.known import is_known, is_positive
from ecg_assets.labels import LabelSet, LabelVocabulary
from ecg_assets.models.predictions import Predictions, ValidationPredictions
from ecg_assets.preprocess import SignalSpec
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST
from ecg_assets.split import SPLIT
from ecg_assets.store import SourceStore


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
    stored: SourceStore,
    label_set: LabelSet,
    spec: SignalSpec,
    *,
    threshold: float = 0.5,
    quality: QualityPolicy | None = None,
    train_limit: TrainLimit | None = None,
    train_fraction: float = 1.0,
    seed: int = 0,
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
    train_fraction, seed
        Share of the training patients, as `take_train_fraction` takes it.

    Raises
    ------
    SettingsError
        When a part of the source's results is not stored, or a split has no recording.
    SchemaError
        When the shards lack a lead of the spec, or no label can be trained.
    SpecMismatch
        When the source's coding can express none of the labels.
    """
    stored.require_complete()
    records = stored.read_table(RECORD_LIST)
    labelled = label_external(
        stored.read_table(MACHINE_REPORTS), label_set, threshold=threshold, records=records
    )
    manifest = build_manifest(
        records,
        labelled.labels,
        stored.read_table(SPLIT),
        stored.shards,
        spec=spec,
        vocabulary=labelled.label_set.vocabulary,
        quality=quality,
        train_limit=train_limit,
    )
    manifest = take_train_fraction(manifest, train_fraction, seed=seed)
    everything = np.flatnonzero((manifest.index["split"] != UNUSED).to_numpy())
    manifest = manifest.take(keep_scorable(manifest, everything, stored.shards))
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
        select_labels(manifest, kept),
        label_set.vocabulary,
        _in_order({**labelled.unmapped, **untrained}, label_set.vocabulary),
    )


def find_one_sided(manifest: Manifest) -> dict[str, str]:
    """Find the labels that train has positives or negatives of alone, with the reason."""
    train = manifest.targets[manifest.rows("train")]
    reasons = {}
    counts = zip(is_positive(train).sum(axis=0), is_known(train).sum(axis=0), strict=True)
    for name, (n_pos, n_known) in zip(manifest.vocabulary.names, counts, strict=True):
        if n_pos in {0, n_known}:
            kind = "no positive" if n_pos == 0 else "no negative"
            reasons[name] = f"{kind} record in the train split of {n_known} records"
    return reasons


def _require_splits(manifest: Manifest, source: str) -> None:
    empty = [name for name in ("train", "valid", "test") if not len(manifest.rows(name))]
    if empty:
        raise SettingsError(
            f"No usable recording of {source} is in {', '.join(empty)}. Split it in three "
            "(ECG_SEED, ECG_SPLIT), or store more recordings."
        )


def select_labels(manifest: Manifest, names: list[str]) -> Manifest:
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


# Scores of one cell, and what they are worth.


@dataclass(frozen=True)
class CellScores:
    """Scores of the labels that a cell's model was trained for.

    Attributes
    ----------
    validation
        Of the valid split: thresholds come from these.
    test
        Of the test split.
    """

    validation: ValidationPredictions
    test: Predictions


def probe_features(
    manifest: Manifest,
    features: NDArray[np.float32],
    *,
    tested: tuple[Manifest, NDArray[np.float32]] | None = None,
    grid: ProbeGrid | None = None,
) -> tuple[CellScores, pd.DataFrame]:
    """Fit a logistic regression on the train split and score valid and test.

    Parameters
    ----------
    manifest
        The recordings; each label has positives and negatives in train.
    features
        Of each recording of the manifest, ``(record, feature)``; not looked at where it is in no
        split.
    tested
        Manifest and features that the test split is taken from, where it is another's.
    grid
        What the regression is chosen from; `ProbeGrid()` by default.

    Returns
    -------
    tuple
        Scores, and the choices of `LinearProbe`.
    """
    train, valid = (manifest.rows(split) for split in ("train", "valid"))
    probe = fit_probe(
        features[train],
        manifest.targets[train],
        features[valid],
        manifest.targets[valid],
        manifest.vocabulary.names,
        grid=grid,
    )
    other, of_other = tested or (manifest, features)
    test = other.rows("test")
    scores = CellScores(
        ValidationPredictions.of_rows(manifest, valid, probe.score(features[valid])),
        Predictions.of_rows(other, test, probe.score(of_other[test])),
    )
    return scores, probe.choices


def measure_cell(
    cell: Cell,
    data: CellData,
    scores: CellScores,
    lineage: Mapping[str, str],
    *,
    n_resamples: int,
    seed: int,
) -> EvaluationResult:
    """Compute metrics with intervals of a cell's test split, over all labels of its label set.

    Parameters
    ----------
    data
        What the cell was trained on; its `left_out` labels have no numbers.
    lineage
        Input to the fingerprint of its content.
    n_resamples, seed
        Of the bootstrap over patients.
    """
    widen = data.vocabulary, data.left_out
    return evaluate_checkpoint(
        widen_labels(scores.validation, *widen),
        widen_labels(scores.test, *widen),
        checkpoint=cell.row,
        evaluation_set=EvaluationSet(cell.source, Part.TEST, cell.label_set),
        relation=Relation.OWN,
        signal_spec=data.manifest.spec.to_json(),
        lineage=lineage,
        n_resamples=n_resamples,
        seed=seed,
        unmapped=data.left_out,
    )
