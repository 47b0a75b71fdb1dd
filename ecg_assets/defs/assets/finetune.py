"""Stage finetune: a checkpoint from the manifests, trained in a child process."""

from pathlib import Path

import dagster as dg
from dagster import AssetExecutionContext

from ecg_assets.build import Manifest
from ecg_assets.defs.input_facts import require_manifest
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.resources import FairseqSignalsResource, Trainer
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import trained_result
from ecg_assets.defs.training_requests import (
    FinetuneConfig,
    build_fairseq_request,
    native_request,
    run_training,
)
from ecg_assets.training.fairseq_signals.request import FAIRSEQ_SIGNALS


@dg.asset(
    group_name="finetune",
    pool="gpu",
    code_version="1",
    kinds={"pytorch", "huggingface"},
    deps=["signal_shards"],
)
def finetuned_checkpoint(
    context: AssetExecutionContext,
    config: FinetuneConfig,
    settings: Settings,
    trainer: Trainer,
    fairseq_signals: FairseqSignalsResource,
    manifests: Manifest,
) -> dg.MaterializeResult[None]:
    """A fine-tuned model with its signal spec, label vocabulary, history and lineage.

    The same request on the same data gives the same folder: a finished one is reused,
    an interrupted one resumes from its last complete epoch. With the trainer
    fairseq-signals it needs mat_records and fairseq_manifests too, and an interrupted one
    starts again.
    """
    require_manifest(settings, manifests)
    if config.trainer == FAIRSEQ_SIGNALS:
        fairseq_request = build_fairseq_request(
            context.instance,
            settings,
            config,
            fairseq_signals,
            trainer.computing(context, settings),
            n_labels=len(manifests.vocabulary),
        )
        folder = run_training(context, settings, trainer, fairseq_request, training="fairseq")
        return _result(context, folder)
    request = native_request(context.instance, settings, config)
    return _result(context, run_training(context, settings, trainer, request))


def _result(context: AssetExecutionContext, folder: Path) -> dg.MaterializeResult[None]:
    context.instance.add_dynamic_partitions(str(CHECKPOINTS.name), [folder.name])
    return trained_result(folder)
