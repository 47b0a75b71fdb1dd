"""A fine-tuning request: everything that determines a checkpoint, and where it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ecg_assets.finetune.presets import PRESETS
from ecg_assets.finetune.recipe import Recipe
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.models.checkpoint_files import WEIGHTS, require_files

PRETRAINED_INPUT = "pretrained"
_PATHS = ("manifest_folder", "shard_folder", "cache_folder", "output_folder")
_CHOICES = {
    "precision": ("fp32", "bf16", "fp16"),
    "data_location": ("auto", "device", "mmap"),
    "compile": ("auto", "on", "off"),
    "report_to": ("none", "tensorboard", "mlflow"),
}
_TRAINING_VERSION = 2
"""Counts up when the same request would train another model."""


@dataclass(frozen=True)
class FinetuneRequest:
    """Train this recipe on this data.

    Attributes
    ----------
    preset
        Name that the recipe started from; first part of the checkpoint's name.
    recipe
        Model size, optimizer, stopping rule.
    manifest_folder, shard_folder, cache_folder
        The data: manifest, signal shards, and a folder for decoded signals.
    output_folder
        Checkpoints stand below it, one folder each.
    inputs
        Fingerprint of each input by asset name. They stand for the content of the
        folders above: two requests with equal inputs train on the same data.
    pretrained
        Checkpoint folder to start from; its weights' fingerprint is ``inputs["pretrained"]``.
    trained_on
        What the training data is, in words, for the checkpoint's card.
    seed
        Seed of initial weights, order and dropout.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    precision
        ``fp32``, ``bf16`` or ``fp16``.
    n_workers
        Processes that load data; 0 loads between steps, which is fast enough for one GPU.
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

    preset: str
    recipe: Recipe
    manifest_folder: Path
    shard_folder: Path
    cache_folder: Path
    output_folder: Path
    inputs: Mapping[str, str]
    pretrained: Path | None = None
    trained_on: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"
    n_workers: int = 0
    tf32: bool = False
    data_location: str = "auto"
    gradient_checkpointing: bool = False
    compile: str = "auto"
    report_to: str = "none"

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ValueError(
                "inputs is empty; give the fingerprint of each input, so that the checkpoint "
                "can be told from one of other data, e.g. "
                "{'manifests': fingerprint_folder(manifest_folder)}."
            )
        if not self.preset or self.preset.startswith(".") or "/" in self.preset:
            raise ValueError(f"preset is {self.preset!r}; it must be usable as a folder name.")
        if self.seed < 0 or self.n_workers < 0:
            raise ValueError(
                f"seed is {self.seed} and n_workers is {self.n_workers}; both must be 0 or above."
            )
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
        return {
            "training_version": _TRAINING_VERSION,
            "preset": self.preset,
            "recipe": self.recipe.to_json(),
            "inputs": dict(self.inputs),
            "seed": self.seed,
            "precision": self.precision,
            "tf32": self.tf32,
        }

    @property
    def machine(self) -> dict[str, Any]:
        """How and where it is trained, as JSON values; the result is the same to rounding."""
        names = ("device", "n_workers", "data_location", "gradient_checkpointing", "compile")
        return {name: getattr(self, name) for name in names}

    @property
    def fingerprint(self) -> str:
        """Fingerprint of `identity`."""
        return fingerprint_json(self.identity)

    @property
    def checkpoint_id(self) -> str:
        """Name of the checkpoint's folder."""
        return f"{self.preset}-{self.fingerprint[:12]}"

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values; `from_json` reads them back."""
        value = {item.name: getattr(self, item.name) for item in fields(self)}
        paths = {name: str(getattr(self, name)) for name in _PATHS}
        return {
            **value,
            **paths,
            "recipe": self.recipe.to_json(),
            "inputs": dict(self.inputs),
            "trained_on": dict(self.trained_on),
            "pretrained": None if self.pretrained is None else str(self.pretrained),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FinetuneRequest:
        """Build a request from `to_json`'s value."""
        pretrained = value["pretrained"]
        return cls(
            **{
                **value,
                **{name: Path(value[name]) for name in _PATHS},
                "recipe": Recipe(**value["recipe"]),
                "pretrained": None if pretrained is None else Path(pretrained),
            }
        )

    def to_json_file(self, path: Path) -> None:
        """Write `to_json`'s value."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_json_file(cls, path: Path) -> FinetuneRequest:
        """Read a request that `to_json_file` wrote."""
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
