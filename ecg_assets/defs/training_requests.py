"""Requests of trainings out of settings and a run's configuration, and their run in a child."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_origin

import dagster as dg
from dagster import AssetExecutionContext
from dagster._core.errors import DagsterExecutionInterruptedError
from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from ecg_assets.defs.computing import Compute, compute_silently, find_fairseq
from ecg_assets.defs.data_versions import (
    input_version_of,
    manifest_inputs,
    stored_versions,
    version_of,
)
from ecg_assets.defs.resources import FairseqSignalsResource, Trainer
from ecg_assets.defs.settings import Settings
from ecg_assets.errors import SettingsError
from ecg_assets.models.checkpoint_folder import RUN, read_json
from ecg_assets.models.hub import local_checkpoint
from ecg_assets.storage import replace_file
from ecg_assets.store import SourceStore
from ecg_assets.training.engine.request import TrainingRecipe, TrainingRequest
from ecg_assets.training.engine.run import describe_resumption
from ecg_assets.training.fairseq_signals.install import find_fairseq_data
from ecg_assets.training.fairseq_signals.request import (
    FairseqOptions,
    FairseqRequest,
    fingerprint_pretrained,
)
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.recipe import Recipe
from ecg_assets.training.finetune.request import FinetuneRequest

Config = TypeVar("Config", bound=dg.Config)


SHOWN = ("epochs", "learning_rate")
"""Stand in the launchpad before anything is typed there; 0 is as the preset has it."""


def run_config_of(
    recipe: type[TrainingRecipe], **others: FieldInfo
) -> Callable[[type[Config]], type[Config]]:
    """Add all settings of a recipe to a run's configuration, empty (or 0) unless the user sets it.

    Parameters
    ----------
    recipe
        Gives names, types and descriptions.
    **others
        Fields of its request to be added, too.
    """
    added: dict[str, Any] = {
        name: _optional(name, field) for name, field in {**recipe.settings(), **others}.items()
    }

    def extend(config: type[Config]) -> type[Config]:
        return create_model(
            config.__name__,
            __base__=config,
            __doc__=config.__doc__,
            __module__=config.__module__,
            **added,
        )

    return extend


def _optional(name: str, field: FieldInfo) -> Any:
    """Give a field's type and default in a run's configuration."""
    said = field.description
    if name in SHOWN:
        return _type_of(field), Field(
            default=0, ge=0, description=f"{said} 0: as the preset has it."
        )
    return _type_of(field) | None, Field(default=None, description=said)


def values_set(config: dg.Config, *others: str) -> dict[str, Any]:
    """Give what a run's configuration sets of a recipe: all but `others` that is not empty."""
    values = config.model_dump(exclude=set(others), exclude_none=True)
    return {name: value for name, value in values.items() if name not in SHOWN or value}


def _type_of(field: FieldInfo) -> Any:
    """Give a field's type; of a Literal its str, as Dagster has no optional ones."""
    return str if get_origin(field.annotation) is Literal else field.annotation


def how_it_trains(request: type[TrainingRequest], *others: str) -> dict[str, FieldInfo]:
    """Give the fields of a kind of request that a run may set beside its recipe's."""
    names = ("data_location", "gradient_checkpointing", "compile", *others)
    return {name: request.model_fields[name] for name in names}


@run_config_of(Recipe, **how_it_trains(FinetuneRequest, "tf32", "report_to"))
class FinetuneConfig(dg.Config):
    """What one fine-tuning run may change; empty values come from the preset or settings."""

    trainer: Literal["native", "fairseq-signals"] = Field(
        default="native",
        description="native (transformers, here), or fairseq-signals in its own interpreter "
        "(docs/fairseq_signals.md).",
    )
    preset: str = Field(default="", description="Preset name; empty: ECG_PRESET.")
    pretrained: str = Field(
        default="",
        description="Checkpoint folder or published file to start from, or hf:owner/name[:file] of "
        "the hub of Hugging Face (fairseq-signals' trainer takes its own .pt files alone); empty: "
        "ECG_PRETRAINED.",
    )

    def changes(self) -> dict[str, Any]:
        """Give what the run sets of the request and its recipe."""
        return values_set(self, "trainer", "preset", "pretrained", "rare_labels")


def native_request(
    instance: dg.DagsterInstance, settings: Settings, config: FinetuneConfig
) -> FinetuneRequest:
    """Build the request of an ordinary checkpoint of the current manifests."""
    preset, changes = config.preset or settings.preset, config.changes()
    # What is mistyped ends it before a checkpoint is fetched or imported.
    recipe = {name: changes[name] for name in changes.keys() & Recipe.settings().keys()}
    FinetuneRequest.recipe_of(preset, recipe)
    return FinetuneRequest.from_preset(
        preset,
        manifest_folder=settings.stored.folder("manifests"),
        output_folder=settings.store.checkpoints,
        inputs=manifest_inputs(instance),
        pretrained=_pretrained_folder(settings, config.pretrained or settings.pretrained),
        **places_of_training(settings, settings.stored),
        **changes,
    )


def places_of_training(settings: Settings, stored: SourceStore) -> dict[str, Any]:
    """Give the fields of any request that say which signals are read, and where it trains."""
    return {
        "shard_folder": stored.shards,
        "cache_folder": stored.cache,
        "seed": settings.seed,
        "device": settings.device,
        "precision": settings.precision,
    }


def require_native(trainer: str) -> None:
    """Refuse another trainer, where folds or points of a grid are trained."""
    if trainer != "native":
        raise SettingsError(
            f"The trainer is {trainer!r}; cross-validation and grid search train with 'native' "
            "alone. Set trainer: native in the run's configuration."
        )


def run_training(
    context: AssetExecutionContext,
    settings: Settings,
    trainer: Trainer,
    request: TrainingRequest,
    *,
    training: str = "finetune",
) -> Path:
    """Run a request in a child process and give its finished folder.

    One that is cancelled says where it goes on.
    """
    path = settings.store.requests / f"{request.checkpoint_id}.json"
    with replace_file(path) as temporary:
        request.to_json_file(temporary)
    try:
        # fairseq-signals starts the processes of its GPUs itself.
        return trainer.run(context, settings, training, path, alone=training == "fairseq")
    except (KeyboardInterrupt, DagsterExecutionInterruptedError):
        context.log.warning(describe_resumption(request, resumes=training != "fairseq"))
        raise


def _pretrained_folder(settings: Settings, pretrained: str) -> Path | None:
    """Give the checkpoint folder to start from; a file of its authors is imported once."""
    if not pretrained:
        return None
    from ecg_assets.models.load import imported_folder

    path = local_checkpoint(pretrained, settings.store.hub)
    return imported_folder(path, settings.stored.cache / "imported")


# A request to fine-tune with fairseq-signals, from settings; all is checked before it runs.


def build_fairseq_request(
    instance: dg.DagsterInstance,
    settings: Settings,
    config: FinetuneConfig,
    fairseq_signals: FairseqSignalsResource,
    compute: Compute = compute_silently,
    *,
    n_labels: int,
) -> FairseqRequest:
    """Build the request; quick checks come first, the interpreter is probed last.

    Parameters
    ----------
    config
        What it changes must be fields of the recipe; it starts from a .pt file.
    n_labels
        Labels of the manifests.

    Raises
    ------
    SettingsError
        When anything is missing or does not fit; the message says what to do.
    """
    preset, changes = config.preset or settings.preset, config.changes()
    pretrained = config.pretrained or settings.pretrained
    if preset not in PRESETS:
        raise SettingsError(f"ECG_PRESET is {preset!r}; allowed: {tuple(PRESETS)}.")
    foreign = sorted(changes.keys() - Recipe.settings().keys())
    if foreign:
        raise SettingsError(
            f"The run's configuration sets {foreign}, which only the native trainer has. Leave "
            "them out, or set trainer: native."
        )
    recipe = PRESETS[preset].changed(**changes)
    if pretrained:
        pretrained = str(local_checkpoint(pretrained, settings.store.hub))
    start = fingerprint_pretrained(pretrained)
    data = find_fairseq_data(
        settings.stored.folder("fairseq_manifests"),
        n_labels=n_labels,
        with_test=recipe.reports_test,
    )
    _require_current_manifests(instance)
    options = FairseqOptions.from_recipe(
        recipe, pos_weight=data.pos_weight, seed=settings.seed, precision=settings.precision
    )
    return FairseqRequest(
        preset=preset,
        recipe=recipe,
        manifest_folder=settings.stored.folder("manifests"),
        output_folder=settings.store.checkpoints,
        inputs={
            **manifest_inputs(instance),
            **stored_versions(instance, ["fairseq_manifests"], partitioned=["mat_records"]),
            **start,
        },
        pretrained=Path(pretrained).resolve(),
        options=options.changed(n_gpus=fairseq_signals.n_gpus, n_workers=fairseq_signals.n_workers),
        data_folder=data.folder,
        install=compute(
            find_fairseq,
            fairseq_signals.python,
            fairseq_signals.config_folder,
            needs_gpu=fairseq_signals.needs_gpu,
        ),
        **places_of_training(settings, settings.stored),
    )


def _require_current_manifests(instance: dg.DagsterInstance) -> None:
    """Check that the .tsv files have the split and labels of the manifests as they are now.

    Otherwise patients of today's test split could be trained on.
    """
    used = input_version_of(instance, "fairseq_manifests", "manifests")
    current = version_of(instance, "manifests")
    if used is None or used != current:
        raise SettingsError(
            f"fairseq_manifests were made from manifests {str(used)[:12]}, stored now are "
            f"{str(current)[:12]}: split or labels may differ. Materialize fairseq_manifests again."
        )


# Which trainings of the newest experiment are there, and which are missing, and why.


EXPERIMENT, FOLDER = "experiment", "folder"
"""Metadata of a materialization by which it is found again."""


@dataclass(frozen=True)
class Experiment:
    """Trainings that differ in nothing but their partition.

    Attributes
    ----------
    name
        Of its folder.
    folders
        Finished checkpoint of each partition.
    missing
        Why another partition has none.
    """

    name: str
    folders: dict[str, Path]
    missing: dict[str, str]

    def runs(self) -> dict[str, dict[str, Any]]:
        """Content of run.json of each finished partition."""
        return {partition: read_json(folder / RUN) for partition, folder in self.folders.items()}


def newest_experiment(
    instance: dg.DagsterInstance, asset: str, partitions: Iterable[str], root: Path
) -> Experiment:
    """Find the experiment that an asset's newest partition belongs to.

    Parameters
    ----------
    asset
        Its materializations say `EXPERIMENT` and `FOLDER`.
    partitions
        All that the experiment should have.
    root
        Only checkpoints below it count: those of the current source.

    Raises
    ------
    SettingsError
        When no partition was materialized yet, or its files are gone.
    """
    found = {key: _newest(instance, asset, key) for key in partitions}
    stored = {
        key: (time, name, folder)
        for key, (time, name, folder) in found.items()
        if folder.is_relative_to(root) and folder.is_dir()
    }
    if not stored:
        raise SettingsError(
            f"{asset} has no finished partition below {root}. Materialize {asset} first, all "
            "partitions as one backfill."
        )
    _, newest, _ = max(stored.values())
    folders = {key: folder for key, (_, name, folder) in stored.items() if name == newest}
    missing = {
        key: _explain(key in stored, name) for key, (_, name, _) in found.items()
        if key not in folders
    }  # fmt: skip
    return Experiment(newest, folders, missing)


def _newest(instance: dg.DagsterInstance, asset: str, partition: str) -> tuple[float, str, Path]:
    """Time, experiment and folder of a partition's newest materialization; empty without one."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition]), limit=1
    ).records
    event = records[0].asset_materialization if records else None
    if event is None:
        return 0.0, "", Path()
    name, folder = (str(event.metadata[key].value) for key in (EXPERIMENT, FOLDER))
    return records[0].timestamp, name, Path(folder)


def _explain(is_stored: bool, name: str) -> str:
    if is_stored:
        return f"not trained: what is there belongs to experiment {name}"
    return "not trained: its folder is gone" if name else "not trained yet"
