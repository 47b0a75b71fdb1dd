from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import scipy.io
from pydantic import ValidationError

from ecg_assets.build import read_manifest
from ecg_assets.defs.assets.export import MatConfig
from ecg_assets.errors import SchemaError
from ecg_assets_tests.defs.small_job import SmallJob


def test_reference_layout_from_settings_to_files(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        job = SmallJob.at(tmp_path, instance, flawed_records="keep")
        job.run_to_manifests({"layout": "reference", "compress": False})
        assert job.metadata("fairseq_manifests")["layout"] == "reference"
        folder = job.settings.stored.folder("fairseq_manifests") / "lead_1"
        root, line, *_ = (folder / "manifests" / "test.tsv").read_text().splitlines()
        content = scipy.io.loadmat(Path(root) / line.split("\t")[0])
        order = np.load(folder / "manifests" / "original_idx_order.npy")
        assert order[content["idx"].item()] == content["original_idx"].item()
        excluded = read_manifest(job.settings.stored.folder("manifests")).excluded
        assert not set(excluded["reason"]) & {"flat_lead", "missing_samples"}
        _require_new_version(job, {"layout": "reference", "compress": True})
        _require_new_version(job, {"layout": "fairseq"})
        with pytest.raises(SchemaError, match="mat_records with one layout"):
            job.materialize("fairseq_manifests")


def _require_new_version(job: SmallJob, config: dict[str, Any]) -> None:
    """Export a shard in another form: what follows from it must count as changed."""
    shard = job.shards[0]
    before = job.version("mat_records", shard)
    job.materialize("mat_records", partition=shard, config={"mat_records": {"config": config}})
    assert job.version("mat_records", shard) != before


def test_nan_needs_both_the_layout_and_the_wish_to_keep() -> None:
    assert MatConfig(layout="reference").to_form(keep_flawed=True).keep_missing
    assert not MatConfig(layout="reference").to_form(keep_flawed=False).keep_missing
    assert not MatConfig().to_form(keep_flawed=True).keep_missing


def test_other_words_are_refused() -> None:
    with pytest.raises(ValidationError, match="'fairseq' or 'reference'"):
        MatConfig.model_validate({"layout": "maybe"})
