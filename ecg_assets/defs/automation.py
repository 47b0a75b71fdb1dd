"""The sensors that evaluate without a click, and the schedule that re-evaluates."""

import warnings
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._utils.warnings import BetaWarning

from ecg_assets.defs.alerts import alert_on_failed_check, alert_on_failed_run
from ecg_assets.defs.checkpoint_state import StoredCheckpoint, needs_evaluation
from ecg_assets.defs.data_versions import latest_metadata, version_of
from ecg_assets.defs.jobs import FOLLOWS_DATA, RE_EVALUATED_ASSETS, evaluate_job, refused_job
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.run_processes import end_dead_runs
from ecg_assets.defs.settings import CodeLocation, Settings
from ecg_assets.defs.upkeep import OWNERS
from ecg_assets.dropped.checkpoints import (
    Dropped,
    explain_clash,
    explain_misfit,
    explain_unusable,
    find_dropped,
    find_source,
    settle,
)
from ecg_assets.dropped.refused import LISTING, is_refused, list_refused, refuse
from ecg_assets.lineage import fingerprint_json
from ecg_assets.models.checkpoint_folder import WEIGHTS, is_stored

CHECKPOINT = "checkpoint"
PARTITION_TAG, RUN_KEY_TAG = "dagster/partition", "dagster/run_key"
UNFINISHED = list(NOT_FINISHED_STATUSES)
SENSOR_S = CodeLocation().sensor_seconds
RE_EVALUATED_EACH_WEEK = dg.FreshnessPolicy.cron(
    "0 3 * * 1", lower_bound_delta=timedelta(days=1), timezone="UTC"
)
"""A day after `weekly_reevaluation` asked, what it asks for was made since.

Dagster keeps one state an asset: one checkpoint's evaluation makes it fresh.
"""


@dg.sensor(
    jobs=[evaluate_job, refused_job],
    minimum_interval_seconds=SENSOR_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    owners=OWNERS,
    description="Evaluates each checkpoint folder or file that is put below checkpoints, once it "
    "is complete, and again when its content changes; lists those that are refused.",
)
def new_checkpoints(context: dg.SensorEvaluationContext, settings: Settings) -> dg.SensorResult:
    """Ask for one run for each complete checkpoint that was not evaluated as it is now."""
    instance = context.instance
    found = find_dropped(settings.store.checkpoints)
    settled, cursor = settle(found, context.cursor)
    requests = _evaluations(instance, settings, found, settled)
    keys = [str(request.partition_key) for request in requests]
    known = set(_known(instance))
    new = sorted(set(keys) - known, key=partial(_time_of, settings))
    waiting = sorted({item.shown_name for item in found} - {item.shown_name for item in settled})
    if waiting:
        context.log.info(f"Waiting until their files come to rest: {', '.join(waiting)}")
    requests += _listing(instance, settings)
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[CHECKPOINTS.build_add_request(new)] if new else None,
        cursor=cursor,
        skip_reason=None if requests else _why_nothing(instance, settings, waiting),
    )


@dg.sensor(
    minimum_interval_seconds=SENSOR_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    owners=OWNERS,
    description="Ends runs whose process on this machine was killed, so that others can start.",
)
def killed_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """End dead runs, which would keep their place in the queue and in the pool `gpu`."""
    ended = end_dead_runs(context.instance)
    return dg.SkipReason(f"Ended: {', '.join(ended)}" if ended else "No run's process is gone.")


@dg.schedule(
    job=evaluate_job,
    cron_schedule="0 3 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    owners=OWNERS,
    description="Every Sunday: evaluate all stored checkpoints again on the data as it is now.",
)
def weekly_reevaluation(
    context: dg.ScheduleEvaluationContext, settings: Settings
) -> list[dg.RunRequest] | dg.SkipReason:
    """Ask for one run for each checkpoint whose folder is there; the others keep their results."""
    keys = _known(context.instance)
    stored = [key for key in keys if is_stored(settings.store.checkpoints, key)]
    if removed := sorted(set(keys) - set(stored)):
        context.log.info(f"Not evaluated again, their folders are gone: {', '.join(removed)}")
    stored = [key for key in stored if not explain_clash(settings.store.checkpoints, key)]
    folder, manifests = settings.store.checkpoints, _manifests(settings)
    if unfit := [key for key in stored if explain_misfit(folder / key, manifests)]:
        context.log.info(f"Not for {settings.source}'s manifests: {', '.join(unfit)}")
        stored = [key for key in stored if key not in unfit]
    if not stored:
        return dg.SkipReason(
            "No checkpoint is stored that fits the manifests: materialize finetuned_checkpoint."
        )
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
    """One request for each that is due, and was not asked for as it and the data are now.

    First it is imported and loaded, in a run of its own: a bad one turns nothing else red. The
    rest is asked for once that went well.
    """
    if not _has_manifests(settings):
        return []
    for item in settled:
        if (reason := explain_unusable(item)) and not is_refused(settings.store, item):
            refuse(settings.store, item.path, reason)
    # A file stands for the folder that it was imported to.
    files = {item.checkpoint_id for item in found if item.is_file}
    folders = {item.checkpoint_id: item for item in settled if not item.is_file}
    due = [
        (item, _run_key(instance, settings, item))
        for item in settled
        if (item.is_file or item.checkpoint_id not in files)
        and not is_refused(settings.store, item, _manifests(settings))
        and _is_due(instance, settings, item, folders.get(item.checkpoint_id))
    ]
    requests = []
    for item, key in due:
        is_used = _could_be_used(instance, item, folders.get(item.checkpoint_id))
        folder, manifests = settings.store.checkpoints / item.checkpoint_id, _manifests(settings)
        if is_used and (reason := explain_misfit(folder, manifests)):
            refuse(settings.store, item.path, reason, manifests)
            continue
        names = RE_EVALUATED_ASSETS if is_used else (CHECKPOINT,)
        requests.append(
            dg.RunRequest(
                job_name=evaluate_job.name,
                partition_key=item.checkpoint_id,
                run_key=key if is_used else f"{key}:{CHECKPOINT}",
                asset_selection=[dg.AssetKey(name) for name in names],
            )
        )
    return [
        request
        for request in requests
        if not _has_runs(instance, tags={RUN_KEY_TAG: str(request.run_key)})
        and not _has_runs(
            instance, tags={PARTITION_TAG: str(request.partition_key)}, statuses=UNFINISHED
        )
    ]


def _could_be_used(instance: dg.DagsterInstance, item: Dropped, folder: Dropped | None) -> bool:
    """Tell whether the asset `checkpoint` was made of exactly what there is now."""
    if not item.is_imported or folder is None:
        return False
    return version_of(instance, CHECKPOINT, item.checkpoint_id) == folder.content_sha256


def _run_key(instance: dg.DagsterInstance, settings: Settings, item: Dropped) -> str:
    """Name a checkpoint's content and the data: asked for once, whatever comes of it."""
    version = (version_of(instance, "manifests") or "")[:12]
    is_clash = bool(explain_clash(settings.store.checkpoints, item.checkpoint_id))
    parts = [settings.source, version, item.path.name, str(item.content_sha256)]
    return ":".join([*parts, "name taken twice"] if is_clash else parts)


def _is_due(
    instance: dg.DagsterInstance, settings: Settings, item: Dropped, folder: Dropped | None
) -> bool:
    """Tell whether it has to be imported, or its complete folder lacks its evaluation."""
    if not item.is_imported:
        return True
    return folder is not None and needs_evaluation(
        instance, settings, StoredCheckpoint(folder.checkpoint_id, str(folder.content_sha256))
    )


def _has_runs(instance: dg.DagsterInstance, **of: Any) -> bool:
    return instance.get_runs_count(dg.RunsFilter(**of)) > 0


def _listing(instance: dg.DagsterInstance, settings: Settings) -> list[dg.RunRequest]:
    """Ask for the list of refused ones when it is not the one that was shown last."""
    listing = fingerprint_json(list_refused(settings.store).to_dict("records"))
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


def _manifests(settings: Settings) -> Path:
    return settings.stored.folder("manifests")


def _time_of(settings: Settings, key: str) -> tuple[float, str]:
    """When a checkpoint was put there: of copies that are found together, the oldest is first."""
    source = find_source(settings.store.checkpoints, key)
    file = source / WEIGHTS if source.is_dir() else source
    return (file.stat().st_mtime if file.is_file() else 0.0, key)


def _has_manifests(settings: Settings) -> bool:
    return _manifests(settings).is_dir()


def _why_nothing(instance: dg.DagsterInstance, settings: Settings, waiting: list[str]) -> str:
    if settings.store.checkpoints.is_file():
        return f"{settings.store.checkpoints} is a file; checkpoints are put into a folder there."
    if not _has_manifests(settings):
        return f"{settings.source} has no manifests yet: nothing to evaluate on."
    if waiting:
        return f"{len(waiting)} checkpoints are not complete yet, or were found just now."
    return "Every complete checkpoint was evaluated, is being evaluated, failed, or was refused."


SENSORS = [new_checkpoints, changed_data, killed_runs, alert_on_failed_run, alert_on_failed_check]
