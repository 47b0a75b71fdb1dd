"""Embeddings and scores of recordings at rest, written as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.models.apply import AppliedModel
from ecg_assets.storage import replace_file


def write_applied(
    batches: Iterable[AppliedModel],
    vocabulary: LabelVocabulary,
    embeddings: Path,
    scores: Path,
    *,
    progress: Callable[[int], None] | None = None,
) -> tuple[int, int]:
    """Write two Parquet files with a row a recording, in the order of the shards.

    Both have ``record_id``, ``shard`` and ``n_segments``. `embeddings` has ``embedding``, a
    list of float32; `scores` a float32 column for each label by its name.

    Parameters
    ----------
    batches
        As `apply_to_shards` gives them.
    vocabulary
        The model's labels.
    embeddings, scores
        Where to write.
    progress
        Called with the recordings done.

    Returns
    -------
    tuple
        Recordings written, and those left out because they are shorter than a segment.
    """
    common = [("record_id", pa.string()), ("shard", pa.string()), ("n_segments", pa.int32())]
    embedding_schema = pa.schema([*common, ("embedding", pa.list_(pa.float32()))])
    score_schema = pa.schema([*common, *((name, pa.float32()) for name in vocabulary.names)])
    n_written = n_too_short = 0
    with ExitStack() as files:
        to_embeddings, to_scores = (
            files.enter_context(pq.ParquetWriter(files.enter_context(replace_file(path)), schema))
            for path, schema in ((embeddings, embedding_schema), (scores, score_schema))
        )
        for batch in batches:
            rows = [batch.record_ids, [batch.shard] * len(batch.record_ids), batch.n_segments]
            columns = [
                pa.array(values, kind) for values, (_, kind) in zip(rows, common, strict=True)
            ]
            vectors = pa.array(list(batch.embedding), pa.list_(pa.float32()))
            to_embeddings.write_batch(pa.record_batch([*columns, vectors], schema=embedding_schema))
            to_scores.write_batch(
                pa.record_batch([*columns, *map(pa.array, batch.score.T)], schema=score_schema)
            )
            n_written += len(batch.record_ids)
            n_too_short += batch.n_too_short
            if progress:
                progress(n_written)
    return n_written, n_too_short
