"""Stage pretrain: an encoder from the signals alone, trained in a child process."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.build import Manifest
from ecg_assets.build.manifest import fingerprint_recordings
from ecg_assets.defs.data_versions import stored_versions
from ecg_assets.defs.input_facts import require_manifest
from ecg_assets.defs.resources import Trainer
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import png_metadata
from ecg_assets.defs.tables import table_metadata
from ecg_assets.defs.training_requests import (
    how_it_trains,
    places_of_training,
    run_config_of,
    run_training,
    values_set,
)
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.training.engine.request import RECORDINGS_INPUT
from ecg_assets.training.pretrain.presets import PRESETS
from ecg_assets.training.pretrain.recipe import PretrainRecipe
from ecg_assets.training.pretrain.request import PretrainRequest


@run_config_of(PretrainRecipe, **how_it_trains(PretrainRequest))
class PretrainConfig(dg.Config):
    """What one pre-training run may change; what is empty comes from the preset."""

    preset: str = Field(
        default="tiny-pretrain", description=f"Preset name: one of {', '.join(PRESETS)}."
    )

    def changes(self) -> dict[str, Any]:
        """Give what the run sets of the request and its recipe."""
        return values_set(self, "preset")


@dg.asset(
    group_name="pretrain",
    pool="gpu",
    code_version="2",
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
    """An encoder pre-trained on the train split's signals, those of recordings without labels too.

    Its losses are those of the preset's family: contrastive, patients' contrast (CMSC) and,
    for some, masked prediction.

    Its folder is a pretrained checkpoint for fine-tuning (ECG_PRETRAINED). The same request
    on the same recordings gives the same folder: a finished one is reused, an interrupted
    one resumes from its last complete epoch.
    """
    require_manifest(settings, manifests, with_labels=False)
    request = PretrainRequest.from_preset(
        config.preset,
        manifest_folder=settings.stored.folder("manifests"),
        output_folder=settings.stored.folder("pretrained_checkpoint"),
        inputs=_inputs(context.instance, manifests),
        **places_of_training(settings, settings.stored),
        **config.changes(),
    )
    folder = run_training(context, settings, trainer, request, training="pretrain")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_file(folder / "model.safetensors")),
        metadata=_metadata(folder),
    )


def _inputs(instance: dg.DagsterInstance, manifest: Manifest) -> dict[str, str]:
    """Fingerprints of which recordings, how they are read, and their signals; not of labels."""
    return {
        RECORDINGS_INPUT: fingerprint_recordings(manifest),
        "signal_spec": fingerprint_json(manifest.spec.to_json()),
        **stored_versions(instance, ["record_list", "split"], partitioned=["signal_shards"]),
    }


def _metadata(folder: Path) -> dict[str, Any]:
    """Read a pre-trained checkpoint folder's run.json, history.csv and curves.png."""
    run = json.loads((folder / "run.json").read_text())
    recipe = PretrainRecipe(**run["request"]["recipe"])
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
