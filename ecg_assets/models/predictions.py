"""Scores and targets of recordings, with the labels they belong to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.build import Manifest
from ecg_assets.errors import SchemaError
from ecg_assets.known import NOT_MEASURED, is_known
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.made_with import Facts, read_facts, write_facts

_METADATA_KEY = b"label_vocabulary"
_P = TypeVar("_P", bound="Predictions")


@dataclass(frozen=True, eq=False)
class Predictions:
    """A probability, or a number, and a target for each recording and label.

    Attributes
    ----------
    record_ids, subject_ids
        Recording and patient of each row, str ``(n,)``; record ids are distinct.
    vocabulary
        The labels, in the order of the columns.
    target
        0 or 1, uint8 ``(n, label)``, and `NOT_MEASURED` where nobody looked. Of numbers float32 in
        their units, NaN where not measured.
    score
        Probabilities from 0 to 1, or numbers in their units, float32 ``(n, label)``; never NaN.
    made_with
        What recordings, labels and split were made with, by value.
    """

    record_ids: NDArray[np.str_]
    subject_ids: NDArray[np.str_]
    vocabulary: LabelVocabulary
    target: NDArray[Any]
    score: NDArray[np.float32]
    made_with: Facts = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(self.record_ids), len(self.vocabulary))
        if self.subject_ids.shape != shape[:1]:
            raise ValueError(
                f"subject_ids has shape {self.subject_ids.shape}; expected {shape[:1]}."
            )
        _require_array("target", self.target, _target_type(self.vocabulary), shape)
        _require_array("score", self.score, np.float32, shape)
        if len(np.unique(self.record_ids)) != len(self.record_ids):
            raise ValueError("record_ids holds a recording twice; expected distinct ids.")
        if self.vocabulary.is_continuous:
            if n_bad := int((~np.isfinite(self.score)).sum()):
                raise ValueError(f"score holds {n_bad} values that are not finite.")
            return
        known = self.target[is_known(self.target)]
        if known.size and known.max() > 1:
            raise ValueError(f"target holds {known.max()}; expected 0 or 1.")
        if not ((self.score >= 0) & (self.score <= 1)).all():
            n_bad = int((~((self.score >= 0) & (self.score <= 1))).sum())
            raise ValueError(f"score holds {n_bad} values that are not from 0 to 1 (or NaN).")

    def __len__(self) -> int:
        return len(self.record_ids)

    @classmethod
    def of_rows(
        cls: type[_P], manifest: Manifest, rows: NDArray[np.int64], score: NDArray[np.float32]
    ) -> _P:
        """Take recordings, patients and targets from rows of a manifest; scores in their order."""
        index = manifest.index.iloc[rows]
        return cls(
            record_ids=index["record_id"].to_numpy().astype(np.str_),
            subject_ids=index["subject_id"].to_numpy().astype(np.str_),
            vocabulary=manifest.vocabulary,
            target=manifest.targets[rows],
            score=score,
            made_with=manifest.made_with,
        )

    def to_table(self) -> pa.Table:
        """Columns ``record_id, subject_id, score/<label> …, target/<label> …``.

        A target that is not measured is empty.
        The vocabulary, and what it was made with, are JSON in the schema's metadata.
        """
        names = self.vocabulary.names
        columns: dict[str, Any] = {
            "record_id": pa.array(self.record_ids.tolist(), pa.string()),
            "subject_id": pa.array(self.subject_ids.tolist(), pa.string()),
            **{f"score/{name}": self.score[:, i] for i, name in enumerate(names)},
            **{f"target/{name}": _to_column(self.target[:, i]) for i, name in enumerate(names)},
        }
        vocabulary = json.dumps(self.vocabulary.to_json(), ensure_ascii=False)
        table = pa.table(columns).replace_schema_metadata({_METADATA_KEY: vocabulary})
        return table.cast(write_facts(table.schema, self.made_with))

    @classmethod
    def from_table(cls: type[_P], table: pa.Table) -> _P:
        """Read `to_table`'s table back.

        Raises
        ------
        SchemaError
            When the vocabulary or a label's column is missing.
        """
        metadata = table.schema.metadata or {}
        if _METADATA_KEY not in metadata:
            raise SchemaError(
                "The table has no label vocabulary in its metadata: these are not predictions "
                "written by this package. Predict again."
            )
        vocabulary = LabelVocabulary.from_json(json.loads(metadata[_METADATA_KEY]))
        return cls(
            record_ids=np.asarray(_column(table, "record_id").to_pylist(), dtype=np.str_),
            subject_ids=np.asarray(_column(table, "subject_id").to_pylist(), dtype=np.str_),
            vocabulary=vocabulary,
            target=_matrix(table, "target", vocabulary.names, _target_type(vocabulary)),
            score=_matrix(table, "score", vocabulary.names, np.dtype(np.float32)),
            made_with=read_facts(table.schema) or {},
        )


class ValidationPredictions(Predictions):
    """Predictions of the validation split: the only ones that a threshold is chosen from.

    A type of its own, so that predictions of the evaluated set cannot be taken for them.
    """


def _require_array(
    name: str, array: NDArray[Any], dtype: type | np.dtype[Any], shape: tuple[int, int]
) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"{name} is {array.dtype} {array.shape}; expected {np.dtype(dtype)} {shape} "
            "(recording, label)."
        )


def _target_type(vocabulary: LabelVocabulary) -> np.dtype[Any]:
    return np.dtype(np.float32 if vocabulary.is_continuous else np.uint8)


def _to_column(target: NDArray[Any]) -> Any:
    known = is_known(target)
    return target if known.all() else pa.array(target, mask=~known)


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise SchemaError(f"The predictions lack column {name!r}.")
    return table[name]


def _matrix(table: pa.Table, kind: str, names: Sequence[str], dtype: np.dtype[Any]) -> NDArray[Any]:
    matrix = np.empty((table.num_rows, len(names)), dtype)
    for i, name in enumerate(names):
        column = _column(table, f"{kind}/{name}")
        if column.null_count and dtype == np.uint8:
            column = column.fill_null(pa.scalar(NOT_MEASURED, column.type))
        matrix[:, i] = column.to_numpy()
    return matrix
