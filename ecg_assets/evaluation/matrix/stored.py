"""An evaluated cell at rest: its result, its predictions, and what it was made from."""

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
from ecg_assets.evaluation.matrix.design import Cell
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.lineage import fingerprint_json
from ecg_assets.models.family import EMBEDDING_VERSION
from ecg_assets.models.predictions import Predictions
from ecg_assets.storage import replace_file, replace_folder, write_json

if TYPE_CHECKING:
    from ecg_assets.models.apply import AppliedModel


RESULT, PREDICTIONS, FACTS = "result.json", "predictions.parquet", "cell.json"


@dataclass(frozen=True)
class CellFacts:
    """What a cell's numbers are of.

    Attributes
    ----------
    cell
        The combination.
    identity
        Fingerprint of all that the design and the settings ask of it: another one is another
        cell of the same name.
    weights
        What the model started from, in words.
    weights_sha256
        Of the weights that scored: the frozen encoder's or the fine-tuned checkpoint's.
    seen_before
        What earlier training saw of the test patients, in words; empty for random weights.
    details
        More about the training, as JSON values.
    """

    cell: Cell
    identity: str
    weights: str
    weights_sha256: str
    seen_before: str
    details: dict[str, Any]


@dataclass(frozen=True)
class StoredCell:
    """An evaluated cell.

    Attributes
    ----------
    facts
        What its numbers are of.
    result
        Metrics with intervals of all labels of the label set.
    predictions
        Scores of the test split, of the labels that were trained.
    """

    facts: CellFacts
    result: EvaluationResult
    predictions: Predictions


@dataclass(frozen=True)
class MissingCell:
    """A cell without numbers.

    Attributes
    ----------
    reason
        Why there are none.
    weights
        What the model would start from, in words.
    """

    reason: str
    weights: str


def cell_folder(root: Path, cell: Cell) -> Path:
    """Folder of a cell below that of all cells."""
    return root / cell.source / cell.label_set / cell.model / cell.method


def write_cell(root: Path, stored: StoredCell) -> Path:
    """Write a cell's files and give their folder; it is replaced as a whole."""
    folder = cell_folder(root, stored.facts.cell)
    with replace_folder(folder) as temporary:
        write_json(temporary / RESULT, stored.result.to_json())
        write_json(temporary / FACTS, asdict(stored.facts))
        table = stored.predictions.to_table()
        pq.write_table(table, temporary / PREDICTIONS, compression="zstd")
    return folder


def read_cell(root: Path, cell: Cell) -> StoredCell | None:
    """Read a cell; None where it was not evaluated.

    Raises
    ------
    SchemaError
        When its files are of another version.
    """
    folders = [cell_folder(root, one) for one in (cell, cell.former)]
    folder = next((one for one in folders if (one / FACTS).is_file()), None)
    if folder is None:
        return None
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    try:
        read = CellFacts(**{**facts, "cell": cell})
    except TypeError as error:
        raise SchemaError(
            f"{folder / FACTS} was written by another version ({error}). Materialize this "
            "partition of matrix_cell again."
        ) from error
    predictions = Predictions.from_table(pq.read_table(folder / PREDICTIONS))
    return StoredCell(read, EvaluationResult.from_json(result), predictions)


# Features of recordings by a frozen encoder, at rest: computed once, read for every label set.


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
    version
        `EMBEDDING_VERSION` of the code that made them.
    """

    start: dict[str, Any]
    encoder: str
    signals: str
    precision: str
    version: int = EMBEDDING_VERSION

    @property
    def sha256(self) -> str:
        """SHA-256 of all inputs."""
        return fingerprint_json(asdict(self))

    def is_of(self, other: EmbeddingInputs) -> bool:
        """Whether they are the same as others that may lack the encoder's hash."""
        return replace(self, encoder="") == replace(other, encoder="")


def write_embeddings(
    batches: Iterable[AppliedModel],
    inputs: EmbeddingInputs,
    path: Path,
    *,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write a row a recording as they come: ``record_id, n_segments, embedding`` (float32).

    Recordings that are too short, or without signal, have none: no manifest has them.

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
            rows = np.flatnonzero(batch.is_scored)
            columns = [
                pa.array(batch.record_ids, pa.string()).take(pa.array(rows)),
                pa.array(batch.n_segments[rows], pa.int32()),
                pa.array(list(batch.embedding[rows]), pa.list_(pa.float32())),
            ]
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
            n_records += len(rows)
            if progress:
                progress(n_records)


def read_embedding_inputs(path: Path) -> EmbeddingInputs | None:
    """Read what a file was made from; None where there is no such file."""
    if not path.is_file():
        return None
    metadata = pq.read_schema(path).metadata or {}
    if _MADE_FROM not in metadata:
        return None
    # Files of version 1 do not say it.
    return EmbeddingInputs(**{"version": 1, **json.loads(metadata[_MADE_FROM])})


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
