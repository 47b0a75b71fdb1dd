"""The model that training starts from: random, or a pretrained checkpoint with a fitting head."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from ecg_assets.errors import CheckpointError, SpecMismatch
from ecg_assets.finetune.recipe import Recipe
from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint import read_config, read_weights
from ecg_assets.models.checkpoint_files import CONFIG, LABEL_VOCABULARY, WEIGHTS, require_files
from ecg_assets.models.ecg_fm import EcgFmForClassification
from ecg_assets.models.ecg_fm_config import FINE_TUNING, EcgFmConfig, ecg_fm_config
from ecg_assets.models.fold import fold_lead_one
from ecg_assets.preprocess.signal_spec import SignalSpec


def random_model(
    recipe: Recipe, spec: SignalSpec, vocabulary: LabelVocabulary
) -> EcgFmForClassification:
    """Build a model with random weights; a single lead is read once, not repeated."""
    config = ecg_fm_config(recipe.size, n_channels=len(spec.leads), n_labels=len(vocabulary))
    config.activation_dropout = recipe.activation_dropout
    return EcgFmForClassification(config)


def pretrained_model(
    recipe: Recipe,
    spec: SignalSpec,
    vocabulary: LabelVocabulary,
    folder: Path,
    *,
    fingerprint: str,
) -> EcgFmForClassification:
    """Build a model from a checkpoint folder's encoder.

    Its head is kept when the folder has the same label vocabulary, and is random
    otherwise. A single lead repeated N times is folded to one channel when the
    convolutions stay frozen; then it gives the same outputs.

    Parameters
    ----------
    folder
        Holds config.json, which gives the model's shape, and model.safetensors of
        `EcgFmForClassification`; the head, signal spec and vocabulary may be missing.
    fingerprint
        Of the weights, as the request has it.

    Raises
    ------
    CheckpointError
        When the files are missing, were changed, or are of another kind of model.
    SpecMismatch
        When the pretrained model reads another number of channels.
    """
    require_files(folder, (CONFIG, WEIGHTS))
    found = fingerprint_file(folder / WEIGHTS)
    if found != fingerprint:
        raise CheckpointError(
            f"Weights of {folder} changed since the request was made: it says {fingerprint[:12]}, "
            f"found {found[:12]}. Make a new request."
        )
    config = read_config(folder)
    _require_channels(config, spec, folder)
    config.num_labels = len(vocabulary)
    config.update({**FINE_TUNING, "activation_dropout": recipe.activation_dropout})
    model = EcgFmForClassification(config)
    keeps_head = _has_labels(folder, vocabulary)
    _load(model, read_weights(folder), keeps_head=keeps_head, folder=folder)
    if recipe.freeze_convolutions and len(spec.leads) == 1 and config.n_channels > 1:
        fold_lead_one(model)
    return model


def _load(
    model: EcgFmForClassification, state: dict[str, Tensor], *, keeps_head: bool, folder: Path
) -> None:
    loaded = {name: value for name, value in state.items() if not name.startswith("head.")}
    if keeps_head:
        loaded = state
    try:
        missing, unexpected = model.load_state_dict(loaded, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"Weights of {folder} do not fit its {CONFIG}: {error}.") from error
    allowed = set() if keeps_head else {"head.weight", "head.bias"}
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


def _require_channels(config: EcgFmConfig, spec: SignalSpec, folder: Path) -> None:
    allowed = {spec.n_channels, len(spec.leads)}
    if config.n_channels not in allowed:
        raise SpecMismatch(
            f"Pretrained checkpoint {folder} reads {config.n_channels} channels, the manifest "
            f"gives {' or '.join(map(str, sorted(allowed)))} (leads {spec.leads}, n_channels "
            f"{spec.n_channels}). Build manifests with n_channels = {config.n_channels}."
        )
