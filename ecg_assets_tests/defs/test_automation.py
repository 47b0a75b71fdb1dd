"""The sensor of new checkpoints, tick by tick, and the weekly schedule."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from ecg_assets.defs.automation import new_checkpoints, weekly_reevaluation
from ecg_assets.defs.jobs import FOLLOWS_DATA, RE_EVALUATED
from ecg_assets_tests.defs.small_job import SmallJob


@dataclass
class Ticks:
    """A sensor that keeps its cursor, as the daemon does."""

    job: SmallJob
    cursor: str | None = None

    def tick(self) -> dg.SensorResult:
        context = dg.build_sensor_context(
            instance=self.job.instance,
            resources={"settings": self.job.settings},
            cursor=self.cursor,
        )
        result = new_checkpoints(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def asked(self, ticks: int = 3) -> list[str | None]:
        """Partitions that some ticks ask for, without the runs that would follow."""
        results = [self.tick() for _ in range(ticks)]
        return list(dict.fromkeys(r.partition_key for t in results for r in t.run_requests or ()))


@pytest.fixture
def ticks(finished: SmallJob) -> Iterator[Ticks]:
    """What tests put below checkpoints is gone afterwards."""
    folder = finished.settings.store.checkpoints
    before = set(folder.iterdir())
    yield Ticks(finished)
    for path in set(folder.iterdir()) - before:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(finished.settings.data_path / "refused_checkpoints", ignore_errors=True)


def test_sensor_asks_for_the_new_checkpoint_alone(ticks: Ticks) -> None:
    """A checkpoint folder that appears, made by whatever, is evaluated; the others are not."""
    assert ticks.asked() == []
    folder, known = ticks.job.settings.store.checkpoints, ticks.job.checkpoints[0]
    shutil.copytree(folder / known, folder / "copied-by-hand")
    assert not ticks.tick().run_requests
    result = ticks.tick()
    (asked,) = result.run_requests or ()
    assert (asked.partition_key, asked.job_name) == ("copied-by-hand", "evaluate")
    (request,) = result.dynamic_partitions_requests or ()
    assert list(request.partition_keys) == ["copied-by-hand"]


def test_sensor_asks_for_a_file(ticks: Ticks) -> None:
    (ticks.job.settings.store.checkpoints / "model.v2.pt").write_bytes(b"whatever it holds")
    assert ticks.asked() == ["model.v2"]


@pytest.mark.parametrize("name", ["model.safetensors", "label_vocabulary.json", "run.json"])
def test_sensor_asks_again_when_what_is_evaluated_changed(ticks: Ticks, name: str) -> None:
    path = ticks.job.settings.store.checkpoints / ticks.job.checkpoints[0] / name
    content = path.read_bytes()
    assert ticks.asked() == []
    try:
        path.write_bytes(content.replace(b'"seed": 1', b'"seed": 2') + b" ")
        assert ticks.asked() == [ticks.job.checkpoints[0]]
    finally:
        path.write_bytes(content)
    assert ticks.asked() == []


def test_a_bad_name_is_refused_and_stops_nobody(ticks: Ticks) -> None:
    folder = ticks.job.settings.store.checkpoints
    (folder / "a...b.pt").write_bytes(b"x")
    (folder / "good-name.pt").write_bytes(b"x")
    assert ticks.asked() == ["good-name", None]  # and the list of refused ones
    assert None in ticks.asked()


def test_a_name_taken_twice_asks_for_the_file_that_will_be_refused(ticks: Ticks) -> None:
    known = ticks.job.checkpoints[0]
    (ticks.job.settings.store.checkpoints / f"{known}.pt").write_bytes(b"x")
    ticks.tick()
    (request,) = ticks.tick().run_requests or ()
    assert request.partition_key == known
    assert f"{known}.pt" in str(request.run_key)


def test_without_manifests_nothing_is_asked_for(ticks: Ticks, tmp_path: Path) -> None:
    shutil.copytree(ticks.job.settings.store.checkpoints, tmp_path / "checkpoints")
    job = SmallJob(ticks.job.instance, ticks.job.settings_with(data_dir=str(tmp_path)))
    elsewhere = Ticks(job)
    elsewhere.tick()
    assert "no manifests yet" in str(elsewhere.tick().skip_reason)


def test_unfinished_checkpoint_is_not_evaluated(ticks: Ticks) -> None:
    work = ticks.job.settings.store.checkpoints / ".training-abc"
    work.mkdir()
    (work / "model.safetensors").touch()
    assert ticks.asked() == []


def test_the_finished_job_is_at_rest_and_a_change_is_not_overlooked(finished: SmallJob) -> None:
    """On the real graph: nothing is asked for, until a lineage differs from what is stored."""
    job, known = finished, finished.checkpoints[0]

    def asked() -> set[dg.AssetKey]:
        selection = FOLLOWS_DATA.without_checks()
        result = dg.evaluate_automation_conditions(job.definitions, job.instance, selection)
        keys = selection.resolve(job.definitions.resolve_asset_graph())
        return {key for key in keys if result.get_requested_partitions(key)}

    assert asked() == set()
    (event,) = job.instance.fetch_materializations(dg.AssetKey("eval_metrics"), limit=1).records
    found = event.asset_materialization
    assert found is not None
    lineage = {**dict(job.metadata("eval_metrics", known)["lineage"]), "labels": "of another time"}
    changed = dg.AssetMaterialization(
        "eval_metrics", partition=known, metadata={**found.metadata, "lineage": lineage}
    )
    try:
        job.instance.report_runless_asset_event(changed)
        assert asked() == RE_EVALUATED.resolve(job.definitions.resolve_asset_graph())
    finally:
        restored = dg.AssetMaterialization(
            "eval_metrics", partition=known, metadata=found.metadata, tags=found.tags
        )
        job.instance.report_runless_asset_event(restored)
    assert asked() == set()


def _schedule(job: SmallJob) -> list[dg.RunRequest] | dg.SkipReason:
    with dg.build_schedule_context(
        instance=job.instance,
        resources={"settings": job.settings},
        scheduled_execution_time=datetime(2026, 1, 4, 3, tzinfo=UTC),
    ) as context:
        found = weekly_reevaluation(context)
    assert isinstance(found, list | dg.SkipReason)
    return found


def test_schedule_asks_for_every_stored_checkpoint(ticks: Ticks) -> None:
    job, known = ticks.job, ticks.job.checkpoints[0]
    job.instance.add_dynamic_partitions("checkpoint", ["removed-since"])
    try:
        requests = _schedule(job)
        assert isinstance(requests, list)
        assert [request.partition_key for request in requests] == [known]
    finally:
        job.instance.delete_dynamic_partition("checkpoint", "removed-since")


def test_schedule_without_any_checkpoint_says_so(finished: SmallJob, tmp_path: Path) -> None:
    job = SmallJob(finished.instance, finished.settings_with(data_dir=os.fspath(tmp_path)))
    assert isinstance(_schedule(job), dg.SkipReason)
