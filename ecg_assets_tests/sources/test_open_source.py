"""Opening a dataset: its names, and messages that say which variable to set to what."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ecg_assets.errors import BadRecord, SettingsError
from ecg_assets.sources import MACHINE_REPORTS, RECORD_LIST, datasets, open_source, read_record


def _write_mimic(root: Path) -> None:
    (root / "files" / "p1000" / "p10000001").mkdir(parents=True)
    (root / "record_list.csv").touch()
    (root / "machine_measurements.csv").touch()


def test_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ECG_SOURCE is 'mimic'") as error:
        open_source("mimic", tmp_path)
    assert all(name in str(error.value) for name in datasets())


@pytest.mark.parametrize("name", [name for name in datasets() if name != "synthetic"])
def test_root_that_is_no_folder_names_the_variable(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"ECG_RAW_ROOT is .*nowhere, which does not exist"):
        open_source(name, tmp_path / "nowhere")
    with pytest.raises(SettingsError, match=r"ECG_RAW_ROOT is .*file, which is no folder"):
        open_source(name, tmp_path / "file")


@pytest.mark.parametrize("given", ["files", "files/p1000", "files/p1000/p10000001", "..", "../.."])
def test_root_of_mimic_is_found_from_near_by(tmp_path: Path, given: str) -> None:
    root = tmp_path / "physionet.org" / "mimic-iv-ecg" / "1.0"
    _write_mimic(root)
    with pytest.raises(SettingsError) as error:
        open_source("mimic-iv-ecg", (root / given).resolve())
    assert f"Set ECG_RAW_ROOT={root}." in str(error.value)


def test_missing_files_of_mimic_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"lacks record_list\.csv and machine_measurements\.csv"
    ):
        open_source("mimic-iv-ecg", tmp_path)
    (tmp_path / "record_list.csv").touch()
    with pytest.raises(SettingsError, match=r"lacks machine_measurements\.csv\. Download"):
        open_source("mimic-iv-ecg", tmp_path)


@pytest.mark.parametrize("name", ["physionet-2021", "folder"])
@pytest.mark.parametrize(
    ("file", "owner"), [("ptbxl_database.csv", "ptb-xl"), ("exams.csv", "code-15")]
)
def test_dataset_under_another_name_is_told(
    tmp_path: Path, name: str, file: str, owner: str
) -> None:
    (tmp_path / file).touch()
    with pytest.raises(SettingsError, match=f"set ECG_SOURCE={owner}"):
        open_source(name, tmp_path)
    assert open_source(owner, tmp_path).name == owner


@pytest.mark.parametrize("name", ["physionet-2021", "folder"])
def test_mimic_under_another_name_is_told(tmp_path: Path, name: str) -> None:
    _write_mimic(tmp_path)
    with pytest.raises(SettingsError, match="set ECG_SOURCE=mimic-iv-ecg"):
        open_source(name, tmp_path)


def test_labels_csv_makes_any_root_a_folder_of_ones_own(tmp_path: Path) -> None:
    _write_mimic(tmp_path)
    (tmp_path / "labels.csv").touch()
    assert open_source("folder", tmp_path).name == "folder"


def test_opening_reads_no_table(tmp_path: Path) -> None:
    _write_mimic(tmp_path)
    source = open_source("mimic-iv-ecg", tmp_path, folders_per_shard=5)
    assert (source.name, source.root) == ("mimic-iv-ecg", tmp_path)
    (tmp_path / "empty").mkdir()
    assert open_source("physionet-2021", tmp_path / "empty").name == "physionet-2021"


def test_synthetic_cohort_is_written_and_read_like_mimic(tmp_path: Path) -> None:
    root = tmp_path / "cohort"
    source = open_source("synthetic", root, seed=3, n_records=60)
    records = source.read_records()
    table = records.table
    RECORD_LIST.from_pandas(table)
    assert set(table["source"]) == {"synthetic"}
    assert sorted(table["shard"].unique()) == ["p1000", "p1001", "p1002", "p1003"]
    assert records.findings["records"] == 60
    assert records.findings["records_without_age"] == 0
    reports = source.read_reports(table)
    MACHINE_REPORTS.from_pandas(reports.table)
    assert reports.table["record_id"].tolist() == table["record_id"].tolist()
    faults = pd.read_csv(root / "planted_faults.csv", dtype=str)
    planted = faults.groupby("fault")["study_id"].size().to_dict()
    assert reports.findings["records_without_report"] == planted["no_report"]
    assert reports.findings["reports_without_record"] == planted["report_without_record"]
    assert table["path"].map(lambda path: _reason(root, path)).value_counts().to_dict() == {
        "missing_file": planted["missing_dat"],
        "truncated_file": planted["truncated_dat"],
        "checksum_mismatch": planted["checksum_mismatch"],
    }


def _reason(root: Path, path: str) -> str | None:
    """Why a record cannot be read, None when it can."""
    try:
        assert read_record(root / path, ["I"], root=root).signal.shape == (1, 5000)
    except BadRecord as error:
        return error.reason
    return None


def test_a_forgotten_ecg_source_is_named_by_what_is_there(tmp_path: Path) -> None:
    """Not advised: to remove the user's dataset for the synthetic one."""
    (tmp_path / "ptbxl_database.csv").touch()
    with pytest.raises(SettingsError, match="set ECG_SOURCE=ptb-xl"):
        open_source("synthetic", tmp_path)
    (tmp_path / "ptbxl_database.csv").rename(tmp_path / "mine.npy")
    with pytest.raises(SettingsError, match="set ECG_SOURCE to what they are") as raised:
        open_source("synthetic", tmp_path)
    assert "remove" not in str(raised.value)
