"""A trained model together with what its input and outputs mean, on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint_folder import (
    CONFIG,
    LABEL_VOCABULARY,
    SIGNAL_SPEC,
    read_card,
    read_json,
)
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.families import FAMILIES, family_of, find_family
from ecg_assets.models.signals import ModelInput, require_readable
from ecg_assets.models.weights import load_folder_weights
from ecg_assets.preprocess.signal_spec import SignalSpec

MOST_SIZE = 1 << 20
"""Of a number in config.json; of the models here, none has one above 4096."""


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

    @property
    def input(self) -> ModelInput:
        """What it reads."""
        where = f"checkpoint {self.folder}" if self.folder else "the model"
        return ModelInput(family_of(self.model), self.model.config.n_channels, self.spec, where)


def save_trained(
    folder: Path, model: EcgClassifier, spec: SignalSpec, vocabulary: LabelVocabulary
) -> None:
    """Write the model, its signal spec and its vocabulary into an existing folder.

    It is not atomic: write inside `ecg_assets.storage.replace_folder`.
    """
    require_labels(model.config, vocabulary, where="the model to save")
    family = family_of(model)
    require_readable(ModelInput(family, model.config.n_channels, spec, "the model to save"))
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
        its head is not as wide as its vocabulary, or it reads other channels than its signal
        spec gives.
    """
    folder = Path(folder)
    card = read_card(folder)
    config = read_config(folder)
    require_labels(config, card.vocabulary, where=f"checkpoint {folder}")
    family = FAMILIES[config.model_type]
    require_readable(ModelInput(family, config.n_channels, card.spec, f"checkpoint {folder}"))
    model = load_folder_weights(partial(family.classifier_class, config), folder, card.spec)
    return TrainedModel(model, card.spec, card.vocabulary, folder)


def require_probabilities(trained: TrainedModel) -> None:
    """Raise `CheckpointError` unless a model's logits of one segment are finite."""
    n_channels, n_samples = trained.model.config.n_channels, trained.spec.segment_samples
    signal = torch.linspace(-1, 1, n_samples).sin().expand(1, n_channels, n_samples)
    with torch.inference_mode():
        logits = trained.model(signal).logits
    if not logits.isfinite().all():
        raise CheckpointError(
            f"Checkpoint {trained.folder}: its logits of a smooth signal are {logits.tolist()}. "
            f"Its weights or its {CONFIG} are damaged; get the original, or train it again."
        )


def read_config(folder: Path) -> Any:
    """Read a checkpoint folder's architecture, the configuration of one of `FAMILIES`.

    Raises
    ------
    CheckpointError
        When it is of no family.
    """
    values = read_json(folder / CONFIG)
    kind = values.get("model_type")
    family = find_family(kind)
    if family is None:
        raise CheckpointError(
            f"Checkpoint {folder} is of model_type {kind!r}; only {', '.join(FAMILIES)} can be "
            "loaded. Was it written by another program?"
        )
    if large := find_large_numbers(values):
        raise CheckpointError(
            f"Checkpoint {folder}: {CONFIG} asks for {large}; no size of a model is above "
            f"{MOST_SIZE:,}. Get the original, or train or import it again."
        )
    try:
        return family.config_class.from_dict(values)
    except Exception as error:  # Of a damaged one, transformers raises nearly anything.
        raise CheckpointError(
            f"Checkpoint {folder}: {CONFIG} is no configuration of {family.title} "
            f"({type(error).__name__}: {str(error)[:500]}). Get the original, or train or import "
            "it again."
        ) from error


def find_large_numbers(value: Any) -> list[float]:
    """Find numbers in a JSON value that are no size of a model: lists are made so long.

    >>> find_large_numbers({"num_labels": 10**9, "conv_dim": [512, 512]})
    [1000000000]
    """
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [number for part in parts for number in find_large_numbers(part)]
    is_large = isinstance(value, int | float) and not abs(value) <= MOST_SIZE
    return [value] if is_large else []


def require_labels(config: Any, vocabulary: LabelVocabulary, *, where: str) -> None:
    """Raise `CheckpointError` unless the head has as many outputs as there are labels."""
    if config.num_labels != len(vocabulary):
        raise CheckpointError(
            f"The head of {where} has {config.num_labels} outputs, its vocabulary "
            f"{len(vocabulary)} labels. They belong to different models; train or import it again."
        )


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object with one field a line."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
