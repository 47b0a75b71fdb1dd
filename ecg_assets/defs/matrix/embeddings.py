"""Features of all stored recordings of a source by one model of the matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from ecg_assets.defs.matrix.room import MatrixRoom, open_shards
from ecg_assets.evaluation.matrix.design import MatrixModel
from ecg_assets.evaluation.matrix.embedding_file import (
    EmbeddingInputs,
    read_embedding_inputs,
    write_embeddings,
)
from ecg_assets.preprocess import ShardDataset


@dataclass(frozen=True)
class Embedded:
    """Embeddings of a source.

    Attributes
    ----------
    path
        Their file.
    inputs
        What they were made from.
    n_records
        Recordings with an embedding.
    n_too_short
        Recordings without a whole segment, which have none.
    is_reused
        Whether the file was there already, made from the same.
    """

    path: Path
    inputs: EmbeddingInputs
    n_records: int
    n_too_short: int
    is_reused: bool


def embed_source(
    room: MatrixRoom, model: MatrixModel, source: str, progress: Callable[[int], None]
) -> Embedded:
    """Run a frozen encoder over all shards of a source, unless it was done before.

    Raises
    ------
    SettingsError
        When the source's shards are not stored, or lack a lead of the model.
    CheckpointError, SpecMismatch
        When the model's checkpoint cannot be used.
    """
    from ecg_assets.finetune.frozen_encoder import fingerprint_encoder, load_encoder
    from ecg_assets.models.apply import apply_to_shards

    start = room.start_of(model)
    shards = open_shards(room.stored(source), start, model.name)
    encoder = load_encoder(start)
    named = room.name_inputs(model, start, source)
    inputs = replace(named, encoder=fingerprint_encoder(encoder.model))
    path = room.embeddings(model.name, source)
    is_reused = read_embedding_inputs(path) == inputs
    if not is_reused:
        settings = room.settings
        batches = apply_to_shards(
            encoder, shards, device=settings.device, precision=settings.precision
        )
        write_embeddings(batches, inputs, path, progress=progress)
    n_records = pq.read_metadata(path).num_rows
    return Embedded(path, inputs, n_records, _count(shards) - n_records, is_reused)


def _count(shards: ShardDataset) -> int:
    """Count the recordings of shards."""
    return sum(pq.read_metadata(path).num_rows for path in shards.values())
