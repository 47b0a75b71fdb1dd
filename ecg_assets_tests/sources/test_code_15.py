"""CODE-15%: exams.csv, and exams out of HDF5 files without their padding."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord, SchemaError
from ecg_assets.sources import MACHINE_REPORTS, RECORD_LIST, SourceTable, read_recording
from ecg_assets.sources.code_15 import Code15
from ecg_assets.sources.reader_process import call_in_child

HEADER = (
    "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,"
    "normal_ecg,trace_file"
)
ROWS = (
    "1169160,38,True,40.16,False,False,False,False,False,False,523632,False,2.09,True,"
    "exams_part13.hdf5",
    "2873686,73,True,67.05,True,False,True,False,False,False,1724173,False,6.65,False,"
    "exams_part0.hdf5",
    "168405,,,79.6,False,False,False,False,False,False,523632,,,False,exams_part0.hdf5",
)


def _write_exams(root: Path, *rows: str) -> Code15:
    (root / "exams.csv").write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return Code15(root)


def _write_traces(
    path: Path, signals: dict[int, NDArray[np.float32]], chunks: tuple[int, ...] | None = None
) -> None:
    """Write ``(lead, sample)`` signals padded to 4096 samples, and a last row of zeros."""
    tracings = np.zeros((len(signals) + 1, 4096, 12), dtype=np.float32)
    for row, signal in enumerate(signals.values()):
        start = (4096 - signal.shape[1]) // 2
        tracings[row, start : start + signal.shape[1]] = signal.T
    with h5py.File(path, "w") as file:
        file["exam_id"] = np.array([*signals, 0], dtype=np.int64)
        file.create_dataset("tracings", data=tracings, chunks=chunks)


def _signal(n_samples: int = 2800) -> NDArray[np.float32]:
    values = np.random.default_rng(3).uniform(-4, 4, (12, n_samples)).astype(np.float32)
    values[2] = 0  # a lead without signal is not padding
    return values


def _read(source: Code15) -> SourceTable:
    found = source.read_records()
    RECORD_LIST.from_pandas(found.table)
    return found


def _reason(path: Path, leads: Sequence[str] = ("I",)) -> str:
    with pytest.raises(BadRecord) as error:
        read_recording(path, leads, root=path.parent)
    assert str(path.parent) not in error.value.detail
    return error.value.reason


def test_table_gives_records(tmp_path: Path) -> None:
    (tmp_path / "exams_part13.hdf5").touch()
    found = _read(_write_exams(tmp_path, *ROWS))
    table = found.table.set_index("record_id")
    assert table["path"].to_dict() == {
        "code_15_168405": "exams_part0.hdf5#168405",
        "code_15_2873686": "exams_part0.hdf5#2873686",
        "code_15_1169160": "exams_part13.hdf5#1169160",
    }
    assert table["shard"].tolist() == ["exams_part0", "exams_part0", "exams_part13"]
    assert table["subject_id"].tolist() == ["523632", "1724173", "523632"]
    assert table["sex"].tolist() == [None, "M", "M"]
    assert found.findings == {
        "records": 3,
        "patients": 2,
        "missing_trace_files": 1,
        "ids_in_two_spellings": 0,
        "ages_out_of_range": 0,
        "ages_not_understood": 0,
        "sexes_not_understood": 0,
        "records_without_age": 1,
        "records_without_sex": 1,
    }


def test_numbers_written_as_floats_are_the_same_exam_and_patient(tmp_path: Path) -> None:
    plain = _write_exams(tmp_path, *ROWS)
    expected = _read(plain).table
    lines = plain.read_reports(expected).table
    numbers = r"(^\d+|(?<=,)(?:523632|1724173))(?=,)"
    floats = [re.sub(numbers, r"\1.0", row) for row in ROWS[1:]]
    mixed = [row.replace("True", "1.0").replace("False", "0.0") for row in (ROWS[0], *floats)]
    source = _write_exams(tmp_path, *mixed)
    found = _read(source)
    pd.testing.assert_frame_equal(found.table, expected)
    pd.testing.assert_frame_equal(source.read_reports(found.table).table, lines)
    assert found.findings["ids_in_two_spellings"] == 1


def test_sex_that_is_no_truth_is_counted_apart_from_an_empty_one(tmp_path: Path) -> None:
    found = _read(_write_exams(tmp_path, ROWS[0].replace("38,True", "old,perhaps"), ROWS[2]))
    assert found.findings["ages_not_understood"] == found.findings["sexes_not_understood"] == 1
    assert found.findings["records_without_age"] == found.findings["records_without_sex"] == 2


def test_lines_are_the_columns_that_are_true(tmp_path: Path) -> None:
    source = _write_exams(tmp_path, *ROWS)
    found = source.read_reports(_read(source).table)
    reports = MACHINE_REPORTS.from_pandas(found.table).to_pylist()
    assert [row["lines"] for row in reports] == [["(none)"], ["1dAVb", "LBBB"], ["normal_ecg"]]
    assert {row["coding"] for row in reports} == {"code-15"}
    assert found.findings == {
        "records": 3,
        "records_without_report": 0,
        "records_without_label": 1,
    }


def test_demographics_may_be_missing(tmp_path: Path) -> None:
    source = _write_exams(tmp_path, *ROWS)
    table = pd.read_csv(tmp_path / "exams.csv", dtype=str).drop(columns=["age", "is_male"])
    table.to_csv(tmp_path / "exams.csv", index=False)
    assert _read(source).table[["age", "sex"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("True,40.16,False", "True,40.16,maybe", "'1dAVb' is neither True nor False.* row 1"),
        ("True,40.16,False", "True,40.16,", "'1dAVb' is neither"),
        ("1169160,", "1.16916E+06,", "'exam_id' is no id"),
        ("1169160,", ",", "'exam_id' is empty"),
        (",523632,", ",P7,", "'patient_id' is no id"),
        ("1169160,", "x,", "'exam_id' is no id"),
        (",523632,", ",,", "'patient_id' is empty"),
        ("exams_part13.hdf5", "../exams_part13.hdf5", "'trace_file' is no name like"),
        ("exams_part13.hdf5", "exams_part13.zip", "'trace_file' is no name like"),
    ],
)
def test_cell_that_cannot_be_is_named_by_row_and_column(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    source = _write_exams(tmp_path, ROWS[0].replace(old, new))
    with pytest.raises(SchemaError, match=message):
        source.read_reports(_read(source).table)


@pytest.mark.parametrize("n_samples", [2800, 2934, 4000, 4096])
@pytest.mark.parametrize("chunks", [None, (1, 4096, 12)])
def test_exam_comes_without_its_padding_in_millivolts(
    tmp_path: Path, n_samples: int, chunks: tuple[int, ...] | None
) -> None:
    signal = _signal(n_samples)
    path = tmp_path / "exams_part0.hdf5"
    _write_traces(path, {7: _signal(4096), 11: signal}, chunks)
    found = read_recording(Path(f"{path}#11"), ["aVF", "DII", "III"], root=tmp_path)
    assert found.lead_names == ("aVF", "II", "III")
    assert found.sample_rate == 400
    assert found.signal.shape == (3, n_samples)
    # The file holds twice the millivolts.
    assert np.abs(found.physical() - signal[[5, 1, 2]] / 2).max() < 0.5001e-3
    assert read_recording(Path(f"{path}#11"), root=tmp_path).signal.shape == (12, n_samples)


def test_exam_of_zeros_has_no_samples(tmp_path: Path) -> None:
    path = tmp_path / "exams_part0.hdf5"
    _write_traces(path, {7: np.zeros((12, 4096), dtype=np.float32)})
    assert read_recording(Path(f"{path}#7"), ["I"], root=tmp_path).signal.shape == (1, 0)


def test_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "exams_part0.hdf5"
    _write_traces(path, {7: _signal()})
    assert read_recording(Path(f"{path}#7"), ["I"], root=tmp_path).signal.shape == (1, 2800)
    _write_traces(path, {8: _signal(), 7: _signal(4000)})
    assert read_recording(Path(f"{path}#7"), ["I"], root=tmp_path).signal.shape == (1, 4000)


def _write_rows(path: Path, exam_ids: NDArray[Any], *signals: NDArray[np.float32]) -> None:
    """Write a row for each signal ``(lead, sample)`` of 4096 samples."""
    with h5py.File(path, "w") as file:
        file["exam_id"] = exam_ids
        file["tracings"] = np.stack([signal.T for signal in signals])


def test_exam_of_several_rows_must_have_one_tracing(tmp_path: Path) -> None:
    path = tmp_path / "exams_part0.hdf5"
    one, other = _signal(4096), np.float32(0.5) * _signal(4096)
    one[3, 7] = np.nan
    _write_rows(path, np.array([7, 11, 7]), one, other, one)
    expected = read_recording(Path(f"{path}#7"), root=tmp_path)
    assert np.nanmax(np.abs(expected.physical() - one / 2)) < 0.5001e-3
    _write_rows(path, np.array([7, 7, 11]), one, other, other)
    assert _reason(Path(f"{path}#7")) == "repeated_exam"
    found = read_recording(Path(f"{path}#11"), root=tmp_path)
    assert np.abs(found.physical() - other / 2).max() < 0.5001e-3


@pytest.mark.parametrize(
    ("exam_ids", "reason"),
    [
        (np.array([7.0, 11.0]), None),
        (np.array([7.5, 11.0]), "unreadable"),
        (np.array([7.0, np.nan]), "unreadable"),
        (np.array([b"7", b"11"]), "bad_shape"),
    ],
)
def test_exam_ids_are_whole_numbers(
    tmp_path: Path, exam_ids: NDArray[Any], reason: str | None
) -> None:
    path = tmp_path / "exams_part0.hdf5"
    _write_rows(path, exam_ids, _signal(4096), _signal(4096))
    if reason is None:
        assert read_recording(Path(f"{path}#7"), ["I"], root=tmp_path).signal.shape == (1, 4096)
    else:
        assert _reason(Path(f"{path}#7")) == reason


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "exams_part0.hdf5"
    assert _reason(Path(f"{path}#7")) == "missing_file"
    _write_traces(path, {7: _signal()})
    assert _reason(Path(f"{path}#8")) == "missing_exam"
    assert _reason(Path(f"{path}#7"), ["V7"]) == "missing_lead"
    assert _reason(path) == "unreadable"
    link = tmp_path / "root" / "exams_part0.hdf5"
    link.parent.mkdir()
    link.symlink_to(path)
    assert _reason(Path(f"{link}#7")) == "outside_root"


def test_truncated_or_foreign_file_is_a_bad_record(tmp_path: Path) -> None:
    path = tmp_path / "exams_part0.hdf5"
    _write_traces(path, {7: _signal()})
    whole = path.read_bytes()
    for n_bytes in (0, 100, 2048, len(whole) // 2):
        path.write_bytes(whole[:n_bytes])
        assert _reason(Path(f"{path}#7")) == "unreadable"
    with h5py.File(path, "w") as file:
        file["exam_id"] = np.array([7])
        file["tracings"] = np.zeros((1, 12, 4096), dtype=np.float32)
    assert _reason(Path(f"{path}#7")) == "bad_shape"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX")
@pytest.mark.timeout(60)
def test_named_pipe_or_folder_in_place_of_the_file_is_unreadable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "exams_part0.hdf5")
    (tmp_path / "exams_part1.hdf5").mkdir()
    for part in (0, 1):
        assert _reason(Path(f"{tmp_path}/exams_part{part}.hdf5#7")) == "unreadable"


def test_reader_that_crashes_is_a_bad_record_and_the_next_exam_is_read(tmp_path: Path) -> None:
    path = tmp_path / "exams_part0.hdf5"
    _write_traces(path, {7: _signal()})
    assert call_in_child(os.getpid) != os.getpid()
    with pytest.raises(BadRecord, match="its reader crashed"):
        call_in_child(os.abort)
    assert read_recording(Path(f"{path}#7"), ["I"], root=tmp_path).lead_names == ("I",)
    # HDF5's library is not even loaded in the process that asks.
    program = (
        "import sys\nfrom ecg_assets.sources import read_recording\n"
        f"read_recording({f'{path}#7'!r})\nprint(*sys.modules)"
    )
    run = [sys.executable, "-c", program]
    modules = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
    assert "ecg_assets.sources.code_15" in modules
    assert "h5py" not in modules


def test_dataset_in_another_file_or_of_claimed_size_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "outside.hdf5"
    _write_traces(other, {7: _signal()})
    path = tmp_path / "exams_part0.hdf5"
    with h5py.File(path, "w") as file:
        file["exam_id"] = np.array([7])
        file["tracings"] = h5py.ExternalLink(str(other), "tracings")
    assert _reason(Path(f"{path}#7")) == "unreadable"
    with h5py.File(path, "w") as file:
        file["exam_id"] = np.array([7])
        layout = h5py.VirtualLayout((1, 4096, 12), dtype=np.float32)
        layout[:] = h5py.VirtualSource(other, "tracings", (2, 4096, 12))[:1]
        file.create_virtual_dataset("tracings", layout)
    assert _reason(Path(f"{path}#7")) == "unreadable"
    with h5py.File(path, "w") as file:
        file["exam_id"] = np.array([7])
        file.create_dataset("tracings", (1, 1 << 17, 12), dtype="f4")
    assert _reason(Path(f"{path}#7")) == "bad_shape"


@pytest.mark.reference
def test_real_exams_are_as_fairseq_signals_extracts_them(
    reference_data: Path, tmp_path: Path
) -> None:
    folder = reference_data / "real_ecg" / "code15"
    meta = pd.read_csv(folder / "meta.csv", dtype=str)
    meta.drop(columns=meta.columns[0]).to_csv(tmp_path / "exams.csv", index=False)
    names = zip(meta["exam_id"].tolist(), meta["save_file"].tolist(), strict=True)
    extracted = {
        str(exam): scipy.io.loadmat(folder / "org" / str(name))["feats"]
        for exam, name in names
        if (folder / "org" / str(name)).is_file()
    }
    assert len(extracted) == 10
    for part, exams in meta[meta["exam_id"].isin(extracted)].groupby("trace_file"):
        _write_traces(
            tmp_path / str(part), {int(e): extracted[e] for e in exams["exam_id"].tolist()}
        )
    source = Code15(tmp_path)
    records = _read(source).table
    for row in records[records["study_id"].isin(extracted)].itertuples():
        found = read_recording(tmp_path / str(row.path), root=tmp_path)
        expected = extracted[str(row.study_id)] / 2
        assert found.signal.shape == expected.shape
        assert np.abs(found.physical() - expected).max() < 0.5001e-3
    assert set(records["record_id"] + ".mat") == set(meta["save_file"])
    lines = source.read_reports(records).table.set_index("record_id")["lines"]
    labels = pd.read_csv(folder / "labels.csv").merge(
        meta[["idx", "save_file"]].astype({"idx": int})
    )
    for _, label in labels.iterrows():
        stated = lines[str(label["save_file"]).removesuffix(".mat")]
        assert ("normal_ecg" in stated) == label["normal_ecg"]
        assert ("AF" in stated) == label["AF"]
        assert ("1dAVb" in stated) == label["1dAVb"]
