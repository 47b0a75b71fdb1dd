from __future__ import annotations

from functools import partial

import pandas as pd
import pytest

from ecg_assets.errors import LeakageError, SchemaError
from ecg_assets.split import SPLIT, split_by_folds

FOLDS = pd.Series(range(1, 11), index=[f"r{i}" for i in range(1, 11)])
RECORDS = pd.DataFrame({"record_id": FOLDS.index, "subject_id": [f"p{i}" for i in range(10)]})

split_in_ten = partial(split_by_folds, train=range(1, 9), valid=[9], test=[10])


def test_folds_1_to_8_train_9_is_valid_and_10_is_test() -> None:
    split = split_in_ten(RECORDS, FOLDS)
    SPLIT.from_pandas(split)
    assert split["split"].tolist() == ["train"] * 8 + ["valid", "test"]
    assert split["record_id"].tolist() == RECORDS["record_id"].tolist()


def test_record_of_an_unused_fold_is_left_out() -> None:
    split = split_by_folds(RECORDS, FOLDS, train=[1], valid=[2], test=[3])
    assert split.set_index("record_id")["split"].to_dict() == {
        "r1": "train",
        "r2": "valid",
        "r3": "test",
    }


def test_patient_in_two_splits_is_refused_but_not_in_two_folds_of_one() -> None:
    shared = RECORDS.assign(subject_id=["p", "p", *RECORDS["subject_id"][2:]])
    assert split_in_ten(shared, FOLDS)["subject_id"].tolist()[:2] == ["p", "p"]
    shared.loc[9, "subject_id"] = "p"
    with pytest.raises(LeakageError, match="1 patients"):
        split_in_ten(shared, FOLDS)


def test_record_without_a_fold_is_refused() -> None:
    with pytest.raises(SchemaError, match="1 of 10 records have no fold, first 'r10'"):
        split_in_ten(RECORDS, FOLDS[:9])
