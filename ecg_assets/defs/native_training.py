"""Requests of this package's own trainer out of settings, and their run in a child process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import AssetExecutionContext

from ecg_assets.defs.data_versions import manifest_inputs
from ecg_assets.defs.resources import Settings, Trainer
from ecg_assets.errors import SettingsError
from ecg_assets.finetune.request import FinetuneRequest
from ecg_assets.storage import replace_file


def native_request(
    instance: dg.DagsterInstance,
    settings: Settings,
    *,
    preset: str,
    pretrained: str,
    changes: Mapping[str, Any],
) -> FinetuneRequest:
    """Build the request of an ordinary checkpoint of the current manifests.

    Parameters
    ----------
    preset, pretrained
        Empty: those of the settings.
    changes
        Fields of the request or its recipe that differ from the preset.
    """
    return FinetuneRequest.from_preset(
        preset or settings.preset,
        manifest_folder=settings.folder("manifests"),
        shard_folder=settings.folder("signal_shards"),
        cache_folder=settings.folder("cache"),
        output_folder=settings.checkpoints,
        seed=settings.seed,
        device=settings.device,
        precision=settings.precision,
        inputs=manifest_inputs(instance),
        trained_on={"source": settings.source, "split_rule": settings.split_rule},
        pretrained=_pretrained_folder(settings, pretrained or settings.pretrained),
        **changes,
    )


def require_native(trainer: str) -> None:
    """Refuse another trainer, where folds or points of a grid are trained."""
    if trainer != "native":
        raise SettingsError(
            f"The trainer is {trainer!r}; cross-validation and grid search train with 'native' "
            "alone. Set trainer: native in the run's configuration, or ECG_TRAINER=native."
        )


def run_training(
    context: AssetExecutionContext,
    settings: Settings,
    trainer: Trainer,
    request: FinetuneRequest,
    *,
    process: str = "training_process",
) -> Path:
    """Run a request in a child process and give its finished folder."""
    path = settings.data_path / "requests" / f"{request.checkpoint_id}.json"
    with replace_file(path) as temporary:
        request.to_json_file(temporary)
    messages = trainer.run(context, f"ecg_assets.defs.{process}", [path])
    return Path(messages[-1]["checkpoint"])


def _pretrained_folder(settings: Settings, pretrained: str) -> Path | None:
    """Give the checkpoint folder to start from; a file of its authors is imported once."""
    if not pretrained:
        return None
    from ecg_assets.models.pretrained_folder import imported_folder

    return imported_folder(Path(pretrained), settings.folder("cache") / "imported")
