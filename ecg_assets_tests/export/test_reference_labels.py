"""The label files of the reference pipeline, against files that it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from ecg_assets.export.lead1_pipeline import write_reference_files
from ecg_assets.labels import ECG_FM_LABELS, label_records
from ecg_assets_tests.labels.reports import make_reports


def _labels_from_csv(path: Path, record_ids: list[str]) -> pd.DataFrame:
    """Long table of labels out of the pipeline's ``labels.csv``."""
    table = pd.read_csv(path)
    assert list(table.columns) == ["idx", *ECG_FM_LABELS.names]
    long = table.assign(record_id=record_ids).melt(
        ["idx", "record_id"], var_name="label", value_name="value"
    )
    return long.assign(probability=long["value"].astype("float32")).drop(columns="idx")


@pytest.mark.reference
def test_files_equal_the_pipelines_own(reference_data: Path, tmp_path: Path) -> None:
    golden = reference_data / "lead1_pipeline_golden" / "computed_labels"
    mapping = pd.read_csv(golden / "study_id_mapping.csv", dtype={"study_id": str})
    records = mapping.assign(record_id="mimic_iv_ecg_" + mapping["study_id"])
    counts = write_reference_files(
        _labels_from_csv(golden / "labels.csv", list(records["record_id"])),
        records[["record_id", "study_id"]],
        records[["record_id", "split"]].iloc[::-1],
        tmp_path / "out",
        weights_from="all",
    )
    assert counts == {"rows": 6, "records_without_labels": 0, "records_without_split": 0}
    names = sorted(path.name for path in golden.iterdir())
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (golden / name).read_bytes(), name
    values = pd.read_csv(golden / "labels.csv")[list(ECG_FM_LABELS.names)].to_numpy()
    y, y_soft = (np.load(tmp_path / "out" / name) for name in ("y.npy", "y_soft.npy"))
    assert y.dtype == y_soft.dtype == np.float32
    np.testing.assert_array_equal(y, values)
    manifest_y = np.load(reference_data / "lead1_pipeline_golden" / "manifests" / "y.npy")
    assert y.dtype == manifest_y.dtype


def _write(
    tmp_path: Path, weights_from: Literal["train", "all"] = "train"
) -> tuple[Path, dict[str, int]]:
    reports = make_reports(
        {
            "r1": ["Possible LBBB"],
            "r2": ["RBBB", "Probable atrial flutter"],
            "r3": [],
            "r4": ["LBBB"],
            "r5": ["LBBB"],
        }
    )
    records = pd.DataFrame(
        {"record_id": ["r5", "r4", "r3", "r2", "r1"], "study_id": ["5", "4", "3", "2", "1"]}
    )
    split = pd.DataFrame(
        {"record_id": ["r1", "r2", "r3", "r5"], "split": ["train", "test", "train", "valid"]}
    )
    folder = tmp_path / "computed_labels"
    counts = write_reference_files(
        label_records(reports).labels, records, split, folder, weights_from=weights_from
    )
    return folder, counts


def test_rows_are_the_labelled_records_of_the_split_in_the_order_of_records(
    tmp_path: Path,
) -> None:
    folder, counts = _write(tmp_path)
    assert counts == {"rows": 3, "records_without_labels": 1, "records_without_split": 1}
    mapping = (folder / "study_id_mapping.csv").read_text()
    assert mapping == "idx,study_id,split\n0,5,valid\n1,2,test\n2,1,train\n"
    left = ECG_FM_LABELS.names.index("Left bundle branch block")
    flutter = ECG_FM_LABELS.names.index("Atrial flutter")
    y, y_soft = np.load(folder / "y.npy"), np.load(folder / "y_soft.npy")
    np.testing.assert_array_equal(y[:, left], [1, 0, 1])
    np.testing.assert_allclose(y_soft[:, left], [1.0, 0.0, 0.6], rtol=1e-6)
    np.testing.assert_allclose(y_soft[:, flutter], [0.0, 0.7, 0.0])


def test_weights_are_finite_without_positives(tmp_path: Path) -> None:
    folder, _ = _write(tmp_path, "all")
    definition = pd.read_csv(folder / "label_def_recomputed.csv")
    rows = {name: numbers for name, *numbers in definition.itertuples(index=False)}
    assert rows["Left bundle branch block"] == [2, pytest.approx(2 / 3), 0.5]
    assert rows["Infarction"] == [0, 0.0, 3.0]
    weights = (folder / "pos_weight.txt").read_text()
    assert weights.split(" ") == [f"{w:.8f}" for w in definition["pos_weight"]]
    assert not weights.endswith("\n")


def test_weights_are_of_the_training_rows_and_counts_of_all(tmp_path: Path) -> None:
    folder, _ = _write(tmp_path)
    definition = pd.read_csv(folder / "label_def_recomputed.csv")
    found = {str(name): (n, w) for name, n, _, w in definition.itertuples(index=False)}
    # The one training row has it; the other positive is of another split.
    assert found["Left bundle branch block"] == (2, 0.0)
    assert found["Atrial flutter"] == (1, 1.0)


def test_writing_again_replaces_the_folder(tmp_path: Path) -> None:
    folder, _ = _write(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "leftover.txt").touch()
    _write(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
