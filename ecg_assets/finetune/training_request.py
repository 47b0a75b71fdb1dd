"""What every training is asked for, with labels or without: what is made, of which data, where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ecg_assets.lineage import fingerprint_json

_PATHS = ("manifest_folder", "shard_folder", "cache_folder", "output_folder")
_PRECISIONS = ("fp32", "bf16", "fp16")

_Request = TypeVar("_Request", bound="TrainingRequest")


@dataclass(frozen=True)
class TrainingRequest:
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
        Fingerprint of each input by name. They stand for the content of the folders above:
        two requests with equal inputs train on the same data.
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
    """

    training_version: ClassVar[int]
    """Counts up when the same request would train another model."""

    preset: str
    recipe: Any
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

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the trained model, as JSON values: no paths, no device."""
        return {
            "training_version": self.training_version,
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
    def from_json(cls: type[_Request], value: Mapping[str, Any]) -> _Request:
        """Build a request from `to_json`'s value, whose recipe is a recipe again."""
        return cls(**{**value, **{name: Path(value[name]) for name in _PATHS}})

    def to_json_file(self, path: Path) -> None:
        """Write `to_json`'s value."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_json_file(cls: type[_Request], path: Path) -> _Request:
        """Read a request that `to_json_file` wrote."""
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
