"""SPH: metadata.csv, statements without their modifiers, and recordings of float16."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord, SchemaError, SettingsError
from ecg_assets.labels.study_counts import main
from ecg_assets.preprocess.shard import preprocess_shard
from ecg_assets.sources import MACHINE_REPORTS, RECORD_LIST, open_source, read_recording
from ecg_assets.sources.sph import Sph
from ecg_assets.sources.synthetic.made.sph import simulate_cohort, write_sph

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
CODES = "Category,Code,Description\nA,1,x\nC,22,x\nE,50,x\nModifier,346,x\n"
HEADER = "ECG_ID,AHA_Code,Patient_ID,Age,Sex,N,Date"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "sph"
    write_sph(root, n_records=24, seed=3)
    return root


def _write(root: Path, *rows: str) -> Sph:
    (root / "metadata.csv").write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    (root / "code.csv").write_text(CODES, encoding="utf-8")
    return Sph(root)


def _reason(path: Path, leads: Sequence[str] = ("I",)) -> str:
    with pytest.raises(BadRecord) as error:
        read_recording(path, leads, root=path.parent)
    assert str(path.parent) not in error.value.detail
    return error.value.reason


def test_table_gives_records_and_a_patient_has_several(made: Path) -> None:
    found = open_source("sph", made).read_records()
    RECORD_LIST.from_pandas(found.table)
    assert found.table["record_id"].tolist() == [f"sph_A{i:05}" for i in range(1, 25)]
    assert found.table["path"].iloc[0] == "records/A00001.h5"
    assert set(found.table["shard"]) == {"A00"}
    assert found.findings["records"] == 24
    assert found.findings["patients"] == found.table["subject_id"].nunique() < 24
    assert found.table[["age", "sex", "ecg_time"]].notna().all(axis=None)


def test_thousand_numbers_are_a_shard(tmp_path: Path) -> None:
    rows = [f"A{number:05},1,S{number:05},50,M,5000,2020-01-02" for number in (1, 999, 1000, 25770)]
    table = _write(tmp_path, *rows).read_records().table
    assert table["shard"].tolist() == ["A00", "A00", "A01", "A25"]


def test_lines_are_statements_with_their_modifiers_each_once(tmp_path: Path) -> None:
    rows = ["A00001,50+346;22,S1,50,M,5000,", "A00002,1;1,S1,51,M,5000,", "A00003,22,S2,9,F,5000,"]
    source = _write(tmp_path, *rows)
    records = source.read_records().table
    found = source.read_reports(records)
    reports = MACHINE_REPORTS.from_pandas(found.table).to_pylist()
    assert [row["lines"] for row in reports] == [["50+346", "22"], ["1"], ["22"]]
    assert {row["coding"] for row in reports} == {"aha"}
    assert found.findings == {
        "records": 3,
        "records_without_report": 0,
        "statements": 5,
        "statements_with_modifiers": 1,
    }
    # Of the records asked for alone.
    part = source.read_reports(records[:1])
    assert part.findings["statements"] == 2 and len(part.table) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("A00001,24,S1,50,M,5000,", "'AHA_Code' is none of the codes of code.csv.* data row 2"),
        ("A00001,22+347,S1,50,M,5000,", "'AHA_Code' is none of the codes"),
        ("A00001,,S1,50,M,5000,", "'AHA_Code' is none of the codes"),
        ("A00001,22,,50,M,5000,", "'Patient_ID' is empty"),
        ("A1,22,S1,50,M,5000,", "'ECG_ID' is none, as A00001"),
        ("../A00001,22,S1,50,M,5000,", "'ECG_ID' is none, as A00001"),
        (",22,S1,50,M,5000,", "'ECG_ID' is empty"),
        ("A00009,22,S1,50,M,5000,", "2 rows share a ECG_ID"),
    ],
)
def test_cell_that_cannot_be_is_named_by_row_and_column(
    tmp_path: Path, row: str, message: str
) -> None:
    source = _write(tmp_path, "A00009,1,S1,50,M,5000,", row)
    with pytest.raises(SchemaError, match=message):
        source.read_reports(source.read_records().table)


def test_recording_of_float16_comes_by_lead_in_millivolts(made: Path) -> None:
    *_, expected = next(iter(simulate_cohort(24, 3, LEADS)))
    found = read_recording(made / "records/A00001.h5", ["aVF", "aVL", "II", "I"], root=made)
    assert found.lead_names == ("aVF", "aVL", "II", "I") and found.sample_rate == 500
    physical = found.physical()
    half = expected[[5, 4, 1, 0]].astype(np.float16).astype(float)
    assert np.abs(physical - half).max() < 0.5001e-3
    # The file's order is aVR, aVL, aVF: a swap would show.
    avf, avl, two, one = physical
    assert np.abs(avf - (two - one / 2)).max() < 0.01
    assert np.abs(avl - (one - two / 2)).max() < 0.01


def test_damaged_file_is_a_reject_and_the_others_stay(made: Path) -> None:
    records = open_source("sph", made).read_records().table
    tables = preprocess_shard(records, made, LEADS)
    assert tables.rejects[["record_id", "reason"]].to_numpy().tolist() == [
        ["sph_A00024", "unreadable"]
    ]
    lengths = tables.signals["n_samples"].to_pylist()
    assert len(lengths) == 23 and lengths[:3] == [5000, 6000, 5000]


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("ecg", np.zeros((5000, 12), np.float16), "bad_shape"),
        ("ecg", np.zeros((9, 5000), np.float16), "bad_shape"),
        ("ecg", np.zeros((12, 5000), np.int16), "bad_shape"),
        ("ecg", np.full((12, 50), np.inf, np.float16), "not_finite"),
        ("ECG", np.zeros((12, 5000), np.float16), "unreadable"),
    ],
)
def test_file_that_holds_something_else_is_a_bad_record(
    tmp_path: Path, name: str, values: NDArray[Any], reason: str
) -> None:
    path = tmp_path / "A00001.h5"
    with h5py.File(path, "w") as file:
        file[name] = values
    assert _reason(path) == reason


def test_what_is_not_there_is_named(made: Path) -> None:
    path = made / "records" / "A00001.h5"
    assert _reason(path.with_name("A09999.h5")) == "missing_file"
    assert _reason(path, ["V7"]) == "missing_lead"
    assert _reason(Path(f"{path}#7")) == "unreadable"


def test_hdf5_is_not_loaded_in_the_process_that_asks(made: Path) -> None:
    program = (
        "import sys\nfrom ecg_assets.sources import read_recording\n"
        f"read_recording({str(made / 'records/A00001.h5')!r})\nprint(*sys.modules)"
    )
    run = [sys.executable, "-c", program]
    modules = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
    assert "ecg_assets.sources.sph" in modules and "h5py" not in modules


def test_root_of_sph_is_told_by_both_its_tables(tmp_path: Path) -> None:
    """A metadata.csv may be anyone's."""
    (tmp_path / "metadata.csv").touch()
    assert open_source("physionet-2021", tmp_path).name == "physionet-2021"
    (tmp_path / "code.csv").touch()
    with pytest.raises(SettingsError, match="set ECG_SOURCE=sph"):
        open_source("physionet-2021", tmp_path)


def test_real_tables_have_the_published_recordings_and_patients(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"A{i + 1:05},1,S{i % 24666:05},50,M,5000,2020-01-02" for i in range(25770)]
    _write(tmp_path, *rows)
    main(["sph", str(tmp_path)])
    said = capsys.readouterr().out
    assert "records: 25770 found, 25770 published\n" in said
    assert "patients: 24666 found, 24666 published\n" in said
    _write(tmp_path, *rows[:-1])
    assert main(["sph", str(tmp_path)]) == 1
    assert "records: 25769 found, 25770 published\n" in capsys.readouterr().out
