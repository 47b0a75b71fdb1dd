from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io

from ecg_assets.errors import SchemaError, SpecMismatch
from ecg_assets.export.fairseq_manifests import write_fairseq_manifest
from ecg_assets.export.mat import export_mat_records
from ecg_assets.export.mat_listing import read_mat_folders
from ecg_assets.preprocess import SignalSpec, read_shard
from ecg_assets_tests.build.cohort import GOOD, SPEC, VOCABULARY, Cohort
from ecg_assets_tests.preprocess.recordings import numbered


def _export(cohort: Cohort, spec: SignalSpec = SPEC) -> dict[str, Path]:
    """Export all stored shards; give their folders."""
    root = cohort.folder / "mat_records"
    for shard in ("a", "b"):
        signals = read_shard(cohort.shards / f"{shard}.parquet", leads=spec.leads)
        export_mat_records(signals, spec, numbered(cohort.records), root / shard)
    return {shard: root / shard for shard in ("a", "b")}


def _write(cohort: Cohort, mat_folders: dict[str, Path]) -> dict[str, int]:
    return write_fairseq_manifest(
        cohort.manifest(),
        cohort.records,
        cohort.reports,
        mat_folders,
        cohort.folder / "fairseq",
        mat_root=cohort.folder / "mat_records",
        raw_root=cohort.folder / "raw",
    )


def _read_as_fairseq_does(folder: Path, split: str) -> list[tuple[str, list[float]]]:
    """Follow a .tsv to its .mat files and their rows of y.npy: names and labels."""
    root, *lines = (folder / f"{split}.tsv").read_text().splitlines()
    y = np.load(folder / "y.npy")
    items = []
    for line in lines:
        name, n_samples = line.split("\t")
        content = scipy.io.loadmat(Path(root) / name)
        assert content["feats"].shape == (12, int(n_samples))
        items.append((Path(name).stem, y[content["idx"].item()].tolist()))
    return items


def test_each_segment_leads_to_its_record_s_labels(cohort: Cohort) -> None:
    counts = _write(cohort, _export(cohort))
    found = {
        split: _read_as_fairseq_does(cohort.folder / "fairseq", split)
        for split in ("train", "valid", "test")
    }
    assert counts == {split: len(items) for split, items in found.items()}
    assert found["valid"] == [("a2_0", [1, 0]), ("a2_1", [1, 0])]
    assert found["test"] == [("b2_0", [1, 1]), ("b2_1", [1, 1])]
    train = ["a0_0", "a1_0", "a1_1", "b0_0", "b0_1", "b1_0", "b1_1"]
    assert [name for name, _ in found["train"]] == train


def test_labels_that_nobody_gave_are_nan(cohort: Cohort) -> None:
    _write(cohort, _export(cohort))
    y = np.load(cohort.folder / "fairseq" / "y.npy")
    assert y.dtype == np.float64
    assert y.shape == (len(cohort.records), len(VOCABULARY))
    labelled = cohort.records["record_id"].isin(GOOD).to_numpy()
    assert np.isnan(y[~labelled]).all()
    assert not np.isnan(y[labelled]).any()


def test_label_files_count_the_exported_recordings(cohort: Cohort) -> None:
    mat_folders = _export(cohort)
    _write(cohort, {"b": mat_folders["b"]})
    folder = cohort.folder / "fairseq"
    counts = pd.read_csv(folder / "label_def.csv").set_index("name")
    assert counts.loc["Sinus rhythm", "pos_count_train"] == 1
    assert counts.loc["Sinus rhythm", "pos_count_valid"] == 0
    assert (folder / "pos_weight.txt").read_text() == "[1.000000,1.000000]"
    assert (folder / "valid.tsv").read_text() == f"{cohort.folder / 'mat_records'}\n"


def test_tables_list_what_is_exported_and_what_has_a_split(cohort: Cohort) -> None:
    counts = _write(cohort, _export(cohort))
    meta, meta_split, segmented, segmented_split = (
        pd.read_csv(cohort.folder / "fairseq" / f"{name}.csv")
        for name in ("meta", "meta_split", "segmented", "segmented_split")
    )
    names = meta["save_file"].str.removesuffix(".mat")
    assert names.tolist() == cohort.records["record_id"][meta["idx"]].tolist()
    assert set(names) - {"a_short"} == set(segmented["save_file"].str.removesuffix(".mat"))
    assert set(names[meta["constant_leads_any"]]) == {"a_flat"}
    assert set(names[meta["nan_any"]]) == {"a_holes", "b0"}
    assert set(meta["constant_leads"]) == {"[]", "['I']"}
    report = meta.set_index("save_file")["machine_report"].dropna()
    assert report.to_dict() == {"a0.mat": "Sinus rhythm; Normal ECG"}
    assert set(meta["units"]) == {"mv"}
    assert meta["file_name"].tolist() == names.tolist()
    starts = meta.set_index("save_file")["save_path"].str.removesuffix(".mat")
    of_segments = segmented["path"].str.rpartition("_")[0]
    assert of_segments.tolist() == starts.loc[segmented["save_file"]].tolist()
    assert not meta["nan_leads_any"].any()
    assert set(meta_split["save_file"]) == {f"{name}.mat" for name in GOOD}
    assert segmented_split["split"].value_counts().to_dict() == counts
    for row in segmented_split.itertuples():
        assert scipy.io.loadmat(row.path)["idx"].item() == row.idx


def test_pairs_of_segments_lead_to_files_of_one_recording(cohort: Cohort) -> None:
    _write(cohort, _export(cohort))
    root, extension, *lines = (cohort.folder / "fairseq" / "cmsc" / "train.tsv").read_text().split()
    pairs = [lines[at : at + 4] for at in range(0, len(lines), 4)]
    # Pre-training needs no labels.
    assert [pair[0] for pair in pairs] == ["a/a1", "a/a_unlabelled", "b/b0", "b/b1"]
    for name, n_samples, zero, numbers in pairs:
        assert (n_samples, zero, numbers) == ("1000", "0", "0,1")
        files = [Path(root) / f"{name}_{number}.{extension}" for number in numbers.split(",")]
        assert len({scipy.io.loadmat(file)["idx"].item() for file in files}) == 1


def test_mat_files_of_the_other_layout_are_refused(cohort: Cohort) -> None:
    mat_folders = _export(cohort)
    with pytest.raises(SchemaError, match="layout 'fairseq', not 'reference'"):
        read_mat_folders(cohort.manifest(), mat_folders, "reference")


def test_mat_files_of_another_spec_are_refused(cohort: Cohort) -> None:
    with pytest.raises(SpecMismatch, match="shard a"):
        _write(cohort, _export(cohort, replace(SPEC, segment_s=1.0)))


def test_mat_files_of_another_record_list_are_refused(cohort: Cohort) -> None:
    mat_folders = _export(cohort)
    longer = pd.concat([cohort.records.iloc[:1].assign(record_id="new"), cohort.records])
    with pytest.raises(SchemaError, match="is not their row"):
        _write(replace(cohort, records=longer.reset_index(drop=True)), mat_folders)


def test_manifest_without_mat_files_is_refused(cohort: Cohort) -> None:
    with pytest.raises(SchemaError, match="No shard is exported"):
        _write(cohort, {})


@pytest.mark.fairseq
def test_fairseq_signals_own_datasets_read_the_export(cohort: Cohort) -> None:
    python = os.environ.get("FAIRSEQ_SIGNALS_PYTHON")
    if not python:
        pytest.skip("FAIRSEQ_SIGNALS_PYTHON names no interpreter with fairseq-signals")
    _write(cohort, _export(cohort))
    script = Path(__file__).with_name("read_by_fairseq.py")
    command = [python, str(script), str(cohort.folder / "fairseq")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    expected = _read_as_fairseq_does(cohort.folder / "fairseq", "train")
    assert [[Path(name).stem, labels] for name, _, labels in found["files"]] == [
        [name, labels] for name, labels in expected
    ]
    assert all(shape == [12, 1000] for _, shape, _ in found["files"])
    row = cohort.records.reset_index().set_index("record_id")["index"]
    assert found["pairs"] == [
        [name, [row[Path(name).name]] * 2, [0, 1]]
        for name in ("a/a1", "a/a_unlabelled", "b/b0", "b/b1")
    ]
