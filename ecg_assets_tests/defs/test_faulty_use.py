"""What a user gets wrong: each is stopped early, by a sentence that says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from ecg_assets.defs.evaluation_set import choose_rows
from ecg_assets.errors import LeakageError, SettingsError, SpecMismatch
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


def test_test_split_of_another_rule_is_refused(finished: SmallJob) -> None:
    """Under another seed, training patients would stand in the test split."""
    from ecg_assets.build import read_manifest

    manifest = read_manifest(finished.settings.folder("manifests"))
    trained_on = {"source": "synthetic", "split_rule": finished.settings.split_rule}
    other = finished.settings_with(seed=99)
    with pytest.raises(LeakageError, match="seed 99"):
        choose_rows(manifest, other, trained_on)
    external = choose_rows(manifest, other, {"source": "mimic-iv-ecg"})
    assert len(external.rows) == len(manifest.index)


def test_planted_leak_fails_the_split_check_and_stops_the_run(
    tmp_path: Path, finished: SmallJob
) -> None:
    """A user's meta_split.csv that puts one patient in two splits."""
    import pyarrow.parquet as pq

    split = pq.read_table(finished.settings.folder("split.parquet")).to_pandas()
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


def test_manifest_rows_without_their_sample_fail_exactly_one_check(
    tmp_path: Path, finished: SmallJob
) -> None:
    """Shards swapped after the manifests were built."""
    import shutil

    from ecg_assets.build import read_manifest
    from ecg_assets.defs.checks.build import (
        every_row_points_at_a_sample,
        no_patient_in_two_splits,
    )

    manifest = read_manifest(finished.settings.folder("manifests"))
    settings = finished.settings_with(data_dir=str(tmp_path))
    shards = finished.settings.folder("signal_shards")
    shutil.copytree(shards, settings.folder("signal_shards"))
    shutil.copy(shards / "p1001.parquet", settings.folder("signal_shards") / "p1000.parquet")
    pointing = every_row_points_at_a_sample(settings, manifest)
    assert isinstance(pointing, dg.AssetCheckResult)
    assert not pointing.passed
    leaking = no_patient_in_two_splits(manifest)
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
        stored = finished.settings.folder("signal_shards") / f"{shard}.parquet"
        expected = 0 if shard == lost else pq.read_metadata(stored).num_rows
        assert evaluations[shard].metadata["records"].value == expected
