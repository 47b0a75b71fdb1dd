"""Features of recordings by a frozen encoder, at rest: computed once, read for every label set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError
from ecg_assets.lineage import fingerprint_json
from ecg_assets.storage import replace_file

if TYPE_CHECKING:
    from ecg_assets.models.apply import AppliedModel

_SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("n_segments", pa.int32()),
        ("embedding", pa.list_(pa.float32())),
    ]
)
_MADE_FROM = b"made_from"


@dataclass(frozen=True)
class EmbeddingInputs:
    """What embeddings were made from.

    Attributes
    ----------
    start
        What names the encoder before it is loaded, see `StartingPoint.identity`.
    encoder
        Fingerprint of its weights; empty where they are not known yet.
    signals
        Fingerprint of the shards.
    precision
        Of the computation.
    """

    start: dict[str, Any]
    encoder: str
    signals: str
    precision: str

    @property
    def fingerprint(self) -> str:
        """Fingerprint of all inputs."""
        return fingerprint_json(asdict(self))

    def is_of(self, other: EmbeddingInputs) -> bool:
        """Whether they are the same as others that may lack the encoder's fingerprint."""
        return replace(self, encoder="") == replace(other, encoder="")


def write_embeddings(
    batches: Iterable[AppliedModel],
    inputs: EmbeddingInputs,
    path: Path,
    *,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write a row a recording as they come: ``record_id, n_segments, embedding`` (float32).

    Parameters
    ----------
    batches
        As `apply_to_shards` gives them.
    inputs
        Stands in the file's metadata.
    path
        A Parquet file.
    progress
        Called with the recordings done.
    """
    made_from = {_MADE_FROM: json.dumps(asdict(inputs))}
    n_records = 0
    with (
        replace_file(path) as temporary,
        pq.ParquetWriter(temporary, _SCHEMA.with_metadata(made_from)) as writer,
    ):
        for batch in batches:
            columns = [
                pa.array(batch.record_ids, pa.string()),
                pa.array(batch.n_segments, pa.int32()),
                pa.array(list(batch.embedding), pa.list_(pa.float32())),
            ]
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
            n_records += len(batch.record_ids)
            if progress:
                progress(n_records)


def read_embedding_inputs(path: Path) -> EmbeddingInputs | None:
    """Read what a file was made from; None where there is no such file."""
    if not path.is_file():
        return None
    metadata = pq.read_schema(path).metadata or {}
    return EmbeddingInputs(**json.loads(metadata[_MADE_FROM])) if _MADE_FROM in metadata else None


def read_embeddings(path: Path, record_ids: Sequence[str]) -> NDArray[np.float32]:
    """Read the embeddings of some recordings, ``(record, feature)``, in their order.

    Raises
    ------
    SchemaError
        When a recording has none, or one is not finite.
    """
    table = pq.read_table(path, columns=["record_id", "embedding"])
    at = pd.Index(table["record_id"].to_pandas()).get_indexer(pd.Index(record_ids))
    if (at < 0).any():
        raise SchemaError(
            f"{path} lacks {int((at < 0).sum())} of {len(at)} recordings. Materialize "
            "frozen_embeddings of this model and source again."
        )
    vectors = table["embedding"].take(pa.array(at)).combine_chunks()
    found = np.asarray(vectors.flatten()).reshape(len(at), -1)
    if not np.isfinite(found).all():
        n_bad = int((~np.isfinite(found)).any(axis=1).sum())
        raise SchemaError(
            f"{path}: {n_bad} of {len(at)} recordings have features that are not finite. The "
            "model's weights or precision (ECG_PRECISION) overflow; use another."
        )
    return found
