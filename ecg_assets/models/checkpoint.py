"""A trained model together with what its input and outputs mean, on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint_files import (
    CONFIG,
    LABEL_VOCABULARY,
    SIGNAL_SPEC,
    WEIGHTS,
    read_card,
)
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.families import FAMILIES, find_family
from ecg_assets.preprocess.signal_spec import SignalSpec

Model = TypeVar("Model", bound=nn.Module)


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

    model: EcgClassifier
    spec: SignalSpec
    vocabulary: LabelVocabulary
    folder: Path | None = None


def save_trained(
    folder: Path, model: EcgClassifier, spec: SignalSpec, vocabulary: LabelVocabulary
) -> None:
    """Write the model, its signal spec and its vocabulary into an existing folder.

    It is not atomic: write inside `ecg_assets.storage.replace_folder`.
    """
    require_labels(model.config, vocabulary, where="the model to save")
    require_channels(model.config, spec, where="the model to save")
    save_model(folder, model, spec, vocabulary)


def save_model(
    folder: Path,
    model: Any,
    spec: SignalSpec | None,
    vocabulary: LabelVocabulary | None,
) -> None:
    """Write weights and architecture, and the meaning of input and outputs where it is known.

    `model` is an `EcgClassifier`, or an encoder of one.
    """
    if vocabulary is not None:
        model.config.id2label = dict(enumerate(vocabulary.names))
        model.config.label2id = {name: i for i, name in enumerate(vocabulary.names)}
        write_json(folder / LABEL_VOCABULARY, vocabulary.to_json())
    if spec is not None:
        write_json(folder / SIGNAL_SPEC, spec.to_json())
    model.save_pretrained(folder)


def load_trained(folder: str | Path) -> TrainedModel:
    """Load a checkpoint folder; every weight must be there and no other.

    Raises
    ------
    CheckpointError
        When files are missing or unreadable, the checkpoint is of another kind of model,
        or its head is not as wide as its vocabulary.
    """
    folder = Path(folder)
    card = read_card(folder)
    config = read_config(folder)
    require_labels(config, card.vocabulary, where=f"checkpoint {folder}")
    require_channels(config, card.spec, where=f"checkpoint {folder}")
    classifier = FAMILIES[config.model_type].classifier_class
    model = load_weights(classifier(config), read_weights(folder), where=str(folder))
    return TrainedModel(model, card.spec, card.vocabulary, folder)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read a checkpoint folder's weights by name."""
    try:
        weights: dict[str, Tensor] = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"Checkpoint {folder}: cannot read {WEIGHTS} ({error}). "
            "Remove the folder and train or import it again."
        ) from error
    return weights


def load_weights(model: Model, weights: Mapping[str, Tensor], *, where: str) -> Model:
    """Put weights into a model and set it to evaluation; every one must be there and fit."""
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"Checkpoint {where}: the weights do not fit its configuration: {error}. "
            "Get the original, or train or import it again."
        ) from error
    model.eval()
    return model


def read_config(folder: Path) -> Any:
    """Read a checkpoint folder's architecture, the configuration of one of `FAMILIES`.

    Raises
    ------
    CheckpointError
        When it is of no family.
    """
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = values.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"Checkpoint {folder}: cannot read {CONFIG} ({error}). Train or import it again."
        ) from error
    family = find_family(kind)
    if family is None:
        raise CheckpointError(
            f"Checkpoint {folder} is of model_type {kind!r}; only {', '.join(FAMILIES)} can be "
            "loaded. Was it written by another program?"
        )
    return family.config_class.from_dict(values)


def require_labels(config: Any, vocabulary: LabelVocabulary, *, where: str) -> None:
    """Raise `CheckpointError` unless the head has as many outputs as there are labels."""
    if config.num_labels != len(vocabulary):
        raise CheckpointError(
            f"The head of {where} has {config.num_labels} outputs, its vocabulary "
            f"{len(vocabulary)} labels. They belong to different models; train or import it again."
        )


def require_channels(config: Any, spec: SignalSpec, *, where: str) -> None:
    """Raise `CheckpointError` unless the first convolution reads what the spec gives."""
    if not spec.can_give(config.n_channels):
        raise CheckpointError(
            f"The first convolution of {where} reads {config.n_channels} channels, its signal "
            f"spec gives {spec.describe_channels()} (leads {spec.leads}). "
            "They belong to different models; train or import it again."
        )


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object with one field a line."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
