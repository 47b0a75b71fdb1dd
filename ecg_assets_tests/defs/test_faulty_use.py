"""What a user gets wrong: each is stopped early, by a sentence that says what to do."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ecg_assets.errors import MissingInput, SettingsError, SpecMismatch
from ecg_assets_tests.defs.small_job import SmallJob


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "mimic-iv-ecg"}, "ECG_RAW_ROOT is not set"),
        ({"source": "mimic-iv-ecg", "raw_root": "/nowhere"}, "ECG_RAW_ROOT is /nowhere"),
        ({"source": "mimic"}, "ECG_SOURCE|ECG_RAW_ROOT"),
    ],
)
def test_wrong_paths_fail_at_the_first_asset(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        job = SmallJob.at(tmp_path, instance, **settings)
        with pytest.raises(SettingsError, match=message):
            job.materialize("record_list")


def test_another_source_takes_the_place_of_one_only_if_it_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ECG_SOURCE forgotten in another shell: 50 shards would be replaced by four."""
    monkeypatch.delenv("ECG_SOURCE", raising=False)
    with dg.DagsterInstance.ephemeral() as instance:
        made_here = SmallJob.at(tmp_path, instance, n_synthetic_records=8)
        made_here.materialize("record_list")
        changes = {"source": "mimic-iv-ecg", "raw_root": str(made_here.settings.source_root)}
        job = SmallJob(instance, made_here.settings_with(**changes, folders_per_shard=1))
        job.materialize("record_list")  # The synthetic cohort can be made again at any time.
        held = job.shards
        with pytest.raises(SettingsError) as error:
            made_here.materialize("record_list")
        assert f"holds {len(held)} shards of mimic-iv-ecg, and ECG_SOURCE is not set" in str(
            error.value
        )
        assert "set ECG_SOURCE=mimic-iv-ecg; in .env it counts" in str(error.value)
        assert "change_source: true" in str(error.value)
        assert job.shards == held
        job.materialize("record_list")
        meant = {"record_list": {"config": {"change_source": True}}}
        made_here.materialize("record_list", config=meant)
        assert made_here.metadata("record_list")["source"] == "synthetic"


def test_leads_that_are_not_stored_are_refused(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        job = SmallJob.at(tmp_path, instance, leads=["II"], stored_leads=["I"])
        with pytest.raises(SettingsError, match="ECG_STORED_LEADS"):
            _ = job.settings.signal_spec


def test_checkpoint_of_another_spec_stops_with_both_printed(finished: SmallJob) -> None:
    """A 5 s checkpoint on manifests of 10 s segments."""
    other = SmallJob(finished.instance, finished.settings_with(segment_s=10.0))
    try:
        other.materialize("manifests")
        with pytest.raises(SpecMismatch) as error:
            other.materialize("predictions", partition=finished.checkpoints[0])
        assert "'segment_s': 5.0" in str(error.value)
        assert "'segment_s': 10.0" in str(error.value)
    finally:
        finished.materialize("manifests")


def test_planted_leak_fails_the_split_check_and_stops_the_run(
    tmp_path: Path, finished: SmallJob
) -> None:
    """A user's meta_split.csv that puts one patient in two splits."""
    import pyarrow.parquet as pq

    split = pq.read_table(finished.settings.stored.folder("split.parquet")).to_pandas()
    twice = split[split["subject_id"].duplicated(keep=False)].iloc[0]
    split.loc[split["record_id"] == twice["record_id"], "split"] = (
        "test" if twice["split"] != "test" else "train"
    )
    path = tmp_path / "meta_split.csv"
    split.assign(save_file=split["record_id"] + ".mat")[["save_file", "split"]].to_csv(
        path, index=False
    )
    with dg.DagsterInstance.ephemeral() as instance:
        job = SmallJob.at(
            tmp_path,
            instance,
            meta_split=str(path),
            raw_root=str(finished.settings.source_root),
        )
        result = job.materialize("record_list", "split", raise_on_error=False)
        failed = [
            evaluation.check_name
            for evaluation in result.get_asset_check_evaluations()
            if not evaluation.passed
        ]
        assert failed == ["no_patient_in_two_splits"]
        assert not result.success


def test_manifests_of_some_shards_say_what_is_missing(finished: SmallJob) -> None:
    """Built from one shard of several, by mistake: less is trained on than there is."""
    from ecg_assets.build import read_manifest
    from ecg_assets.defs.checks.data import every_shard_is_used

    whole = read_manifest(finished.settings.stored.folder("manifests"))
    record_list = pq.read_table(finished.settings.stored.table_path("record_list")).to_pandas()
    found = every_shard_is_used(whole, record_list)
    assert isinstance(found, dg.AssetCheckResult) and found.passed
    lost = record_list["shard"] == finished.shards[0]
    reasons = pd.DataFrame({"record_id": record_list.loc[lost, "record_id"]})
    partial = replace(whole, excluded=reasons.assign(reason="shard_not_stored"))
    found = every_shard_is_used(partial, record_list)
    assert isinstance(found, dg.AssetCheckResult) and not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert found.metadata["records_in_them"].value == lost.sum()
    assert found.metadata["first_of_them"].value == finished.shards[0]


def test_manifest_rows_without_their_sample_fail_exactly_one_check(
    tmp_path: Path, finished: SmallJob
) -> None:
    """Shards swapped after the manifests were built."""
    import shutil

    from ecg_assets.build import read_manifest
    from ecg_assets.defs.checks.data import (
        every_row_points_at_a_sample,
        no_patient_in_two_splits_of_manifests,
    )

    manifest = read_manifest(finished.settings.stored.folder("manifests"))
    settings = finished.settings_with(data_dir=str(tmp_path))
    shards = finished.settings.stored.folder("signal_shards")
    shutil.copytree(shards, settings.stored.folder("signal_shards"))
    shutil.copy(shards / "p1001.parquet", settings.stored.folder("signal_shards") / "p1000.parquet")
    pointing = every_row_points_at_a_sample(settings, manifest)
    assert isinstance(pointing, dg.AssetCheckResult)
    assert not pointing.passed
    leaking = no_patient_in_two_splits_of_manifests(manifest)
    assert isinstance(leaking, dg.AssetCheckResult)
    assert leaking.passed


def test_a_copy_with_lost_files_fails_the_check_of_its_shard_alone(
    tmp_path: Path, finished: SmallJob
) -> None:
    raw = shutil.copytree(finished.settings.source_root, tmp_path / "raw")
    lost = finished.shards[1]
    for file in (raw / "files" / lost).rglob("*.dat"):
        file.unlink()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        # As mimic-iv-ecg: the synthetic source would write its lost files again.
        job = SmallJob.at(
            tmp_path, instance, source="mimic-iv-ecg", raw_root=str(raw), folders_per_shard=1
        )
        job.materialize("record_list")
        result = job.materialize("signal_shards", shards=job.shards, raise_on_error=False)
        evaluations = {e.partition: e for e in result.get_asset_check_evaluations()}
    assert not result.success
    assert {shard for shard, found in evaluations.items() if not found.passed} == {lost, None}
    assert set(evaluations) == {*finished.shards, None}
    for shard in finished.shards:
        stored = finished.settings.stored.folder("signal_shards") / f"{shard}.parquet"
        expected = 0 if shard == lost else pq.read_metadata(stored).num_rows
        assert evaluations[shard].metadata["records"].value == expected


def test_what_has_not_been_materialized_is_named(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        job = SmallJob.at(tmp_path, instance)
        with pytest.raises(MissingInput, match=r"no .*record_list.parquet. Materialize record_l"):
            job.materialize("split")
