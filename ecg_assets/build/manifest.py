"""The manifest: which recordings a model learns from and is tested on, and their labels."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError
from ecg_assets.known import NOT_MEASURED, is_known, is_positive
from ecg_assets.labels import LabelVocabulary
from ecg_assets.lineage import fingerprint_bytes, fingerprint_json, fingerprint_table
from ecg_assets.made_with import Facts
from ecg_assets.preprocess import SignalSpec
from ecg_assets.split import SPLIT_NAMES, require_no_leakage
from ecg_assets.storage import replace_folder
from ecg_assets.tables import Column, TableSchema, write_csv

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
        0 or 1, uint8 ``(record, label)``, in the order of the index, and `NOT_MEASURED` where
        nobody looked. Of numbers float32 in their units, NaN where not measured.
    vocabulary
        The labels of `targets`.
    spec
        How the recordings become model input.
    pos_weight
        Negatives over positives of each label in train, float64 ``(label,)``; 1 for a
        label without positives there, and for numbers.
    excluded
        The other recordings of the record list, as `EXCLUDED` declares.
    made_with
        Source, rules of labels and split, signal spec and what excludes a recording, by value
        (`ecg_assets.made_with`); empty where the tables behind it say nothing.
    unlabelled
        Those of the excluded that lack nothing but labels, as `INDEX` declares: what
        pre-training can read besides. Not part of the fingerprint.
    """

    index: pd.DataFrame
    targets: NDArray[Any]
    vocabulary: LabelVocabulary
    spec: SignalSpec
    pos_weight: NDArray[np.float64]
    excluded: pd.DataFrame
    made_with: Facts = field(default_factory=dict)
    unlabelled: pd.DataFrame = field(default_factory=INDEX.empty)

    def __post_init__(self) -> None:
        expected = (len(self.index), len(self.vocabulary))
        if self.targets.shape != expected or self.pos_weight.shape != expected[1:]:
            raise SchemaError(
                f"Manifest: targets are {self.targets.shape} and pos_weight "
                f"{self.pos_weight.shape}; the index and vocabulary call for {expected}."
            )
        kind = np.dtype(np.float32 if self.vocabulary.is_continuous else np.uint8)
        if self.targets.dtype != kind:
            raise SchemaError(
                f"Manifest: targets are {self.targets.dtype}; {self.vocabulary.names} call for "
                f"{kind}. Build the manifests again."
            )

    @property
    def is_partly_measured(self) -> bool:
        """Whether a target of a recording is not known."""
        return not is_known(self.targets).all()

    def rows(self, split: str) -> NDArray[np.int64]:
        """Rows of the index in one split, ``(record,)``."""
        return np.flatnonzero(self.index["split"].to_numpy() == split)

    def count_excluded(self) -> pd.DataFrame:
        """Count the excluded recordings: ``reason, records``."""
        return self.excluded.groupby("reason").size().rename("records").reset_index()

    def take(self, rows: NDArray[np.int64]) -> Manifest:
        """Keep some rows of the index and of the targets; the class weights stay those of all."""
        index = self.index.iloc[rows].reset_index(drop=True)
        return replace(self, index=index, targets=self.targets[rows])

    def with_unlabelled(self) -> Manifest:
        """Add the train and valid recordings that lack labels alone, for what reads no label.

        Their targets are not measured. Without such recordings it is the manifest itself.

        Raises
        ------
        LeakageError
            When one of them is of a patient of another split.
        """
        added = self.unlabelled[self.unlabelled["split"] != "test"]
        if added.empty:
            return self
        every = pd.concat([self.index, added], ignore_index=True)
        require_no_leakage(every, where="the manifest with its recordings without labels")
        index = every.sort_values(["shard", "row"])
        nothing = np.nan if self.vocabulary.is_continuous else NOT_MEASURED
        blank = np.full((len(added), len(self.vocabulary)), nothing, self.targets.dtype)
        targets = np.concatenate([self.targets, blank])[index.index]
        return replace(self, index=index.reset_index(drop=True), targets=targets)


def fingerprint_manifest(manifest: Manifest) -> str:
    """Fingerprint of all that a manifest holds; what it was made with does not count."""
    return fingerprint_bytes(
        fingerprint_table(INDEX.from_pandas(manifest.index)).encode(),
        fingerprint_table(EXCLUDED.from_pandas(manifest.excluded)).encode(),
        np.ascontiguousarray(manifest.targets).tobytes(),
        np.ascontiguousarray(manifest.pos_weight).tobytes(),
        fingerprint_json([manifest.spec.to_json(), manifest.vocabulary.to_json()]).encode(),
    )


def fingerprint_recordings(manifest: Manifest) -> str:
    """Fingerprint of a manifest's recordings in their splits, with those without labels."""
    return fingerprint_table(INDEX.from_pandas(manifest.with_unlabelled().index))


# How frequent each label is, and what its positives weigh in training.


def positive_weights(targets: NDArray[Any]) -> NDArray[np.float64]:
    """Weight each label's positives so that they count as much as its negatives.

    Parameters
    ----------
    targets
        As of a `Manifest`, ``(record, label)``, of the training split alone. What is not measured
        counts as neither.

    Returns
    -------
    NDArray[np.float64]
        Negatives over positives, ``(label,)``; 1 for a label without positives, whose
        quotient would be infinite, and of numbers.

    >>> positive_weights(np.array([[1, 0], [0, 0], [0, 0]], np.uint8))
    array([2., 1.])
    """
    if np.issubdtype(targets.dtype, np.floating):
        return np.ones(targets.shape[1])
    n_positive = is_positive(targets).sum(axis=0, dtype=np.int64)
    n_known = is_known(targets).sum(axis=0, dtype=np.int64)
    quotient = (n_known - n_positive) / np.maximum(n_positive, 1)
    return np.where(n_positive > 0, quotient, 1.0)


def label_definition(manifest: Manifest) -> pd.DataFrame:
    """Count each label's positives in each split and in all.

    Returns
    -------
    DataFrame
        fairseq-signals' ``label_def.csv``: ``name``, then for train, valid, test and all
        ``pos_count_…``, ``pos_percent_…`` (a share, 0 to 1) and ``pos_weight_…``. A share
        of no recordings and a weight of no positives are NaN, but ``pos_weight_train`` is
        what training uses: 1 where ``pos_count_train`` is 0. Where some are not measured, a
        share is of those that are, and ``known_count_…`` counts them. Of numbers
        `_define_numbers`.
    """
    if manifest.vocabulary.is_continuous:
        return _define_numbers(manifest)
    parts = {split: manifest.targets[manifest.rows(split)] for split in SPLIT_NAMES}
    parts["all"] = manifest.targets
    counts = {name: is_positive(part).sum(axis=0, dtype=np.int64) for name, part in parts.items()}
    known = {name: is_known(part).sum(axis=0, dtype=np.int64) for name, part in parts.items()}
    columns: dict[str, object] = {"name": list(manifest.vocabulary.names)}
    columns |= {f"pos_count_{name}": count for name, count in counts.items()}
    columns |= {
        f"pos_percent_{name}": np.divide(counts[name], n, out=np.full(len(n), np.nan), where=n > 0)
        for name, n in known.items()
    }
    columns |= {
        f"pos_weight_{name}": np.where(counts[name] > 0, positive_weights(part), np.nan)
        for name, part in parts.items()
    }
    if manifest.is_partly_measured:
        columns |= {f"known_count_{name}": n for name, n in known.items()}
    return pd.DataFrame({**columns, "pos_weight_train": manifest.pos_weight})


def _define_numbers(manifest: Manifest) -> pd.DataFrame:
    """Give ``name``, ``unit``, and of each split how many are measured, their mean and deviation.

    A deviation is that of the recordings themselves, divided by their number; NaN of none.
    """
    vocabulary = manifest.vocabulary
    table = pd.DataFrame({"name": vocabulary.names, "unit": vocabulary.units})
    for split in SPLIT_NAMES:
        mean, deviation, n = target_scale(manifest.targets[manifest.rows(split)])
        table[f"known_count_{split}"], table[f"mean_{split}"] = n, mean
        table[f"deviation_{split}"] = deviation
    return table


def target_scale(
    targets: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Give mean, deviation and number of the measured values of each target.

    Parameters
    ----------
    targets
        ``(record, target)``; NaN: not measured.

    Returns
    -------
    tuple of NDArray
        Each ``(target,)``. The deviation divides by the number; NaN of none.

    >>> [a.tolist() for a in target_scale(np.array([[1, np.nan], [3, 5]], np.float32))]
    [[2.0, 5.0], [1.0, 0.0], [2, 1]]
    """
    known = is_known(targets)
    n = known.sum(axis=0)
    nothing = np.full(targets.shape[1], np.nan)
    total = np.where(known, targets.astype(np.float64), 0.0)
    mean = np.divide(total.sum(axis=0), n, out=nothing.copy(), where=n > 0)
    square = np.where(known, np.square(total - mean), 0.0).sum(axis=0)
    deviation = np.sqrt(np.divide(square, n, out=nothing.copy(), where=n > 0))
    return mean, deviation, n


def format_weights(weights: NDArray[np.float64]) -> str:
    """Write weights in the one line that fairseq-signals takes.

    >>> format_weights(np.array([2.0, 0.5]))
    '[2.000000,0.500000]'
    """
    return "[" + ",".join(f"{weight:.6f}" for weight in weights) + "]"


# Manifests at rest: a folder of files.


_INDEX, _EXCLUDED, _TARGETS = "index.parquet", "excluded.parquet", "y.npy"
_UNLABELLED = "unlabelled.parquet"
_SPEC, _VOCABULARY = "signal_spec.json", "label_vocabulary.json"
_MADE_WITH = "made_with.json"


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Replace a folder by the manifest's files.

    ``index.parquet``, ``excluded.parquet``, ``unlabelled.parquet``, ``y.npy`` (the targets, uint8),
    ``signal_spec.json``, ``label_vocabulary.json`` and ``made_with.json`` are what
    `read_manifest` reads;
    ``label_def.csv`` and ``pos_weight.txt`` follow from them and are for people.
    """
    with replace_folder(folder) as temporary:
        pq.write_table(INDEX.from_pandas(manifest.index), temporary / _INDEX)
        pq.write_table(EXCLUDED.from_pandas(manifest.excluded), temporary / _EXCLUDED)
        pq.write_table(INDEX.from_pandas(manifest.unlabelled), temporary / _UNLABELLED)
        np.save(temporary / _TARGETS, manifest.targets)
        _write_json(manifest.spec.to_json(), temporary / _SPEC)
        _write_json(manifest.vocabulary.to_json(), temporary / _VOCABULARY)
        _write_json(dict(manifest.made_with), temporary / _MADE_WITH)
        write_label_files(manifest, temporary)


def write_label_files(manifest: Manifest, folder: Path) -> None:
    """Write ``label_def.csv`` and ``pos_weight.txt`` into a folder."""
    write_csv(label_definition(manifest), folder / "label_def.csv")
    weights = format_weights(manifest.pos_weight)
    (folder / "pos_weight.txt").write_text(weights, encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read what `write_manifest` wrote; the class weights are computed from the targets.

    Raises
    ------
    SchemaError
        When the folder holds no manifest, or its files do not fit each other.
    """
    if not (folder / _INDEX).is_file():
        raise SchemaError(f"{folder} holds no manifest ({_INDEX}). Build the manifests first.")
    index = INDEX.require(pq.read_table(folder / _INDEX)).to_pandas()
    targets, made_with = np.load(folder / _TARGETS), folder / _MADE_WITH
    unlabelled = folder / _UNLABELLED
    if len(targets) != len(index):
        raise SchemaError(
            f"{folder}: {_TARGETS} has {len(targets)} rows, {_INDEX} {len(index)}. "
            "Build the manifests again."
        )
    return Manifest(
        index=index,
        targets=targets,
        vocabulary=LabelVocabulary.from_json(_read_json(folder / _VOCABULARY)),
        spec=SignalSpec.from_json(_read_json(folder / _SPEC)),
        pos_weight=positive_weights(targets[index["split"].to_numpy() == "train"]),
        excluded=EXCLUDED.require(pq.read_table(folder / _EXCLUDED)).to_pandas(),
        # One of an earlier version does not say it.
        made_with=_read_json(made_with) if made_with.is_file() else {},
        unlabelled=INDEX.require(pq.read_table(unlabelled)).to_pandas()
        if unlabelled.is_file()
        else INDEX.empty(),
    )


def _write_json(value: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value
