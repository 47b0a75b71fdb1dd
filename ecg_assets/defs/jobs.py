"""Jobs: which assets are made together, from the UI, a sensor, the schedule or the demo."""

import dagster as dg

RE_EVALUATED = dg.AssetSelection.assets(
    "predictions",
    "eval_metrics",
    "slice_metrics",
    "label_noise",
    "external_metrics",
    "lead_degradation",
    "eval_report",
    "classification_results",
)
"""What a change of the data makes again, for each checkpoint."""

EVALUATION = dg.AssetSelection.assets("checkpoint") | RE_EVALUATED
FOLLOWS_DATA = RE_EVALUATED | dg.AssetSelection.assets("manifests", "drift", "leaderboard")
"""What is made again without a click."""

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
pretrain_job = dg.define_asset_job(
    "pretrain",
    selection=dg.AssetSelection.assets("pretrained_checkpoint"),
    description="Pre-train an encoder on the signals alone.",
)
data_job = dg.define_asset_job(
    "describe_data",
    selection=dg.AssetSelection.assets("label_crosswalk", "drift"),
    description="What of other datasets can be measured; how shards, years and splits differ.",
)
evaluate_job = dg.define_asset_job(
    "evaluate",
    selection=EVALUATION,
    description="Evaluate one checkpoint (its partition) on the current source.",
)
production_job = dg.define_asset_job(
    "production",
    selection=dg.AssetSelection.assets("production_model"),
    description="Write the folder to use one checkpoint (its partition) with.",
)
refused_job = dg.define_asset_job(
    "refused",
    selection=dg.AssetSelection.assets("refused_checkpoints"),
    description="List the checkpoints that could not be used.",
)
leaderboard_job = dg.define_asset_job(
    "leaderboard_job",
    selection=dg.AssetSelection.assets("refused_checkpoints", "leaderboard"),
    description="Put all evaluated checkpoints side by side.",
)

JOBS = [
    tables_job,
    preprocess_job,
    finetune_job,
    pretrain_job,
    data_job,
    evaluate_job,
    production_job,
    refused_job,
    leaderboard_job,
]
