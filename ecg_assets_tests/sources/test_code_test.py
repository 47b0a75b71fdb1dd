"""CODE-test: tables and tracings joined by their place alone, with leads in an order of its own."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from ecg_assets.errors import BadRecord, SchemaError
from ecg_assets.known import NOT_MEASURED
from ecg_assets.labels import label_matrix, label_records, load_label_set
from ecg_assets.labels.study_counts import main as compare_counts
from ecg_assets.preprocess import preprocess_shard
from ecg_assets.sources import MACHINE_REPORTS, RECORD_LIST, open_source, read_recording
from ecg_assets.sources.code_test import (
    ATTRIBUTES_FILE,
    CODE_TEST,
    GOLD_FILE,
    LABEL_COLUMNS,
    TRACINGS_FILE,
    CodeTest,
)
from ecg_assets.sources.synthetic.made.code_test import write_code_test
from ecg_assets.sources.tracings import LEADS as CODE_15_LEADS
from ecg_assets.sources.tracings import read_row
from ecg_assets.split.folds import split_by_folds

N_RECORDS = 24
LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code-test")
    write_code_test(folder, n_records=N_RECORDS, seed=2)
    return folder


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A root of one's own, to spoil."""
    (tmp_path / "annotations").mkdir()
    for name in (TRACINGS_FILE, ATTRIBUTES_FILE, GOLD_FILE):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    return tmp_path


def test_leads_come_out_by_name_though_avr_stands_last_in_the_file(root: Path) -> None:
    for row in range(N_RECORDS):
        path = f"{root}/{TRACINGS_FILE}#{row}"
        record = read_recording(path, LIMB_LEADS, root=root)
        i, ii, iii, avr, avl, avf = record.physical()
        assert record.lead_names == LIMB_LEADS
        assert np.abs(iii - (ii - i)).max() < 1e-3
        assert np.abs(avr + (i + ii) / 2).max() < 1e-3
        assert np.abs(avl - (i - ii / 2)).max() < 1e-3
        assert np.abs(avf - (ii - i / 2)).max() < 1e-3
    with h5py.File(root / TRACINGS_FILE) as file:
        tracing = file["tracings"][0]
    i, ii, avl, avf, avr = (tracing[:, column] for column in (0, 1, 3, 4, 5))
    np.testing.assert_allclose([avl, avf, avr], [i - ii / 2, ii - i / 2, -(i + ii) / 2], atol=1e-9)
    # Read as CODE-15% is, the same file would give other leads under these names.
    wrong = read_row(root / TRACINGS_FILE, "0", ["aVR"], CODE_15_LEADS).physical()
    assert np.abs(wrong - read_row(root / TRACINGS_FILE, "0", ["I"]).physical()).max() > 0.1


def test_shard_finds_no_lead_in_anothers_place(root: Path) -> None:
    records = CodeTest(root).read_records().table
    tables = preprocess_shard(records, root, CODE_15_LEADS)
    assert tables.rejects.empty
    shard = tables.signals.to_pandas()
    assert len(shard) == N_RECORDS
    assert shard["limb_fault"].isna().all()
    assert sorted(shard["n_samples"].unique()) == [2800, 4000]
    assert set(shard["sample_rate_hz"]) == {400}


def test_row_of_each_table_is_of_the_tracing_at_its_place(root: Path) -> None:
    source = CodeTest(root)
    found = source.read_records()
    RECORD_LIST.from_pandas(found.table)
    attributes = pd.read_csv(root / ATTRIBUTES_FILE)
    assert found.table["age"].tolist() == attributes["age"].tolist()
    assert found.table["sex"].tolist() == attributes["sex"].tolist()
    assert found.table["path"].tolist() == [f"{TRACINGS_FILE}#{row}" for row in range(N_RECORDS)]
    # The release has no patients: each exam is one of its own, which is counted.
    assert found.table["subject_id"].is_unique
    assert found.findings["records_without_patient"] == N_RECORDS
    reports = source.read_reports(found.table).table
    MACHINE_REPORTS.from_pandas(reports)
    gold = pd.read_csv(root / GOLD_FILE).astype(bool)
    for lines, (_, row) in zip(reports["lines"], gold.iterrows(), strict=True):
        names = [name for name in LABEL_COLUMNS if row[name]] or ["(none)"]
        assert lines == [*names, "normal_ecg\tnot measured"]


def test_labels_of_code_15_apply_and_what_nobody_annotated_is_unknown(root: Path) -> None:
    reports = open_source("code-test", root).read_reports(CodeTest(root).read_records().table)
    six = load_label_set("code-15-six")
    labels = label_records(reports.table, label_set=six).labels
    values = label_matrix(labels, six.vocabulary)[1]
    gold = pd.read_csv(root / GOLD_FILE)[list(six.vocabulary.names)].to_numpy()
    np.testing.assert_array_equal(values, gold)
    assert gold.sum() > 5
    # Without any of the six an exam is not normal, and not abnormal: no column says it.
    conditions = load_label_set("six-conditions")
    table = label_records(reports.table, label_set=conditions)
    found = pd.DataFrame(
        label_matrix(table.labels, conditions.vocabulary)[1], columns=conditions.vocabulary.names
    )
    assert (found["NORM"] == NOT_MEASURED).all()
    assert found["RBBB"].tolist() == pd.read_csv(root / GOLD_FILE)["RBBB"].tolist()
    assert table.unmatched.empty


def test_all_of_it_is_test_set(root: Path) -> None:
    source, folds = CodeTest(root), CODE_TEST.folds
    assert folds is not None
    records = source.read_records().table
    split = split_by_folds(
        records, folds.read(source), train=folds.train, valid=folds.valid, test=folds.test
    )
    assert set(split["split"]) == {"test"}
    assert len(split) == N_RECORDS


@pytest.mark.parametrize("name", [ATTRIBUTES_FILE, GOLD_FILE])
def test_table_with_another_number_of_rows_stops_the_run(copy: Path, name: str) -> None:
    rows = pd.read_csv(copy / name)
    rows.iloc[1:].to_csv(copy / name, index=False)
    with pytest.raises(SchemaError, match=r"nothing else joins (them|the two)|joins them"):
        CodeTest(copy).read_records()


def test_tracings_of_another_number_stop_the_run(copy: Path) -> None:
    with h5py.File(copy / TRACINGS_FILE, "r+") as file:
        kept = file["tracings"][:-1]
        del file["tracings"]
        file["tracings"] = kept
    message = f"has {N_RECORDS} rows, but {TRACINGS_FILE} has {N_RECORDS - 1} tracings"
    with pytest.raises(SchemaError, match=message):
        CodeTest(copy).read_records()
    with pytest.raises(BadRecord, match="bad_shape"):
        read_recording(f"{copy}/{TRACINGS_FILE}#{N_RECORDS - 1}", root=copy)


def test_tracings_that_cannot_be_read_stop_the_run_and_those_that_lack_do_not(copy: Path) -> None:
    (copy / TRACINGS_FILE).write_bytes(b"no HDF5")
    with pytest.raises(SchemaError, match="cannot be read"):
        CodeTest(copy).read_records()
    (copy / TRACINGS_FILE).unlink()
    assert len(CodeTest(copy).read_records().table) == N_RECORDS
    with pytest.raises(BadRecord, match="missing_file"):
        read_recording(f"{copy}/{TRACINGS_FILE}#0", root=copy)


def test_other_hdf5_file_is_still_one_of_code_15(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "exams_part0.hdf5"
    path.write_bytes((root / TRACINGS_FILE).read_bytes())
    with pytest.raises(BadRecord, match="exam_id is no dataset"):
        read_recording(f"{path}#0", root=tmp_path)


@pytest.mark.reference
def test_release_has_the_published_counts_and_its_leads_in_this_order(
    reference_data: Path,
) -> None:
    root = reference_data / "code-test"
    if not (root / GOLD_FILE).is_file():
        pytest.skip(f"no CODE-test at {root}")
    assert compare_counts(["code-test", str(root)]) == 0
    for row in range(0, 827, 20):
        i, ii, avr = read_recording(
            f"{root}/{TRACINGS_FILE}#{row}", ["I", "II", "aVR"], root=root
        ).physical()
        assert np.nanmedian(np.abs(avr + (i + ii) / 2)) < 0.05
