"""PTB-XL: its table, its statements with likelihoods, its folds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.sources import MACHINE_REPORTS, RECORD_LIST, PtbXl, SourceTable, open_source

HEADER = (
    "ecg_id,patient_id,age,sex,height,recording_date,report,scp_codes,heart_axis,strat_fold,"
    "filename_lr,filename_hr"
)
ROWS = (
    "1,15709.0,56.0,1,,1984-11-09 09:17:34,sinusrhythmus periphere niederspannung,"
    "\"{'NORM': 100.0, 'LVOLT': 0.0, 'SR': 0.0}\",,3,"
    "records100/00000/00001_lr,records500/00000/00001_hr",
    '2,13243.0,300.0,0,,1984-11-14 12:55:37,"sinusbradykardie, sonst normal",'
    "\"{'IMI': 35.0, 'SBRAD': 0.0}\",,9,records100/00000/00002_lr,records500/00000/00002_hr",
    "21000,13243.0,,,,,,{},,9,records100/21000/21000_lr,records500/21000/21000_hr",
)


def _write(root: Path, *rows: str, folders: tuple[str, ...] = ("records500",)) -> PtbXl:
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "ptbxl_database.csv").write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return PtbXl(root)


def _read(source: PtbXl) -> SourceTable:
    found = source.read_records()
    RECORD_LIST.from_pandas(found.table)
    return found


def test_table_gives_records(tmp_path: Path) -> None:
    found = _read(_write(tmp_path, *ROWS))
    table = found.table.set_index("record_id")
    assert table.index.tolist() == ["ptb_xl_00001", "ptb_xl_00002", "ptb_xl_21000"]
    assert table["subject_id"].tolist() == ["15709", "13243", "13243"]
    assert table["sex"].tolist() == ["F", "M", None]
    assert table["path"].iloc[0] == "records500/00000/00001_hr"
    assert table["shard"].tolist() == ["records500-00000", "records500-00000", "records500-21000"]
    assert table["ecg_time"].iloc[0] == pd.Timestamp("1984-11-09 09:17:34")
    assert (table["age"].iloc[0], table["study_id"].iloc[1]) == (56, "2")
    assert found.findings == {
        "records": 3,
        "patients": 2,
        "ids_in_two_spellings": 0,
        "ages_above_89_hidden": 1,
        "ages_out_of_range": 0,
        "ages_not_understood": 0,
        "sexes_not_understood": 0,
        "times_not_understood": 0,
        "records_without_age": 2,
        "records_without_sex": 1,
        "records_without_time": 1,
    }


def test_numbers_are_one_recording_and_one_patient_however_they_are_written(
    tmp_path: Path,
) -> None:
    expected = _read(_write(tmp_path, *ROWS))
    assert expected.findings["ids_in_two_spellings"] == 0
    rows = [ROWS[0].replace("15709.0", "15709"), ROWS[1].replace("13243.0", "13243")]
    rows += ["00" + ROWS[2].replace(",,,", ",,1.0,", 1).replace("21000,", "21000.0,")]
    found = _read(_write(tmp_path, *rows))
    assert found.table["record_id"].tolist() == expected.table["record_id"].tolist()
    assert found.table["subject_id"].tolist() == ["15709", "13243", "13243"]
    assert found.table["sex"].tolist() == ["F", "M", "F"]
    assert found.findings["ids_in_two_spellings"] == 1
    assert _write(tmp_path, *rows).read_folds().index.tolist() == found.table["record_id"].tolist()
    with pytest.raises(SchemaError, match=r"'patient_id' is no id.* data row 2"):
        _write(tmp_path, ROWS[0], ROWS[1].replace("13243.0", "1.3243E4")).read_records()


def test_100_hz_is_taken_only_where_500_hz_is_missing(tmp_path: Path) -> None:
    both = _write(tmp_path / "both", *ROWS, folders=("records500", "records100"))
    assert set(_read(both).table["path"].str[:10]) == {"records500"}
    slow = _write(tmp_path / "slow", *ROWS, folders=("records100",))
    assert _read(slow).table["path"].iloc[2] == "records100/21000/21000_lr"
    with pytest.raises(SettingsError, match="neither of the folders records500 and records100"):
        _write(tmp_path / "none", *ROWS, folders=("",)).read_records()


def test_statements_keep_order_and_likelihood(tmp_path: Path) -> None:
    source = _write(tmp_path, *ROWS)
    found = source.read_reports(_read(source).table)
    reports = MACHINE_REPORTS.from_pandas(found.table).to_pylist()
    assert [row["lines"] for row in reports] == [
        ["NORM 100", "LVOLT 0", "SR 0"],
        ["IMI 35", "SBRAD 0"],
        [],
    ]
    assert {row["coding"] for row in reports} == {"scp-ecg"}
    assert found.findings == {"records": 3, "records_without_report": 1, "codes": 5}


def test_demographics_may_be_missing(tmp_path: Path) -> None:
    source = _write(tmp_path, *ROWS)
    path = tmp_path / "ptbxl_database.csv"
    table = pd.read_csv(path, dtype=str).drop(columns=["age", "sex", "recording_date"])
    table.to_csv(path, index=False)
    assert _read(source).table[["age", "sex", "ecg_time"]].isna().all(axis=None)


@pytest.mark.parametrize(
    "codes",
    ["NORM", "['NORM']", "\"{'NORM': 'high'}\"", "\"{'NORM': 101}\"", "__import__('os').abort()"],
)
def test_statements_that_are_no_likelihoods_are_refused_by_row(tmp_path: Path, codes: str) -> None:
    source = _write(tmp_path, ROWS[0], ROWS[2].replace("{}", codes))
    with pytest.raises(SchemaError, match=r"'scp_codes' is no dictionary.* data row 2"):
        source.read_reports(_read(source).table)


def test_folds_are_given_by_record(tmp_path: Path) -> None:
    folds = _write(tmp_path, *ROWS).read_folds()
    assert folds.to_dict() == {"ptb_xl_00001": 3, "ptb_xl_00002": 9, "ptb_xl_21000": 9}
    with pytest.raises(SchemaError, match="'strat_fold' is not 1 to 10, first in data row 1"):
        _write(tmp_path, ROWS[0].replace(",3,", ",11,")).read_folds()


def test_path_that_leaves_the_root_is_refused(tmp_path: Path) -> None:
    row = ROWS[0].replace("records500/", "../records500/")
    with pytest.raises(SchemaError, match="'filename_hr' leaves the dataset's root"):
        _write(tmp_path, row).read_records()


def test_two_rows_of_one_recording_must_agree(tmp_path: Path) -> None:
    assert len(_read(_write(tmp_path, ROWS[0], ROWS[0])).table) == 1
    with pytest.raises(SchemaError, match="share a ecg_id"):
        _write(tmp_path, ROWS[0], ROWS[0].replace("56.0", "57.0")).read_records()


def test_root_is_found_from_near_by(tmp_path: Path) -> None:
    root = tmp_path / "ptb-xl" / "1.0.3"
    _write(root, *ROWS)
    assert open_source("ptb-xl", root) == PtbXl(root)
    for given in (root / "records500", tmp_path):
        with pytest.raises(SettingsError, match=rf"Set ECG_RAW_ROOT={root}\."):
            open_source("ptb-xl", given)
    with pytest.raises(SettingsError, match="set ECG_SOURCE=ptb-xl"):
        open_source("physionet-2021", root)
