"""Roots that are not a whole folder on this disk: a partial mirror, a remote file system."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.made_with import KEY
from ecg_assets_tests.defs.small_job import SmallJob


def test_mirror_status_names_complete_shards_and_damaged_files(
    tmp_path: Path, finished: SmallJob
) -> None:
    raw = shutil.copytree(finished.settings.source_root, tmp_path / "raw")
    whole = finished.shards[2]
    files = sorted(p for p in (raw / "files" / whole).rglob("*") if p.is_file())
    sums = [
        f"{hashlib.sha256(p.read_bytes()).hexdigest()} {p.relative_to(raw).as_posix()}\n"
        for p in files
    ]
    (raw / "SHA256SUMS.txt").write_text("".join(sums))
    files[0].write_bytes(files[0].read_bytes() + b"\n")
    shutil.rmtree(raw / "files" / finished.shards[0])
    with dg.DagsterInstance.ephemeral() as instance:
        job = SmallJob.at(
            tmp_path, instance, source="mimic-iv-ecg", raw_root=str(raw), folders_per_shard=1
        )
        job.materialize("record_list")
        job.materialize(
            "mirror_status",
            config={"mirror_status": {"config": {"verify_checksums": True}}},
        )
        shown = job.metadata("mirror_status")
    assert finished.shards[0] not in shown["complete_shards"]
    assert shown["damaged_files"] == [files[0].relative_to(raw).as_posix()]
    assert shown["missing"] >= 1


def _read_but_facts(path: Path) -> pa.Table:
    """Read a table without what it was made with: the sources have other names."""
    table = pq.read_table(path)
    metadata = {k: v for k, v in (table.schema.metadata or {}).items() if k != KEY}
    return table.replace_schema_metadata(metadata)


def test_shards_of_a_remote_root_are_those_of_the_folder(
    tmp_path: Path, finished: SmallJob
) -> None:
    root = finished.settings.source_root.as_uri()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        job = SmallJob.at(
            tmp_path, instance, source="mimic-iv-ecg", raw_root=root, folders_per_shard=1
        )
        job.materialize("record_list")
        job.materialize("signal_shards", shards=job.shards)
        with pytest.raises(SettingsError, match="fetched shard by shard"):
            job.materialize("mirror_status")
        for asset in ("signal_shards", "rejects"):
            remote, at_home = (one.settings.stored.folder(asset) for one in (job, finished))
            names = sorted(path.name for path in at_home.iterdir())
            assert sorted(path.name for path in remote.iterdir()) == names
            for name in names:
                assert _read_but_facts(remote / name).equals(
                    _read_but_facts(at_home / name), check_metadata=True
                )
        kept = [path for path in job.settings.source_root.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if path.suffix in {".hea", ".dat"}]
