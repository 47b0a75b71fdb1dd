"""Jobs, the sensor that evaluates each new checkpoint, and the schedule that re-evaluates."""

import dagster as dg

from ecg_assets.defs.checkpoint_state import complete_checkpoints, needs_evaluation
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.resources import Settings

EVALUATION = dg.AssetSelection.assets("checkpoint", "predictions", "eval_metrics", "eval_report")

tables_job = dg.define_asset_job(
    "tables",
    selection=dg.AssetSelection.assets(
        "record_list",
        "machine_reports",
        "labels",
        "label_evidence",
        "unmatched_statements",
        "split",
    ),
    description="Read the source, label every report, split the patients.",
)
preprocess_job = dg.define_asset_job(
    "preprocess",
    selection=dg.AssetSelection.assets("signal_shards", "mat_records"),
    description="Preprocess recordings; backfill it over the shards.",
)
finetune_job = dg.define_asset_job(
    "finetune",
    selection=dg.AssetSelection.assets(
        "signal_quality",
        "computed_labels",
        "manifests",
        "fairseq_manifests",
        "finetuned_checkpoint",
    ),
    description="Build manifests and fine-tune a checkpoint.",
)
evaluate_job = dg.define_asset_job(
    "evaluate",
    selection=EVALUATION,
    description="Evaluate one checkpoint (its partition) on the current source.",
)
leaderboard_job = dg.define_asset_job(
    "leaderboard_job",
    selection=dg.AssetSelection.assets("leaderboard"),
    description="Put all evaluated checkpoints side by side.",
)


@dg.sensor(
    job=evaluate_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes each complete checkpoint folder a partition and evaluates that one.",
)
def new_checkpoints(context: dg.SensorEvaluationContext, settings: Settings) -> dg.SensorResult:
    """Ask for one run for each checkpoint that was not evaluated as it is stored now."""
    found = complete_checkpoints(settings.checkpoints)
    known = set(context.instance.get_dynamic_partitions(str(CHECKPOINTS.name)))
    due = [item for item in found if needs_evaluation(context.instance, settings, item)]
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                partition_key=item.checkpoint_id,
                run_key=f"{settings.source}:{item.checkpoint_id}:{item.fingerprint[:16]}",
            )
            for item in due
        ],
        dynamic_partitions_requests=[
            CHECKPOINTS.build_add_request(
                [item.checkpoint_id for item in found if item.checkpoint_id not in known]
            )
        ],
        skip_reason=None if due else "Every complete checkpoint has its evaluation.",
    )


@dg.schedule(
    job=evaluate_job,
    cron_schedule="0 3 * * 0",
    execution_timezone="UTC",
    description="Every Sunday: evaluate all checkpoints again on the data as it is now.",
)
def weekly_reevaluation(
    context: dg.ScheduleEvaluationContext,
) -> list[dg.RunRequest] | dg.SkipReason:
    """Ask for one run for each registered checkpoint."""
    keys = context.instance.get_dynamic_partitions(str(CHECKPOINTS.name))
    if not keys:
        return dg.SkipReason("There is no checkpoint yet: materialize finetuned_checkpoint.")
    stamp = context.scheduled_execution_time.isoformat()
    return [dg.RunRequest(partition_key=key, run_key=f"{stamp}:{key}") for key in keys]


JOBS = [tables_job, preprocess_job, finetune_job, evaluate_job, leaderboard_job]
