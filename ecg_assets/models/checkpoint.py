"""A trained model together with what its input and outputs mean, on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint_files import (
    CONFIG,
    LABEL_VOCABULARY,
    SIGNAL_SPEC,
    WEIGHTS,
    read_card,
)
from ecg_assets.models.ecg_fm import EcgFmForClassification
from ecg_assets.models.ecg_fm_config import EcgFmConfig
from ecg_assets.preprocess.signal_spec import SignalSpec


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model and the signals and labels it was trained on.

    Attributes
    ----------
    model
        In evaluation mode when loaded.
    spec, vocabulary
        Meaning of its input channels and of its outputs.
    folder
        Where it was loaded from.
    """

    model: EcgFmForClassification
    spec: SignalSpec
    vocabulary: LabelVocabulary
    folder: Path | None = None


def save_trained(
    folder: Path, model: EcgFmForClassification, spec: SignalSpec, vocabulary: LabelVocabulary
) -> None:
    """Write the model, its signal spec and its vocabulary into an existing folder.

    It is not atomic: write inside `ecg_assets.storage.replace_folder`.
    """
    _require_fit(model.config, spec, vocabulary, where="the model to save")
    model.config.id2label = dict(enumerate(vocabulary.names))
    model.config.label2id = {name: i for i, name in enumerate(vocabulary.names)}
    model.save_pretrained(folder)
    _write_json(folder / SIGNAL_SPEC, spec.to_json())
    _write_json(folder / LABEL_VOCABULARY, vocabulary.to_json())


def load_trained(folder: Path) -> TrainedModel:
    """Load a checkpoint folder; every weight must be there and no other.

    Raises
    ------
    CheckpointError
        When files are missing or unreadable, the checkpoint is of another kind of model,
        or its head is not as wide as its vocabulary.
    """
    card = read_card(folder)
    config = _read_config(folder)
    _require_fit(config, card.spec, card.vocabulary, where=f"checkpoint {folder}")
    model = EcgFmForClassification(config)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS), strict=True)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise CheckpointError(
            f"Checkpoint {folder}: {WEIGHTS} does not fit {CONFIG}: {error}. "
            "Remove the folder and train or import it again."
        ) from error
    return TrainedModel(model.eval(), card.spec, card.vocabulary, folder)


def _read_config(folder: Path) -> EcgFmConfig:
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = values.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"Checkpoint {folder}: cannot read {CONFIG} ({error}). Train or import it again."
        ) from error
    if kind != EcgFmConfig.model_type:
        raise CheckpointError(
            f"Checkpoint {folder} is of model_type {kind!r}; only "
            f"{EcgFmConfig.model_type!r} can be loaded. Was it written by another program?"
        )
    config: EcgFmConfig = EcgFmConfig.from_dict(values)
    return config


def _require_fit(
    config: EcgFmConfig, spec: SignalSpec, vocabulary: LabelVocabulary, *, where: str
) -> None:
    if config.num_labels != len(vocabulary):
        raise CheckpointError(
            f"The head of {where} has {config.num_labels} outputs, its vocabulary "
            f"{len(vocabulary)} labels. They belong to different models; train or import it again."
        )
    allowed = {spec.n_channels, len(spec.leads)}
    if config.n_channels not in allowed:
        raise CheckpointError(
            f"The first convolution of {where} reads {config.n_channels} channels, its signal "
            f"spec gives {' or '.join(map(str, sorted(allowed)))} (leads {spec.leads}). "
            "They belong to different models; train or import it again."
        )


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
