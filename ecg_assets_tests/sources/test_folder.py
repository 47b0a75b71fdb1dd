"""A folder of one's own: what labels.csv and the files say, and what it counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecg_assets.errors import BadRecord, SchemaError, SettingsError
from ecg_assets.sources import (
    MACHINE_REPORTS,
    RECORD_LIST,
    Folder,
    SourceTable,
    read_recording,
)
from ecg_assets.sources.schema import NO_LABEL, measured_line
from ecg_assets_tests.sources.wfdb_recordings import write_recording

SETTINGS = "leads: [I, II]\nsample_rate_hz: 500\n"


def _write(root: Path, labels: str | None, *files: str, settings: str | None = SETTINGS) -> None:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".hea":
            write_recording(path.parent, path.stem)
        elif path.suffix == ".npy":
            np.save(path, np.zeros((2, 100)))
        else:
            path.write_text("I,II\n0,0\n")
    if labels is not None:
        (root / "labels.csv").write_text(labels, encoding="utf-8")
    if settings is not None:
        (root / "folder.yaml").write_text(settings)


def _read(root: Path) -> SourceTable:
    found = Folder(root).read_records()
    RECORD_LIST.from_pandas(found.table)
    return found


def _lines(root: Path) -> dict[str, list[str]]:
    source = Folder(root)
    reports = MACHINE_REPORTS.from_pandas(source.read_reports(source.read_records().table).table)
    assert set(reports["coding"].to_pylist()) == {"own-labels"}
    return {row["record_id"]: row["lines"] for row in reports.to_pylist()}


def test_labels_csv_gives_records_patients_and_labels(tmp_path: Path) -> None:
    labels = (
        "\ufefffile,patient_id,age,sex,time,AF, Wide QRS \n"
        "p1/a.npy,7,63.5,Male,2024-03-01T10:00:00,1,1\n"
        "p1/b,7,300,f,,0,1.0\n"
        ".\\p2\\a.hea,8,,,,False,0\n"
    )
    _write(tmp_path, labels, "p1/a.npy", "p1/b.csv", "p2/a.hea")
    found = _read(tmp_path)
    table = found.table.set_index("record_id")
    assert table["path"].to_dict() == {"p1-a": "p1/a.npy", "p1-b": "p1/b.csv", "p2-a": "p2/a"}
    assert table["subject_id"].tolist() == ["7", "7", "8"]
    assert table["shard"].tolist() == ["p1", "p1", "p2"]
    assert table["age"].tolist()[0] == 63.5
    assert table["sex"].tolist() == ["M", "F", None]
    assert table.loc["p1-a", "ecg_time"] == pd.Timestamp("2024-03-01 10:00")
    assert found.findings == {
        "records": 3,
        "records_without_patient": 0,
        "rows_without_file": 0,
        "files_not_in_labels_csv": 0,
        "patients_in_two_spellings": 0,
        "times_not_understood": 0,
        "ages_out_of_range": 1,
        "ages_not_understood": 0,
        "sexes_not_understood": 0,
        "records_without_age": 2,
        "records_without_sex": 1,
    }
    assert _lines(tmp_path) == {
        "p1-a": ["AF", "Wide QRS"],
        "p1-b": ["Wide QRS"],
        "p2-a": [NO_LABEL],
    }
    assert Folder(tmp_path).read_label_names() == ("AF", "Wide QRS")
    for path in table["path"]:
        assert read_recording(tmp_path / path, ["II"], root=tmp_path).sample_rate == 500


def test_patient_is_one_whether_a_table_wrote_floats_or_not(tmp_path: Path) -> None:
    labels = "file,patient,A\n1,17620.0,1\n2.0,17620,0\n3,0017,0\n4,P1.0,0\n5,1.5,1\n6,,1\n"
    _write(tmp_path, labels, *(f"{number}.csv" for number in range(1, 7)))
    found = _read(tmp_path)
    assert found.table["subject_id"].tolist() == ["17620", "17620", "0017", "P1.0", "1.5", "6"]
    assert found.findings["patients_in_two_spellings"] == 1
    assert found.findings["rows_without_file"] == found.findings["files_not_in_labels_csv"] == 0
    assert _lines(tmp_path)["2"] == [NO_LABEL]
    _write(tmp_path, "file,A\n1,1\n1.0,1\n")
    with pytest.raises(SchemaError, match=r"'1', recordings \[1, 2\]"):
        _read(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        "File,Patient,AGE,Sex,Time,Sample_Rate_Hz,AF",
        "FILE,PATIENT ID,Age,SEX,ECG time,Sample rate Hz,AF",
        "file,Subject-ID,age,Gender,ECG_TIME,sample_rate_hz,AF",
        " file ,subject,age,gender,time,sample-rate-hz,AF",
    ],
)
def test_column_of_what_is_known_is_no_label_in_any_spelling(tmp_path: Path, header: str) -> None:
    rows = "a,7,63,F,2024-03-01T10:00:00,250,1\nb,7,0,1,,,0\n"
    _write(tmp_path, f"{header}\n{rows}", "a.csv", "b.csv")
    found = _read(tmp_path)
    assert Folder(tmp_path).read_label_names() == ("AF",)
    assert found.table["subject_id"].tolist() == ["7", "7"]
    assert found.table["path"].tolist() == ["a.csv#250.0", "b.csv"]
    assert found.table["age"].tolist() == [63, 0]
    assert found.table["sex"].tolist() == ["F", None]
    assert found.findings["sexes_not_understood"] == 1


def test_what_is_filled_and_not_understood_is_counted(tmp_path: Path) -> None:
    labels = (
        'file,age,sex,time,A\na,"63,5",w,2024-03-01,1\nb,89+,Mann,03/01/2024,1\nc,old,0,,0\n'
        "d,,,,0\ne,unknown,N/A,NaT,0\nf,64 years,Männlich,noon,0\n"
    )
    _write(tmp_path, labels, *(f"{name}.csv" for name in "abcdef"))
    found = _read(tmp_path)
    assert found.table["age"].fillna(-1).tolist() == [63.5, 89, -1, -1, -1, 64]
    assert found.table["sex"].tolist() == ["F", None, None, None, None, "M"]
    counts = {name: found.findings[f"{name}_not_understood"] for name in ("ages", "sexes", "times")}
    assert counts == {"ages": 1, "sexes": 2, "times": 2}
    assert found.findings["records_without_age"] == 3


def test_long_chain_of_folders_gives_names_that_files_can_have(tmp_path: Path) -> None:
    chains = [f"{'x' * 90}/{'y' * 90}/{last * 45}" for last in ("é", "è")]
    _write(tmp_path, None, *(f"{chain}/1.npy" for chain in chains), "a/1.npy")
    table = _read(tmp_path).table
    names = pd.concat([table["shard"], table["record_id"]])
    assert names.str.encode("utf-8").str.len().max() <= 150
    assert names.nunique() == 6
    assert {"a", "a-1"} < set(names)
    assert names.str[:90].tolist().count("x" * 90) == 4
    again = _read(tmp_path).table
    pd.testing.assert_frame_equal(again, table)


def test_empty_cell_is_neither_0_nor_1_and_an_empty_row_is_unlabelled(tmp_path: Path) -> None:
    _write(tmp_path, "file,A,B\na,1,\nb,,0\nc,,\n", "a.csv", "b.csv", "c.csv")
    assert _lines(tmp_path) == {
        "a": ["A", measured_line("B", None)],
        "b": [NO_LABEL, measured_line("A", None)],
        "c": [],
    }
    source = Folder(tmp_path)
    findings = source.read_reports(source.read_records().table).findings
    assert findings == {"records": 3, "records_without_report": 1, "empty_label_cells": 4}


@pytest.mark.parametrize(
    ("cell", "column"), [("NaN", "B"), ("yes", "B"), ("2", "B"), ("0.5", "B"), ("-1", "B")]
)
def test_cell_that_is_no_label_is_named_by_row_and_column(
    tmp_path: Path, cell: str, column: str
) -> None:
    _write(tmp_path, f"file,A,B\na,1,0\nb,0,{cell}\n", "a.csv", "b.csv")
    with pytest.raises(SchemaError, match=rf"column '{column}' is neither.*data row 2"):
        Folder(tmp_path).read_label_names()


def test_record_without_a_patient_is_one_of_its_own_and_counted(tmp_path: Path) -> None:
    _write(tmp_path, "file,patient,A\na,7,1\nb,,1\n", "a.csv", "b.csv")
    found = _read(tmp_path)
    assert found.table["subject_id"].tolist() == ["7", "b"]
    assert found.findings["records_without_patient"] == 1
    _write(tmp_path, "file,A\na,1\nb,1\n")
    assert _read(tmp_path).table["subject_id"].tolist() == ["a", "b"]


def test_row_without_a_file_stays_to_be_rejected_by_name(tmp_path: Path) -> None:
    labels = "file,A\na.csv,1\nlost.npy,1\nlost2.hea,0\nlost3,1\n"
    _write(tmp_path, labels, "a.csv", "b.csv", "sub/c.hea")
    found = _read(tmp_path)
    assert found.findings["rows_without_file"] == 3
    assert found.findings["files_not_in_labels_csv"] == 2
    for path in found.table["path"][1:]:
        with pytest.raises(BadRecord, match="missing_file"):
            read_recording(tmp_path / path, ["I"], root=tmp_path)


def test_sample_rate_of_a_row_is_read_with_its_file(tmp_path: Path) -> None:
    labels = "file,sample_rate_hz,A\na.csv,62.5,1\nb.npy,,1\nc,360,0\n"
    _write(tmp_path, labels, "a.csv", "b.npy", "c.hea")
    paths = _read(tmp_path).table["path"].tolist()
    rates = [read_recording(tmp_path / p, ["I"], root=tmp_path).sample_rate for p in paths]
    assert rates == [62.5, 500, 500]
    _write(tmp_path, labels.replace("62.5", "0"))
    with pytest.raises(SchemaError, match=r"'sample_rate_hz' is no number above 0.*row 1"):
        _read(tmp_path)


def test_without_labels_csv_all_recordings_are_listed_and_unlabelled(tmp_path: Path) -> None:
    _write(tmp_path, None, "a.csv", "x/b.npy", "x/c.hea", "._d.csv", ".git/e.csv")
    found = _read(tmp_path)
    assert found.table["path"].tolist() == ["a.csv", "x/b.npy", "x/c"]
    assert found.findings == {"records": 3, "records_without_patient": 3}
    assert set(map(tuple, _lines(tmp_path).values())) == {()}
    assert Folder(tmp_path).read_label_names() == ()


def test_folder_without_recordings_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"neither labels\.csv nor a recording"):
        _read(tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("path,A\na,1\n", r"columns \['file'\] are missing"),
        ("file,A\n,1\n", "column 'file' is empty, first in data row 1"),
        ("file,A\na,1\n../a,1\n", r"leaves the dataset's root.*row 2"),
        ("file,A\n/etc/a,1\n", "leaves the dataset's root"),
        ("file,A\nC:\\a,1\n", "leaves the dataset's root"),
        ("file,patient,subject_id\na,1,1\n", "mean the same"),
        ("file,patient,A\na,7,1\nb,1.23457E+11,1\n", r"patient.*no identifier but.*data row 2"),
        ("file,sex,Sex\na,1,1\n", r"columns \['sex', 'Sex'\] mean the same"),
        ("file,File\na,1\n", "mean the same"),
        ("file,A\na.csv,1\na,0\n", r"'a', recordings \[1, 2\]"),
        ("file,A\nx/b,1\nx-b,0\n", "share a name"),
        ("file,(none)\na,1\n", "rename that column"),
        ("file,A,A\na,1,1\n", "more than once"),
        ("file,A\na,1,1\n", "another number of fields"),
    ],
)
def test_labels_csv_that_cannot_be_meant_is_refused(
    tmp_path: Path, labels: str, message: str
) -> None:
    _write(tmp_path, labels, "a.csv", "x/b.csv")
    with pytest.raises(SchemaError, match=message):
        _read(tmp_path)


def test_one_recording_in_two_formats_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, None, "a.csv", "a.hea")
    with pytest.raises(SchemaError, match=r"a\.hea and a\.csv"):
        _read(tmp_path)


def test_what_files_do_not_say_must_be_set(tmp_path: Path) -> None:
    _write(tmp_path, None, "a.hea", settings=None)
    assert len(_read(tmp_path).table) == 1
    _write(tmp_path, None, "b.csv", settings=None)
    with pytest.raises(SettingsError, match=r"folder\.yaml.*\n?.*sample_rate_hz: 500$"):
        _read(tmp_path)
    _write(tmp_path, None, "c.npy", settings="sample_rate_hz: 250")
    with pytest.raises(SettingsError, match=r"leads: \[I, II"):
        _read(tmp_path)
    labels = "file,sample_rate_hz,A\na,,1\nb,500,1\n"
    _write(tmp_path, labels, settings="")
    assert _read(tmp_path).table["path"].tolist() == ["a", "b.csv#500.0"]


def test_wfdb_record_whose_signal_file_is_mat_is_one_recording(tmp_path: Path) -> None:
    _write(tmp_path, None, "a.hea")
    (tmp_path / "a.dat").rename(tmp_path / "a.mat")
    assert _read(tmp_path).table["path"].tolist() == ["a"]
