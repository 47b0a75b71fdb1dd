"""A fine-tuning request: everything that determines a checkpoint, and where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ecg_assets.finetune.presets import PRESETS
from ecg_assets.finetune.recipe import Recipe
from ecg_assets.finetune.training_request import TrainingRequest
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint_files import WEIGHTS, require_files

PRETRAINED_INPUT = "pretrained"
_CHOICES = {
    "data_location": ("auto", "device", "mmap"),
    "compile": ("auto", "on", "off"),
    "report_to": ("none", "tensorboard", "mlflow"),
}

_Request = TypeVar("_Request", bound="FinetuneRequest")


@dataclass(frozen=True)
class FinetuneRequest(TrainingRequest):
    """Fine-tune by this recipe on this data; what it does not tell is in `TrainingRequest`.

    Attributes
    ----------
    pretrained
        Checkpoint folder to start from; its weights' fingerprint is ``inputs["pretrained"]``.
    tf32
        Let a GPU multiply float32 matrices with 10 bits of mantissa (TF32).
    data_location
        Where the signals are while training: ``device`` (stored integers in the device's
        memory), ``mmap`` (memory-mapped file), or ``auto``: ``device`` on a GPU that they
        take less than half of the free memory of.
    gradient_checkpointing
        Compute activations again in the backward pass instead of keeping them.
    compile
        ``on`` and ``off`` use torch.compile or not; ``auto`` uses it on a GPU.
    report_to
        Also log to ``tensorboard`` (``<output_folder>/.tensorboard/<checkpoint_id>``) or
        ``mlflow`` (MLFLOW_TRACKING_URI); ``none`` does neither.
    """

    training_version = 2

    recipe: Recipe
    pretrained: Path | None = None
    tf32: bool = False
    data_location: str = "auto"
    gradient_checkpointing: bool = False
    compile: str = "auto"
    report_to: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {allowed}.")
        self._require_pretrained()

    def _require_pretrained(self) -> None:
        if self.recipe.needs_pretrained and self.pretrained is None:
            raise ValueError(
                f"Preset {self.preset!r} with method {self.recipe.method!r} freezes weights but "
                "pretrained is None; random ones would stay random. Give a pretrained checkpoint "
                "folder (ECG_PRETRAINED), or use preset 'tiny' to train from scratch."
            )
        if (self.pretrained is None) == (PRETRAINED_INPUT in self.inputs):
            raise ValueError(
                f"inputs must hold {PRETRAINED_INPUT!r} if and only if pretrained is given; "
                f"pretrained is {self.pretrained}, inputs are {sorted(self.inputs)}."
            )

    @classmethod
    def from_preset(
        cls,
        preset: str,
        *,
        manifest_folder: Path,
        shard_folder: Path,
        cache_folder: Path,
        output_folder: Path,
        inputs: Mapping[str, str],
        pretrained: Path | str | None = None,
        trained_on: Mapping[str, str] | None = None,
        seed: int = 0,
        device: str = "auto",
        precision: str = "fp32",
        n_workers: int = 0,
        tf32: bool = False,
        data_location: str = "auto",
        gradient_checkpointing: bool = False,
        compile: str = "auto",
        report_to: str = "none",
        **changes: Any,
    ) -> FinetuneRequest:
        """Build a request from a preset's recipe.

        Parameters
        ----------
        preset
            A name in `PRESETS`.
        **changes
            Fields of the recipe that differ from the preset, e.g. ``epochs=3``.
        """
        if preset not in PRESETS:
            raise ValueError(f"preset is {preset!r}; allowed: {tuple(PRESETS)}.")
        unknown = sorted(set(changes) - {item.name for item in fields(Recipe)})
        if unknown:
            raise ValueError(
                f"{unknown} are no fields of a recipe; allowed: "
                f"{[item.name for item in fields(Recipe)]}."
            )
        inputs = dict(inputs)
        if pretrained is not None:
            require_files(Path(pretrained), (WEIGHTS,))
            inputs[PRETRAINED_INPUT] = fingerprint_file(Path(pretrained) / WEIGHTS)
        return cls(
            preset=preset,
            recipe=replace(PRESETS[preset], **changes),
            manifest_folder=manifest_folder,
            shard_folder=shard_folder,
            cache_folder=cache_folder,
            output_folder=output_folder,
            inputs=inputs,
            pretrained=None if pretrained is None else Path(pretrained),
            trained_on=dict(trained_on or {}),
            seed=seed,
            device=device,
            precision=precision,
            n_workers=n_workers,
            tf32=tf32,
            data_location=data_location,
            gradient_checkpointing=gradient_checkpointing,
            compile=compile,
            report_to=report_to,
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the trained model, as JSON values: no paths, no device."""
        return {**super().identity, "tf32": self.tf32}

    @property
    def machine(self) -> dict[str, Any]:
        """How and where it is trained, as JSON values; the result is the same to rounding."""
        names = ("device", "n_workers", "data_location", "gradient_checkpointing", "compile")
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values; `from_json` reads them back."""
        pretrained = None if self.pretrained is None else str(self.pretrained)
        return {**super().to_json(), "pretrained": pretrained}

    @classmethod
    def from_json(cls: type[_Request], value: Mapping[str, Any]) -> _Request:
        """Build a request from `to_json`'s value."""
        pretrained = value["pretrained"]
        return super().from_json(
            {
                **value,
                "recipe": Recipe(**value["recipe"]),
                "pretrained": None if pretrained is None else Path(pretrained),
            }
        )
