from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_assets.errors import LeakageError, SchemaError
from ecg_assets.sources.mimic_iv_ecg import MimicIvEcg
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
@settings(max_examples=50)
def test_patient_never_spans_two_splits(subjects: list[str], seed: int) -> None:
    split = split_by_patient(_records(subjects), seed=seed)
    SPLIT.from_pandas(split)
    assert find_leaking_patients(split) == []


@given(st.sets(st.integers(0, 10**8), min_size=2, max_size=50))
@settings(max_examples=30)
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


@pytest.mark.reference
def test_meta_split_of_fairseq_signals_scripts_names_records_by_their_paths(
    reference_data: Path,
) -> None:
    folder = reference_data / "fairseq_golden" / "dataprep"
    (root,) = (folder / "raw").iterdir()
    records = MimicIvEcg(root).read_records().table
    path = folder / "expected" / "mimic_iv_ecg" / "meta_split.csv"
    found = read_meta_split(path, records).set_index("subject_id")["split"]
    golden = pd.read_csv(path, dtype=str).set_index("subject_id")["split"]
    assert len(found) == len(golden) == 8
    assert found.groupby(level=0).unique().str.join("").to_dict() == (
        golden.groupby(level=0).unique().str.join("").to_dict()
    )


def test_meta_split_takes_a_long_name_for_one_recording_alone(tmp_path: Path) -> None:
    records = _records(["1", "2"]).assign(
        record_id=["mimic_iv_ecg_7", "mimic_iv_ecg_8"], path=["files/p1/s7/7", "files/p1/s8/8"]
    )
    path = tmp_path / "meta_split.csv"
    for name in ("p1_s7_7", "s7_7", "7"):
        path.write_text(f"save_file,split\nmimic_iv_ecg_{name}.mat,test\n")
        assert read_meta_split(path, records)["record_id"].tolist() == ["mimic_iv_ecg_7"]
    path.write_text("save_file,split\nmimic_iv_ecg_s7_7.mat,test\nmimic_iv_ecg_7.mat,train\n")
    with pytest.raises(SchemaError, match="1 files are named twice"):
        read_meta_split(path, records)
    path.write_text("save_file,split\nmimic_iv_ecg_s9_7.mat,test\n")
    with pytest.raises(SchemaError, match="names none of the 2 records"):
        read_meta_split(path, records)


def test_meta_split_names_records_whose_number_was_written_as_a_float(tmp_path: Path) -> None:
    ids = ["mimic_iv_ecg_40689238", "mimic_iv_ecg_40689239", "a-1.0", "a-1"]
    records = pd.DataFrame({"record_id": ids, "subject_id": ["1", "2", "3", "4"]})
    path = tmp_path / "meta_split.csv"
    path.write_text(
        "save_file,split\nmimic_iv_ecg_40689238.0.mat,train\nmimic_iv_ecg_40689239.mat,test\n"
        "a-1.0.mat,valid\na-1.mat,train\n"
    )
    found = read_meta_split(path, records)
    assert dict(zip(found["record_id"], found["split"], strict=True)) == dict(
        zip(ids, ("train", "test", "valid", "train"), strict=True)
    )
    path.write_text(
        "save_file,split\nmimic_iv_ecg_40689238.0.mat,train\nmimic_iv_ecg_40689238.mat,test\n"
    )
    with pytest.raises(SchemaError, match="named twice"):
        read_meta_split(path, records)


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
