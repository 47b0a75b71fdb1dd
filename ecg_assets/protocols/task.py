"""The recordings of a protocol's task: a stored source, labelled and split as the protocol says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.build import Manifest, QualityPolicy, build_manifest
from ecg_assets.build.builder import keep_scorable
from ecg_assets.build.fractions import UNUSED, take_train_fraction
from ecg_assets.build.manifest import positive_weights
from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.evaluation.external.labels import (
    find_stored_labels,
    label_external,
    load_stored_label_set,
)
from ecg_assets.evaluation.matrix.cell import find_one_sided, select_labels
from ecg_assets.known import NOT_MEASURED, is_positive
from ecg_assets.labels import LabelSet, LabelVocabulary, label_matrix
from ecg_assets.preprocess import ShardDataset, SignalSpec
from ecg_assets.protocols.protocol import Rules, Task
from ecg_assets.sources.datasets import keep_databases
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST
from ecg_assets.split import SPLIT
from ecg_assets.split.task_split import TaskSplit, split_task
from ecg_assets.store import SourceStore

EVERY_RECORDING = QualityPolicy(allow_flat=True, max_missing_share=1.0)
"""Papers leave none out for its quality; one without any signal cannot be scored, and is left out
all the same."""


@dataclass(frozen=True)
class Tested:
    """Recordings that are scored, and where their signals are stored."""

    stored: SourceStore
    manifest: Manifest


@dataclass(frozen=True)
class TaskData:
    """What a cell trains on and is measured on.

    Attributes
    ----------
    manifest
        The source's recordings. Those that the task does not use are in it, in no split, so that
        all tasks of a source share one cache of signals.
    tested
        What is scored; of another source than the manifest where the task is tested on one.
    left_out
        Labels of the task without numbers, each with the reason.
    facts
        Label set and split by value, and how many recordings are in each part.
    """

    manifest: Manifest
    tested: Tested
    left_out: dict[str, str]
    facts: dict[str, Any]


def build_task_data(
    stored: SourceStore,
    task: Task,
    rules: Rules,
    spec: SignalSpec,
    *,
    splits: Mapping[str, str] | None = None,
    split_folder: Path | None = None,
    train_fraction: float = 1.0,
    seed: int = 0,
) -> TaskData:
    """Label and split a stored source's recordings by a protocol's rules.

    Parameters
    ----------
    stored
        The source's results: record list, reports, shards, and a split where the task takes it.
    task, rules
        Which labels, which split, and which recordings count.
    spec
        What the model reads.
    splits
        Split by record_id, where the task takes the dataset's folds or the stored one.
    split_folder
        Where split files lie that the task takes.
    train_fraction, seed
        Share of the training patients, as `take_train_fraction` takes it.

    Raises
    ------
    SettingsError
        When a part of the source's results is not stored, or a split has no recording.
    SchemaError
        When the shards lack a lead of the spec, or no label can be trained.
    SpecMismatch
        When the source's coding can express none of the labels.
    LeakageError
        When a patient stands in two splits.
    """
    label_set = load_task_labels(stored, task, rules)
    split_rule = find_split(task, rules)
    labelled = Labelled.read(stored, label_set, task.databases, splits)
    split = split_task(
        split_rule,
        labelled.records,
        labelled.targets() if split_rule.kind == "stratified" else None,
        splits=splits,
        folder=split_folder,
        duration_s=ShardDataset(stored.shard_paths()).read_durations()
        if split_rule.least_duration_s
        else None,
    )
    if task.test_source:
        split = split[split["split"] != "test"]
    whole = _build(labelled, split, stored, spec)
    manifest = take_train_fraction(whole, train_fraction, seed=seed)
    _require_splits(manifest, task)
    tested = Tested(stored, manifest)
    unmapped = dict(labelled.unmapped)
    if task.test_source:
        other = stored.store.source(task.test_source)
        tested, lacking = _build_test(other, label_set, spec)
        unmapped |= lacking
    untrained = find_one_sided(manifest)
    names = manifest.vocabulary.names
    kept = [name for name in names if name not in untrained and name not in unmapped]
    if not kept:
        raise SchemaError(
            f"No label of {task.label_set_by(rules)} has positive and negative recordings in the "
            f"train split of {task.source}. Store more recordings, or take another label set."
        )
    facts = {
        "label_set": label_set.to_json(),
        "split": split_rule.model_dump(mode="json"),
        "records": {part: len(manifest.rows(part)) for part in ("train", "valid")}
        | {"test": len(tested.manifest.rows("test"))},
        "excluded": manifest.excluded["reason"].value_counts().to_dict(),
    }
    left_out = {**unmapped, **untrained}
    return TaskData(
        select_labels(manifest, kept),
        Tested(tested.stored, select_labels(tested.manifest, kept)),
        {name: left_out[name] for name in label_set.vocabulary.names if name in left_out},
        facts,
    )


def find_split(task: Task, rules: Rules) -> TaskSplit:
    """Give a task's split by some rules.

    Raises
    ------
    SettingsError
        When what the protocol says of it is no split.
    """
    try:
        return TaskSplit(**{"least_duration_s": task.least_duration_s, **task.split_by(rules)})
    except ValueError as error:
        raise SettingsError(f"{task.title}, split {rules}: {error}") from error


def load_task_labels(stored: SourceStore, task: Task, rules: Rules) -> LabelSet:
    """Load a task's labels; of codes that the data have, the stored reports say which.

    Raises
    ------
    SettingsError
        When the source's reports are not stored, or the labels are numbers.
    """
    _require_tables(stored)
    name = task.label_set_by(rules)
    own = find_stored_labels(stored)
    found = load_stored_label_set(name, stored, own_labels=own, databases=task.databases)
    if found.vocabulary.is_continuous:
        raise SettingsError(f"Label set {name} of a protocol is of numbers; its cells are AUROCs.")
    return found


def _require_tables(stored: SourceStore) -> None:
    for table in (RECORD_LIST, MACHINE_REPORTS):
        if not stored.table_path(table.name).is_file():
            raise SettingsError(
                f"{stored.root} lacks {table.name}. Materialize record_list, machine_reports, "
                f"split and signal_shards with ECG_SOURCE={stored.name}."
            )


def label_task(stored: SourceStore, task: Task, rules: Rules) -> Labelled:
    """Label all recordings of a source that a task may use."""
    return Labelled.read(stored, load_task_labels(stored, task, rules), task.databases)


@dataclass(frozen=True)
class Labelled:
    """Recordings of a source that a task may use, with their labels."""

    records: pd.DataFrame
    labels: pd.DataFrame
    vocabulary: LabelVocabulary
    unmapped: dict[str, str]

    @classmethod
    def read(
        cls,
        stored: SourceStore,
        label_set: LabelSet,
        databases: tuple[str, ...] = (),
        only: Collection[str] | None = None,
    ) -> Labelled:
        """Read and label recordings; `only` those of a split, since labels are many rows."""
        records, reports = stored.read_table(RECORD_LIST), stored.read_table(MACHINE_REPORTS)
        if databases:
            records = keep_databases(records, databases)
        wanted = records["record_id"] if only is None else set(records["record_id"]) & set(only)
        reports = reports[reports["record_id"].isin(wanted)]
        found = label_external(reports, label_set, records=records)
        return cls(records, found.labels, found.label_set.vocabulary, found.unmapped)

    def targets(self) -> NDArray[np.uint8]:
        """1 where a label is present, ``(record, label)`` in the records' order, else 0."""
        record_ids, values, _ = label_matrix(self.labels, self.vocabulary)
        row = pd.Index(record_ids).get_indexer(pd.Index(self.records["record_id"]))
        present = np.vstack([is_positive(values), np.zeros((1, values.shape[1]), bool)])
        return np.asarray(present[row], np.uint8)


def _build(
    labelled: Labelled, split: pd.DataFrame, stored: SourceStore, spec: SignalSpec
) -> Manifest:
    """Build the manifest, with the recordings that lack a label alone in no split."""
    manifest = build_manifest(
        labelled.records,
        labelled.labels,
        split,
        stored.shards,
        spec=spec,
        vocabulary=labelled.vocabulary,
        quality=EVERY_RECORDING,
    )
    everything = pd.concat(
        [manifest.index, manifest.unlabelled.assign(split=UNUSED)], ignore_index=True
    )
    blank = np.full((len(manifest.unlabelled), len(manifest.vocabulary)), NOT_MEASURED, np.uint8)
    index = everything.sort_values(["shard", "row"])
    targets = np.concatenate([manifest.targets, blank])[index.index]
    whole = replace(manifest, index=index.reset_index(drop=True), targets=targets)
    scorable = keep_scorable(whole, np.arange(len(whole.index)), stored.shards)
    split_of = whole.index["split"].to_numpy(dtype=object, copy=True)
    split_of[np.setdiff1d(np.arange(len(split_of)), scorable)] = UNUSED
    return replace(
        whole,
        index=whole.index.assign(split=split_of),
        pos_weight=positive_weights(targets[split_of == "train"]),
    )


def _build_test(
    stored: SourceStore, label_set: LabelSet, spec: SignalSpec
) -> tuple[Tested, dict[str, str]]:
    """Make a test split of all recordings of another source."""
    _require_tables(stored)
    labelled = Labelled.read(stored, label_set)
    split = labelled.records[["record_id", "subject_id"]].assign(split="test")
    manifest = _build(labelled, SPLIT.from_pandas(split).to_pandas(), stored, spec)
    return Tested(stored, manifest), labelled.unmapped


def _require_splits(manifest: Manifest, task: Task) -> None:
    needed = ("train", "valid") if task.test_source else ("train", "valid", "test")
    empty = [name for name in needed if not len(manifest.rows(name))]
    if empty:
        raise SettingsError(
            f"No usable recording of {task.source} is in {', '.join(empty)} of {task.title}. Store "
            "all of the dataset, and its own folds where the protocol splits by them."
        )
