"""What every training is asked for, with labels or without: what is made, of which data, where."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator
from pydantic.fields import FieldInfo

from ecg_assets.build.manifest import Manifest
from ecg_assets.errors import SettingsError
from ecg_assets.frozen_model import FrozenModel, Number
from ecg_assets.lineage import fingerprint_json
from ecg_assets.models.families import DEFAULT_FAMILY

FOLD_INPUT, RECORDINGS_INPUT = "fold_manifest", "recordings"
"""Names of inputs: the manifest of a fold, and recordings whose labels are not read."""

WeightDecay = Annotated[Number, Field(ge=0, description="Decoupled decay, AdamW's.")]
AdamEpsilon = Annotated[Number, Field(gt=0, lt=1, description="Adam's constant ε.")]
_BETA = "Adam's constant β"


class TrainingRecipe(FrozenModel):
    """What a training does, apart from data, seed and machine: model, optimizer, stopping rule.

    The descriptions of its fields are also those of a run's configuration in the UI.
    """

    size: str = Field(
        description="A name in the family's sizes, of a model with random weights; a pretrained "
        "checkpoint has a shape of its own."
    )
    epochs: int = Field(ge=1, description="Passes over the training split.")
    batch_size: int = Field(
        ge=1, description="Segments in one forward pass; several GPUs share them out."
    )
    learning_rate: Number = Field(gt=0, lt=1, description="Peak learning rate.")
    gradient_accumulation: int = Field(
        default=1, ge=1, description="Forward passes in one optimizer step."
    )
    optimizer: Literal["adamw", "fairseq-adam"] = Field(
        default="adamw",
        exclude_if=lambda optimizer: optimizer == "adamw",
        description="adamw: torch's. fairseq-adam: fairseq's, which trained ECG-FM and ECG-LFM: "
        "ε is not corrected for bias, and all weights decay, biases and norms too.",
    )
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    warmup_fraction: Number = Field(
        default=0.0, ge=0, lt=1, description="Share of all steps spent on the warm-up."
    )
    weight_decay: WeightDecay = 0.0
    adam_beta1: Number = Field(default=0.9, ge=0, lt=1, description=f"{_BETA}₁.")
    adam_beta2: Number = Field(default=0.98, ge=0, lt=1, description=f"{_BETA}₂.")
    adam_epsilon: AdamEpsilon = 1e-8
    max_gradient_norm: Number = Field(
        default=0.0, ge=0, description="Gradients are clipped to this norm; 0 leaves them alone."
    )
    patience: int = Field(
        default=0,
        ge=0,
        description="Stop when the validation loss has not fallen for this many epochs; 0 never "
        "stops.",
    )
    family: str = Field(default=DEFAULT_FAMILY, description="Kind of model, a name in FAMILIES.")

    splits_batches: ClassVar[bool] = True
    """Whether a forward pass can be shared out: whether its segments have nothing to do with
    each other."""

    @property
    def samples_per_step(self) -> int:
        """Segments, or pairs of them, in one optimizer step."""
        return self.batch_size * self.gradient_accumulation

    def share(self, n_processes: int) -> tuple[int, int]:
        """Give the batch size and forward passes of each process, which make one step together.

        Raises
        ------
        SettingsError
            When neither the passes of a step nor its segments can be shared out evenly.
        """
        if self.gradient_accumulation % n_processes == 0:
            return self.batch_size, self.gradient_accumulation // n_processes
        if self.splits_batches and self.batch_size % n_processes == 0:
            return self.batch_size // n_processes, self.gradient_accumulation
        allowed = "gradient_accumulation" + (" or batch_size" if self.splits_batches else "")
        raise SettingsError(
            f"{n_processes} processes (ECG_LAUNCHER) are to share steps of gradient_accumulation = "
            f"{self.gradient_accumulation} passes of batch_size = {self.batch_size}. {allowed} "
            f"must be a multiple of {n_processes}."
        )

    @property
    @abstractmethod
    def history_columns(self) -> tuple[str, ...]:
        """Columns of history.csv, as `ecg_assets.training.engine.history.read_history` has them."""

    @property
    def patient_from(self) -> int:
        """The epoch that `patience` is counted from, if none after it is better."""
        return 0

    @property
    def is_exclusive(self) -> bool:
        """Whether just one of the labels is true of a recording that is used."""
        return False

    @property
    def regression_loss(self) -> str | None:
        """What a training on numbers minimizes; None of one on labels."""
        return None

    @classmethod
    def settings(cls) -> dict[str, FieldInfo]:
        """Give what a user may change by name."""
        return dict(cls.model_fields)


class TrainingRequest(FrozenModel):
    """Train this recipe on this data."""

    training_version: ClassVar[int]
    """Counts up when the same request would train another model."""
    presets: ClassVar[Mapping[str, Any]]
    """Recipe by preset name."""
    reads_labels: ClassVar[bool] = True
    """Whether recordings without labels are left out."""

    preset: str = Field(
        description="Name that the recipe started from; first part of the checkpoint's name."
    )
    recipe: Any
    manifest_folder: Path
    shard_folder: Path = Field(description="Signal shards.")
    cache_folder: Path = Field(description="For decoded signals.")
    output_folder: Path = Field(description="Checkpoints stand below it, one folder each.")
    inputs: Mapping[str, str] = Field(
        description="Fingerprint of each input by name. They stand for the content of the folders: "
        "two requests with equal inputs train on the same data."
    )
    seed: int = Field(default=0, ge=0, description="Seed of initial weights, order and dropout.")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N.")
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    n_workers: int = Field(
        default=0,
        ge=0,
        description="Processes that load data; 0 loads between steps, which is fast enough for "
        "one GPU.",
    )
    data_location: Literal["auto", "device", "mmap"] = Field(
        default="auto",
        description="Where the signals are while training: device (stored integers in the "
        "device's memory), mmap (memory-mapped file), or auto: device on a GPU that they take "
        "less than half of the free memory of.",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute activations again in the backward pass instead of keeping them: "
        "less memory, more time.",
    )
    compile: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="on and off use torch.compile or not; auto uses it on a GPU when the steps "
        "that are left repay it.",
    )

    @field_validator("inputs")
    @classmethod
    def _require_inputs(cls, inputs: Mapping[str, str]) -> Mapping[str, str]:
        if not inputs:
            raise ValueError(
                "inputs is empty; give the fingerprint of each input, so that the checkpoint "
                "can be told from one of other data, e.g. "
                "{'manifests': fingerprint_manifest(read_manifest(manifest_folder))}."
            )
        return inputs

    @field_validator("preset")
    @classmethod
    def _require_folder_name(cls, preset: str) -> str:
        if not preset or preset.startswith(".") or "/" in preset:
            raise ValueError(f"preset is {preset!r}; it must be usable as a folder name.")
        return preset

    @classmethod
    def from_preset(cls, preset: str, *, inputs: Mapping[str, str], **values: Any) -> Self:
        """Build a request from a preset's recipe.

        Parameters
        ----------
        preset
            A name in `presets`.
        inputs
            As the field.
        **values
            Other fields of the request, and `settings` of the recipe that differ from the preset,
            e.g. ``epochs=3``.
        """
        changes = {name: values[name] for name in values.keys() - cls.model_fields.keys()}
        recipe = cls.recipe_of(preset, changes)
        rest = {name: value for name, value in values.items() if name not in changes}
        return cls(preset=preset, recipe=recipe, inputs=dict(inputs), **rest)

    @classmethod
    def recipe_of(cls, preset: str, changes: Mapping[str, Any]) -> Any:
        """Give a preset's recipe with changes of its `settings`."""
        if preset not in cls.presets:
            raise ValueError(f"preset is {preset!r}; allowed: {tuple(cls.presets)}.")
        recipe: TrainingRecipe = cls.presets[preset]
        allowed = recipe.settings()
        if unknown := sorted(changes.keys() - allowed.keys()):
            raise ValueError(f"{unknown} are no settings of a recipe; allowed: {sorted(allowed)}.")
        return recipe.changed(**changes)

    def take_part(self, manifest: Manifest) -> Manifest:
        """Give what of a manifest is trained on: all of it, unless a kind of training says less."""
        return manifest

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the trained model, as JSON values: no paths, no device."""
        return {
            "training_version": self.training_version,
            "preset": self.preset,
            "recipe": self.recipe.model_dump(mode="json"),
            "inputs": dict(self.inputs),
            "seed": self.seed,
            "precision": self.precision,
        }

    @property
    def machine(self) -> dict[str, Any]:
        """How and where it is trained, as JSON values; the result is the same to rounding."""
        names = ("device", "n_workers", "data_location", "gradient_checkpointing", "compile")
        return {name: getattr(self, name) for name in names}

    @property
    def request_id(self) -> str:
        """SHA-256 of `identity`."""
        return fingerprint_json(self.identity)

    @property
    def checkpoint_id(self) -> str:
        """Name of the checkpoint's folder."""
        return f"{self.preset}-{self.request_id[:12]}"

    def to_json_file(self, path: Path) -> None:
        """Write all fields."""
        text = json.dumps(self.model_dump(mode="json"), indent=2)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def from_json_file(cls, path: Path) -> Self:
        """Read a request that `to_json_file` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))
