"""What fairseq-signals' fine-tuning is told: typed options, and the command line they become."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ecg_assets.errors import SettingsError
from ecg_assets.finetune.recipe import Recipe

CONFIG_NAME = "diagnosis"
CONFIG_FOLDER = Path("examples", "w2v_cmsc", "config", "finetuning", "ecg_transformer")
"""Folder of its configuration below a clone of fairseq-signals."""
MODULE = "fairseq_cli.hydra_train"
"""Run by module: its script `fairseq-hydra-train` is plain fairseq's too."""
BASE_WIDTH = 768
"""What fairseq-signals takes as the encoder's width unless it is told another one."""

_SAFE = re.compile(r"[\w./:+-]+", re.ASCII)
_TRANSLATED = {
    "size",  # the pretrained file has one
    "freeze_convolutions",
    "epochs",
    "batch_size",
    "gradient_accumulation",
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


@dataclass(frozen=True)
class FairseqOptions:
    """The options of one call; by default those of ECG-FM's Lead-I fine-tuning.

    Attributes
    ----------
    pos_weight
        Weight of each label's positives, finite and above 0.
    n_channels
        Rows of ``feats`` in the .mat files.
    epochs, batch_size, learning_rate
        Passes over the training split, segments in one pass on each GPU, Adam's rate.
    activation_dropout
        Dropout inside the feed-forward layers; there is no other.
    freeze_convolutions
        Never train the convolution stack.
    reports_test
        Measure the test split beside the validation split; nothing is chosen by it.
    n_workers
        Processes that load data.
    n_gpus
        GPUs, each with a batch of its own.
    fp16
        Half precision with a scaled loss.
    gradient_accumulation, max_gradient_norm, weight_decay, patience
        As in `Recipe`; not part of the call while they have their defaults.
    adam_betas, adam_epsilon, seed
        None leaves them to fairseq-signals' configuration.
    """

    pos_weight: tuple[float, ...]
    n_channels: int = 12
    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 5e-5
    activation_dropout: float = 0.1
    freeze_convolutions: bool = True
    reports_test: bool = True
    n_workers: int = 6
    n_gpus: int = 1
    fp16: bool = False
    gradient_accumulation: int = 1
    max_gradient_norm: float = 0.0
    weight_decay: float = 0.0
    patience: int = 0
    adam_betas: tuple[float, float] | None = None
    adam_epsilon: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        weights = np.asarray(self.pos_weight, dtype=np.float64)
        if not len(weights) or not (np.isfinite(weights) & (weights > 0)).all():
            raise ValueError(
                f"pos_weight is {list(self.pos_weight)}; it must have a finite number above 0 for "
                "each label. A label without positives in train has none: build the manifests "
                "again, which gives it 1."
            )
        if self.n_gpus < 1 or self.n_workers < 0:
            raise ValueError(
                f"n_gpus is {self.n_gpus} and n_workers {self.n_workers}; they must be at least "
                "1 and 0."
            )

    @classmethod
    def from_recipe(
        cls,
        recipe: Recipe,
        *,
        pos_weight: tuple[float, ...],
        seed: int,
        precision: str = "fp32",
        n_gpus: int = 1,
    ) -> FairseqOptions:
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
        copied = {name: getattr(recipe, name) for name in _names(cls) & _names(Recipe)}
        return cls(
            **copied,
            pos_weight=pos_weight,
            adam_betas=(recipe.adam_beta1, recipe.adam_beta2),
            seed=seed,
            fp16=precision == "fp16",
            n_gpus=n_gpus,
        )

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; `from_json` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FairseqOptions:
        """Build options from `to_json`'s value, of which JSON may have made lists."""
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in value.items()
        }
        return cls(**values)


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
        item.name: getattr(recipe, item.name)
        for item in fields(Recipe)
        if item.name not in _TRANSLATED and getattr(recipe, item.name) != item.default
    }
    if refused:
        raise SettingsError(
            f"The recipe has {refused}, which this call of fairseq-signals has no options for. "
            "Choose the preset ecg-fm-lead-i or ecg-fm-mimic and leave these alone, or set "
            "ECG_TRAINER=native."
        )


def _names(cls: type[Any]) -> set[str]:
    return {item.name for item in fields(cls)}
