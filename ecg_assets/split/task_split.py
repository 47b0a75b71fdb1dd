"""The split of a published task: a dataset's folds, stratified folds, a file, or the stored one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.frozen_model import FrozenModel, Number
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.made_with import SPLIT_RULE, known_facts, with_facts
from ecg_assets.sources.dataset_tables import read_csv_table
from ecg_assets.split.folds import assign_folds
from ecg_assets.split.leakage import find_leaking_patients, require_no_leakage
from ecg_assets.split.patients import SPLIT_NAMES

PATIENTS_IN_TWO_SPLITS: Final = "patients_in_two_splits"
"""Fact of a task's split: how many patients stand in more than one."""

NAMES_NOT_FOUND: Final = "split_names_not_found"
"""Fact of a split by file: how many recordings it names that are not there."""

NAME_COLUMNS = (
    "record_id",
    "path",
    "filename",
    "filename_hr",
    "file_name",
    "ecg_path",
    "save_file",
)
"""Columns of a split's file that can name recordings; the first that is there counts."""

_SPELLINGS = {"val": "valid", "validation": "valid", "dev": "valid", "training": "train"}
_ENDING = re.compile(r"\.(?:mat|hea|dat|csv|npy|h5|hdf5)$")


class TaskSplit(FrozenModel):
    """How a task's recordings come to train, valid and test.

    folds: by the dataset's folds. stored: as the source's results have them. stratified: labels
    are spread over `n_folds`, of which the last tests, the one before validates, and the others
    train. file: by a CSV, or one a split.
    """

    kind: Literal["folds", "stored", "stratified", "file"] = "folds"
    by: Literal["patient", "recording"] = Field(
        default="patient",
        description="What is kept together. recording: a patient may stand in two splits, as some "
        "papers have it; how many do is a fact of the split.",
    )
    folds: str = Field(default="", description="Which folds of the dataset; empty: its own.")
    n_folds: int = Field(default=10, ge=3, description="Of a stratified split.")
    seed: int = Field(default=0, ge=0, description="Of a stratified split.")
    file: str | dict[str, str] = Field(
        default="", description="CSV with a column `split`, or a CSV for each split."
    )
    least_duration_s: Number = Field(
        default=0.0,
        ge=0,
        description="Shorter recordings are in no split; labels are spread with them all the same.",
    )

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if (self.kind == "file") != bool(self.file):
            raise ValueError(f"kind is {self.kind!r} and file {self.file!r}; they go together.")
        if isinstance(self.file, dict) and (unknown := sorted({*self.file} - {*SPLIT_NAMES})):
            raise ValueError(f"file names the splits {unknown}; expected {list(SPLIT_NAMES)}.")
        self._require(not self.folds or self.kind == "folds", "folds", "empty but for kind folds")
        return self


def split_task(
    rule: TaskSplit,
    records: pd.DataFrame,
    targets: NDArray[np.uint8] | None = None,
    *,
    splits: Mapping[str, str] | None = None,
    folder: Path | None = None,
    duration_s: pd.Series[float] | None = None,
) -> pd.DataFrame:
    """Split the recordings of a task.

    Parameters
    ----------
    rule
        How.
    records
        Table with ``record_id``, ``subject_id`` and, for a file, ``path``: the recordings that
        count.
    targets
        0 or 1, ``(record, label)`` in the records' order; only a stratified split needs them. With
        no label patients are spread alone.
    splits
        Split by record_id, for the kinds folds (`Folds.name_splits`) and stored; recordings that
        it does not name are in none.
    folder
        Where the rule's files lie; only a file needs it.
    duration_s
        Seconds of each recording, by record_id, where the rule asks for the least. A recording
        whose length is not known is in no split.

    Returns
    -------
    DataFrame
        As `SPLIT` declares, in the records' order; recordings in no split are left out. Its facts
        are the rule, and `PATIENTS_IN_TWO_SPLITS`, which is 0 with ``by: patient``.

    Raises
    ------
    SettingsError
        When what the rule needs is not given, or there are too few patients or recordings.
    SchemaError
        When a file cannot be understood, or names a recording twice.
    LeakageError
        When a patient stands in two splits, with ``by: patient``.
    """
    facts: dict[str, Any] = {}
    if rule.kind == "stratified":
        names: Any = _split_by_labels(rule, records, targets)
    else:
        if rule.kind == "file":
            splits, n_unknown = _read_files(rule, records, folder)
            facts[NAMES_NOT_FOUND] = n_unknown
        if splits is None:
            raise SettingsError(f"A split of kind {rule.kind} needs the splits of its recordings.")
        names = records["record_id"].map(splits)
    split = records[["record_id", "subject_id"]].assign(split=np.asarray(names, dtype=object))
    if rule.least_duration_s:
        split = split[_is_long(rule, records["record_id"], duration_s)]
    split = split.dropna(subset="split").reset_index(drop=True)
    if rule.by == "patient":
        require_no_leakage(split, where=f"the task's split ({rule.kind})")
    facts |= {
        SPLIT_RULE: name_task_rule(rule, folder),
        PATIENTS_IN_TWO_SPLITS: len(find_leaking_patients(split)),
    }
    return with_facts(split, {**known_facts(records), **facts})


def name_task_rule(rule: TaskSplit, folder: Path | None = None) -> str:
    """Name a split: two equal names of one source never disagree on a recording.

    >>> name_task_rule(TaskSplit(kind="stratified", by="recording", least_duration_s=10))
    'stratified, 10 folds, seed 0, by recording, at least 10 s'
    """
    parts: list[str] = [rule.kind]
    if rule.kind == "folds" and rule.folds:
        parts.append(rule.folds)
    elif rule.kind == "stratified":
        parts += [f"{rule.n_folds} folds", f"seed {rule.seed}"]
    elif rule.kind == "file":
        paths = sorted(_list_files(rule, folder).items())
        parts.append(fingerprint_json({name: fingerprint_file(path) for name, path in paths})[:16])
    parts.append(f"by {rule.by}")
    if rule.least_duration_s:
        parts.append(f"at least {rule.least_duration_s:g} s")
    return ", ".join(parts)


def _split_by_labels(
    rule: TaskSplit, records: pd.DataFrame, targets: NDArray[np.uint8] | None
) -> NDArray[np.object_]:
    if targets is None or len(targets) != len(records):
        found = "none" if targets is None else f"{len(targets)} rows"
        raise SettingsError(
            f"A stratified split needs the labels of its {len(records)} recordings; found {found}."
        )
    kept_together = "subject_id" if rule.by == "patient" else "record_id"
    ids = records[kept_together].to_numpy(dtype=str)
    folds = assign_folds(ids, targets, n_folds=rule.n_folds, seed=rule.seed)
    judged = {rule.n_folds: "test", rule.n_folds - 1: "valid"}
    return np.array([judged.get(int(fold), "train") for fold in folds], dtype=object)


def _is_long(
    rule: TaskSplit, record_ids: pd.Series[str], duration_s: pd.Series[float] | None
) -> NDArray[np.bool_]:
    if duration_s is None:
        raise SettingsError(
            f"The task counts recordings of {rule.least_duration_s:g} s or more, and how long they "
            "are is not known. Materialize signal_shards."
        )
    # A length is samples by samples a second, and may miss a round number by rounding.
    return np.asarray(record_ids.map(duration_s) >= rule.least_duration_s - 1e-6, dtype=bool)


# Splits that a file gives.


def _list_files(rule: TaskSplit, folder: Path | None) -> dict[str, Path]:
    """Find the file of each split; of one file for all the split is nameless."""
    if folder is None:
        raise SettingsError("A split by file needs the folder that its files lie in.")
    named = rule.file if isinstance(rule.file, dict) else {"": rule.file}
    paths = {split: folder / name for split, name in named.items()}
    if missing := [path.name for path in paths.values() if not path.is_file()]:
        raise SettingsError(
            f"{folder} lacks {', '.join(missing)}, which the task's split needs. Download the "
            "study's split files into it; they are not part of this package."
        )
    return paths


def _read_files(
    rule: TaskSplit, records: pd.DataFrame, folder: Path | None
) -> tuple[dict[str, str], int]:
    """Read the split of each recording that the files name; count the names of none."""
    known, n_unknown = _name_records(records), 0
    found: dict[str, str] = {}
    for split, path in _list_files(rule, folder).items():
        for name, of_row in _read_rows(path, split):
            record_id = next((known[form] for form in _forms(name) if form in known), None)
            if record_id is None:
                n_unknown += 1
            elif record_id in found:
                raise SchemaError(
                    f"{path} names {record_id} a second time ({found[record_id]}, then {of_row}). "
                    "Each recording must stand in one split, once."
                )
            else:
                found[record_id] = of_row
    if not found:
        raise SchemaError(
            f"The task's split files name none of the {len(records)} recordings; they expect names "
            f"like {records['record_id'].iloc[0] if len(records) else 'A0001'}."
        )
    return found, n_unknown


def _read_rows(path: Path, split: str) -> list[tuple[str, str]]:
    """Read the names of a file's recordings, each with its split."""
    table = read_csv_table(path, () if split else ("split",), optional=NAME_COLUMNS)
    named_by = next((name for name in NAME_COLUMNS if name in table.column_names), None)
    if named_by is None:
        raise SchemaError(f"{path} has none of the columns {list(NAME_COLUMNS)}.")
    names = table[named_by].to_pylist()
    stated = [split] * len(names) if split else table["split"].to_pylist()
    splits = [_SPELLINGS.get(str(one).lower(), str(one).lower()) for one in stated]
    unknown = sorted(set(splits) - set(SPLIT_NAMES))
    if unknown or None in names:
        what = f"split holds {unknown}" if unknown else f"{named_by} holds empty cells"
        raise SchemaError(f"{path}: {what}; expected names of recordings, and {SPLIT_NAMES}.")
    return list(zip(names, splits, strict=True))


def _name_records(records: pd.DataFrame) -> dict[str, str]:
    """Give the recording of each name: its id, its path, and its path's end where that is alone."""
    ids = records["record_id"].astype(str)
    found = dict(zip(ids, ids, strict=True))
    if "path" not in records:
        return found
    paths = records["path"].astype(str).str.replace(_ENDING, "", regex=True)
    ends = paths.str.rpartition("/")[2]
    for names in (paths, ends[~ends.duplicated(keep=False)]):
        for name, record_id in zip(names, ids[names.index], strict=True):
            found.setdefault(name, record_id)
    return found


def _forms(name: str) -> tuple[str, ...]:
    """List the ways in which a file may mean a recording: as written, without ending, its end.

    >>> _forms("/chapman/WFDBRecords/18/186/JS18048.mat")[1:]
    ('/chapman/WFDBRecords/18/186/JS18048', 'JS18048')
    """
    plain = _ENDING.sub("", name)
    return name, plain, PurePosixPath(plain).name
