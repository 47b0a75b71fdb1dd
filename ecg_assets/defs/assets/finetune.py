"""Stage finetune: a checkpoint from the manifests, trained in a child process."""

from pathlib import Path
from typing import Literal

import dagster as dg
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.build import Manifest
from ecg_assets.defs.data_versions import manifest_inputs
from ecg_assets.defs.fairseq_stage import build_fairseq_request
from ecg_assets.defs.finetune_result import checkpoint_metadata
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.resources import FairseqSignalsResource, Settings, Trainer
from ecg_assets.finetune.fairseq_request import FAIRSEQ_SIGNALS
from ecg_assets.finetune.request import FinetuneRequest
from ecg_assets.lineage import fingerprint_file
from ecg_assets.storage import replace_file


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
    pretrained: str = Field(
        default="",
        description="Checkpoint folder or .pt file of fairseq-signals to start from (its own "
        "trainer takes a .pt file alone); empty: ECG_PRETRAINED.",
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
        folder = _run(context, settings, runner, "fairseq_process", fairseq_request)
        return _result(context, folder)
    request = FinetuneRequest.from_preset(
        preset,
        manifest_folder=settings.folder("manifests"),
        shard_folder=settings.folder("signal_shards"),
        cache_folder=settings.folder("cache"),
        output_folder=settings.checkpoints,
        seed=settings.seed,
        device=settings.device,
        precision=settings.precision,
        inputs=manifest_inputs(context.instance),
        trained_on={"source": settings.source, "split_rule": settings.split_rule},
        pretrained=_pretrained_folder(settings, pretrained),
        **changes,
    )
    return _result(context, _run(context, settings, trainer, "training_process", request))


def _pretrained_folder(settings: Settings, pretrained: str) -> Path | None:
    """Give the checkpoint folder to start from; a .pt file of fairseq-signals is imported once."""
    if not pretrained:
        return None
    from ecg_assets.models.fairseq_import import imported_folder

    return imported_folder(Path(pretrained), settings.folder("cache") / "imported")


def _run(
    context: AssetExecutionContext,
    settings: Settings,
    trainer: Trainer,
    process: str,
    request: FinetuneRequest,
) -> Path:
    """Run a request in a child process and give its finished folder."""
    path = settings.data_path / "requests" / f"{request.checkpoint_id}.json"
    with replace_file(path) as temporary:
        request.to_json_file(temporary)
    messages = trainer.run(context, f"ecg_assets.defs.{process}", [path])
    return Path(messages[-1]["checkpoint"])


def _result(context: AssetExecutionContext, folder: Path) -> dg.MaterializeResult[None]:
    context.instance.add_dynamic_partitions(str(CHECKPOINTS.name), [folder.name])
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_file(folder / "model.safetensors")),
        metadata=checkpoint_metadata(folder),
    )
