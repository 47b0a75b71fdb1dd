"""The manifest: which recordings a model learns from and is tested on, and their labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError
from ecg_assets.labels import LabelVocabulary
from ecg_assets.lineage import fingerprint_bytes, fingerprint_json, fingerprint_table
from ecg_assets.preprocess import SignalSpec
from ecg_assets.tables import Column, TableSchema

INDEX = TableSchema(
    "index",
    (
        Column("record_id", pa.string(), "the recording, as in record_list"),
        Column("subject_id", pa.string(), "its patient"),
        Column("split", pa.string(), "train, valid or test"),
        Column("shard", pa.string(), "shard that holds its samples"),
        Column("row", pa.int32(), "its row in the shard's file, from 0"),
    ),
)

EXCLUDED = TableSchema(
    "excluded",
    (
        Column("record_id", pa.string(), "the recording, as in record_list"),
        Column("reason", pa.string(), "first reason why it is left out"),
    ),
)


@dataclass(frozen=True)
class Manifest:
    """Recordings that training and evaluation use, by value.

    Attributes
    ----------
    index
        A row a recording, as `INDEX` declares, sorted by shard and row.
    targets
        0 or 1, uint8 ``(record, label)``, in the order of the index.
    vocabulary
        The labels of `targets`.
    spec
        How the recordings become model input.
    pos_weight
        Negatives over positives of each label in train, float64 ``(label,)``; 1 for a
        label without positives there.
    excluded
        The other recordings of the record list, as `EXCLUDED` declares.
    """

    index: pd.DataFrame
    targets: NDArray[np.uint8]
    vocabulary: LabelVocabulary
    spec: SignalSpec
    pos_weight: NDArray[np.float64]
    excluded: pd.DataFrame

    def __post_init__(self) -> None:
        expected = (len(self.index), len(self.vocabulary))
        if self.targets.shape != expected or self.pos_weight.shape != expected[1:]:
            raise SchemaError(
                f"Manifest: targets are {self.targets.shape} and pos_weight "
                f"{self.pos_weight.shape}; the index and vocabulary call for {expected}."
            )

    def rows(self, split: str) -> NDArray[np.int64]:
        """Rows of the index in one split, ``(record,)``."""
        return np.flatnonzero(self.index["split"].to_numpy() == split)

    def take(self, rows: NDArray[np.int64]) -> Manifest:
        """Keep some rows of the index and of the targets; the class weights stay those of all."""
        index = self.index.iloc[rows].reset_index(drop=True)
        return replace(self, index=index, targets=self.targets[rows])


def fingerprint_manifest(manifest: Manifest) -> str:
    """Fingerprint of all that a manifest holds."""
    return fingerprint_bytes(
        fingerprint_table(INDEX.from_pandas(manifest.index)).encode(),
        fingerprint_table(EXCLUDED.from_pandas(manifest.excluded)).encode(),
        np.ascontiguousarray(manifest.targets).tobytes(),
        np.ascontiguousarray(manifest.pos_weight).tobytes(),
        fingerprint_json([manifest.spec.to_json(), manifest.vocabulary.to_json()]).encode(),
    )
