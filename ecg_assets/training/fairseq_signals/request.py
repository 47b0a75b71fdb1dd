"""A request to fine-tune with fairseq-signals itself: its typed options, and their command line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, field_validator

from ecg_assets.errors import SettingsError
from ecg_assets.frozen_model import FrozenModel, Number
from ecg_assets.lineage import fingerprint_file
from ecg_assets.training.fairseq_signals.install import FairseqInstall
from ecg_assets.training.finetune.recipe import Recipe
from ecg_assets.training.finetune.request import PRETRAINED_INPUT, STEP, FinetuneRequest

FAIRSEQ_SIGNALS = "fairseq-signals"
"""Name of this trainer in settings and requests."""
BASE_WIDTH = 768
"""What fairseq-signals takes as the encoder's width unless it is told another one."""

_SAFE = re.compile(r"[\w./:+-]+", re.ASCII)
_TRANSLATED = {
    "size",  # the pretrained file has one
    "freeze_convolutions",
    "epochs",
    "batch_size",
    "gradient_accumulation",
    "optimizer",  # it has its own Adam alone
    "learning_rate",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_gradient_norm",
    "patience",
    "activation_dropout",
    "reports_test",
}


class FairseqOptions(FrozenModel):
    """The options of one call; by default those of ECG-FM's Lead-I fine-tuning.

    What is not said of a field here stands at the field of `Recipe` that has its name.
    """

    pos_weight: tuple[float, ...] = Field(
        description="Weight of each label's positives, finite and above 0."
    )
    n_channels: int = Field(default=12, description="Rows of feats in the .mat files.")
    epochs: int = 100
    batch_size: int = 128
    learning_rate: Number = 5e-5
    activation_dropout: Number = 0.1
    freeze_convolutions: bool = True
    reports_test: bool = True
    n_workers: int = Field(default=6, ge=0, description="Processes that load data.")
    n_gpus: int = Field(default=1, ge=1, description="GPUs, each with a batch of its own.")
    fp16: bool = Field(default=False, description="Half precision with a scaled loss.")
    # Not part of the call while they have their defaults.
    gradient_accumulation: int = 1
    max_gradient_norm: Number = 0.0
    weight_decay: Number = 0.0
    patience: int = 0
    # None leaves them to fairseq-signals' configuration.
    adam_betas: tuple[Number, Number] | None = None
    adam_epsilon: Number | None = None
    seed: int | None = None

    @field_validator("pos_weight", mode="before")
    @classmethod
    def _require_weights(cls, weights: Sequence[float]) -> tuple[float, ...]:
        values = np.asarray(weights, dtype=np.float64)
        if not len(values) or not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(
                f"pos_weight is {list(weights)}; it must have a finite number above 0 for "
                "each label. A label without positives in train has none: build the manifests "
                "again, which gives it 1."
            )
        return tuple(weights)

    @classmethod
    def from_recipe(
        cls,
        recipe: Recipe,
        *,
        pos_weight: tuple[float, ...],
        seed: int,
        precision: str = "fp32",
        n_gpus: int = 1,
    ) -> Self:
        """Translate a recipe; whatever has no counterpart in fairseq-signals is refused.

        Raises
        ------
        SettingsError
            When the recipe or the precision asks for something it cannot do.
        """
        _require_translatable(recipe)
        if precision not in ("fp32", "fp16"):
            raise SettingsError(
                f"ECG_PRECISION is {precision!r}; fairseq-signals trains in fp32 or fp16. Set one "
                "of them, or ECG_TRAINER=native."
            )
        copied = {
            name: getattr(recipe, name)
            for name in cls.model_fields.keys() & Recipe.model_fields.keys()
        }
        return cls(
            **copied,
            pos_weight=pos_weight,
            adam_betas=(recipe.adam_beta1, recipe.adam_beta2),
            seed=seed,
            fp16=precision == "fp16",
            n_gpus=n_gpus,
        )


class FairseqRequest(FinetuneRequest):
    """Train this recipe with fairseq-signals; its `pretrained` is a .pt file."""

    options: FairseqOptions = Field(description="What recipe and seed become in its call.")
    data_folder: Path = Field(description="Holds train.tsv, valid.tsv, test.tsv and y.npy.")
    install: FairseqInstall = Field(description="The interpreter that runs it.")

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the trained model; the interpreter's versions stand in run.json."""
        options = self.options.model_dump(mode="json", exclude={"n_workers"})
        identity = super().identity
        identity.pop(STEP, None)  # fairseq's own, which has always been so
        return {**identity, "trainer": FAIRSEQ_SIGNALS, "options": options}

    @property
    def checkpoint_id(self) -> str:
        """Name of the checkpoint's folder."""
        return f"{self.preset}-fairseq-{self.request_id[:12]}"


def fingerprint_pretrained(pretrained: str) -> dict[str, str]:
    """Give the input that the .pt file is, for a request's `inputs`.

    Raises
    ------
    SettingsError
        When there is none, or it is a folder: fairseq-signals reads its own files only.
    """
    path = Path(pretrained)
    if not pretrained or not path.is_file():
        raise SettingsError(
            f"ECG_PRETRAINED is {pretrained!r}; fairseq-signals starts from a .pt file of its own, "
            "e.g. ECG-FM's mimic_iv_ecg_physionet_pretrained.pt. Set ECG_PRETRAINED (or "
            "pretrained in the run's configuration) to one, or set trainer: native there."
        )
    return {PRETRAINED_INPUT: fingerprint_file(path)}


def override_tokens(
    options: FairseqOptions,
    *,
    data: Path,
    labels: Path,
    pretrained: Path,
    save_folder: Path,
    encoder_width: int = BASE_WIDTH,
) -> list[str]:
    """Hydra overrides, one token an option, in the order of the reference's call.

    Each token is one argument of the process; no shell reads them.

    Parameters
    ----------
    data
        Folder of train.tsv, valid.tsv and test.tsv.
    labels
        y.npy.
    pretrained
        The .pt file that training starts from.
    save_folder
        Where it writes its checkpoints.
    encoder_width
        Of the pretrained model; fairseq-signals makes the head for 768 unless told.
    """
    subsets = "valid,test" if options.reports_test else "valid"
    pairs: list[tuple[str, Any]] = [
        ("task.data", data),
        ("+task.label_file", labels),
        ("task.normalize", False),
        ("task.enable_padding", True),
        ("task.enable_padding_leads", False),
        ("model.model_path", pretrained),
        ("model.num_labels", len(options.pos_weight)),
        ("model.no_pretrained_weights", False),
        ("model.dropout", 0.0),
        ("model.attention_dropout", 0.0),
        ("model.activation_dropout", options.activation_dropout),
        ("model.feature_grad_mult", 0 if options.freeze_convolutions else 1),
        ("model.freeze_finetune_updates", 0),
        ("model.in_d", options.n_channels),
        ("model.saliency", False),
        ("+criterion.pos_weight", list(options.pos_weight)),
        ("criterion.report_auc", True),
        ("criterion.report_cinc_score", False),
        ("optimization.max_epoch", options.epochs),
        ("optimization.max_update", 320_000),
        ("optimization.lr", [options.learning_rate]),
        ("lr_scheduler._name", "fixed"),
        ("lr_scheduler.warmup_updates", 0),
        ("dataset.num_workers", options.n_workers),
        ("dataset.batch_size", options.batch_size),
        ("dataset.max_tokens", None),
        ("dataset.valid_subset", _Quoted(subsets)),
        ("dataset.disable_validation", False),
        ("distributed_training.distributed_world_size", options.n_gpus),
        ("distributed_training.find_unused_parameters", True),
        ("checkpoint.save_dir", save_folder),
        ("checkpoint.save_interval", 1),
        ("checkpoint.save_interval_updates", 0),
        ("checkpoint.no_epoch_checkpoints", True),
        ("checkpoint.no_last_checkpoints", True),
        ("checkpoint.keep_last_epochs", 0),
        ("checkpoint.keep_best_checkpoints", 1),
        ("checkpoint.no_save_optimizer_state", True),
        ("checkpoint.best_checkpoint_metric", "loss"),
        ("checkpoint.maximize_best_checkpoint_metric", False),
        ("common.fp16", options.fp16),
        ("common.log_format", "json"),
        ("common.log_interval", 10),
        ("common.all_gather_list_size", 2_048_000),
        *_optional_pairs(options, encoder_width),
    ]
    return [f"{name}={_render(value)}" for name, value in pairs]


def _optional_pairs(options: FairseqOptions, encoder_width: int) -> list[tuple[str, Any]]:
    """List what is told only where it differs from fairseq-signals' own configuration."""
    pairs: list[tuple[str, Any]] = []
    if options.adam_betas is not None:
        pairs.append(("optimizer.adam_betas", list(options.adam_betas)))
    if options.adam_epsilon is not None:
        pairs.append(("optimizer.adam_eps", options.adam_epsilon))
    if options.seed is not None:
        pairs.append(("common.seed", options.seed))
    if options.gradient_accumulation != 1:
        pairs.append(("optimization.update_freq", [options.gradient_accumulation]))
    if options.max_gradient_norm:
        pairs.append(("optimization.clip_norm", options.max_gradient_norm))
    if options.weight_decay:
        pairs.append(("+optimizer.weight_decay", options.weight_decay))
    if options.patience:
        pairs.append(("checkpoint.patience", options.patience))
    if encoder_width != BASE_WIDTH:
        pairs.append(("+model.encoder_embed_dim", encoder_width))
    return pairs


class _Quoted(str):
    """Text that Hydra must not split at its comma."""


def _render(value: Any) -> str:
    """Write a value in Hydra's grammar, numbers as the reference's call writes them."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list):
        return "[" + ",".join(_render(item) for item in value) + "]"
    if isinstance(value, float):
        return np.format_float_positional(value, trim="0") if value >= 1e-5 else repr(value)
    if isinstance(value, _Quoted):
        return f'"{value}"'
    text = str(value)
    if _SAFE.fullmatch(text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _require_translatable(recipe: Recipe) -> None:
    refused = {
        name: getattr(recipe, name)
        for name, field in Recipe.model_fields.items()
        if name not in _TRANSLATED and getattr(recipe, name) != field.default
    }
    if refused:
        raise SettingsError(
            f"The recipe has {refused}, which this call of fairseq-signals has no options for. "
            "Choose the preset ecg-fm-lead-i or ecg-fm-mimic and leave these alone, or set "
            "ECG_TRAINER=native."
        )
