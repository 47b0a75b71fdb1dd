"""Whole exports against the files that the reference systems wrote of the same recordings."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io

from ecg_assets.build import Manifest, QualityPolicy, build_manifest
from ecg_assets.export.fairseq_manifests import write_fairseq_manifest
from ecg_assets.export.lead1_pipeline import write_reference_manifest
from ecg_assets.export.mat import MatForm, export_mat_records
from ecg_assets.export.mat_listing import number_records
from ecg_assets.labels import ECG_FM_LABELS, LabelVocabulary
from ecg_assets.preprocess import (
    STANDARD_LEADS,
    SignalSpec,
    preprocess_shard,
    standardize,
    write_shard,
)
from ecg_assets.sources import read_recording
from ecg_assets.sources.mimic_iv_ecg import MimicIvEcg, read_list_rows
from ecg_assets.split import read_meta_split
from ecg_assets_tests.labels.reports import make_reports
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
    rows = records if "row" in records else numbered(records)
    export_mat_records(tables.signals, spec, rows, mats, form=form)


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
        make_reports({}),
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


# MIMIC-IV-ECG's layout through fairseq-signals' scripts.


@pytest.fixture
def prepared(reference_data: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Give its expected files, and the folder of those that we wrote."""
    golden = reference_data / "fairseq_golden" / "dataprep"
    (root,) = (golden / "raw").iterdir()
    source = MimicIvEcg(root)
    found = source.read_records().table.assign(shard="p1000")
    records = number_records(found, read_list_rows(source))
    spec = SignalSpec(leads=STANDARD_LEADS, n_channels=12)
    _export(records, root, tmp_path, spec, MatForm(rows="dataset"))
    expected = golden / "expected"
    table = pd.read_csv(expected / "mimic_iv_ecg" / "labels" / "labels.csv")
    # Its idx is the row of record_list.csv.
    studies = pd.read_csv(root / "record_list.csv", dtype=str)["study_id"]
    names = list(table.columns[1:])
    table["record_id"] = "mimic_iv_ecg_" + studies[table["idx"]].to_numpy()
    manifest = build_manifest(
        records,
        _labels(table, names),
        read_meta_split(expected / "mimic_iv_ecg" / "meta_split.csv", records),
        tmp_path / "signal_shards",
        spec=spec,
        vocabulary=LabelVocabulary(tuple(names), ("mean",) * len(names)),
        quality=KEEP_ALL,
    )
    write_fairseq_manifest(
        manifest,
        records,
        source.read_reports(records).table,
        {"p1000": tmp_path / "mat_records" / "p1000"},
        tmp_path / "manifests",
        mat_root=tmp_path / "mat_records",
        raw_root=root,
    )
    return expected, tmp_path / "manifests"


def _studies(lines: list[str]) -> list[str]:
    """Shorten the names of its files to what names ours: the study and what follows."""
    return sorted(
        re.sub(r"^(?:p1000/)?mimic_iv_ecg_(?:p\d+_p\d+_s\d+_)?", "", one) for one in lines
    )


def test_manifests_list_the_segments_that_fairseq_signals_scripts_list(
    prepared: tuple[Path, Path],
) -> None:
    expected, found = prepared
    labelled = pd.read_csv(expected / "mimic_iv_ecg" / "labels" / "segmented_split_labeled.csv")
    for split in ("train", "valid", "test"):
        of_split = labelled[labelled["split"] == split]
        lines = of_split["path"].map(lambda path: Path(path).name) + "\t2500"
        assert _studies((found / f"{split}.tsv").read_text().splitlines()[1:]) == _studies(
            lines.tolist()
        )
        golden = (expected / "manifests" / f"{split}.tsv").read_text().splitlines()[1:]
        assert set(lines) <= set(golden)
        # Pre-training reads the recording without labels, too.
        pairs = [
            (folder / "cmsc" / f"{split}.tsv").read_text().splitlines()
            for folder in (found, expected / "manifests")
        ]
        assert [lines[1] for lines in pairs] == ["mat", "mat"]
        assert _studies(pairs[0][2:]) == _studies(pairs[1][2:])


def test_meta_has_the_columns_of_fairseq_signals_and_what_they_say(
    prepared: tuple[Path, Path],
) -> None:
    expected, found = prepared
    golden = pd.read_csv(expected / "mimic_iv_ecg" / "meta.csv").set_index("study_id")
    meta = pd.read_csv(found / "meta.csv").set_index("study_id").loc[golden.index]
    assert [name for name in meta.columns if name in golden.columns] == list(golden.columns)
    same = [
        "idx",
        "source",
        "dataset",
        "subject_id",
        "file_name",
        "ecg_time",
        "machine_report",
        "sample_rate",
        "sample_size",
    ]
    same += ["units", "nan_any", "nan_leads_any", "nan_leads"]
    pd.testing.assert_frame_equal(meta[same], golden[same])
    root = Path(meta["path"].iloc[0]).parents[4]
    for name in ("path", "lead_order", "avail_leads"):
        texts = golden[name].str.replace(r"np\.str_\((.*?)\)", r"\1", regex=True)
        texts = texts.str.replace(r"^/data/raw/[^/]+", str(root), regex=True)
        assert meta[name].tolist() == texts.tolist()
    # Of a lead that is constant and not 0 its mean is off by rounding, and it calls it none.
    at_zero = golden["constant_leads"].str.replace(r"np\.str_\((.*?)\)", r"\1", regex=True)
    assert meta["constant_leads"][49573008] == at_zero[49573008] == "['V3']"
    assert (meta["constant_leads"][45696972], at_zero[45696972]) == ("['aVL']", "[]")
    rest = ~meta.index.isin([49573008, 45696972])
    assert set(meta["constant_leads"][rest]) == set(at_zero[rest]) == {"[]"}
    numbers = [f"{what}_{lead}" for what in ("mean", "std") for lead in range(12)]
    given = golden[numbers].notna()  # it has none of a lead with missing samples
    assert (~given).sum().sum() == 2
    np.testing.assert_allclose(
        meta[numbers].to_numpy()[given], golden[numbers].to_numpy()[given], rtol=0, atol=1e-12
    )


def test_mat_files_hold_what_fairseq_signals_scripts_compute(
    prepared: tuple[Path, Path],
) -> None:
    expected, found = prepared
    every = np.load(expected / "every_record.npz")
    listed = pd.read_csv(expected / "mimic_iv_ecg" / "meta.csv", dtype=str)
    mats = found.parent / "mat_records" / "p1000"
    for row, study in enumerate(listed["study_id"]):
        parts = [scipy.io.loadmat(mats / f"mimic_iv_ecg_{study}_{i}.mat") for i in (0, 1)]
        assert every[f"{row}_segments"] == len(parts)
        signal = np.concatenate([part["feats"] for part in parts], axis=1)[:, ::50]
        golden = every[f"{row}_preprocessed_every_50"]
        is_given = ~np.isnan(golden)
        np.testing.assert_allclose(signal[is_given], golden[is_given], rtol=0, atol=1e-6)
        for name in ("mean", "std"):
            statistics, given = parts[0][name].ravel(), every[f"{row}_{name}"].ravel()
            is_given = ~np.isnan(given)
            np.testing.assert_allclose(statistics[is_given], given[is_given], rtol=0, atol=1e-12)
    folder = expected / "mimic_iv_ecg" / "segmented"
    for path in folder.glob("*.mat"):
        golden, ours = (scipy.io.loadmat(file) for file in (path, mats / _short(path.name)))
        assert list(ours)[3:] == list(golden)[3:]
        np.testing.assert_allclose(ours["feats"], golden["feats"], rtol=0, atol=1e-6)
        for name in ("org_sample_size", "curr_sample_size", "segment_i", "curr_sample_rate", "idx"):
            assert ours[name] == golden[name]
            assert ours[name].dtype == golden[name].dtype


def test_whole_recordings_are_what_fairseq_signals_scripts_read_and_score(
    prepared: tuple[Path, Path], reference_data: Path
) -> None:
    expected, _ = prepared
    (root,) = (reference_data / "fairseq_golden" / "dataprep" / "raw").iterdir()
    spec = SignalSpec(leads=STANDARD_LEADS, n_channels=12, segment_s=10.0)
    (path,) = (expected / "mimic_iv_ecg" / "org").glob("*.mat")
    (raw,) = root.rglob(f"{path.stem.rsplit('_', 1)[1]}.hea")
    record = read_recording(raw.with_suffix(""), STANDARD_LEADS, root=root)
    read, scored = (
        scipy.io.loadmat(path.parents[1] / step / path.name) for step in ("org", "preprocessed")
    )
    np.testing.assert_allclose(record.physical(), read["feats"], rtol=0, atol=1e-7)
    assert read["org_sample_rate"] == scored["curr_sample_rate"] == record.sample_rate
    found = standardize(record.signal[None].astype(np.int16), record.sample_rate, spec)[0]
    np.testing.assert_allclose(found, scored["feats"], rtol=0, atol=1e-6)


def test_tables_list_the_recordings_and_segments_that_fairseq_signals_scripts_list(
    prepared: tuple[Path, Path],
) -> None:
    expected, found = prepared
    meta = pd.read_csv(found / "meta.csv").set_index("study_id")
    golden = pd.read_csv(expected / "mimic_iv_ecg" / "records.csv").set_index("study_id")
    named = ["subject_id", "file_name", "ecg_time", "machine_report"]
    pd.testing.assert_frame_equal(meta.loc[golden.index, named], golden[named])
    paths = meta.loc[golden.index, "path"]
    assert all(path.endswith(f"/{end}") for path, end in zip(paths, golden["path"], strict=True))
    # Its list of recordings of all sources.
    listed = pd.read_csv(expected / "manifest.csv")
    listed["study_id"] = listed["save_file"].str.extract(r"_(\d+)\.mat$").astype(int)
    listed = listed.set_index("study_id")
    same = ["idx", "source", "sample_rate", "sample_size"]
    pd.testing.assert_frame_equal(meta.loc[listed.index, same], listed[same])
    assert set(listed.index) == set(meta.index)
    ours, theirs = (
        _of_segments(folder / "segmented.csv") for folder in (found, expected / "mimic_iv_ecg")
    )
    pd.testing.assert_frame_equal(ours, theirs)


def test_segments_in_a_split_are_those_of_fairseq_signals_scripts_that_have_labels(
    prepared: tuple[Path, Path],
) -> None:
    expected, found = prepared
    ours, theirs = (
        _of_segments(folder / "segmented_split.csv")
        for folder in (found, expected / "mimic_iv_ecg")
    )
    labels = pd.read_csv(expected / "mimic_iv_ecg" / "labels" / "labels.csv")
    theirs = theirs.drop(columns="subject_id").astype({"idx": np.int64})
    has_labels = theirs["idx"].isin(labels["idx"])
    assert theirs["idx"][~has_labels].tolist() == [8, 8]
    pd.testing.assert_frame_equal(ours, theirs[has_labels].reset_index(drop=True))


def _of_segments(path: Path) -> pd.DataFrame:
    """Read a table of segments, sorted, with files named by their study."""
    table = pd.read_csv(path)
    table["path"] = table["path"].map(lambda path: _short(Path(path).name))
    table["save_file"] = table["save_file"].map(_short)
    return table.sort_values("path", ignore_index=True)


def _short(name: str) -> str:
    return "mimic_iv_ecg_" + _studies([name])[0]


def test_labels_are_those_of_fairseq_signals_scripts(
    prepared: tuple[Path, Path],
) -> None:
    expected, found = prepared
    labels = expected / "mimic_iv_ecg" / "labels"
    used = pd.read_csv(labels / "meta_split_labeled.csv")["idx"]
    y, golden = np.load(found / "y.npy"), np.load(labels / "y.npy")
    assert y.shape == golden.shape
    assert np.array_equal(y[used], golden[used])
    assert np.isnan(np.delete(y, used, axis=0)).all()  # where it has zeros that nobody gave
    ours, theirs = (pd.read_csv(folder / "label_def.csv") for folder in (found, labels))
    counts = ["name", "pos_count_train", "pos_count_test", "pos_count_all", "pos_percent_all"]
    pd.testing.assert_frame_equal(ours[counts], theirs[counts], check_dtype=False)
    weights, given = ours["pos_weight_train"], theirs["pos_weight_train"]
    written = (labels / "pos_weight.txt").read_text().strip("[]").split(",")
    np.testing.assert_allclose(given, np.array(written, float), rtol=0, atol=1e-12)
    assert (
        found / "pos_weight.txt"
    ).read_text() == "[5.000000,0.500000,1.000000,0.500000,1.000000]"
    assert np.isinf(given[4])  # no positives: ours is 1
    assert weights[4] == 1
    np.testing.assert_allclose(weights[:4], given[:4], rtol=0, atol=1e-12)
