"""A pre-training request: everything that determines an encoder, and where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ecg_assets.finetune.training_request import TrainingRequest
from ecg_assets.models.pretraining.objective import Objective
from ecg_assets.pretrain.presets import PRESETS
from ecg_assets.pretrain.recipe import PretrainRecipe


@dataclass(frozen=True)
class PretrainRequest(TrainingRequest):
    """Pre-train by this recipe on these signals, as `TrainingRequest` says; no label is used.

    The seed is also that of masks and negatives; the loss is computed in float32.
    """

    training_version = 1

    recipe: PretrainRecipe

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

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PretrainRequest:
        """Build a request from `to_json`'s value."""
        return super().from_json({**value, "recipe": PretrainRecipe.from_json(value["recipe"])})


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
