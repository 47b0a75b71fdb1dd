"""A trained model on the recordings of shards, whether they have labels or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.device import choose_device
from ecg_assets.models.scoring import (
    Outputs,
    describe_outputs,
    fetch_outputs,
    no_logits,
    read_ahead,
    read_block,
    score_recordings,
    start_model,
)
from ecg_assets.models.signals import require_readable
from ecg_assets.preprocess import ShardDataset
from ecg_assets.preprocess.blocks import SignalBlock, signal_blocks
from ecg_assets.preprocess.shard_schema import NO_SIGNAL, TOO_SHORT
from ecg_assets.storage import replace_file


@dataclass(frozen=True)
class AppliedModel:
    """What a model makes of some recordings of a shard.

    Attributes
    ----------
    shard
        Name of the shard.
    record_ids
        All of them, ``(record,)``.
    n_segments
        Segments of each, int64 ``(record,)``.
    reason
        Why a recording has no score: ``too_short`` for a whole segment, or ``no_signal`` in any
        lead; else empty. ``(record,)``.
    score
        Probability of each label, aggregated by its rule, float32 ``(record, label)``; NaN
        without a score.
    embedding
        Mean of the pooled features of a recording's segments, float32 ``(record, feature)``; NaN
        without a score.
    """

    shard: str
    record_ids: list[str]
    n_segments: NDArray[np.int64]
    reason: NDArray[np.object_]
    score: NDArray[np.float32]
    embedding: NDArray[np.float32]

    @property
    def is_scored(self) -> NDArray[np.bool_]:
        """Which recordings have a score, ``(record,)``."""
        return np.asarray(self.reason == "", np.bool_)


def apply_to_shards(
    trained: TrainedModel,
    shards: ShardDataset,
    *,
    device: str = "auto",
    precision: str = "fp32",
    n_records: int = 256,
) -> Iterator[AppliedModel]:
    """Score and embed all recordings of shards, some at a time; those without signal by name only.

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
    CheckpointError
        When the model reads other channels than its spec gives.
    SchemaError
        When a shard does not store a lead of the spec.
    """
    batches = shards.batches(trained.spec.leads, n_records=n_records)
    return apply_to_batches(trained, batches, device=device, precision=precision)


def apply_to_batches(
    trained: TrainedModel,
    batches: Iterable[tuple[str, pa.RecordBatch]],
    *,
    device: str = "auto",
    precision: str = "fp32",
) -> Iterator[AppliedModel]:
    """Score and embed recordings as `apply_to_shards` does, of any batches of `shard_schema`.

    Each batch comes with its shard's name, and holds the leads of the model's spec.
    """
    require_readable(trained.input)
    place = choose_device(device)
    trained.model.to(place).eval()
    started: _Started | None = None
    for batch in read_ahead(_read(trained, shard, signals) for shard, signals in batches):
        # While a GPU computes these, those before are fetched and written.
        before, started = started, _start(trained, batch, place, precision)
        if before is not None:
            yield _finish(trained, before)
    if started is not None:
        yield _finish(trained, started)


class _Batch(NamedTuple):
    """Some recordings of a shard, and their segments in blocks that are alike."""

    shard: str
    signals: pa.Table
    blocks: list[tuple[SignalBlock, NDArray[np.float32]]]


class _Started(NamedTuple):
    """A batch of which a device computes; arrays ``(record,)``."""

    shard: str
    signals: pa.Table
    has_signal: NDArray[np.bool_]
    n_segments: NDArray[np.int64]
    outputs: list[tuple[NDArray[np.int64], Outputs]]
    """Of the segments of recordings with a signal, each with its recording."""


def _read(trained: TrainedModel, shard: str, signals: pa.RecordBatch) -> _Batch:
    table = pa.Table.from_batches([signals])
    blocks = signal_blocks(table, trained.spec.leads)
    return _Batch(shard, table, [(block, read_block(trained, block)) for block in blocks])


def _start(trained: TrainedModel, batch: _Batch, place: torch.device, precision: str) -> _Started:
    n_records = batch.signals.num_rows
    has_signal, n_segments = np.zeros(n_records, np.bool_), np.zeros(n_records, np.int64)
    outputs = []
    for block, segments in batch.blocks:
        n_segments[block.rows] = segments.shape[1]
        is_scored = has_signal[block.rows] = ~block.lacks_signal(trained.spec)
        inputs = segments[is_scored].reshape(-1, *segments.shape[2:])
        if len(inputs):
            rows = np.repeat(block.rows[is_scored], segments.shape[1])
            found = start_model(trained, inputs, device=place, precision=precision)
            outputs.append((rows, found))
    return _Started(batch.shard, batch.signals, has_signal, n_segments, outputs)


def _finish(trained: TrainedModel, batch: _Started) -> AppliedModel:
    signals, width = batch.signals, trained.model.config.hidden_size
    n_segments, has_signal = batch.n_segments, batch.has_signal
    rows = [np.empty(0, np.int64)]
    features, logits = [np.empty((0, width), np.float32)], [no_logits(trained)]
    for of_rows, outputs in batch.outputs:
        rows.append(of_rows)
        for parts, found in zip((features, logits), fetch_outputs(outputs), strict=True):
            parts.append(found)
    of_segment = np.concatenate(rows)
    order = np.argsort(of_segment, kind="stable")
    reason = np.where(n_segments == 0, TOO_SHORT, np.where(has_signal, "", NO_SIGNAL))
    return AppliedModel(
        batch.shard,
        signals["record_id"].to_pylist(),
        n_segments,
        reason.astype(object),
        *_of_records(
            trained,
            of_segment[order],
            np.concatenate(features)[order],
            np.concatenate(logits)[order],
            signals.num_rows,
        ),
    )


def _of_records(
    trained: TrainedModel,
    of_segment: NDArray[np.int64],
    features: NDArray[np.float32],
    logits: NDArray[np.float32],
    n_records: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scores and mean features of recordings from those of segments; NaN where there is none."""
    scored, record_index, count = np.unique(of_segment, return_inverse=True, return_counts=True)
    score = np.full((n_records, logits.shape[1]), np.nan, np.float32)
    kind = describe_outputs(trained)
    score[scored] = score_recordings(logits, record_index, trained.vocabulary, **kind)
    total = np.zeros((len(scored), features.shape[1]), np.float64)
    np.add.at(total, record_index, features)
    embedding = np.full((n_records, features.shape[1]), np.nan, np.float32)
    embedding[scored] = total / count[:, np.newaxis]
    return score, embedding


# Embeddings and scores of recordings at rest, written as they come.


def write_applied(
    batches: Iterable[AppliedModel],
    vocabulary: LabelVocabulary,
    embeddings: Path | None,
    scores: Path,
    *,
    progress: Callable[[int], None] | None = None,
) -> Counter[str]:
    """Write two Parquet files with a row a recording, in the order of the shards.

    Both have ``record_id``, ``shard``, ``n_segments`` and ``reason``. `embeddings` has
    ``embedding``, a list of float32; `scores` a float32 column for each label by its name. These
    are empty where ``reason`` says why, and it is empty elsewhere.

    Parameters
    ----------
    batches
        As `apply_to_shards` gives them.
    vocabulary
        The model's labels.
    embeddings, scores
        Where to write; None for embeddings that are not wanted.
    progress
        Called with the recordings done.

    Returns
    -------
    Counter
        Recordings by ``reason``: those with a score under the empty one.
    """
    embedding = [("embedding", pa.list_(pa.float32()))]
    labels = [(name, pa.float32()) for name in vocabulary.names]
    counts: Counter[str] = Counter()
    with ExitStack() as files:

        def open_file(path: Path, more: list[tuple[str, pa.DataType]]) -> pq.ParquetWriter:
            temporary = files.enter_context(replace_file(path))
            return files.enter_context(pq.ParquetWriter(temporary, pa.schema(_COMMON + more)))

        to_embeddings = open_file(embeddings, embedding) if embeddings else None
        to_scores = open_file(scores, labels)
        for batch in batches:
            is_empty = ~batch.is_scored
            if to_embeddings:
                vectors = pa.array(list(batch.embedding), pa.list_(pa.float32()), mask=is_empty)
                _write(to_embeddings, batch, [vectors])
            columns = [pa.array(column, mask=is_empty) for column in batch.score.T]
            _write(to_scores, batch, columns)
            counts.update(batch.reason.tolist())
            if progress:
                progress(counts.total())
    return counts


_COMMON = [
    ("record_id", pa.string()),
    ("shard", pa.string()),
    ("n_segments", pa.int32()),
    ("reason", pa.string()),
]


def _write(writer: pq.ParquetWriter, batch: AppliedModel, columns: list[pa.Array]) -> None:
    """Write the columns of recordings after those that both files have."""
    reasons = [reason or None for reason in batch.reason]
    shards = [batch.shard] * len(batch.record_ids)
    common = (batch.record_ids, shards, batch.n_segments, reasons)
    arrays = [pa.array(values, kind) for values, (_, kind) in zip(common, _COMMON, strict=True)]
    writer.write_batch(pa.record_batch([*arrays, *columns], schema=writer.schema))
