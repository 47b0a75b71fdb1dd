"""The sensors that evaluate without a click, and the schedule that re-evaluates."""

import os
import warnings
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._utils.warnings import BetaWarning

from ecg_assets.defs.alerts import alert_on_failed_check, alert_on_failed_run
from ecg_assets.defs.checkpoint_state import StoredCheckpoint, is_stored, needs_evaluation
from ecg_assets.defs.data_versions import latest_metadata, version_of
from ecg_assets.defs.dropped_checkpoints import (
    Dropped,
    explain_bad_name,
    explain_clash,
    find_dropped,
    settle,
)
from ecg_assets.defs.jobs import FOLLOWS_DATA, evaluate_job, refused_job
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.refused_checkpoints import LISTING, is_refused, list_refused, refuse
from ecg_assets.defs.resources import Settings
from ecg_assets.lineage import fingerprint_json

PARTITION_TAG, RUN_KEY_TAG = "dagster/partition", "dagster/run_key"
UNFINISHED = list(NOT_FINISHED_STATUSES)
SENSOR_S = int(os.environ.get("ECG_SENSOR_SECONDS", "30"))


@dg.sensor(
    jobs=[evaluate_job, refused_job],
    minimum_interval_seconds=SENSOR_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Evaluates each checkpoint folder or file that is put below checkpoints, once it "
    "is complete, and again when its content changes; lists those that are refused.",
)
def new_checkpoints(context: dg.SensorEvaluationContext, settings: Settings) -> dg.SensorResult:
    """Ask for one run for each complete checkpoint that was not evaluated as it is now."""
    instance = context.instance
    found = find_dropped(settings.checkpoints)
    settled, cursor = settle(found, context.cursor)
    requests = _evaluations(instance, settings, found, settled)
    keys = [str(request.partition_key) for request in requests]
    new = [key for key in dict.fromkeys(keys) if key not in _known(instance)]
    waiting = sorted({item.path.name for item in found} - {item.path.name for item in settled})
    if waiting:
        context.log.info(f"Waiting until their files come to rest: {', '.join(waiting)}")
    requests += _listing(instance, settings)
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[CHECKPOINTS.build_add_request(new)] if new else None,
        cursor=cursor,
        skip_reason=None if requests else _why_nothing(instance, settings, waiting),
    )


@dg.schedule(
    job=evaluate_job,
    cron_schedule="0 3 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every Sunday: evaluate all stored checkpoints again on the data as it is now.",
)
def weekly_reevaluation(
    context: dg.ScheduleEvaluationContext, settings: Settings
) -> list[dg.RunRequest] | dg.SkipReason:
    """Ask for one run for each checkpoint whose folder is there; the others keep their results."""
    keys = _known(context.instance)
    stored = [key for key in keys if is_stored(settings.checkpoints, key)]
    if removed := sorted(set(keys) - set(stored)):
        context.log.info(f"Not evaluated again, their folders are gone: {', '.join(removed)}")
    stored = [key for key in stored if not explain_clash(settings.checkpoints, key)]
    if not stored:
        return dg.SkipReason("No checkpoint is stored: materialize finetuned_checkpoint.")
    stamp = context.scheduled_execution_time.isoformat()
    return [dg.RunRequest(partition_key=key, run_key=f"{stamp}:{key}") for key in stored]


def _watch_changed_data() -> dg.AutomationConditionSensorDefinition:
    with warnings.catch_warnings():
        # `use_user_code_server` is in beta since 1.9; without it no condition of ours can run.
        warnings.simplefilter("ignore", BetaWarning)
        return dg.AutomationConditionSensorDefinition(
            "changed_data",
            target=FOLLOWS_DATA.without_checks(),
            minimum_interval_seconds=SENSOR_S,
            default_status=dg.DefaultSensorStatus.RUNNING,
            # One run a checkpoint, seen and cancelled as such.
            emit_backfills=False,
            use_user_code_server=True,
            description="Evaluates every stored checkpoint again when labels, split or shards "
            "changed, and makes the leaderboard again when an evaluation changed.",
        )


changed_data = _watch_changed_data()


def _evaluations(
    instance: dg.DagsterInstance, settings: Settings, found: list[Dropped], settled: list[Dropped]
) -> list[dg.RunRequest]:
    """One request for each that is due, and was not asked for as it and the data are now."""
    if not _has_manifests(settings):
        return []
    for item in settled:
        if (reason := explain_bad_name(item)) and not is_refused(settings, item):
            refuse(settings, item.path, reason)
    # A file stands for the folder that it was imported to.
    files = {item.checkpoint_id for item in found if item.is_file}
    due = [
        (item, _run_key(instance, settings, item))
        for item in settled
        if (item.is_file or item.checkpoint_id not in files)
        and not is_refused(settings, item)
        and _is_due(instance, settings, item, settled)
    ]
    return [
        dg.RunRequest(job_name=evaluate_job.name, partition_key=item.checkpoint_id, run_key=key)
        for item, key in due
        if not _has_runs(instance, tags={RUN_KEY_TAG: key})
        and not _has_runs(instance, tags={PARTITION_TAG: item.checkpoint_id}, statuses=UNFINISHED)
    ]


def _run_key(instance: dg.DagsterInstance, settings: Settings, item: Dropped) -> str:
    """Name a checkpoint's content and the data: asked for once, whatever comes of it."""
    version = (version_of(instance, "manifests") or "")[:12]
    is_clash = bool(explain_clash(settings.checkpoints, item.checkpoint_id))
    parts = [settings.source, version, item.path.name, str(item.fingerprint)]
    return ":".join([*parts, "name taken twice"] if is_clash else parts)


def _is_due(
    instance: dg.DagsterInstance, settings: Settings, item: Dropped, settled: list[Dropped]
) -> bool:
    """Tell whether it has to be imported, or its folder lacks its evaluation."""
    if not item.is_imported:
        return True
    folders = [f for f in settled if f.checkpoint_id == item.checkpoint_id and not f.is_file]
    return any(
        needs_evaluation(instance, settings, StoredCheckpoint(f.checkpoint_id, str(f.fingerprint)))
        for f in folders
    )


def _has_runs(instance: dg.DagsterInstance, **of: Any) -> bool:
    return instance.get_runs_count(dg.RunsFilter(**of)) > 0


def _listing(instance: dg.DagsterInstance, settings: Settings) -> list[dg.RunRequest]:
    """Ask for the list of refused ones when it is not the one that was shown last."""
    listing = fingerprint_json(list_refused(settings).to_dict("records"))
    key = dg.AssetKey("refused_checkpoints")
    events = instance.fetch_materializations(key, limit=1).records
    shown = latest_metadata(instance, "refused_checkpoints").get(LISTING)
    is_shown = listing == (shown.value if shown else fingerprint_json([]))
    if is_shown or _has_runs(instance, job_name=refused_job.name, statuses=UNFINISHED):
        return []
    # The same list may come back: a request counts for the list that it replaces.
    last = events[0].storage_id if events else 0
    return [dg.RunRequest(job_name=refused_job.name, run_key=f"{listing[:16]} after {last}")]


def _known(instance: dg.DagsterInstance) -> list[str]:
    return list(instance.get_dynamic_partitions(str(CHECKPOINTS.name)))


def _has_manifests(settings: Settings) -> bool:
    return settings.folder("manifests").is_dir()


def _why_nothing(instance: dg.DagsterInstance, settings: Settings, waiting: list[str]) -> str:
    if not _has_manifests(settings):
        return f"{settings.source} has no manifests yet: nothing to evaluate on."
    if waiting:
        return f"{len(waiting)} checkpoints are not complete yet, or were found just now."
    return "Every complete checkpoint was evaluated, is being evaluated, failed, or was refused."


SENSORS = [new_checkpoints, changed_data, alert_on_failed_run, alert_on_failed_check]
