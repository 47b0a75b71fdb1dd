"""Folders of conditions: labels by folder, copies joined, patients where headers name them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.sources import (
    MACHINE_REPORTS,
    RECORD_LIST,
    RemoteRoot,
    SourceTable,
    open_source,
    read_record,
)
from ecg_assets.sources import condition_folders as signal_identity
from ecg_assets.sources.condition_folders import CONDITIONS, ConditionFolders
from ecg_assets_tests.sources.condition_recordings import (
    MIMIC_LEADS,
    write_condition_recording,
)


def _read(root: Path) -> SourceTable:
    found = ConditionFolders(root).read_records()
    RECORD_LIST.from_pandas(found.table)
    return found


def _lines(root: Path) -> dict[str, list[str]]:
    source = ConditionFolders(root)
    reports = source.read_reports(source.read_records().table).table
    return {
        row["record_id"]: row["lines"] for row in MACHINE_REPORTS.from_pandas(reports).to_pylist()
    }


def _copy(root: Path, path: str, folder: str, name: str = "") -> None:
    """Copy a record into another folder, as the same or another name."""
    old = root / path
    (root / folder).mkdir(parents=True, exist_ok=True)
    name = name or old.name
    for file in old.parent.glob(f"{old.name}.*"):
        shutil.copy(file, root / folder / f"{name}{file.suffix}")
    header = root / folder / f"{name}.hea"
    header.write_text(re.sub(rf"(?m)^{old.name}(?=[ .])", name, header.read_text()))


@pytest.mark.parametrize(
    ("folder", "condition"),
    [
        *((name, name) for name in CONDITIONS),
        ("1st Degree AV Block", "1st-degree AV block"),
        ("sinus rhythm", "Sinus_Rhythm"),
        ("ATRIAL_FIBRILLATION", "Atrial Fibrillation"),
    ],
)
def test_folder_gives_the_condition(tmp_path: Path, folder: str, condition: str) -> None:
    write_condition_recording(tmp_path, f"{folder}/deep/er", "a", seed=1)
    assert _lines(tmp_path) == {"a": [condition]}
    assert _read(tmp_path).table["shard"].tolist() == ["_".join(folder.split())]


def test_records_come_in_one_order_with_what_their_headers_say(tmp_path: Path) -> None:
    write_condition_recording(
        tmp_path, "NORMAL", "40000002", seed=1, comments=("subject_id: 10000001", "Age: 61")
    )
    write_condition_recording(
        tmp_path, "Atrial Flutter/p1", "40000001", seed=2, comments=("subject_id: 10000001",)
    )
    write_condition_recording(tmp_path, "Atrial Flutter", "JS00001", seed=3, comments=("Sex: F",))
    found = _read(tmp_path)
    rows = found.table[["record_id", "subject_id", "shard", "path", "sex"]].to_numpy().tolist()
    assert rows == [
        ["40000001", "10000001", "Atrial_Flutter", "Atrial Flutter/p1/40000001", None],
        ["JS00001", "JS00001", "Atrial_Flutter", "Atrial Flutter/JS00001", "F"],
        ["40000002", "10000001", "NORMAL", "NORMAL/40000002", None],
    ]
    assert found.table["age"].tolist()[2] == 61
    assert found.findings["records_without_patient"] == 1
    assert found.findings["records_of_several_conditions"] == 0
    assert open_source("condition-folders", tmp_path).read_records().table.equals(found.table)


def test_patient_of_the_headers_is_one_however_it_is_written(tmp_path: Path) -> None:
    for seed, text in enumerate(("17620", "17620.0")):
        write_condition_recording(
            tmp_path, "NORMAL", f"r{seed}", seed=seed, comments=(f"subject_id: {text}",)
        )
    assert _read(tmp_path).table["subject_id"].tolist() == ["17620", "17620"]


def test_copies_that_contradict_in_age_leave_it_empty_and_in_the_patient_are_refused(
    tmp_path: Path,
) -> None:
    write_condition_recording(
        tmp_path, "NORMAL", "a", seed=1, comments=("subject_id: 7", "Age: 61", "Sex: F")
    )
    _copy(tmp_path, "NORMAL/a", "Atrial Fibrillation")
    header = tmp_path / "NORMAL" / "a.hea"
    header.write_text(header.read_text().replace("Age: 61", "Age: 62").replace(": 7", ": 7.0"))
    found = _read(tmp_path)
    assert found.table["subject_id"].tolist() == ["7"]
    assert found.table["age"].isna().all()
    assert found.table["sex"].tolist() == ["F"]
    assert found.findings["records_with_conflicting_age_or_sex"] == 1
    header.write_text(header.read_text().replace("subject_id: 7.0", "subject_id: 8"))
    with pytest.raises(SchemaError, match="1 recordings name more than one subject_id, first of a"):
        _read(tmp_path)


@pytest.mark.parametrize("name", ["a", "another"])
def test_copy_in_a_second_folder_is_one_record_of_both_conditions(
    tmp_path: Path, name: str
) -> None:
    write_condition_recording(tmp_path, "Atrial Fibrillation", "a", seed=1)
    write_condition_recording(tmp_path, "NORMAL", "b", seed=2)
    _copy(tmp_path, "Atrial Fibrillation/a", "Left bundle branch block", name)
    assert _lines(tmp_path) == {
        "a": ["Atrial Fibrillation", "Left bundle branch block"],
        "b": ["NORMAL"],
    }
    findings = _read(tmp_path).findings
    assert (findings["copies_of_records"], findings["records_of_several_conditions"]) == (1, 1)


def test_copy_with_few_leads_is_told_by_its_bytes(tmp_path: Path) -> None:
    leads = ("I", "II")
    write_condition_recording(tmp_path, "NORMAL", "a", seed=1, leads=leads)
    write_condition_recording(tmp_path, "Atrial Flutter", "b", seed=2, leads=leads)
    _copy(tmp_path, "NORMAL/a", "Atrial Fibrillation", "c")
    assert set(_lines(tmp_path)) == {"a", "b"}


def test_file_of_holes_is_not_read_to_tell_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = ("I", "II")
    write_condition_recording(tmp_path, "NORMAL", "a", seed=1, leads=leads)
    with (tmp_path / "NORMAL" / "a.dat").open("r+b") as file:
        file.truncate(1 << 38)
    monkeypatch.setattr(signal_identity, "fingerprint_file", lambda _: pytest.fail("it was read"))
    assert _lines(tmp_path) == {"a": ["NORMAL"]}


def test_copy_whose_signal_is_missing_gives_its_label_and_not_its_path(tmp_path: Path) -> None:
    write_condition_recording(tmp_path, "NORMAL", "a", seed=1)
    _copy(tmp_path, "NORMAL/a", "Atrial Fibrillation")
    (tmp_path / "Atrial Fibrillation" / "a.dat").unlink()
    assert _read(tmp_path).table["path"].tolist() == ["NORMAL/a"]
    assert _lines(tmp_path) == {"a": ["Atrial Fibrillation", "NORMAL"]}


def test_one_name_for_two_signals_is_refused_without_folders_of_patients(tmp_path: Path) -> None:
    write_condition_recording(tmp_path, "NORMAL/p10000001", "a", seed=1)
    write_condition_recording(tmp_path, "Atrial Flutter/p10000002", "a", seed=2)
    with pytest.raises(SchemaError, match="remove or rename one") as error:
        _read(tmp_path)
    assert "p1000000" not in str(error.value)


def test_unknown_folder_is_answered_with_the_expected_ones(tmp_path: Path) -> None:
    write_condition_recording(tmp_path, "NORMAL", "a", seed=1)
    (tmp_path / "Ischemia").mkdir()
    with pytest.raises(SettingsError, match=r"\['Ischemia'\]") as error:
        _read(tmp_path)
    assert all(name in str(error.value) for name in CONDITIONS)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "'NORMAL' holds no .hea file"),
        (("a.mat", "b.mat"), "2 .dat or .mat files but no .hea"),
        (("._a.hea", ".trash/a.hea"), "'NORMAL' holds no .hea file"),
    ],
)
def test_empty_folder_says_what_to_do(tmp_path: Path, files: tuple[str, ...], said: str) -> None:
    (tmp_path / "NORMAL" / ".trash").mkdir(parents=True)
    for file in files:
        (tmp_path / "NORMAL" / file).touch()
    with pytest.raises(SettingsError, match="or remove the folder") as error:
        _read(tmp_path)
    assert said in str(error.value)


def test_root_without_folders_names_them(tmp_path: Path) -> None:
    (tmp_path / "a.hea").touch()
    with pytest.raises(SettingsError, match="Atrial Flutter"):
        _read(tmp_path)


def test_unreadable_header_and_signal_without_header_are_counted(tmp_path: Path) -> None:
    write_condition_recording(tmp_path, "NORMAL", "a", seed=1)
    (tmp_path / "NORMAL" / "b.hea").write_text("nonsense")
    (tmp_path / "NORMAL" / "c.mat").touch()
    found = _read(tmp_path)
    assert found.table["record_id"].tolist() == ["a", "b"]
    assert found.unreadable_headers == ("NORMAL/b.hea",)
    assert found.findings["signals_without_header"] == 1


def test_leads_are_read_by_name_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    write_condition_recording(tmp_path, "NORMAL", "JS1", seed=1)
    write_condition_recording(tmp_path, "Atrial Flutter", "4", seed=1, leads=MIMIC_LEADS)
    leads = ["aVL", "aVF"]
    means = [
        read_record(tmp_path / path, leads, root=tmp_path).physical().mean(axis=1).round(1).tolist()
        for path in _read(tmp_path).table["path"]
    ]
    assert means[0] == means[1]
    assert means[0][0] != means[0][1]


def test_headers_alone_of_a_remote_root_tell_the_same(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    write_condition_recording(there, "NORMAL", "a", seed=1)
    write_condition_recording(there, "Atrial Fibrillation", "b", seed=2)
    _copy(there, "NORMAL/a", "Left bundle branch block", "c")
    RemoteRoot(there.as_uri()).fetch_tables(here, "condition-folders")
    assert not list(here.rglob("*.dat"))
    assert _lines(here) == _lines(there)


@pytest.mark.reference
def test_real_recordings_of_physionet_are_read(reference_data: Path, tmp_path: Path) -> None:
    real = reference_data / "real_ecg" / "physionet2021"
    for folder, origin in (("Sinus_Rhythm", "georgia"), ("Atrial Flutter", "ningbo")):
        shutil.copytree(real / origin, tmp_path / folder)
    found = _read(tmp_path)
    assert found.findings["records"] == 20
    assert found.findings["copies_of_records"] == 0
    assert pd.Series(_lines(tmp_path)).str[0].value_counts().to_dict() == {
        "Sinus_Rhythm": 10,
        "Atrial Flutter": 10,
    }
    assert read_record(tmp_path / found.table["path"][0], ["I"], root=tmp_path).signal.shape[1] > 0
