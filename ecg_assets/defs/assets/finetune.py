"""Stage finetune: a checkpoint from the manifests, trained in a child process."""

from pathlib import Path

import dagster as dg
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.build import Manifest
from ecg_assets.defs.data_versions import manifest_inputs
from ecg_assets.defs.finetune_result import checkpoint_metadata
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.resources import Settings, Trainer
from ecg_assets.finetune.request import FinetuneRequest
from ecg_assets.lineage import fingerprint_file
from ecg_assets.storage import replace_file


class FinetuneConfig(dg.Config):
    """What one fine-tuning run may change; empty values come from the preset or settings."""

    preset: str = Field(default="", description="Preset name; empty: ECG_PRESET.")
    epochs: int | None = Field(default=None, description="Passes over the training split.")
    batch_size: int | None = Field(default=None, description="Segments in one step.")
    learning_rate: float | None = Field(default=None, description="Peak learning rate.")
    pretrained: str = Field(
        default="", description="Checkpoint folder to start from; empty: ECG_PRETRAINED."
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
    manifests: Manifest,
) -> dg.MaterializeResult[None]:
    """A fine-tuned model with its signal spec, label vocabulary, history and lineage.

    The same request on the same data gives the same folder: a finished one is reused,
    an interrupted one resumes from its last complete epoch.
    """
    request = FinetuneRequest.from_preset(
        config.preset or settings.preset,
        manifest_folder=settings.folder("manifests"),
        shard_folder=settings.folder("signal_shards"),
        cache_folder=settings.folder("cache"),
        output_folder=settings.checkpoints,
        seed=settings.seed,
        device=settings.device,
        precision=settings.precision,
        inputs=manifest_inputs(context.instance),
        trained_on={"source": settings.source, "split_rule": settings.split_rule},
        pretrained=config.pretrained or settings.pretrained or None,
        **config.model_dump(exclude={"preset", "pretrained"}, exclude_none=True),
    )
    path = settings.data_path / "requests" / f"{request.checkpoint_id}.json"
    with replace_file(path) as temporary:
        request.to_json_file(temporary)
    messages = trainer.run(context, "ecg_assets.defs.training_process", [path])
    folder = Path(messages[-1]["checkpoint"])
    context.instance.add_dynamic_partitions(str(CHECKPOINTS.name), [folder.name])
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_file(folder / "model.safetensors")),
        metadata=checkpoint_metadata(folder),
    )
