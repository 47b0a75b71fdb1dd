"""A trained model on the recordings of shards, whether they have labels or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from ecg_assets.models.aggregation import aggregate_segments
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.device import autocast, choose_device
from ecg_assets.models.inputs import require_channels
from ecg_assets.models.probabilities import is_exclusive, to_probabilities
from ecg_assets.preprocess import ShardDataset, project_channels, segment
from ecg_assets.preprocess.shard_signals import signal_blocks


@dataclass(frozen=True)
class AppliedModel:
    """What a model makes of some recordings of a shard.

    Attributes
    ----------
    shard
        Name of the shard.
    record_ids
        Recordings with at least one whole segment, ``(record,)``.
    n_segments
        Segments of each, int64 ``(record,)``.
    score
        Probability of each label, aggregated by its rule, float32 ``(record, label)``.
    embedding
        Mean of the pooled features of a recording's segments, float32 ``(record, feature)``.
    n_too_short
        Recordings without a whole segment, which are left out.
    """

    shard: str
    record_ids: list[str]
    n_segments: NDArray[np.int64]
    score: NDArray[np.float32]
    embedding: NDArray[np.float32]
    n_too_short: int


def apply_to_shards(
    trained: TrainedModel,
    shards: ShardDataset,
    *,
    device: str = "auto",
    precision: str = "fp32",
    n_records: int = 256,
) -> Iterator[AppliedModel]:
    """Score and embed all recordings of shards, some at a time.

    Parameters
    ----------
    trained
        The model, with the signal spec of its input.
    shards
        Shards that store the spec's leads.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    precision
        ``fp32``, ``bf16`` or ``fp16``.
    n_records
        Recordings in memory at a time.

    Raises
    ------
    SchemaError
        When a shard does not store a lead of the spec.
    """
    place = choose_device(device)
    trained.model.to(place).eval()
    require_channels(trained.spec, trained.model.config.n_channels)
    with torch.inference_mode(), autocast(place, precision):
        for shard, batch in shards.batches(trained.spec.leads, n_records=n_records):
            yield _apply(trained, shard, pa.Table.from_batches([batch]), place)


def _apply(
    trained: TrainedModel, shard: str, signals: pa.Table, place: torch.device
) -> AppliedModel:
    spec, model = trained.spec, trained.model
    rows, pooled, logits = [], [], []
    for block in signal_blocks(signals, spec.leads):
        pieces = segment(block.standardize(spec), spec)
        if not pieces.shape[1]:
            continue
        rows.append(np.repeat(block.rows, pieces.shape[1]))
        flat = pieces.reshape(-1, *pieces.shape[2:])
        inputs = torch.from_numpy(project_channels(flat, model.config.n_channels)).to(place)
        features = model.embed(inputs)
        pooled.append(features.float().cpu().numpy())
        logits.append(model.classify(features).float().cpu().numpy())
    if not rows:
        empty = np.empty((0, model.config.hidden_size), np.float32)
        rows, pooled = [np.empty(0, np.int64)], [empty]
        logits = [np.empty((0, len(trained.vocabulary)), np.float32)]
    of_segment = np.concatenate(rows)
    order = np.argsort(of_segment, kind="stable")
    kept, record_index, n_segments = np.unique(
        of_segment[order], return_inverse=True, return_counts=True
    )
    probability = to_probabilities(
        np.concatenate(logits)[order], exclusive=is_exclusive(model.config)
    )
    features_of_segment = np.concatenate(pooled)[order]
    embedding = np.zeros((len(kept), features_of_segment.shape[1]), np.float64)
    np.add.at(embedding, record_index, features_of_segment)
    return AppliedModel(
        shard,
        signals["record_id"].take(pa.array(kept)).to_pylist(),
        n_segments.astype(np.int64),
        aggregate_segments(probability, record_index, trained.vocabulary),
        (embedding / n_segments[:, None]).astype(np.float32),
        signals.num_rows - len(kept),
    )
