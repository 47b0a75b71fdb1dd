"""Recordings of fewer leads, in a dataset that has some, do not stop the run."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecg_assets.build import read_manifest
from ecg_assets.defs.checks.data import has_too_many_rejects
from ecg_assets.defs.settings import Settings
from ecg_assets.sources.synthetic.made.zzu_pecg import write_zzu_pecg
from ecg_assets_tests.defs.small_job import TABLES, SmallJob

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


@pytest.mark.parametrize(
    ("source", "reasons", "is_too_many"),
    [
        # ZZU pECG: 13 % of the recordings have nine leads.
        ("zzu-pecg", ["missing_lead"] * 3, False),
        ("zzu-pecg", ["missing_lead"] * 3 + ["unreadable"] * 2, True),
        ("ptb-xl", ["missing_lead"] * 3, True),
    ],
)
def test_missing_lead_counts_as_unreadable_only_where_all_have_it(
    tmp_path: Path, source: str, reasons: list[str], is_too_many: bool
) -> None:
    settings = Settings(source=source, raw_root=str(tmp_path), data_dir=str(tmp_path))
    stored, rejects = settings.stored.shards, settings.stored.folder("rejects")
    for folder, table in (
        (stored, pa.table({"record_id": [str(i) for i in range(20)]})),
        (rejects, pa.table({"reason": reasons})),
    ):
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "P00.parquet")
    assert has_too_many_rejects(settings, "P00") == is_too_many


def test_children_come_to_manifests_of_twelve_leads_without_those_of_nine(tmp_path: Path) -> None:
    write_zzu_pecg(tmp_path / "raw", n_records=40)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        job = SmallJob.at(
            tmp_path,
            instance,
            source="zzu-pecg",
            raw_root=str(tmp_path / "raw"),
            leads=list(LEADS),
            stored_leads=list(LEADS),
        )
        job.materialize(*TABLES)
        job.materialize("signal_shards", shards=job.shards)
        job.materialize("manifests")
    manifest = read_manifest(job.settings.stored.folder("manifests"))
    rejects = pq.read_table(job.settings.stored.folder("rejects") / "P00.parquet").to_pandas()
    reasons = rejects["reason"].value_counts().to_dict()
    assert reasons == {"missing_lead": 5, "truncated_file": 1}
    assert set(rejects["record_id"]) <= set(manifest.excluded["record_id"])
    assert not set(rejects["record_id"]) & set(manifest.index["record_id"])
