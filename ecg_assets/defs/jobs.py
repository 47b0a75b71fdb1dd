"""Jobs: which assets are made together, from the UI, a sensor, the schedule or the demo."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg

from ecg_assets.defs.settings import CodeLocation, Settings
from ecg_assets.defs.upkeep import OWNERS
from ecg_assets.errors import SettingsError

RE_EVALUATED_ASSETS = (
    "predictions",
    "eval_metrics",
    "slice_metrics",
    "label_noise",
    "external_metrics",
    "lead_degradation",
    "eval_report",
    "classification_results",
)
RE_EVALUATED = dg.AssetSelection.assets(*RE_EVALUATED_ASSETS)
"""What a change of the data makes again, for each checkpoint."""

EVALUATION = dg.AssetSelection.assets("checkpoint") | RE_EVALUATED
FOLLOWS_DATA = RE_EVALUATED | dg.AssetSelection.assets("manifests", "drift", "leaderboard")
"""What is made again without a click."""


def _job(name: str, description: str, *assets: str, exports: Sequence[str] = ()) -> Any:
    """Define a job; exports are part of it where there are such, since nothing else needs them."""
    selection: dg.AssetSelection = dg.AssetSelection.assets(*assets)
    for export in exports:
        selection |= dg.AssetSelection.key_substring(export)
    return dg.define_asset_job(name, selection=selection, description=description, owners=OWNERS)


evaluate_job = dg.define_asset_job(
    "evaluate",
    selection=EVALUATION,
    description="Evaluate one checkpoint (its partition) on the current source.",
    owners=OWNERS,
)
refused_job = _job("refused", "List the checkpoints that could not be used.", "refused_checkpoints")


def define_jobs(settings: Settings) -> list[Any]:
    """Define the jobs; .mat files are part of them where the signals can be written as such."""
    mat = [] if settings.signal_spec.holds_segments else ["mat_records"]
    of_mat = ["fairseq_manifests"] if mat else []
    return [
        _job(
            "tables",
            "Read the source, label every report, split the patients.",
            *("record_list", "machine_reports", "labels", "label_evidence", "unmatched_statements"),
            "split",
        ),
        _job(
            "preprocess",
            "Preprocess recordings; backfill it over the shards.",
            "signal_shards",
            exports=mat,
        ),
        _job(
            "finetune",
            "Build manifests and fine-tune a checkpoint.",
            *("signal_quality", "manifests", "finetuned_checkpoint"),
            exports=["computed_labels", *of_mat],
        ),
        _job("pretrain", "Pre-train an encoder on the signals alone.", "pretrained_checkpoint"),
        _job(
            "describe_data",
            "What of other datasets can be measured; how shards, years and splits differ.",
            *("label_crosswalk", "drift"),
        ),
        evaluate_job,
        _job(
            "production",
            "Write the folder to use one checkpoint (its partition) with.",
            "production_model",
        ),
        refused_job,
        _job(
            "leaderboard_job",
            "Put all evaluated checkpoints side by side.",
            *("refused_checkpoints", "leaderboard"),
        ),
        *(_jobs_of_protocol() if settings.protocol else ()),
    ]


def _jobs_of_protocol() -> list[Any]:
    return [
        _job(
            "protocol_features_job",
            "Compute the features that a protocol's logistic regressions read; backfill it.",
            "protocol_features",
        ),
        _job(
            "protocol_cell_job", "Train and score a protocol's cells; backfill it.", "protocol_cell"
        ),
        _job("protocol_table_job", "Put a protocol's cells beside the paper's.", "protocol_table"),
    ]


# Where the steps of a run execute: processes of this machine, or jobs of a cluster.


MAX_PROCESSES = 2
"""Steps of one run that run at the same time on this machine."""


GPU_STEP = {"container_config": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}}
"""What a step that computes on a GPU asks of Kubernetes, beside what every step asks for."""


def choose_executor(settings: Settings, computing: Iterable[str] = ()) -> dg.ExecutorDefinition:
    """Choose by ECG_EXECUTOR: ``processes``, ``one-process``, ``ray`` or ``k8s``.

    One process for all steps of a run spares small runs the start of a process a step; a
    step that dies takes its run with it.
    A step on Ray is a job of the cluster at RAY_ADDRESS. Its machines must see the same
    DAGSTER_HOME, ECG_DATA_DIR and ECG_RAW_ROOT, which go to them with all other ECG_ variables.
    A step on Kubernetes is a pod like that of its run.

    Parameters
    ----------
    settings
        Where results lie, and on what device a model is run.
    computing
        Names of the ops that run a model.

    Raises
    ------
    SettingsError
        When the name is unknown, its package is not installed, or there is no such cluster.
    """
    name = CodeLocation().executor
    if name == "processes":
        return dg.multiprocess_executor.configured({"max_concurrent": MAX_PROCESSES})
    if name == "one-process":
        return dg.in_process_executor
    return _on_kubernetes(settings, computing) if name == "k8s" else _on_ray(settings)


def _on_kubernetes(settings: Settings, computing: Iterable[str]) -> dg.ExecutorDefinition:
    """Start a pod for each step; those that compute on a GPU ask for one."""
    try:
        from dagster_k8s import k8s_job_executor
    except ImportError as error:
        raise SettingsError(
            "ECG_EXECUTOR=k8s needs dagster-k8s: pip install 'ecg-assets[k8s]'."
        ) from error
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise SettingsError(
            "ECG_EXECUTOR=k8s is for pods of a Kubernetes cluster, and this process is in none "
            "(KUBERNETES_SERVICE_HOST is not set). Set processes, one-process or ray."
        )
    on_gpu = computing if settings.device.startswith("cuda") else ()
    # Without a configuration of their own, runs cannot choose another image or command.
    configured: dg.ExecutorDefinition = k8s_job_executor.configured(
        {
            "enable_owner_references": True,  # steps go with the pod of their run
            "per_step_k8s_config": dict.fromkeys(on_gpu, GPU_STEP),
        }
    )
    return configured


def _on_ray(settings: Settings) -> dg.ExecutorDefinition:
    """Start a job of the cluster at RAY_ADDRESS for each step."""
    try:
        from dagster_ray.core.executor import ray_executor
    except ImportError as error:
        raise SettingsError(
            "ECG_EXECUTOR=ray needs dagster-ray and Ray: pip install 'ecg-assets[ray]'."
        ) from error
    if not os.environ.get("RAY_ADDRESS"):
        raise SettingsError(
            "ECG_EXECUTOR=ray needs RAY_ADDRESS, the address of the cluster's dashboard; "
            "RAY_ADDRESS=http://127.0.0.1:8265 after `ray start --head` on this machine."
        )
    variables = {k: v for k, v in os.environ.items() if k.startswith(("ECG_", "DAGSTER_HOME"))}
    # A job has another working folder.
    variables["ECG_DATA_DIR"] = str(settings.data_path)
    configured: dg.ExecutorDefinition = ray_executor.configured(
        {
            "ray": {
                "address": os.environ["RAY_ADDRESS"],
                "env_vars": [f"{name}={value}" for name, value in sorted(variables.items())],
            }
        }
    )
    return configured
