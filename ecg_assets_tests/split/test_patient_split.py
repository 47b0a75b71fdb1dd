from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_assets.errors import LeakageError, SchemaError
from ecg_assets.split import (
    SPLIT,
    count_splits,
    find_leaking_patients,
    read_meta_split,
    require_no_leakage,
    split_by_patient,
    write_meta_split,
)


def _records(subjects: list[str]) -> pd.DataFrame:
    ids = [f"r{i}" for i in range(len(subjects))]
    return pd.DataFrame({"record_id": ids, "subject_id": subjects})


@given(st.lists(st.sampled_from([str(i) for i in range(40)]), min_size=1), st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_patient_never_spans_two_splits(subjects: list[str], seed: int) -> None:
    split = split_by_patient(_records(subjects), seed=seed)
    SPLIT.from_pandas(split)
    assert find_leaking_patients(split) == []


@given(st.sets(st.integers(0, 10**8), min_size=2, max_size=50))
@settings(max_examples=30, deadline=None)
def test_split_of_a_record_does_not_depend_on_other_records(subjects: set[int]) -> None:
    names = sorted(map(str, subjects))
    whole = split_by_patient(_records(names), seed=3).set_index("subject_id")["split"]
    half = split_by_patient(_records(names[::2]), seed=3).set_index("subject_id")["split"]
    assert (whole.loc[half.index] == half).all()


def test_shares_are_met_on_average() -> None:
    split = split_by_patient(_records([str(i) for i in range(20_000)]), seed=0)
    shares = count_splits(split).set_index("split")["patients"] / 20_000
    assert shares["train"] == pytest.approx(0.8, abs=0.01)
    assert shares["valid"] == pytest.approx(0.1, abs=0.01)


def test_seed_changes_the_split() -> None:
    records = _records([str(i) for i in range(200)])
    assert not split_by_patient(records, seed=1).equals(split_by_patient(records, seed=2))


@pytest.mark.parametrize(
    ("seed", "fingerprint"), [(0, "746c89a296faff31"), (1, "561a4eb2795c62c8")]
)
def test_default_split_is_the_one_that_checkpoints_were_trained_on(
    seed: int, fingerprint: str
) -> None:
    split = split_by_patient(_records([str(10_000_000 + i) for i in range(10_000)]), seed=seed)
    assert hashlib.sha256(",".join(split["split"]).encode()).hexdigest()[:16] == fingerprint


def test_meta_split_round_trips(tmp_path: Path) -> None:
    records = _records([str(i) for i in range(50)])
    split = split_by_patient(records, seed=0)
    write_meta_split(split, tmp_path / "meta_split.csv")
    assert (tmp_path / "meta_split.csv").read_text().startswith("save_file,split\nr0.mat,")
    pd.testing.assert_frame_equal(
        read_meta_split(tmp_path / "meta_split.csv", records), split, check_dtype=False
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,split\nr0.mat,train\n", "save_file"),
        ("save_file,split\nr0.mat,dev\n", "dev"),
        ("save_file,split\nr0.mat,train\nr0.mat,test\n", "twice"),
        ("save_file,split\nother.mat,train\n", "names none"),
    ],
)
def test_faulty_meta_split_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "meta_split.csv"
    path.write_text(text)
    with pytest.raises(SchemaError, match=message):
        read_meta_split(path, _records(["1"]))


def test_leak_is_counted_without_naming_the_patient() -> None:
    table = pd.DataFrame({"subject_id": ["10001217"] * 2, "split": ["train", "test"]})
    with pytest.raises(LeakageError, match="1 patients") as error:
        require_no_leakage(table, where="the split table")
    assert "10001217" not in str(error.value)
