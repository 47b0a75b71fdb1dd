"""Join recordings, labels, split and shards into a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.build.class_weights import positive_weights
from ecg_assets.build.manifest import INDEX, Manifest
from ecg_assets.build.quality import QualityPolicy, judge_shard
from ecg_assets.build.train_limit import OVER_LIMIT, TrainLimit
from ecg_assets.errors import SchemaError
from ecg_assets.labels import LabelVocabulary, label_matrix
from ecg_assets.preprocess import SignalSpec
from ecg_assets.split import require_no_leakage


def build_manifest(
    records: pd.DataFrame,
    labels: pd.DataFrame,
    split: pd.DataFrame,
    shards: Mapping[str, Path] | Path,
    *,
    spec: SignalSpec,
    vocabulary: LabelVocabulary,
    quality: QualityPolicy | None = None,
    train_limit: TrainLimit | None = None,
) -> Manifest:
    """Build the manifest of all usable recordings; each other one is listed with a reason.

    The first reason that applies counts: ``shard_not_stored``, ``no_signal`` (the shard
    rejected it), ``no_split``, ``unlabelled``, ``too_short``, ``flat_lead``,
    ``missing_samples``, ``over_limit``.

    Parameters
    ----------
    records, labels, split
        Tables as `RECORD_LIST`, `LABELS` and `SPLIT` declare.
    shards
        File of each stored shard by its name, or the folder of such files.
    spec, vocabulary
        What the model is going to see, and its labels.
    quality
        Which recordings are good enough; `QualityPolicy()` by default.
    train_limit
        How many recordings of each label the training split may have; all by default. Of valid
        and test all stay, so that metrics are those of the labels' own prevalence.

    Raises
    ------
    SchemaError
        When a key stands twice, a shard lacks a lead, or no recording is left.
    LeakageError
        When a patient stands in two splits.
    """
    judged = _judge_shards(records, shards, spec, quality or QualityPolicy())
    joined = _join(records, split, judged)
    record_ids, values, _ = label_matrix(labels, vocabulary)
    joined["label_row"] = pd.Index(record_ids).get_indexer(pd.Index(joined["record_id"]))
    reason = np.select(
        [
            ~joined["shard"].isin(judged["shard"]),
            joined["row"].isna(),
            joined["split"].isna(),
            joined["label_row"] < 0,
        ],
        ["shard_not_stored", "no_signal", "no_split", "unlabelled"],
        default=joined["fault"].fillna("").to_numpy(dtype=object),
    )
    if train_limit:
        train = joined[(reason == "") & (joined["split"] == "train")]
        surplus = train_limit.find_surplus(train["record_id"], values[train["label_row"]])
        reason[train.index[surplus]] = OVER_LIMIT
    kept = joined[reason == ""].sort_values(["shard", "row"], ignore_index=True)
    excluded = joined.assign(reason=reason)[reason != ""]
    if kept.empty:
        counts = excluded["reason"].value_counts().to_dict()
        raise SchemaError(f"No recording is left for a manifest; left out were {counts}.")
    require_no_leakage(kept, where="the manifest")
    targets = values[kept["label_row"].to_numpy()]
    return Manifest(
        index=kept[[column.name for column in INDEX.columns]].astype({"row": np.int32}),
        targets=targets,
        vocabulary=vocabulary,
        spec=spec,
        pos_weight=positive_weights(targets[kept["split"].to_numpy() == "train"]),
        excluded=excluded[["record_id", "reason"]].reset_index(drop=True),
    )


def _judge_shards(
    records: pd.DataFrame,
    shards: Mapping[str, Path] | Path,
    spec: SignalSpec,
    quality: QualityPolicy,
) -> pd.DataFrame:
    """Judge the stored shards that the records name: ``shard, record_id, row, fault``."""
    named = sorted(records["shard"].unique())
    if isinstance(shards, Path):
        shards = {path.stem: path for path in shards.glob("*.parquet")}
    judged = [
        judge_shard(shards[shard], spec, quality).assign(shard=shard)
        for shard in named
        if shard in shards
    ]
    if not judged:
        raise SchemaError(
            f"None of the {len(named)} shards of the records is stored. Preprocess them first."
        )
    return pd.concat(judged, ignore_index=True)


def _join(records: pd.DataFrame, split: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    """Give records their split and stored row; both are empty where there is none."""
    try:
        return (
            records[["record_id", "subject_id", "shard"]]
            .merge(split[["record_id", "split"]], on="record_id", how="left", validate="one_to_one")
            .merge(judged, on=["shard", "record_id"], how="left", validate="one_to_one")
        )
    except pd.errors.MergeError as error:
        raise SchemaError(
            f"record_id must be unique in the record list, the split and each shard: {error}"
        ) from error
