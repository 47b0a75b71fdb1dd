"""A pre-training request: everything that determines an encoder, and where it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ecg_assets.lineage import fingerprint_json
from ecg_assets.models.pretraining_objective import Objective
from ecg_assets.pretrain.presets import PRESETS
from ecg_assets.pretrain.recipe import PretrainRecipe

_PATHS = ("manifest_folder", "shard_folder", "cache_folder", "output_folder")
_PRECISIONS = ("fp32", "bf16", "fp16")
_TRAINING_VERSION = 1
"""Counts up when the same request would train another model."""


@dataclass(frozen=True)
class PretrainRequest:
    """Pre-train by this recipe on these signals.

    Attributes
    ----------
    preset
        Name that the recipe started from; first part of the checkpoint's name.
    recipe
        Model size, objective, optimizer, stopping rule.
    manifest_folder, shard_folder, cache_folder
        The data: manifest (its labels are not used), signal shards, and a folder for
        decoded signals.
    output_folder
        Pre-trained checkpoints stand below it, one folder each.
    inputs
        Fingerprint of each input by name. They stand for the content of the folders above:
        two requests with equal inputs train on the same recordings.
    trained_on
        What the training data is, in words.
    seed
        Seed of initial weights, order, masks, negatives and dropout.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    precision
        ``fp32``, ``bf16`` or ``fp16``; the loss is computed in float32.
    n_workers
        Processes that load data; 0 loads between steps.
    """

    preset: str
    recipe: PretrainRecipe
    manifest_folder: Path
    shard_folder: Path
    cache_folder: Path
    output_folder: Path
    inputs: Mapping[str, str]
    trained_on: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"
    n_workers: int = 0

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
        if self.precision not in _PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}; allowed: {_PRECISIONS}.")

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
        trained_on: Mapping[str, str] | None = None,
        seed: int = 0,
        device: str = "auto",
        precision: str = "fp32",
        n_workers: int = 0,
        **changes: Any,
    ) -> PretrainRequest:
        """Build a request from a preset's recipe.

        Parameters
        ----------
        preset
            A name in `PRESETS`.
        **changes
            Fields of the recipe or of its objective that differ from the preset, e.g.
            ``epochs=3`` or ``mask_length=5``.
        """
        if preset not in PRESETS:
            raise ValueError(f"preset is {preset!r}; allowed: {tuple(PRESETS)}.")
        return cls(
            preset=preset,
            recipe=_change(PRESETS[preset], changes),
            manifest_folder=manifest_folder,
            shard_folder=shard_folder,
            cache_folder=cache_folder,
            output_folder=output_folder,
            inputs=dict(inputs),
            trained_on=dict(trained_on or {}),
            seed=seed,
            device=device,
            precision=precision,
            n_workers=n_workers,
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
        }

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
        return {
            **value,
            **{name: str(value[name]) for name in _PATHS},
            "recipe": self.recipe.to_json(),
            "inputs": dict(self.inputs),
            "trained_on": dict(self.trained_on),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PretrainRequest:
        """Build a request from `to_json`'s value."""
        paths = {name: Path(value[name]) for name in _PATHS}
        return cls(**{**value, **paths, "recipe": PretrainRecipe.from_json(value["recipe"])})

    def to_json_file(self, path: Path) -> None:
        """Write `to_json`'s value."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_json_file(cls, path: Path) -> PretrainRequest:
        """Read a request that `to_json_file` wrote."""
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))


def _change(recipe: PretrainRecipe, changes: Mapping[str, Any]) -> PretrainRecipe:
    """Change fields of a recipe or of its objective."""
    of_recipe = {item.name for item in fields(PretrainRecipe)} - {"objective"}
    of_objective = {item.name for item in fields(Objective)}
    unknown = sorted(set(changes) - of_recipe - of_objective)
    if unknown:
        raise ValueError(
            f"{unknown} are no fields of a recipe or an objective; allowed: "
            f"{sorted(of_recipe | of_objective)}."
        )
    objective = {name: value for name, value in changes.items() if name in of_objective}
    rest = {name: value for name, value in changes.items() if name in of_recipe}
    return replace(recipe, objective=replace(recipe.objective, **objective), **rest)
