"""The synthetic cohort's files: MIMIC-IV-ECG's layout, integers as wfdb reads them, faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from numpy.typing import NDArray

from ecg_assets.sources.synthetic.cohort import write_synthetic_cohort

N_RECORDS = 60
N_SHARDS = 3
MIMIC_LEADS = ["I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "cohort"
    write_synthetic_cohort(folder, n_records=N_RECORDS, seed=5, n_shards=N_SHARDS)
    return folder


@pytest.fixture(scope="module")
def records(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "record_list.csv", dtype=str)


@pytest.fixture(scope="module")
def faults(root: Path) -> pd.Series[str]:
    table = pd.read_csv(root / "planted_faults.csv", dtype=str)
    return table.set_index("study_id")["fault"]


def _stored(path: Path) -> NDArray[np.int16]:
    return np.fromfile(path.with_suffix(".dat"), dtype="<i2").reshape(-1, 12).T


def _readable(
    root: Path, records: pd.DataFrame, faults: pd.Series[str]
) -> Iterator[tuple[str, Path]]:
    """Study id and path of the records whose signal file is complete."""
    for study_id, path in zip(records["study_id"], records["path"], strict=True):
        if faults.get(study_id) not in ("truncated_dat", "missing_dat"):
            yield study_id, root / path


def test_tables_have_the_columns_of_mimic_iv_ecg(root: Path, records: pd.DataFrame) -> None:
    assert list(records.columns) == ["subject_id", "study_id", "file_name", "ecg_time", "path"]
    reports = pd.read_csv(root / "machine_measurements.csv", dtype=str)
    assert list(reports.columns) == [
        *("subject_id", "study_id", "cart_id", "ecg_time"),
        *(f"report_{i}" for i in range(18)),
        *("bandwidth", "filtering", "rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end"),
        *("t_end", "p_axis", "qrs_axis", "t_axis"),
    ]
    patients = pd.read_csv(root / "patients.csv.gz", dtype=str)
    assert set(patients["subject_id"]) == set(records["subject_id"])
    assert set(patients["gender"]) == {"F", "M"}


def test_every_record_stands_at_its_path_and_no_other_file_does(
    root: Path, records: pd.DataFrame
) -> None:
    expected = (
        "files/p" + records["subject_id"].str[:4] + "/p" + records["subject_id"]
        + "/s" + records["study_id"] + "/" + records["study_id"]
    )  # fmt: skip
    assert records["path"].tolist() == expected.tolist()
    assert len(records) == N_RECORDS == records["study_id"].nunique()
    headers = {p.relative_to(root).as_posix() for p in root.glob("files/**/*.hea")}
    assert headers == set(records["path"] + ".hea")


def test_patients_stand_in_one_folder_and_every_folder_is_used(
    root: Path, records: pd.DataFrame
) -> None:
    folders = records["path"].str.split("/").str[1]
    assert (folders.groupby(records["subject_id"]).nunique() == 1).all()
    assert sorted(folders.unique()) == ["p1000", "p1001", "p1002"]
    assert sorted(p.name for p in (root / "files").iterdir()) == ["p1000", "p1001", "p1002"]


def test_wfdb_reads_the_same_integers_and_agrees_on_every_checksum(
    root: Path, records: pd.DataFrame, faults: pd.Series[str]
) -> None:
    for study_id, path in _readable(root, records, faults):
        read = wfdb.rdrecord(str(path), physical=False)
        stored = _stored(path)
        assert np.array_equal(read.d_signal.T, stored)
        assert read.sig_name == MIMIC_LEADS
        assert (read.fs, read.sig_len, set(read.fmt)) == (500, 5000, {"16"})
        assert (set(read.adc_gain), set(read.baseline), set(read.units)) == ({200.0}, {0}, {"mV"})
        assert read.init_value == stored[:, 0].tolist()
        agrees = [a == b for a, b in zip(read.checksum, read.calc_checksum(), strict=True)]
        assert agrees == [faults.get(study_id) != "checksum_mismatch"] + [True] * 11


def test_limb_leads_obey_einthoven_and_goldberger_to_rounding(
    root: Path, records: pd.DataFrame, faults: pd.Series[str]
) -> None:
    count = 0
    for study_id, path in _readable(root, records, faults):
        if study_id in faults.index:
            continue
        lead = dict(zip(MIMIC_LEADS, _stored(path).astype(float), strict=True))
        # Each lead was rounded by itself: half a step for each that takes part.
        assert np.abs(lead["II"] - lead["I"] - lead["III"]).max() <= 1.5
        assert np.abs((lead["I"] + lead["II"]) / 2 + lead["aVR"]).max() <= 1.0
        assert np.abs(lead["I"] - lead["II"] / 2 - lead["aVL"]).max() <= 1.25
        assert np.abs(lead["II"] - lead["I"] / 2 - lead["aVF"]).max() <= 1.25
        assert min(signal.std() for signal in lead.values()) > 2
        count += 1
    assert count > 40


def test_each_planted_fault_is_there_and_no_other(
    root: Path, records: pd.DataFrame, faults: pd.Series[str]
) -> None:
    reported = set(pd.read_csv(root / "machine_measurements.csv", dtype=str)["study_id"])
    found: dict[str, str] = dict.fromkeys(
        reported - set(records["study_id"]), "report_without_record"
    )
    for study_id, path in zip(records["study_id"], records["path"], strict=True):
        if study_id not in reported:
            found[study_id] = "no_report"
        data = (root / path).with_suffix(".dat")
        if not data.exists():
            found[study_id] = "missing_dat"
        elif data.stat().st_size != 12 * 5000 * 2:
            found[study_id] = "truncated_dat"
        else:
            stored = _stored(root / path)
            header = wfdb.rdheader(str(root / path))
            if (stored[0] == -32768).any():
                found[study_id] = "nan_run_lead_i"
            elif np.ptp(stored[0]) == 0:
                found[study_id] = "flat_lead_i"
            if (stored.sum(axis=1, dtype=np.int64) % 65536).tolist() != header.checksum:
                found[study_id] = "checksum_mismatch"
    assert found == faults.to_dict()
    assert set(faults) == {
        *("nan_run_lead_i", "flat_lead_i", "truncated_dat", "missing_dat", "checksum_mismatch"),
        *("no_report", "report_without_record"),
    }


def test_missing_samples_are_one_run_inside_lead_i(
    root: Path, records: pd.DataFrame, faults: pd.Series[str]
) -> None:
    for study_id, path in _readable(root, records, faults):
        missing = _stored(root / path) == -32768
        assert not missing[1:].any()
        edges = np.flatnonzero(np.diff(missing[0].astype(int)))
        assert len(edges) == (2 if faults.get(study_id) == "nan_run_lead_i" else 0)


def test_header_has_the_form_of_mimic_iv_ecg(root: Path, records: pd.DataFrame) -> None:
    record = records.iloc[0]
    lines = (root / f"{record['path']}.hea").read_text().splitlines()
    time = pd.Timestamp(record["ecg_time"]).strftime("%H:%M:%S %d/%m/%Y")
    assert lines[0] == f"{record['study_id']} 12 500 5000 {time}"
    assert lines[1].startswith(f"{record['study_id']}.dat 16 200.0(0)/mV 16 0 ")
    assert lines[1].endswith(" 0 I")
    assert lines[13:] == [f"# <subject_id>: {record['subject_id']}"]
