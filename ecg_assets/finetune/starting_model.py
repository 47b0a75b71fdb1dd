"""The model that training starts from: random, or a pretrained checkpoint with a fitting head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.errors import CheckpointError, SpecMismatch
from ecg_assets.finetune.recipe import Recipe
from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint import read_config, read_weights
from ecg_assets.models.checkpoint_files import (
    CONFIG,
    LABEL_VOCABULARY,
    SIGNAL_SPEC,
    WEIGHTS,
    read_json,
    require_files,
)
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.fold import fold_lead_one
from ecg_assets.models.model_family import ModelFamily
from ecg_assets.models.probabilities import EXCLUSIVE
from ecg_assets.preprocess.signal_spec import SignalSpec


def random_model(recipe: Recipe, spec: SignalSpec, vocabulary: LabelVocabulary) -> EcgClassifier:
    """Build a model with random weights; a single lead is read once, not repeated."""
    family = FAMILIES[recipe.family]
    config = family.build_config(recipe.size, n_channels=len(spec.leads), n_labels=len(vocabulary))
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
        When the files are missing, were changed, or are of another kind of model.
    SpecMismatch
        When the pretrained model reads another number of channels, or differently filtered
        or normalized signals.
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
    _require_channels(config, spec, folder)
    _require_same_kind(family, spec, folder)
    config.num_labels = len(vocabulary)
    config.update(_settings(recipe))
    model = family.classifier_class(config)
    keeps_head = _has_labels(folder, vocabulary)
    _load(model, read_weights(folder), keeps_head=keeps_head, folder=folder)
    if recipe.freeze_convolutions and len(spec.leads) == 1 and config.n_channels > 1:
        fold_lead_one(model)
    return model


def _settings(recipe: Recipe) -> dict[str, Any]:
    """Give what a configuration says while it is fine-tuned, and of its outputs ever after."""
    problem_type = EXCLUSIVE if recipe.objective == "exclusive" else None
    fine_tuning = FAMILIES[recipe.family].fine_tuning_settings(recipe.activation_dropout)
    return {**fine_tuning, "problem_type": problem_type}


def _load(
    model: EcgClassifier, state: dict[str, Tensor], *, keeps_head: bool, folder: Path
) -> None:
    head = model.head_parameters()
    loaded = {name: value for name, value in state.items() if keeps_head or name not in head}
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
    return LabelVocabulary.from_json(json.loads(path.read_text(encoding="utf-8"))) == vocabulary


def _require_channels(config: Any, spec: SignalSpec, folder: Path) -> None:
    if not spec.can_give(config.n_channels):
        raise SpecMismatch(
            f"Pretrained checkpoint {folder} reads {config.n_channels} channels, the manifest "
            f"gives {spec.describe_channels()} (leads {spec.leads}, n_channels "
            f"{spec.n_channels}). Build manifests with n_channels = {config.n_channels}."
        )


def _require_same_kind(family: ModelFamily, spec: SignalSpec, folder: Path) -> None:
    """Refuse signals that look otherwise than those the weights know: nothing else would tell.

    Signals that are taken as they are may have been prepared beforehand.
    """
    if spec.normalization == "none" or not (folder / SIGNAL_SPEC).is_file():
        return
    known = SignalSpec.from_json(read_json(folder / SIGNAL_SPEC))
    expected, found = ((of.filter, of.normalization) for of in (known, spec))
    if expected != found:
        raise SpecMismatch(
            f"Pretrained checkpoint {folder} reads signals of filter {expected[0]!r} and "
            f"normalization {expected[1]!r}, the manifest gives {found[0]!r} and {found[1]!r}. "
            f"Build manifests with its kind of signal ({family.title}: "
            f"ECG_SIGNAL_KIND={family.signal_kind})."
        )
