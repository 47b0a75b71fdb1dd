from __future__ import annotations

from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import scipy.io

from ecg_assets.build import read_manifest
from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets_tests.defs.small_job import SmallJob


def test_reference_layout_from_settings_to_files(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        settings = {"mat_layout": "reference", "mat_compress": False, "flawed_records": "keep"}
        job = SmallJob.at(tmp_path, instance, **settings)
        job.run_to_manifests()
        folder = job.settings.folder("fairseq_manifests") / "lead_1"
        root, line, *_ = (folder / "manifests" / "test.tsv").read_text().splitlines()
        content = scipy.io.loadmat(Path(root) / line.split("\t")[0])
        order = np.load(folder / "manifests" / "original_idx_order.npy")
        assert order[content["idx"].item()] == content["original_idx"].item()
        excluded = read_manifest(job.settings.folder("manifests")).excluded
        assert not set(excluded["reason"]) & {"flat_lead", "missing_samples"}
        compressed = SmallJob(instance, job.settings_with(mat_compress=True))
        _require_new_version(job, compressed)
        fairseq = SmallJob(instance, job.settings_with(mat_layout="fairseq"))
        with pytest.raises(SchemaError, match="Set ECG_MAT_LAYOUT to theirs"):
            fairseq.materialize("fairseq_manifests")


def _require_new_version(job: SmallJob, other: SmallJob) -> None:
    """Export a shard under other settings: what follows from it must count as changed."""
    shard = job.shards[0]
    before = job.version("mat_records", shard)
    other.materialize("mat_records", partition=shard)
    assert other.version("mat_records", shard) != before


def test_nan_needs_both_the_layout_and_the_wish_to_keep(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        job = SmallJob.at(tmp_path, instance)
        assert not job.settings_with(mat_layout="reference").mat_form.keep_missing
        assert not job.settings_with(flawed_records="keep").mat_form.keep_missing


@pytest.mark.parametrize("variable", ["ECG_MAT_LAYOUT", "ECG_MAT_COMPRESS", "ECG_FLAWED_RECORDS"])
def test_other_words_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "maybe")
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(SettingsError, match=variable):
        SmallJob.at(tmp_path, instance)
