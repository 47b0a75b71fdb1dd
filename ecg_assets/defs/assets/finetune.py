"""Stage finetune: a checkpoint from the manifests, trained in a child process."""

from pathlib import Path
from typing import Literal

import dagster as dg
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.build import Manifest
from ecg_assets.defs.fairseq_stage import build_fairseq_request
from ecg_assets.defs.finetune_result import trained_result
from ecg_assets.defs.native_training import native_request, run_training
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.resources import FairseqSignalsResource, Settings, Trainer
from ecg_assets.finetune.fairseq_request import FAIRSEQ_SIGNALS


class FinetuneConfig(dg.Config):
    """What one fine-tuning run may change; empty values come from the preset or settings."""

    trainer: Literal["", "native", "fairseq-signals"] = Field(
        default="",
        description="native, or fairseq-signals (docs/fairseq_signals.md); empty: ECG_TRAINER.",
    )
    preset: str = Field(default="", description="Preset name; empty: ECG_PRESET.")
    epochs: int | None = Field(default=None, description="Passes over the training split.")
    batch_size: int | None = Field(default=None, description="Segments in one step.")
    learning_rate: float | None = Field(default=None, description="Peak learning rate.")
    method: str | None = Field(
        default=None, description="full, linear-probe, lora or frozen-then-unfrozen."
    )
    objective: str | None = Field(
        default=None, description="multi-label, or exclusive: one label a recording (softmax)."
    )
    head_epochs: int | None = Field(
        default=None, description="Epochs of the head alone, for frozen-then-unfrozen."
    )
    lora_rank: int | None = Field(default=None, description="Rank of the adapters, for lora.")
    patience: int | None = Field(
        default=None, description="End after so many epochs without a lower validation loss."
    )
    gradient_accumulation: int | None = Field(
        default=None, description="Forward passes in one optimizer step."
    )
    tf32: bool | None = Field(default=None, description="Use TF32 for float32 on a GPU.")
    data_location: str | None = Field(
        default=None, description="Signals while training: auto, device or mmap."
    )
    gradient_checkpointing: bool | None = Field(
        default=None, description="Less memory, more time: compute activations twice."
    )
    compile: str | None = Field(default=None, description="torch.compile: auto, on or off.")
    report_to: str | None = Field(default=None, description="none, tensorboard or mlflow.")
    noise_sd: float | None = Field(
        default=None, description="Standard deviation of noise added to training segments."
    )
    lead_dropout: float | None = Field(
        default=None, description="Probability that a lead of a training segment becomes 0."
    )
    amplitude_change: float | None = Field(
        default=None, description="Largest relative change of a training segment's amplitude."
    )
    time_shift_s: float | None = Field(
        default=None, description="Longest circular shift of a training segment, in seconds."
    )
    wander_amplitude: float | None = Field(
        default=None, description="Largest height of a slow sine added to training segments."
    )
    pretrained: str = Field(
        default="",
        description="Checkpoint folder or published file to start from (fairseq-signals' trainer "
        "takes its own .pt files alone); empty: ECG_PRETRAINED.",
    )


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
    preset = config.preset or settings.preset
    pretrained = config.pretrained or settings.pretrained
    changes = config.model_dump(exclude={"trainer", "preset", "pretrained"}, exclude_none=True)
    if (config.trainer or settings.trainer) == FAIRSEQ_SIGNALS:
        fairseq_request = build_fairseq_request(
            context.instance,
            settings,
            fairseq_signals,
            preset=preset,
            pretrained=pretrained,
            n_labels=len(manifests.vocabulary),
            changes=changes,
        )
        # Its own launcher is for processes of the native trainer.
        runner = Trainer(python=trainer.python, grace_s=trainer.grace_s)
        folder = run_training(context, settings, runner, fairseq_request, process="fairseq_process")
        return _result(context, folder)
    request = native_request(
        context.instance, settings, preset=preset, pretrained=pretrained, changes=changes
    )
    return _result(context, run_training(context, settings, trainer, request))


def _result(context: AssetExecutionContext, folder: Path) -> dg.MaterializeResult[None]:
    context.instance.add_dynamic_partitions(str(CHECKPOINTS.name), [folder.name])
    return trained_result(folder)
