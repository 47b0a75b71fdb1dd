"""MIMIC-IV-ECG-Ext-ICD: diagnoses and folds beside MIMIC-IV-ECG's files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from ecg_assets.errors import LeakageError, SchemaError, SettingsError
from ecg_assets.labels import label_records, resolve_label_set
from ecg_assets.sources import open_source
from ecg_assets.sources.datasets import find_dataset, shared_recordings
from ecg_assets.sources.mimic_iv_ecg_ext_icd import DIAGNOSES_FILE, IN_NO_SPLIT, MimicIvEcgExtIcd
from ecg_assets.sources.schema import RECORD_LIST
from ecg_assets.sources.synthetic.made.mimic_icd import COLUMNS, RARE_CODE, write_mimic_icd
from ecg_assets.split import TaskSplit, split_task

NAME = "mimic-iv-ecg-ext-icd"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "icd"
    write_mimic_icd(root, n_records=120)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of the tables alone, to be spoilt."""
    for path in made.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path / path.name)
    return tmp_path


def _open(root: Path) -> MimicIvEcgExtIcd:
    source = open_source(NAME, root)
    assert isinstance(source, MimicIvEcgExtIcd)
    return source


def _table(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / DIAGNOSES_FILE, dtype=str, keep_default_na=False)


def _change(root: Path, row: int, **cells: str) -> None:
    table = _table(root)
    for column, value in cells.items():
        table.loc[row, column] = value
    table.to_csv(root / DIAGNOSES_FILE, index=False)


def test_recordings_are_those_of_mimic_iv_ecg_under_the_same_names(made: Path) -> None:
    ours = _open(made).read_records().table
    theirs = open_source("mimic-iv-ecg", made).read_records().table
    columns = ["record_id", "subject_id", "path", "ecg_time"]
    pd.testing.assert_frame_equal(ours[columns], theirs[columns])
    assert set(ours["source"]) == {NAME}
    assert "recordings of MIMIC-IV-ECG" in str(shared_recordings(NAME, "mimic-iv-ecg"))


def test_lines_are_the_codes_of_all_diagnoses_and_none_outside_of_a_stay(made: Path) -> None:
    source = _open(made)
    records = source.read_records().table
    found = source.read_reports(records)
    table = _table(made).set_index("study_id")
    assert list(table.columns) == [name for name in COLUMNS if name != "study_id"]
    assert set(found.table["coding"]) == {"icd-10-cm"}
    for study_id, lines in zip(records["study_id"], found.table["lines"], strict=True):
        assert str(list(lines)) == table["all_diag_all"][study_id]
    outside = table["ecg_taken_in_ed_or_hosp"] == "False"
    assert found.findings["records_without_report"] >= outside.sum() > 0


def test_only_emergency_recordings_count_and_of_judged_folds_the_first_of_the_stay(
    made: Path,
) -> None:
    folds = _open(made).read_folds("fold")
    table = _table(made)
    for row in table.to_dict("records"):
        in_ed, is_first = row["ecg_taken_in_ed"] == "True", row["ecg_no_within_stay"] == "0"
        counts = in_ed and (int(row["fold"]) < 18 or is_first)
        expected = int(row["fold"]) if counts else IN_NO_SPLIT
        assert folds[f"mimic_iv_ecg_{row['study_id']}"] == expected
    kept = folds[folds != IN_NO_SPLIT]
    assert (kept >= 18).any()
    trained_late = (table["ecg_taken_in_ed"] == "True") & (table["ecg_no_within_stay"] != "0")
    assert (trained_late & (table["fold"].astype(int) < 18)).any()


def test_the_first_of_a_stay_is_told_by_its_number_not_by_the_order_of_rows(root: Path) -> None:
    before = _open(root).read_folds("fold")
    table = _table(root)
    assert not table["ecg_time"].is_monotonic_increasing
    table.sort_values("ecg_time", ascending=False).to_csv(root / DIAGNOSES_FILE, index=False)
    after = _open(root).read_folds("fold")
    assert after.sort_index().equals(before.sort_index())


def test_both_kinds_of_folds_split_by_patient(made: Path) -> None:
    source, dataset = _open(made), find_dataset(NAME)
    records = source.read_records().table
    splits = {}
    for name in ("", "strat_fold"):
        named = dataset.find_folds(name).name_splits(source)
        splits[name] = split_task(TaskSplit(folds=name), records, splits=named)
        assert set(splits[name]["split"]) == {"train", "valid", "test"}
        assert len(splits[name]) < len(records)
    assert not splits[""].equals(splits["strat_fold"])
    with pytest.raises(SettingsError, match=r"no folds 'other'; there are: .* strat_fold"):
        dataset.find_folds("other")
    with pytest.raises(SettingsError, match="PhysioNet 2021 has no folds of its own"):
        find_dataset("physionet-2021").find_folds()


def test_patient_in_two_folds_is_refused(tmp_path: Path) -> None:
    write_mimic_icd(tmp_path / "leaky", n_records=30, leaky=True)
    with pytest.raises(LeakageError, match="1 patients are in more than one fold by 'fold'"):
        _open(tmp_path / "leaky").read_folds("fold")
    assert len(_open(tmp_path / "leaky").read_folds("strat_fold")) == 30


def test_labels_are_codes_with_their_ancestors_that_enough_recordings_have(
    made: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text("like: mimic-icd\nevery_code: {least_records: 5}\n", encoding="utf-8")
    source = _open(made)
    reports = source.read_reports(source.read_records().table).table
    label_set = resolve_label_set(str(study), reports)
    names = label_set.vocabulary.names
    assert {"I48", "I489", "I10", "E11", "E119", "W19"} <= set(names)
    assert RARE_CODE[:5] not in names
    assert not [name for name in names if len(name) > 5 or name.endswith("X")]
    labels = label_records(reports, label_set=label_set).labels
    has_codes = reports["lines"].str.len() > 0
    assert set(labels["record_id"]) == set(reports["record_id"][has_codes])
    whole = labels[labels["label"] == "I48"].set_index("record_id")["value"]
    part = labels[labels["label"] == "I489"].set_index("record_id")["value"]
    assert (whole >= part).all()


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"all_diag_all": "__import__('os')"}, "'all_diag_all' is no list of codes"),
        ({"all_diag_all": "['I10'"}, "'all_diag_all' is no list of codes"),
        ({"subject_id": "1"}, "'subject_id' is not the patient of its study's recording"),
    ],
)
def test_table_that_cannot_be_meant_is_refused(
    cells: dict[str, str], message: str, root: Path
) -> None:
    _change(root, 0, **cells)
    source = _open(root)
    with pytest.raises(SchemaError, match=message):
        source.read_reports(source.read_records().table)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"fold": "20"}, "'fold' is not 0 to 19"),
        ({"fold": ""}, "'fold' is not 0 to 19"),
        ({"ecg_taken_in_ed": "maybe"}, "'ecg_taken_in_ed' is neither True nor False"),
        ({"ecg_no_within_stay": "first"}, "'ecg_no_within_stay' is no number"),
    ],
)
def test_folds_that_cannot_be_meant_are_refused(
    cells: dict[str, str], message: str, root: Path
) -> None:
    _change(root, 0, **cells)
    with pytest.raises(SchemaError, match=message):
        _open(root).read_folds("fold")


def test_age_and_sex_come_from_the_table_where_the_patients_table_is_missing(root: Path) -> None:
    whole = _open(root).read_records().table
    (root / "patients.csv.gz").unlink()
    found = _open(root).read_records()
    assert RECORD_LIST.from_pandas(found.table).equals(RECORD_LIST.from_pandas(whole))
    assert found.findings["records_without_age"] == 0


def test_the_table_is_found_where_wget_puts_it_the_highest_version_first(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = tmp_path_factory.mktemp("physionet.org")
    place = files / "mimic-iv-ecg" / "1.0"
    shutil.copytree(root, place)
    for version, fold in (("1.0.1", "3"), ("1.0.10", "4")):
        folder = files / "mimic-iv-ecg-ext-icd-labels" / version
        folder.mkdir(parents=True)
        _table(root).assign(fold=fold, ecg_taken_in_ed="True").to_csv(
            folder / DIAGNOSES_FILE, index=False
        )
    (place / DIAGNOSES_FILE).unlink()
    assert set(_open(place).read_folds("fold")) == {4}
    shutil.rmtree(files / "mimic-iv-ecg-ext-icd-labels")
    with pytest.raises(SettingsError, match=f"{DIAGNOSES_FILE} is neither in .* Download it"):
        _open(place).read_records()
