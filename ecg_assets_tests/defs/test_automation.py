from __future__ import annotations

import shutil
from datetime import datetime, timezone

import dagster as dg

from ecg_assets.defs.automation import new_checkpoints, weekly_reevaluation
from ecg_assets_tests.defs.small_job import SmallJob


def _tick(job: SmallJob) -> dg.SensorResult:
    context = dg.build_sensor_context(instance=job.instance, resources={"settings": job.settings})
    result = new_checkpoints(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_sensor_asks_for_the_new_checkpoint_alone(finished: SmallJob) -> None:
    """A checkpoint folder that appears, made by whatever, is evaluated; the others are not."""
    known = finished.checkpoints[0]
    assert not _tick(finished).run_requests
    folder = finished.settings.checkpoints
    shutil.copytree(folder / known, folder / "copied-by-hand")
    try:
        result = _tick(finished)
        assert [request.partition_key for request in result.run_requests or ()] == [
            "copied-by-hand"
        ]
        (request,) = result.dynamic_partitions_requests or ()
        assert list(request.partition_keys) == ["copied-by-hand"]
    finally:
        shutil.rmtree(folder / "copied-by-hand")


def test_sensor_asks_again_when_a_checkpoints_weights_changed(finished: SmallJob) -> None:
    weights = finished.settings.checkpoints / finished.checkpoints[0] / "model.safetensors"
    content = weights.read_bytes()
    try:
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert len(_tick(finished).run_requests or ()) == 1
    finally:
        weights.write_bytes(content)
    assert not _tick(finished).run_requests


def test_unfinished_checkpoint_is_not_evaluated(finished: SmallJob) -> None:
    work = finished.settings.checkpoints / ".training-abc"
    work.mkdir()
    try:
        assert not _tick(finished).run_requests
    finally:
        work.rmdir()


def test_schedule_asks_for_every_checkpoint(finished: SmallJob) -> None:
    context = dg.build_schedule_context(
        instance=finished.instance,
        scheduled_execution_time=datetime(2026, 1, 4, 3, tzinfo=timezone.utc),
    )
    requests = weekly_reevaluation(context)
    assert isinstance(requests, list)
    assert [request.partition_key for request in requests] == finished.checkpoints
