"""A fine-tuning request: everything that determines a checkpoint, and where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ecg_assets.build import Manifest
from ecg_assets.build.fractions import take_train_fraction
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint_folder import WEIGHTS, require_files
from ecg_assets.training.engine.request import TrainingRequest
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.recipe import Recipe

PRETRAINED_INPUT = "pretrained"
STEP = "step"
"""What of a request's identity says how the passes of a step make its loss."""


class FinetuneRequest(TrainingRequest):
    """Fine-tune by this recipe on this data."""

    training_version = 2
    presets: ClassVar[Mapping[str, Recipe]] = PRESETS

    recipe: Recipe
    pretrained: Path | None = Field(
        default=None,
        description="Checkpoint folder to start from; its weights' fingerprint is "
        "inputs['pretrained'].",
    )
    tf32: bool = Field(
        default=False,
        description="Let a GPU multiply float32 matrices with 10 bits of mantissa (TF32).",
    )
    report_to: Literal["none", "tensorboard", "mlflow"] = Field(
        default="none",
        description="Also log to tensorboard (<output_folder>/.tensorboard/<checkpoint_id>) or "
        "mlflow (MLFLOW_TRACKING_URI); none does neither.",
    )

    @model_validator(mode="after")
    def _require_pretrained(self) -> Self:
        if self.recipe.needs_pretrained and self.pretrained is None:
            raise ValueError(
                f"Preset {self.preset!r} with method {self.recipe.method!r} freezes weights but "
                "pretrained is None; random ones would stay random. Give a pretrained checkpoint "
                "folder (ECG_PRETRAINED), use preset 'tiny' to train from scratch, or say "
                "random_encoder=True where a probe of random weights is wanted."
            )
        if self.recipe.random_encoder and self.pretrained is not None:
            raise ValueError(
                f"random_encoder is True, but pretrained is {self.pretrained}. Leave one of them "
                "out (random_encoder=False, or no ECG_PRETRAINED)."
            )
        if (self.pretrained is None) == (PRETRAINED_INPUT in self.inputs):
            raise ValueError(
                f"inputs must hold {PRETRAINED_INPUT!r} if and only if pretrained is given; "
                f"pretrained is {self.pretrained}, inputs are {sorted(self.inputs)}."
            )
        return self

    @classmethod
    def from_preset(
        cls,
        preset: str,
        *,
        inputs: Mapping[str, str],
        pretrained: Path | str | None = None,
        **values: Any,
    ) -> Self:
        """Build a request from a preset's recipe, as `TrainingRequest.from_preset` does.

        The weights of a `pretrained` checkpoint are added to the inputs.
        """
        if pretrained is not None:
            require_files(Path(pretrained), (WEIGHTS,))
            weights = fingerprint_file(Path(pretrained) / WEIGHTS)
            inputs = {**inputs, PRETRAINED_INPUT: weights}
        return super().from_preset(preset, inputs=inputs, pretrained=pretrained, **values)

    def take_part(self, manifest: Manifest) -> Manifest:
        """Give the manifest with the recipe's share of the training patients."""
        return take_train_fraction(manifest, self.recipe.train_fraction, seed=self.seed)

    @property
    def checkpoint_id(self) -> str:
        """Name of the checkpoint's folder; it says so when the encoder is random."""
        kind = "random-encoder-" if self.recipe.random_encoder else ""
        return f"{self.preset}-{kind}{self.request_id[:12]}"

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the trained model, as JSON values: no paths, no device."""
        # A step of several passes was the mean of their means once, whatever each had in it.
        step = {STEP: "mean of what is known"} if self.recipe.gradient_accumulation > 1 else {}
        # Its patience once counted epochs of the head alone, too.
        waits = self.recipe.patience and self.recipe.patient_from
        patience = {"patient_from": waits} if waits else {}
        return {**super().identity, "tf32": self.tf32, **step, **patience}
