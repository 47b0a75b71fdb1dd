"""A checkpoint file of CLEF: its weights, the architecture that they tell, its model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.models.clef.family import CLEF
from ecg_assets.models.clef.model import Clef, ClefForClassification, clef_config_of
from ecg_assets.models.ecg_founder.file import ASSUMED, read_net1d_shape
from ecg_assets.models.imported import ImportedModel, shapes_of
from ecg_assets.models.renamed_weights import rename_weights
from ecg_assets.models.weights import load_weights

_FIRST = "first_conv.conv.weight"
_PRETRAINED, _FINE_TUNED = "backbone.", "model."
_HEAD = "projection."
# The other copy of the encoder that MoCo and BYOL train with, MoCo's queue, BYOL's predictor.
_PRETRAINING = re.compile(r"backbone_(?:k|target)\..+|queue(?:_ptr)?|predictor\..+")
_UNUSED = re.compile(r"(?:backbone|model)\.dense\.(?:weight|bias)")


def is_clef(content: object) -> bool:
    """Tell whether the content of a file of torch.save is a CLEF."""
    return bool(_find_weights(content))


def build_clef(content: object, path: Path) -> ImportedModel:
    """Build the model of clef_small.ckpt, one of the other sizes, or a file fine-tuned from one."""
    weights = _find_weights(content)
    prefix = _PRETRAINED if f"{_PRETRAINED}{_FIRST}" in weights else _FINE_TUNED
    encoder = {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
    head = weights.get(f"{_HEAD}weight")
    with shapes_of(path, CLEF.title, other="not in the shapes of a Net1D"):
        shape, n_channels = read_net1d_shape(encoder)
        n_labels = None if head is None else len(head)
        config = clef_config_of(shape, n_channels=n_channels, n_labels=n_labels)
    mapped = rename_weights(weights, _rename, dropped=_PRETRAINING, unused=_UNUSED)
    model_class: Any = Clef if head is None else ClefForClassification
    return ImportedModel(
        family=CLEF,
        path=path,
        model=load_weights(partial(model_class, config), mapped.weights, where=str(path)),
        architecture=f"Net1D of {len(config.filter_list)} stages with "
        f"{sum(config.m_blocks_list)} blocks, {config.hidden_size} features, "
        f"{config.n_channels} input channels, {{n_parameters:,}} parameters",
        report=mapped.report(CLEF.title, ASSUMED, is_finetuned=head is not None),
    )


def _find_weights(content: object) -> dict[str, Tensor]:
    """Find the weights, alone or under ``state_dict``, as CLEF's own loader takes both."""
    if not isinstance(content, Mapping):
        return {}
    for place in (content.get("state_dict"), content):
        if isinstance(place, Mapping) and (
            f"{_PRETRAINED}{_FIRST}" in place
            or {f"{_FINE_TUNED}{_FIRST}", f"{_HEAD}weight"} <= set(place)
        ):
            is_whole = all(isinstance(value, Tensor) for value in place.values())
            return dict(place) if is_whole else {}
    return {}


def _rename(name: str) -> str:
    # projection.weight → dense.weight; backbone.first_conv.… → first_conv.…
    if name.startswith(_HEAD):
        return f"dense.{name.removeprefix(_HEAD)}"
    return name.removeprefix(_PRETRAINED).removeprefix(_FINE_TUNED)
