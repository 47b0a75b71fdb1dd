"""The split of a published task."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_assets.errors import LeakageError, SchemaError, SettingsError
from ecg_assets.made_with import SPLIT_RULE, known_facts, with_facts
from ecg_assets.split import PATIENTS_IN_TWO_SPLITS, SPLIT, TaskSplit, split_task
from ecg_assets.split.leakage import find_leaking_patients
from ecg_assets.split.task_split import NAMES_NOT_FOUND

By = Literal["patient", "recording"]

RECORDS = pd.DataFrame(
    {
        "record_id": ["A1", "A2", "A3", "A4"],
        "subject_id": ["p1", "p1", "p2", "p3"],
        "path": ["x/A1", "x/A2", "y/A3.h5", "y/A4"],
    }
)


def _cohort(n_patients: int, seed: int) -> tuple[pd.DataFrame, NDArray[np.uint8]]:
    """Patients with one to three recordings, and three labels."""
    random = np.random.default_rng(seed)
    n = random.integers(1, 4, n_patients)
    patients = np.repeat([f"p{i}" for i in range(n_patients)], n)
    records = pd.DataFrame(
        {"record_id": [f"r{i}" for i in range(len(patients))], "subject_id": patients}
    )
    targets = random.random((len(patients), 3)) < [0.5, 0.25, 0.1]
    return records, targets.astype(np.uint8)


COHORTS = {
    "n_patients": st.integers(6, 40),
    "seed": st.integers(0, 50),
    "by": st.sampled_from(["patient", "recording"]),
    "n_folds": st.integers(3, 6),
}


@given(**COHORTS)
def test_each_recording_is_in_one_split_and_all_splits_have_some(
    n_patients: int, seed: int, by: By, n_folds: int
) -> None:
    records, targets = _cohort(n_patients, seed)
    rule = TaskSplit(kind="stratified", by=by, n_folds=n_folds, seed=seed)
    split = split_task(rule, records, targets)
    SPLIT.from_pandas(split)
    assert split["record_id"].tolist() == records["record_id"].tolist()
    assert set(split["split"]) == {"train", "valid", "test"}


@given(**COHORTS)
def test_by_patient_none_is_in_two_splits_and_by_recording_they_are_counted(
    n_patients: int, seed: int, by: By, n_folds: int
) -> None:
    records, targets = _cohort(n_patients, seed)
    rule = TaskSplit(kind="stratified", by=by, n_folds=n_folds, seed=seed)
    split = split_task(rule, records, targets)
    n_shared = len(find_leaking_patients(split))
    assert known_facts(split)[PATIENTS_IN_TWO_SPLITS] == n_shared
    assert by == "recording" or n_shared == 0


@given(**COHORTS, shuffle=st.integers(0, 99))
def test_order_of_rows_has_no_influence_and_the_same_seed_gives_the_same_split(
    n_patients: int, seed: int, by: By, n_folds: int, shuffle: int
) -> None:
    records, targets = _cohort(n_patients, seed)
    rule = TaskSplit(kind="stratified", by=by, n_folds=n_folds, seed=seed)
    split = split_task(rule, records, targets).set_index("record_id")["split"]
    order = np.random.default_rng(shuffle).permutation(len(records))
    again = split_task(rule, records.iloc[order].reset_index(drop=True), targets[order])
    assert again.set_index("record_id")["split"].reindex(split.index).equals(split)


def test_split_by_recording_of_a_paper_has_patients_in_two_splits() -> None:
    records, targets = _cohort(60, seed=1)
    split = split_task(TaskSplit(kind="stratified", by="recording"), records, targets)
    assert known_facts(split)[PATIENTS_IN_TWO_SPLITS] > 10


def test_the_last_fold_tests_and_the_one_before_validates() -> None:
    records, targets = _cohort(400, seed=2)
    split = split_task(TaskSplit(kind="stratified", n_folds=10), records, targets)
    share = split["split"].value_counts(normalize=True)
    assert share["train"] == pytest.approx(0.8, abs=0.03)
    assert share["valid"] == pytest.approx(0.1, abs=0.02)
    assert share["test"] == pytest.approx(0.1, abs=0.02)
    other = split_task(TaskSplit(kind="stratified", n_folds=10, seed=1), records, targets)
    assert not other["split"].equals(split["split"])


def test_labels_are_spread_and_without_any_patients_alone_are() -> None:
    records, targets = _cohort(300, seed=3)
    rule = TaskSplit(kind="stratified", n_folds=5, by="recording")
    split = split_task(rule, records, targets)
    of_split = split["split"].to_numpy()
    shares = [targets[of_split == name].mean(axis=0) for name in ("test", "train")]
    assert np.abs(shares[0] - shares[1]).max() < 0.02
    constant = split_task(TaskSplit(kind="stratified", n_folds=5), records, targets[:, :0])
    n_patients = constant.groupby("split")["subject_id"].nunique()
    assert n_patients.to_dict() == {"test": 60, "train": 180, "valid": 60}


def test_short_recordings_are_in_no_split_and_do_not_move_the_others() -> None:
    records, targets = _cohort(30, seed=4)
    rule = TaskSplit(kind="stratified", n_folds=5)
    durations = pd.Series(10.0, index=records["record_id"])
    durations["r0"], durations["r1"] = 9.998, 10 - 1e-9
    whole = split_task(rule, records, targets).set_index("record_id")["split"]
    long = rule.changed(least_duration_s=10)
    kept = split_task(long, records, targets, duration_s=durations.drop("r2"))
    assert set(whole.index) - set(kept["record_id"]) == {"r0", "r2"}
    assert kept.set_index("record_id")["split"].equals(whole.drop(["r0", "r2"]))
    with pytest.raises(SettingsError, match=r"10 s or more, .* Materialize signal_shards"):
        split_task(long, records, targets)


SPLITS = {"A1": "train", "A2": "train", "A4": "test"}


@pytest.mark.parametrize("kind", ["folds", "stored"])
def test_recordings_that_folds_or_the_stored_split_leave_out_are_in_none(
    kind: Literal["folds", "stored"],
) -> None:
    split = split_task(TaskSplit(kind=kind), with_facts(RECORDS.copy(), {"a": 1}), splits=SPLITS)
    assert split["record_id"].tolist() == ["A1", "A2", "A4"]
    assert known_facts(split) == {
        "a": 1,
        SPLIT_RULE: f"{kind}, by patient",
        PATIENTS_IN_TWO_SPLITS: 0,
    }
    with pytest.raises(SettingsError, match=f"kind {kind} needs the splits"):
        split_task(TaskSplit(kind=kind), RECORDS)


def test_patient_in_two_splits_is_refused_by_patient_and_counted_by_recording() -> None:
    leaking = {**SPLITS, "A2": "test"}
    with pytest.raises(LeakageError, match="1 patients"):
        split_task(TaskSplit(kind="stored"), RECORDS, splits=leaking)
    split = split_task(TaskSplit(kind="stored", by="recording"), RECORDS, splits=leaking)
    assert known_facts(split)[PATIENTS_IN_TWO_SPLITS] == 1


# Split files of a study.


def _file(folder: Path, text: str, name: str = "split.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "record_id,split\nA1,train\nA2,train\nA4,test\nA9,test\n",
        "ecg_path,split\n/data/x/A1.mat,train\n/data/x/A2.mat,training\n/data/z/A4.mat,test\nA9,test\n",
        "filename,age,split\nx/A1,4,train\nx/A2,4,train\ny/A4,5,Test\nx/A9,5,test\n",
    ],
)
def test_a_file_names_recordings_by_id_path_or_name(text: str, tmp_path: Path) -> None:
    folder = _file(tmp_path, text)
    split = split_task(TaskSplit(kind="file", file="split.csv"), RECORDS, folder=folder)
    assert dict(zip(split["record_id"], split["split"], strict=True)) == SPLITS
    assert known_facts(split)[NAMES_NOT_FOUND] == 1


def test_a_file_for_each_split(tmp_path: Path) -> None:
    for name, rows in {"train": "A1\nA2", "val": "A3", "test": "A4"}.items():
        _file(tmp_path, f"filename\n{rows}\n", f"icbeb_{name}.csv")
    files = {"train": "icbeb_train.csv", "valid": "icbeb_val.csv", "test": "icbeb_test.csv"}
    split = split_task(TaskSplit(kind="file", file=files), RECORDS, folder=tmp_path)
    assert split["split"].tolist() == ["train", "train", "valid", "test"]
    rule = known_facts(split)[SPLIT_RULE]
    _file(tmp_path, "filename\nA9\n", "icbeb_val.csv")
    other = split_task(TaskSplit(kind="file", file=files), RECORDS, folder=tmp_path)
    assert known_facts(other)[SPLIT_RULE] != rule


def test_name_that_two_recordings_share_means_neither(tmp_path: Path) -> None:
    records = RECORDS.assign(record_id=["a1", "a2", "a3", "a4"], path=["x/A", "y/A", "x/B", "x/C"])
    folder = _file(tmp_path, "path,split\nA,train\nx/A,test\n")
    split = split_task(TaskSplit(kind="file", file="split.csv"), records, folder=folder)
    assert split[["record_id", "split"]].to_numpy().tolist() == [["a1", "test"]]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("record_id,split\nA1,train\nx/A1,test\n", SchemaError, r"A1 a second time \(train, then"),
        ("record_id,split\nA1,fold3\n", SchemaError, r"split holds \['fold3'\]"),
        ("name,split\nA1,train\n", SchemaError, "none of the columns"),
        ("record_id\nA1\n", SchemaError, r"columns \['split'\] are missing"),
        ("record_id,split\nB1,train\n", SchemaError, "none of the 4 recordings; .* like A1"),
        ("record_id,split\n,train\n", SchemaError, "record_id holds empty cells"),
    ],
)
def test_file_that_cannot_be_meant_is_refused(
    text: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        split_task(TaskSplit(kind="file", file="split.csv"), RECORDS, folder=_file(tmp_path, text))


def test_file_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"lacks split.csv, .* Download the study's split files"
    ):
        split_task(TaskSplit(kind="file", file="split.csv"), RECORDS, folder=tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "hash"}, "kind is 'hash'"),
        ({"kind": "file"}, "they go together"),
        ({"kind": "stratified", "file": "a.csv"}, "they go together"),
        ({"kind": "file", "file": {"dev": "a.csv"}}, r"splits \['dev'\]"),
        ({"kind": "stratified", "n_folds": 2}, "n_folds is 2"),
        ({"kind": "stratified", "folds": "strat_fold"}, "folds is 'strat_fold'"),
        ({"least_duration_s": -1}, "least_duration_s is -1"),
    ],
)
def test_rule_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TaskSplit(**fields)


def test_stratified_split_needs_the_labels_of_its_recordings() -> None:
    with pytest.raises(SettingsError, match="labels of its 4 recordings; found none"):
        split_task(TaskSplit(kind="stratified"), RECORDS)
    with pytest.raises(SettingsError, match="found 1 rows"):
        split_task(TaskSplit(kind="stratified"), RECORDS, np.zeros((1, 2), np.uint8))
