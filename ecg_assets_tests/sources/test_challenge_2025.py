"""SaMi-Trop, and the three datasets of the Challenge 2025 as one, labelled for Chagas disease."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.labels import label_matrix, label_records, load_label_set
from ecg_assets.labels.study_counts import main as compare_counts
from ecg_assets.sources import MACHINE_REPORTS, RECORD_LIST, open_source, read_recording
from ecg_assets.sources.challenge_2025 import CODE_15_LABELS_FILE, Challenge2025
from ecg_assets.sources.code_15 import EXAMS_FILE
from ecg_assets.sources.datasets import shared_recordings
from ecg_assets.sources.sami_trop import TRACINGS_FILE, SamiTrop
from ecg_assets.sources.synthetic.made.sami_trop import write_challenge_2025, write_sami_trop

N_RECORDS = 40


@pytest.fixture
def sami_trop(tmp_path: Path) -> Path:
    write_sami_trop(tmp_path, n_records=20, seed=4)
    return tmp_path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_challenge_2025(tmp_path, n_records=N_RECORDS, seed=4)
    return tmp_path


def test_exam_of_sami_trop_is_the_tracing_at_the_place_of_its_row(sami_trop: Path) -> None:
    found = SamiTrop(sami_trop).read_records()
    RECORD_LIST.from_pandas(found.table)
    rows = pd.read_csv(sami_trop / EXAMS_FILE)
    assert not rows["exam_id"].is_monotonic_increasing
    table = found.table.set_index("study_id")
    with h5py.File(sami_trop / TRACINGS_FILE) as file:
        tracings = file["tracings"][:]
    for row, exam in enumerate(rows.itertuples()):
        path = str(table.at[str(exam.exam_id), "path"])
        assert path == f"{TRACINGS_FILE}#{row}"
        assert table.at[str(exam.exam_id), "sex"] == ("M" if exam.is_male else "F")
        signal = read_recording(sami_trop / path, ["V2"], root=sami_trop).physical()[0]
        recorded = tracings[row][np.any(tracings[row] != 0, axis=1)]
        assert np.abs(signal - recorded[:, 7] / 2).max() < 1e-3


def test_labels_of_sami_trop_are_columns_and_chagas_disease_of_all(sami_trop: Path) -> None:
    source = SamiTrop(sami_trop)
    reports = source.read_reports(source.read_records().table).table
    MACHINE_REPORTS.from_pandas(reports)
    label_set = load_label_set("sami-trop", own_labels=source.read_label_names())
    labels = label_records(reports, label_set=label_set).labels
    ids, values, _ = label_matrix(labels, label_set.vocabulary)
    rows = pd.read_csv(sami_trop / EXAMS_FILE).assign(chagas=True)
    rows.index = pd.Index("sami_trop_" + rows["exam_id"].astype(str))
    expected = rows.reindex(list(ids))[list(label_set.vocabulary.names)].astype(int).to_numpy()
    np.testing.assert_array_equal(values, expected)
    assert 0 < expected[:, 2].sum() < len(rows)


@pytest.mark.parametrize("spoil", ["fewer tracings", "fewer rows", "exam twice"])
def test_rows_and_tracings_of_another_number_stop_the_run(sami_trop: Path, spoil: str) -> None:
    rows = pd.read_csv(sami_trop / EXAMS_FILE)
    if spoil == "fewer tracings":
        with h5py.File(sami_trop / TRACINGS_FILE, "r+") as file:
            kept = file["tracings"][:-1]
            del file["tracings"]
            file["tracings"] = kept
    elif spoil == "fewer rows":
        rows = rows.iloc[1:]
    else:  # dropped, as CODE-15% drops it, the rows behind it would be of other tracings
        rows = pd.concat([rows.iloc[:1], rows.iloc[:-1]])
    rows.to_csv(sami_trop / EXAMS_FILE, index=False)
    message = "stands twice" if spoil == "exam twice" else "nothing else joins them"
    with pytest.raises(SchemaError, match=message):
        SamiTrop(sami_trop).read_records()


def test_challenge_has_the_recordings_of_all_its_datasets(root: Path) -> None:
    source = open_source("challenge-2025", root)
    found = source.read_records()
    RECORD_LIST.from_pandas(found.table)
    table = found.table
    assert len(table) == N_RECORDS
    assert table["record_id"].is_unique
    assert set(table["source"]) == {"challenge-2025"}
    assert found.findings["records"] == N_RECORDS
    assert found.findings["ptb_xl_records"] == N_RECORDS // 4
    for name in ("code-15", "sami-trop", "ptb-xl"):
        of_part = table[table["path"].str.startswith(f"{name}/")]
        assert of_part["shard"].str.startswith(f"{name}-").all()
        record = read_recording(root / str(of_part["path"].iloc[0]), ["I", "V1"], root=root)
        assert record.lead_names == ("I", "V1")


def test_patients_of_one_number_in_two_datasets_are_two(root: Path) -> None:
    for name in ("code-15/exams.csv", "ptb-xl/ptbxl_database.csv"):
        pd.read_csv(root / name).assign(patient_id=523632).to_csv(root / name, index=False)
    table = Challenge2025(root).read_records().table
    patients = table[table["path"].str.startswith(("code-15/", "ptb-xl/"))]["subject_id"]
    assert set(patients) == {"code-15-523632", "ptb-xl-523632"}


def test_chagas_is_what_each_dataset_says_and_unknown_where_none_does(root: Path) -> None:
    source = open_source("challenge-2025", root)
    records = source.read_records().table
    found = source.read_reports(records)
    MACHINE_REPORTS.from_pandas(found.table)
    label_set = load_label_set("chagas", own_labels=("chagas",))
    labels = label_records(found.table, label_set=label_set).labels
    ids, values, _ = label_matrix(labels, label_set.vocabulary)
    got = dict(zip(map(str, ids), values[:, 0].tolist(), strict=True))
    told = pd.read_csv(root / "code-15" / CODE_15_LABELS_FILE)
    expected = dict(zip("code_15_" + told["exam_id"].astype(str), told["chagas"], strict=True))
    exams = pd.read_csv(root / "sami-trop" / EXAMS_FILE)["exam_id"]
    expected |= {f"sami_trop_{exam}": True for exam in exams}
    of_ptb_xl = pd.read_csv(root / "ptb-xl" / "ptbxl_database.csv")["ecg_id"]
    expected |= {f"ptb_xl_{number:05}": False for number in of_ptb_xl}
    assert got == expected
    assert 0 < told["chagas"].sum() < len(told)
    n_untold = len(records) - len(expected)
    assert n_untold == 2
    assert found.findings["records_without_report"] == n_untold
    assert found.findings["records_with_chagas"] == sum(expected.values())


def test_part_of_the_datasets_is_enough_and_none_is_not(root: Path, tmp_path: Path) -> None:
    (root / "ptb-xl").rename(root / "elsewhere")
    assert len(Challenge2025(root).read_records().table) == N_RECORDS * 3 // 4
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="none of the folders code-15, sami-trop, ptb-xl"):
        Challenge2025(tmp_path / "empty").read_records()


@pytest.mark.parametrize("name", [EXAMS_FILE, CODE_15_LABELS_FILE])
def test_table_that_lacks_is_named(root: Path, name: str) -> None:
    (root / "code-15" / name).unlink()
    with pytest.raises(SettingsError, match=f"code-15 lacks {name}"):
        Challenge2025(root).read_records()


def test_what_is_neither_true_nor_false_is_refused(root: Path) -> None:
    path = root / "code-15" / CODE_15_LABELS_FILE
    told = pd.read_csv(path).astype({"chagas": object})
    told.loc[2, "chagas"] = None
    told.to_csv(path, index=False)
    source = Challenge2025(root)
    with pytest.raises(SchemaError, match=r"'chagas' is neither True nor False, first in .* row 3"):
        source.read_reports(source.read_records().table)


def test_challenge_shares_recordings_with_its_parts() -> None:
    for name in ("code-15", "sami-trop", "ptb-xl"):
        assert "Challenge 2025 contains" in str(shared_recordings(name, "challenge-2025"))


@pytest.mark.reference
def test_release_of_sami_trop_has_the_published_counts(reference_data: Path) -> None:
    root = reference_data / "sami-trop"
    if not (root / EXAMS_FILE).is_file():
        pytest.skip(f"no SaMi-Trop at {root}")
    assert compare_counts(["sami-trop", str(root)]) == 0
    followed = pd.read_csv(root / EXAMS_FILE)["timey"]
    assert followed.median() == pytest.approx(2.07, abs=0.005)
