"""A file of MERL's ResNet-18: its weights, the architecture that they tell, its model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.fairseq_weights import count_modules
from ecg_assets.models.imported import ImportedModel, shapes_of
from ecg_assets.models.merl_resnet18.family import MERL_RESNET18
from ecg_assets.models.merl_resnet18.model import (
    N_STAGES,
    Resnet18,
    Resnet18Classifier,
    Resnet18Config,
    resnet18_config_of,
)
from ecg_assets.models.renamed_weights import NEVER, rename_weights
from ecg_assets.models.weights import load_weights
from ecg_assets.preprocess.signal_spec import SignalSpec

_HEAD = "linear.weight"
_FIRST = ("conv1.weight", "layer1.0.conv1.weight", "layer2.0.shortcut.0.weight", _HEAD)
_UNTRAINED = re.compile(r"linear\..+")
N_UNTRAINED = 10
"""Outputs of the last layer that MERL's encoder files carry. Nothing ever trained it."""


def is_resnet18(content: object) -> bool:
    """Tell whether the content of a published file is MERL's ResNet-18."""
    return bool(_find_weights(content))


def fit_meaning(
    content: object, path: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> tuple[SignalSpec | None, None]:
    """Take a deployment's spec where each channel is a lead of its own; labels are not guessed."""
    n_channels = _find_weights(content)["conv1.weight"].shape[1]
    fits = spec is not None and n_channels == spec.n_channels == len(spec.leads)
    return (spec if fits else None), None


def _find_weights(content: object) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    for place in (content.get("state_dict"), content):
        if isinstance(place, Mapping) and all(name in place for name in _FIRST):
            is_whole = all(isinstance(value, Tensor) for value in place.values())
            return dict(place) if is_whole and place[_FIRST[0]].ndim == 3 else {}
    return {}


def build_resnet18(
    content: object, path: Path, *, vocabulary: LabelVocabulary | None = None
) -> ImportedModel:
    """Build the model of a file.

    ``res18_best_encoder.pth`` becomes an encoder: its last layer, of ten outputs, was never trained
    and is left out. A file with another number of outputs becomes a classifier; so does one of ten
    where their labels are given.
    """
    weights = _find_weights(content)
    with shapes_of(path, "MERL", other="not in the shapes of a ResNet-18"):
        has_head = vocabulary is not None or len(weights[_HEAD]) != N_UNTRAINED
        config = _read_config(weights, has_head=has_head)
    mapped = rename_weights(weights, str, unused=NEVER if has_head else _UNTRAINED)
    model_class = Resnet18Classifier if has_head else Resnet18
    return ImportedModel(
        family=MERL_RESNET18,
        path=path,
        model=load_weights(partial(model_class, config), mapped.weights, where=str(path)),
        architecture=f"ResNet of {sum(config.blocks)} blocks, {config.hidden_size} features, "
        f"{config.n_channels} input channels, {{n_parameters:,}} parameters",
        report=mapped.report(
            "MERL",
            ("the first block of each stage but the first halves the length",),
            is_finetuned=has_head,
        ),
    )


def _read_config(weights: Mapping[str, Tensor], *, has_head: bool) -> Resnet18Config:
    """Read the architecture off the shapes; loading the weights then checks every one."""
    stages = range(1, N_STAGES + 1)
    shape = {
        "widths": tuple(len(weights[f"layer{i}.0.conv1.weight"]) for i in stages),
        "blocks": tuple(count_modules(weights, f"layer{i}.{{}}.conv1.weight") for i in stages),
    }
    n_labels = len(weights[_HEAD]) if has_head else None
    return resnet18_config_of(shape, n_channels=weights[_FIRST[0]].shape[1], n_labels=n_labels)
