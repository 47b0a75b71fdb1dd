from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io

from ecg_assets.errors import SchemaError
from ecg_assets.export.lead1_pipeline import write_reference_manifest
from ecg_assets.export.mat import MatForm, export_mat_records
from ecg_assets.preprocess import read_shard
from ecg_assets_tests.build.cohort import SPEC, Cohort
from ecg_assets_tests.preprocess.recordings import numbered


@pytest.fixture
def studies(cohort: Cohort) -> Cohort:
    """The cohort with numbers for study_id, which the layout needs."""
    numbers = [str(900 - row) for row in range(len(cohort.records))]
    return replace(cohort, records=cohort.records.assign(study_id=numbers))


def _export(cohort: Cohort) -> dict[str, Path]:
    root = cohort.folder / "mat_records"
    for shard in ("a", "b"):
        signals = read_shard(cohort.shards / f"{shard}.parquet", leads=SPEC.leads)
        records = numbered(cohort.records)
        export_mat_records(signals, SPEC, records, root / shard, form=MatForm("reference"))
    return {shard: root / shard for shard in ("a", "b")}


def _write(cohort: Cohort, mat_folders: dict[str, Path]) -> dict[str, int]:
    return write_reference_manifest(
        cohort.manifest(),
        cohort.records,
        mat_folders,
        cohort.folder / "out",
        mat_root=cohort.folder / "mat_records",
    )


def test_each_segment_leads_to_its_own_row_of_labels_and_study(studies: Cohort) -> None:
    counts = _write(studies, _export(studies))
    folder = studies.folder / "out" / "lead_1" / "manifests"
    y, order = np.load(folder / "y.npy"), np.load(folder / "original_idx_order.npy")
    assert (y.dtype, order.dtype) == (np.float32, np.int64)
    assert len(y) == len(order) == 2 * len(studies.records)
    record_of_study = studies.records.set_index("study_id")["record_id"]
    expected = {"a1": [1, 0], "a2": [1, 0], "b0": [1, 0], "b1": [0, 0], "b2": [1, 1]}
    rows = []
    for split, count in counts.items():
        root, *lines = (folder / f"{split}.tsv").read_text().splitlines()
        assert len(lines) == count
        for line in lines:
            content = scipy.io.loadmat(Path(root) / line.split("\t")[0])
            row, study = content["idx"].item(), content["original_idx"].item()
            assert order[row] == study
            assert y[row].tolist() == expected[record_of_study[str(study)]]
            rows.append(row)
    assert len(set(rows)) == len(rows) == 2 * len(expected)
    assert np.isnan(np.delete(y, rows, axis=0)).all()


def test_weights_are_of_train_and_counts_of_all(studies: Cohort) -> None:
    _write(studies, _export(studies))
    folder = studies.folder / "out" / "lead_1" / "manifests"
    table = pd.read_csv(folder / "label_def.csv").set_index("name")
    assert table["count"].to_dict() == {"Sinus rhythm": 4, "Atrial flutter": 1}
    assert table["pos_weight"].to_dict() == {"Sinus rhythm": 0.5, "Atrial flutter": 3.0}
    assert (folder / "pos_weight.txt").read_text() == "0.50000000 3.00000000"


def test_recordings_left_out_for_their_signal_are_named(studies: Cohort) -> None:
    _write(studies, _export(studies))
    assert (studies.folder / "out" / "lead_1" / "skipped_bad_mat.txt").read_text().split("\n") == [
        "a0.mat: shorter than 4 s",
        "a_flat.mat: flat_lead",
        "a_holes.mat: missing_samples",
        "a_lost.mat: no_signal",
        "a_short.mat: too_short",
    ]


def test_mat_files_of_another_record_list_are_refused(studies: Cohort) -> None:
    mat_folders = _export(studies)
    turned = replace(studies, records=studies.records.iloc[::-1].reset_index(drop=True))
    with pytest.raises(SchemaError, match="is not their row"):
        _write(turned, mat_folders)


def test_study_id_that_is_no_number_is_refused(studies: Cohort) -> None:
    mat_folders = _export(studies)
    named = replace(studies, records=studies.records.assign(study_id="HR1"))
    with pytest.raises(SchemaError, match=r"'HR1'.*layout: fairseq"):
        _write(named, mat_folders)
