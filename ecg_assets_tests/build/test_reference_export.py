"""Whole exports against the files that the reference systems wrote of the same recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecg_assets.build import (
    Manifest,
    QualityPolicy,
    build_manifest,
    write_fairseq_manifest,
    write_reference_manifest,
)
from ecg_assets.labels import ECG_FM_LABELS, LabelVocabulary
from ecg_assets.preprocess import (
    STANDARD_LEADS,
    MatForm,
    SignalSpec,
    export_mat_records,
    preprocess_shard,
    write_shard,
)
from ecg_assets.split import read_meta_split
from ecg_assets_tests.preprocess.recordings import golden_records, numbered, write_code_15

pytestmark = pytest.mark.reference

KEEP_ALL = QualityPolicy(allow_flat=True, max_missing_share=1.0)


def _labels(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Turn ``record_id`` and a 0/1 column a label into our long table."""
    long = table.melt("record_id", names, "label", "value")
    return long.astype({"value": np.int8}).assign(probability=long["value"].astype(np.float32))


def _export(
    records: pd.DataFrame, raw: Path, folder: Path, spec: SignalSpec, form: MatForm
) -> None:
    """Write ``signal_shards/p1000.parquet`` and ``mat_records/p1000``."""
    tables = preprocess_shard(records, raw, spec.leads)
    shard = "p1000.parquet"
    write_shard(tables, folder / "signal_shards" / shard, folder / "rejects" / shard)
    mats = folder / "mat_records" / "p1000"
    export_mat_records(tables.signals, spec, numbered(records), mats, form=form)


def _lead_i(golden: Path, folder: Path, quality: QualityPolicy) -> Path:
    """Run the Lead-I pipeline's recordings, labels and split through ours."""
    records = golden_records(golden / "raw")
    form = MatForm("reference", keep_missing=quality.allow_flat)
    _export(records, golden / "raw", folder, SignalSpec(), form)
    labels = pd.read_csv(golden / "computed_labels" / "labels.csv")
    labels["record_id"] = records["record_id"]
    # Its split parts a patient's studies, which ours refuses: each study is its own patient.
    records = records.assign(subject_id=records["study_id"])
    manifest = build_manifest(
        records,
        _labels(labels, list(ECG_FM_LABELS.names)),
        read_meta_split(golden / "meta_split.csv", records),
        folder / "signal_shards",
        spec=SignalSpec(),
        vocabulary=ECG_FM_LABELS,
        quality=quality,
    )
    write_reference_manifest(
        manifest,
        records,
        {"p1000": folder / "mat_records" / "p1000"},
        folder / "manifests",
        mat_root=folder / "mat_records",
        weights_from="all",
    )
    return folder / "manifests" / "lead_1"


def test_files_of_the_lead_i_pipeline_s_build_step_are_the_same(
    reference_data: Path, tmp_path: Path
) -> None:
    golden = reference_data / "lead1_pipeline_golden"
    found = _lead_i(golden, tmp_path, KEEP_ALL)
    for name in (
        "manifests/label_def.csv",
        "manifests/pos_weight.txt",
        "manifests/y.npy",
        "manifests/original_idx_order.npy",
        "test_labels.csv",
        "test_file_list.csv",
        "study_id_mapping.csv",
    ):
        assert (found / name).read_bytes() == (golden / name).read_bytes(), name
    below = "p1000/lead_1/segmented_5s/"
    for split in ("train", "valid", "test"):
        root, *lines = (found / "manifests" / f"{split}.tsv").read_text().splitlines()
        expected = (golden / "manifests" / f"{split}.tsv").read_text().splitlines()[1:]
        assert lines == [below + line for line in expected]
        assert all((Path(root) / line.split("\t")[0]).is_file() for line in lines)
    assert not (found / "skipped_bad_mat.txt").exists()


def test_by_default_the_flat_recording_is_left_out_and_named(
    reference_data: Path, tmp_path: Path
) -> None:
    found = _lead_i(reference_data / "lead1_pipeline_golden", tmp_path, QualityPolicy())
    flat = "mimic_iv_ecg_40001002"
    assert (found / "skipped_bad_mat.txt").read_text() == f"{flat}.mat: flat_lead"
    assert flat not in (found / "manifests" / "train.tsv").read_text()
    # Rows keep their numbers: no .mat changes with what is left out.
    y = np.load(found / "manifests" / "y.npy")
    assert np.flatnonzero(np.isnan(y).all(axis=1)).tolist() == [4, 5]


@pytest.fixture
def code_15(reference_data: Path, tmp_path: Path) -> tuple[Path, Path]:
    """CODE-15's recordings through ours: the golden folder, and the one that we wrote."""
    golden = reference_data / "real_ecg" / "code15"
    records = write_code_15(golden, tmp_path / "raw")
    spec = SignalSpec(leads=STANDARD_LEADS, n_channels=12)
    _export(records, tmp_path / "raw", tmp_path, spec, MatForm())
    labels = pd.read_csv(golden / "labels.csv").drop(columns="idx")
    manifest: Manifest = build_manifest(
        records,
        _labels(labels.assign(record_id=records["record_id"]), list(labels.columns)),
        read_meta_split(golden / "meta_split.csv", records),
        tmp_path / "signal_shards",
        spec=spec,
        vocabulary=LabelVocabulary(tuple(labels.columns), ("mean",) * labels.shape[1]),
    )
    write_fairseq_manifest(
        manifest,
        records,
        {"p1000": tmp_path / "mat_records" / "p1000"},
        tmp_path / "manifests",
        mat_root=tmp_path / "mat_records",
        raw_root=tmp_path / "raw",
    )
    return golden, tmp_path / "manifests"


def test_split_tables_and_labels_equal_fairseq_signals(code_15: tuple[Path, Path]) -> None:
    golden, found = code_15
    assert (found / "meta_split.csv").read_text() == (golden / "meta_split.csv").read_text()
    assert np.array_equal(np.load(found / "y.npy"), np.load(golden / "y.npy"))
    segmented = pd.read_csv(found / "segmented_split.csv")
    assert all(Path(path).is_file() for path in segmented["path"])
    segmented["path"] = segmented["path"].map(lambda path: Path(path).name)
    pd.testing.assert_frame_equal(segmented, pd.read_csv(golden / "segmented_split.csv"))
    columns = ["path", "save_file", "sample_size"]
    assert list(pd.read_csv(found / "segmented.csv")) == columns


def test_meta_equals_fairseq_signals_where_it_speaks_of_the_signal(
    code_15: tuple[Path, Path],
) -> None:
    golden, found = (pd.read_csv(folder / "meta.csv") for folder in code_15)
    shared = [name for name in golden.columns if name in found.columns]
    of_signal = shared[shared.index("lead_order") :]
    assert list(golden.columns)[-len(of_signal) :] == of_signal
    numbers = of_signal[-24:]
    others = ["idx", "save_file", *of_signal[:-24]]
    pd.testing.assert_frame_equal(found[others], golden[others])
    # What differs is the 16-bit steps that the recordings are stored in here.
    np.testing.assert_allclose(found[numbers], golden[numbers], rtol=0, atol=5e-5)
