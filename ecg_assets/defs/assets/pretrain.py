"""Stage pretrain: an encoder from the signals alone, trained in a child process."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.build import INDEX, Manifest
from ecg_assets.defs.data_versions import stored_versions
from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.resources import Settings, Trainer
from ecg_assets.defs.tables import table_metadata
from ecg_assets.lineage import fingerprint_file, fingerprint_table
from ecg_assets.pretrain import PRESETS, PretrainRecipe, PretrainRequest
from ecg_assets.storage import replace_file


class PretrainConfig(dg.Config):
    """What one pre-training run may change; what is empty comes from the preset."""

    preset: str = Field(
        default="tiny-pretrain", description=f"Preset name: one of {', '.join(PRESETS)}."
    )
    epochs: int | None = Field(default=None, description="Passes over the training split.")
    batch_size: int | None = Field(default=None, description="Pairs of segments in one pass.")
    gradient_accumulation: int | None = Field(
        default=None, description="Passes in one optimizer step."
    )
    learning_rate: float | None = Field(default=None, description="Peak learning rate.")
    lead_mask_probability: float | None = Field(
        default=None, description="Each lead of a segment is blanked with it; 0 for one channel."
    )
    pairs: str | None = Field(
        default=None,
        description="segments: pairs of neighbours in one recording; studies: of two recordings of "
        "one patient.",
    )


@dg.asset(
    group_name="pretrain",
    pool="gpu",
    code_version="1",
    kinds={"pytorch", "huggingface"},
    deps=["signal_shards"],
)
def pretrained_checkpoint(
    context: AssetExecutionContext,
    config: PretrainConfig,
    settings: Settings,
    trainer: Trainer,
    manifests: Manifest,
) -> dg.MaterializeResult[None]:
    """An encoder pre-trained on the train split's signals, without labels.

    Its losses are those of the preset's family: contrastive, patients' contrast (CMSC) and,
    for some, masked prediction.

    Its folder is a pretrained checkpoint for fine-tuning (ECG_PRETRAINED). The same request
    on the same recordings gives the same folder: a finished one is reused, an interrupted
    one resumes from its last complete epoch.
    """
    request = PretrainRequest.from_preset(
        config.preset,
        manifest_folder=settings.folder("manifests"),
        shard_folder=settings.folder("signal_shards"),
        cache_folder=settings.folder("cache"),
        output_folder=settings.folder("pretrained_checkpoint"),
        seed=settings.seed,
        device=settings.device,
        precision=settings.precision,
        inputs=_inputs(context.instance, manifests),
        trained_on={"source": settings.source, "split_rule": settings.split_rule},
        **config.model_dump(exclude={"preset"}, exclude_none=True),
    )
    path = settings.data_path / "requests" / f"{request.checkpoint_id}.json"
    with replace_file(path) as temporary:
        request.to_json_file(temporary)
    messages = trainer.run(context, "ecg_assets.defs.pretraining_process", [path])
    folder = Path(messages[-1]["checkpoint"])
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_file(folder / "model.safetensors")),
        metadata=_metadata(folder),
    )


def _inputs(instance: dg.DagsterInstance, manifest: Manifest) -> dict[str, str]:
    """Fingerprints of which recordings, how they are read, and their signals; not of labels."""
    return {
        "recordings": fingerprint_table(INDEX.from_pandas(manifest.index)),
        "signal_spec": manifest.spec.fingerprint,
        **stored_versions(instance, ["record_list", "split"], partitioned=["signal_shards"]),
    }


def _metadata(folder: Path) -> dict[str, Any]:
    """Read a pre-trained checkpoint folder's run.json, history.csv and curves.png."""
    run = json.loads((folder / "run.json").read_text())
    recipe = PretrainRecipe.from_json(run["request"]["recipe"])
    numbers = {name: value for name, value in run.items() if name.startswith("valid_")}
    return {
        "checkpoint_id": folder.name,
        "folder": dg.MetadataValue.path(folder),
        "best_epoch": run["best_epoch"],
        **numbers,
        "family": recipe.family,
        "terms": recipe.objective.weights,
        "curves": png_metadata(folder / "curves.png", "loss and its terms by epoch"),
        "history": table_metadata(pd.read_csv(folder / "history.csv")),
        "run": dg.MetadataValue.json(run),
        "signal_spec": json.loads((folder / "signal_spec.json").read_text()),
    }
