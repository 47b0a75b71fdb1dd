"""The model that training starts from: random, or a pretrained checkpoint with a fitting head.

Or the encoder as it is, before any training: for features that a probe is fitted on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import set_seed

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.lineage import fingerprint_bytes, fingerprint_file, fingerprint_json
from ecg_assets.models.checkpoint import TrainedModel, read_config
from ecg_assets.models.checkpoint_folder import (
    CONFIG,
    LABEL_VOCABULARY,
    WEIGHTS,
    read_spec,
    read_vocabulary,
    require_files,
)
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.fold import fold_lead_one
from ecg_assets.models.probabilities import EXCLUSIVE
from ecg_assets.models.signals import ModelInput, require_readable
from ecg_assets.models.weights import (
    read_weight_shapes,
    read_weights,
    require_finite,
    without_memory,
)
from ecg_assets.preprocess.signal_spec import SignalSpec
from ecg_assets.training.finetune.recipe import Recipe
from ecg_assets.training.finetune.start import StartingPoint

_POOL_HEADS = "attention_pool_heads"
"""Field of a configuration: whether its head pools tokens by attention."""


def random_model(recipe: Recipe, spec: SignalSpec, vocabulary: LabelVocabulary) -> EcgClassifier:
    """Build a model with random weights; a single lead is read once, not repeated.

    Raises
    ------
    SpecMismatch
        When the signals are of another kind than the family reads, unless the recipe takes
        `any_signals`.
    """
    family, n_channels = FAMILIES[recipe.family], spec.n_rows
    own = spec if recipe.any_signals else None
    require_readable(ModelInput(family, n_channels, own, "random weights"), spec)
    config = family.build_config(recipe.size, n_channels=n_channels, n_labels=len(vocabulary))
    config.update(_settings(recipe))
    return family.classifier_class(config)


def pretrained_model(
    recipe: Recipe,
    spec: SignalSpec,
    vocabulary: LabelVocabulary,
    folder: Path,
    *,
    fingerprint: str,
) -> EcgClassifier:
    """Build a model from a checkpoint folder's encoder.

    Its head is kept when the folder has the same label vocabulary, and is random
    otherwise. A single lead repeated N times is folded to one channel when the
    convolutions stay frozen; then it gives the same outputs.

    Parameters
    ----------
    folder
        Holds config.json, which gives the model's shape, and model.safetensors of
        its `EcgClassifier`; the head, signal spec and vocabulary may be missing.
    fingerprint
        Of the weights, as the request has it.

    Raises
    ------
    CheckpointError
        When the files are missing, were changed, or are of another kind of model, or the
        folder's spec gives other channels than its model reads.
    SpecMismatch
        When the pretrained model reads another number of channels, or signals of another kind
        than `spec`: that of the folder's own spec, or of its family where it has none.
    """
    require_files(folder, (CONFIG, WEIGHTS))
    found = fingerprint_file(folder / WEIGHTS)
    if found != fingerprint:
        raise CheckpointError(
            f"Weights of {folder} changed since the request was made: it says {fingerprint[:12]}, "
            f"found {found[:12]}. Make a new request."
        )
    config = read_config(folder)
    family = FAMILIES[recipe.family]
    if config.model_type != family.name:
        raise CheckpointError(
            f"Pretrained checkpoint {folder} is {FAMILIES[config.model_type].title}, the preset "
            f"trains {family.title}. Choose a preset of the checkpoint's family, or another "
            "checkpoint (ECG_PRESET, ECG_PRETRAINED)."
        )
    own = read_spec(folder)
    if recipe.any_signals:
        own = replace(spec, leads=own.leads) if own and len(own.leads) > 1 else spec
    known = ModelInput(family, config.n_channels, own, f"checkpoint {folder}")
    require_readable(known, spec)
    config.num_labels = len(vocabulary)
    pool = getattr(config, _POOL_HEADS, 0)
    if pool:
        # The method says how tokens are pooled, whatever the checkpoint's did.
        config.update({_POOL_HEADS: 0})
    config.update(_settings(recipe))
    keeps_head = _has_labels(folder, vocabulary) and getattr(config, _POOL_HEADS, 0) == pool
    shapes = read_weight_shapes(folder)
    with without_memory(len(shapes), where=str(folder)):
        by_shape = family.classifier_class(config).to("meta")
        _load(by_shape, shapes, keeps_head=keeps_head, folder=folder)
    model = family.classifier_class(config)
    _load(model, read_weights(folder), keeps_head=keeps_head, folder=folder)
    require_finite(model, where=str(folder))
    if recipe.freeze_convolutions and len(spec.leads) == 1 and config.n_channels > 1:
        fold_lead_one(model)
    return model


def _settings(recipe: Recipe) -> dict[str, Any]:
    """Give what a configuration says while it is fine-tuned, and of its outputs ever after."""
    problem_type = EXCLUSIVE if recipe.is_exclusive else None
    fine_tuning = FAMILIES[recipe.family].fine_tuning_settings(recipe.activation_dropout)
    found = {**fine_tuning, "problem_type": problem_type}
    if recipe.method == "attention-probe":
        found[_POOL_HEADS] = recipe.attention_pool_heads
    return found


def _load(
    model: EcgClassifier, state: dict[str, Tensor], *, keeps_head: bool, folder: Path
) -> None:
    head = model.head_parameters()
    loaded = {
        name: value for name, value in state.items() if keeps_head or not model.is_of_head(name)
    }
    try:
        missing, unexpected = model.load_state_dict(loaded, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"Weights of {folder} do not fit its {CONFIG}: {error}.") from error
    allowed = set() if keeps_head else head
    if unexpected or set(missing) != allowed:
        raise CheckpointError(
            f"Weights of {folder} are not those of this model: missing "
            f"{sorted(set(missing) - allowed)}, unexpected {unexpected}. Import it again."
        )


def _has_labels(folder: Path, vocabulary: LabelVocabulary) -> bool:
    path = folder / LABEL_VOCABULARY
    if not path.is_file():
        return False
    return read_vocabulary(path.parent) == vocabulary


_NO_LABELS = LabelVocabulary(("unused",), ("mean",))
"""A head is never asked: only features are read."""


def load_encoder(start: StartingPoint) -> TrainedModel:
    """Build the model of a starting point; its head means nothing.

    Raises
    ------
    CheckpointError, SpecMismatch
        As `pretrained_model`.
    """
    set_seed(start.seed)
    if start.folder is None:
        model = random_model(start.recipe, start.spec, _NO_LABELS)
    else:
        require_files(start.folder, (WEIGHTS,))
        model = pretrained_model(
            start.recipe,
            start.spec,
            _NO_LABELS,
            start.folder,
            fingerprint=fingerprint_file(start.folder / WEIGHTS),
        )
    return TrainedModel(model.eval(), start.spec, _NO_LABELS, start.folder)


def fingerprint_encoder(model: EcgClassifier) -> str:
    """Fingerprint of all weights and statistics of a model but its head's, by name."""
    head = model.head_parameters()
    state = {name: value for name, value in model.state_dict().items() if name not in head}
    return fingerprint_json(
        {
            name: [
                list(value.shape),
                fingerprint_bytes(
                    value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
                ),
            ]
            for name, value in state.items()
        }
    )
