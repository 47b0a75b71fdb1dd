"""MIMIC-IV-ECG's record list: what is read, what is counted, what is refused."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.sources import RECORD_LIST, SourceTable
from ecg_assets.sources.mimic_iv_ecg import MimicIvEcg

HEADER = "subject_id,study_id,file_name,ecg_time,path"


def _row(subject: int, study: int, time: str = "2180-07-23 08:44:00") -> str:
    path = f"files/p{subject // 10_000}/p{subject}/s{study}/{study}"
    return f"{subject},{study},{study},{time},{path}"


def _read(root: Path, *rows: str, header: str = HEADER, folders_per_shard: int = 20) -> SourceTable:
    (root / "record_list.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    found = MimicIvEcg(root, folders_per_shard=folders_per_shard).read_records()
    RECORD_LIST.from_pandas(found.table)
    return found


@pytest.mark.reference
def test_golden_layout_is_read_as_it_stands(reference_data: Path) -> None:
    root = reference_data / "lead1_pipeline_golden" / "raw"
    found = MimicIvEcg(root).read_records()
    table = RECORD_LIST.from_pandas(found.table).to_pandas()
    raw = pd.read_csv(root / "record_list.csv", dtype=str)
    assert table["study_id"].tolist() == raw["study_id"].tolist()
    assert table["path"].tolist() == raw["path"].tolist()
    assert (table["ecg_time"] == pd.to_datetime(raw["ecg_time"])).all()
    golden = pd.read_csv(reference_data / "lead1_pipeline_golden" / "meta_split.csv")
    assert set(golden["save_file"].str.removesuffix(".mat")) <= set(table["record_id"])
    assert all((root / f"{path}.hea").is_file() for path in table["path"])
    assert (found.findings["records"], found.findings["patients"]) == (6, 3)


def test_rows_are_sorted_by_shard_and_record(tmp_path: Path) -> None:
    rows = [_row(10_200_001, 3), _row(10_190_001, 2), _row(10_000_001, 4), _row(10_000_002, 1)]
    table = _read(tmp_path, *rows).table
    assert table["shard"].tolist() == ["p1000-p1019"] * 3 + ["p1020-p1039"]
    assert table["record_id"].tolist() == [f"mimic_iv_ecg_{i}" for i in (1, 2, 4, 3)]
    assert table["path"].iloc[0] == "files/p1000/p10000002/s1/1"


def test_one_folder_a_shard_is_named_by_it(tmp_path: Path) -> None:
    found = _read(tmp_path, _row(10_000_001, 1), _row(10_010_001, 2), folders_per_shard=1)
    assert found.table["shard"].tolist() == ["p1000", "p1001"]


def test_hundred_shards_are_refused_with_the_number_that_helps(tmp_path: Path) -> None:
    rows = [_row(folder * 10_000, folder) for folder in range(1000, 2000)]
    for folders_per_shard in (1, 10):
        with pytest.raises(SettingsError, match="Raise ECG_FOLDERS_PER_SHARD to 11 or more"):
            _read(tmp_path, *rows, folders_per_shard=folders_per_shard)
    assert _read(tmp_path, *rows, folders_per_shard=11).table["shard"].nunique() == 92
    with pytest.raises(SettingsError, match="it must be 1 or more"):
        MimicIvEcg(tmp_path, folders_per_shard=0)


def test_byte_order_mark_other_columns_and_extensions_do_no_harm(tmp_path: Path) -> None:
    found = _read(
        tmp_path,
        "x,files/p1000/p10000001/s1/1.hea,1, 10000001 ,2180-07-23T08:44:00",
        header="\ufeffextra,path,study_id,subject_id,ecg_time",
    )
    row = found.table.iloc[0]
    assert (row["path"], row["subject_id"]) == ("files/p1000/p10000001/s1/1", "10000001")
    assert row["ecg_time"] == pd.Timestamp("2180-07-23 08:44:00")


def test_numbers_written_as_floats_are_the_same_study_and_patient(tmp_path: Path) -> None:
    plain = [_row(10_000_001, 7), _row(10_000_001, 8), _row(10_000_002, 9)]
    floats = [row.replace(",", ".0,", 2) for row in plain]
    expected = _read(tmp_path, *plain).table
    found = _read(tmp_path, floats[0], plain[1], floats[1], floats[2])
    pd.testing.assert_frame_equal(found.table, expected)
    assert found.findings["ids_in_two_spellings"] == 2  # a patient and a study
    assert found.findings["duplicate_study_ids"] == 1
    with pytest.raises(SchemaError, match=r"'study_id' is no id.* data row 2"):
        _read(tmp_path, plain[0], plain[1].replace(",8,", ",8.5,", 1))
    with pytest.raises(SchemaError, match="'subject_id' is no id"):
        _read(tmp_path, plain[0].replace("10000001,", "1E+07,", 1))
    other = plain[1].replace("10000001,", "10000003,", 1)
    with pytest.raises(SchemaError, match="2 rows share a study_id"):
        _read(tmp_path, plain[1], other.replace(",8,", ",8.0,", 1))


def test_path_through_the_folder_of_another_patient_is_counted(tmp_path: Path) -> None:
    wrong = _row(10_000_001, 8).replace("10000001,", "10000003,", 1)
    found = _read(tmp_path, _row(10_000_001, 7), wrong)
    assert found.findings["paths_of_another_subject"] == 1


def test_repeated_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    found = _read(tmp_path, _row(10_000_001, 1), _row(10_000_001, 2), _row(10_000_001, 1))
    assert found.table["study_id"].tolist() == ["1", "2"]
    assert found.findings["duplicate_study_ids"] == 1


def test_rows_that_contradict_each_other_are_refused_by_row_not_by_patient(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"2 rows share a study_id.*rows \[1, 3\]") as error:
        _read(tmp_path, _row(10_000_001, 7), _row(10_000_001, 2), _row(10_000_009, 7))
    assert "1000000" not in str(error.value)


@pytest.mark.parametrize(
    "path",
    [
        "/files/p1000/p1/s1/1",
        "../files/p1000/p1/s1/1",
        "files/p1000/p1/../../../../1",
        "files/p1000/..",
        "C:/files/p1000/p1/s1/1",
        "files\\\\p1000\\\\1",
    ],
)
def test_path_that_leaves_the_root_is_refused_by_row(tmp_path: Path, path: str) -> None:
    with pytest.raises(SchemaError, match=r"column 'path' leaves .* data row 2\."):
        _read(tmp_path, _row(10_000_001, 1), f"1,2,2,2180-07-23 08:44:00,{path}")


def test_unreadable_time_is_empty_and_counted(tmp_path: Path) -> None:
    found = _read(tmp_path, _row(10_000_001, 1, ""), _row(10_000_001, 2, "noon"))
    assert found.table["ecg_time"].isna().all()
    assert found.findings["records_without_time"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; expected the columns"),
        (HEADER, "a header and no rows"),
        (f"{HEADER}\n", "a header and no rows"),
        ("subject_id,path\n1,2\n", r"\['study_id', 'ecg_time'\] are missing; found \['subject_id"),
        (f"{HEADER},path\n", "'path'.* more than once"),
        (f"{HEADER}\n1,2,3\n", "1 rows have another number of fields"),
        (
            f"{HEADER}\n1,,3,4,files/p1000/5\n",
            "'study_id' is empty, first in data row 1",
        ),
        (f"{HEADER}\n1,2,3,4,elsewhere/5\n", "1 paths are in no folder pNNNN, first in data row 1"),
    ],
)
def test_broken_table_is_refused_with_its_file_named(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "record_list.csv").write_text(content)
    with pytest.raises(SchemaError, match=rf"record_list\.csv.*{message}"):
        MimicIvEcg(tmp_path).read_records()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["record_list.csv", "machine_measurements.csv"])
def test_table_that_is_a_named_pipe_is_refused_and_not_waited_for(
    tmp_path: Path, name: str
) -> None:
    records = _read(tmp_path, _row(10_000_001, 1)).table
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    source = MimicIvEcg(tmp_path)
    with pytest.raises(SchemaError, match=rf"{re.escape(name)} is no regular file"):
        source.read_records() if name == "record_list.csv" else source.read_reports(records)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_table_in_another_encoding_is_refused_without_quoting_a_row(
    tmp_path: Path, encoding: str
) -> None:
    text = f"{HEADER}\n{_row(10_000_001, 1)}\nJosé,2,2,x,files/p1000/2\n"
    (tmp_path / "record_list.csv").write_bytes(text.encode(encoding))
    with pytest.raises(SchemaError, match="cannot be read as CSV in UTF-8") as error:
        MimicIvEcg(tmp_path).read_records()
    assert "10000001" not in str(error.value)


PATIENTS = "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod\n"


@pytest.mark.parametrize(
    "place",
    [
        "1.0/patients.csv.gz",
        "1.0/hosp/patients.csv.gz",
        "hosp/patients.csv",
        "../mimiciv/3.1/hosp/patients.csv.gz",
    ],
)
def test_age_and_sex_come_from_mimics_patients_wherever_they_lie(
    tmp_path: Path, place: str
) -> None:
    root = tmp_path / "mimic-iv-ecg" / "1.0"
    root.mkdir(parents=True)
    file = (root.parent / place).resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    text = PATIENTS + "10000001,F,52,2180,2014 - 2016,\n10000003,X,,2180,,\n10000004,M,30,2280,,\n"
    content = text.encode()
    file.write_bytes(gzip.compress(content) if place.endswith(".gz") else content)
    found = _read(
        root,
        _row(10_000_001, 1, "2178-01-01 00:00:00"),
        _row(10_000_001, 2, "2183-12-31 00:00:00"),
        *(_row(10_000_000 + i, 1 + i) for i in (2, 3, 4)),
    )
    table = RECORD_LIST.from_pandas(found.table).to_pylist()
    assert [row["age"] for row in table] == [50.0, 55.0, None, None, None]
    assert [row["sex"] for row in table] == ["F", "F", None, None, "M"]
    assert found.findings["ages_out_of_range"] == 1
    assert found.findings["records_without_age"] == 3
    assert found.findings["records_without_sex"] == 2


def test_patients_written_as_floats_are_found_and_what_is_not_understood_is_counted(
    tmp_path: Path,
) -> None:
    (tmp_path / "patients.csv").write_text(
        PATIENTS + "10000001.0,female,52.0,2180.0,,\n10000002,other,old,2180,,\n"
    )
    found = _read(tmp_path, _row(10_000_001, 1), _row(10_000_002, 2, "noon"))
    assert found.table["sex"].fillna("").tolist() == ["F", ""]
    assert found.table["age"].fillna(-1).tolist() == [52, -1]
    counts = {name: found.findings[f"{name}_not_understood"] for name in ("ages", "sexes", "times")}
    assert counts == {"ages": 1, "sexes": 1, "times": 1}


def test_patients_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text(
        PATIENTS + "10000001,F,52,2180,,\n10000001,F,53,2180,,\n"
    )
    with pytest.raises(SchemaError, match=r"patients\.csv: 2 rows share a subject_id"):
        _read(tmp_path, _row(10_000_001, 1))


def test_dataset_without_patients_table_has_no_age_and_says_so(tmp_path: Path) -> None:
    found = _read(tmp_path, _row(10_000_001, 1))
    assert found.table[["age", "sex"]].isna().all(axis=None)
    assert found.findings["patients_tables"] == 0
    assert found.findings["records_without_age"] == 1
