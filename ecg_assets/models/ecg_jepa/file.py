"""A checkpoint file of ECG-JEPA: its weights, the architecture that they tell, its model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.models.ecg_jepa.family import ECG_JEPA
from ecg_assets.models.ecg_jepa.model import EcgJepa, EcgJepaConfig, EcgJepaForClassification
from ecg_assets.models.fairseq_weights import count_modules
from ecg_assets.models.imported import ImportedModel, heads_of_width, shapes_of
from ecg_assets.models.renamed_weights import rename_weights
from ecg_assets.models.weights import load_weights

_PREFIX = "encoder."
"""Of the encoder in a classifier."""
_HEAD = "fc.fc."
_UNUSED = re.compile(r"fc\.bn\..+")
"""A batch norm before the last layer, which the published classifier has and does not apply."""
_BLOCK = "encoder_blocks.blocks.{}.attn.qkv.weight"
_NAMES = ("W_P.weight", "pos_embed", _BLOCK.format(0))


def is_ecg_jepa(content: object) -> bool:
    """Tell whether the content of a file of torch.save is an ECG-JEPA."""
    return bool(_find_weights(content))


def build_ecg_jepa(content: object, path: Path, *, n_heads: int | None = None) -> ImportedModel:
    """Build the model of an encoder under ``encoder``, or of a classifier's weights.

    `n_heads` are heads of attention, which no weight tells; by default those of the published model
    of the same width.
    """
    weights = _find_weights(content)
    head = weights.get(f"{_HEAD}weight")
    with shapes_of(path, ECG_JEPA.title):
        shape = _read_shape({name.removeprefix(_PREFIX): one for name, one in weights.items()})
        if head is not None:
            shape["num_labels"] = len(head)
    known, assumed = heads_of_width(shape["hidden_size"], n_heads, ECG_JEPA, path)
    config = EcgJepaConfig(**shape, num_attention_heads=known)
    mapped = rename_weights(weights, _rename, unused=_UNUSED)
    model_class = EcgJepa if head is None else EcgJepaForClassification
    return ImportedModel(
        family=ECG_JEPA,
        path=path,
        model=load_weights(partial(model_class, config), mapped.weights, where=str(path)),
        architecture=f"{config.num_hidden_layers} transformer layers of width "
        f"{config.hidden_size}, {config.num_attention_heads} heads, {config.n_channels} leads of "
        f"{config.n_patches} patches,\n  {{n_parameters:,}} parameters",
        report=mapped.report(ECG_JEPA.title, assumed, is_finetuned=head is not None),
    )


def _find_weights(content: object) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    for place, prefix in ((content.get("encoder"), ""), (content, _PREFIX)):
        if isinstance(place, Mapping) and all(f"{prefix}{name}" in place for name in _NAMES):
            is_whole = all(isinstance(value, Tensor) for value in place.values())
            return dict(place) if is_whole else {}
    return {}


def _read_shape(encoder: Mapping[str, Tensor]) -> dict[str, Any]:
    width, patch_samples = encoder["W_P.weight"].shape
    table = encoder["pos_embed"]
    # The second half of a row is that of its lead: the first lead has as many as it has patches.
    of_lead = table[:, width // 2 :]
    n_patches = int((of_lead == of_lead[0]).all(dim=1).sum())
    return {
        "n_channels": len(table) // n_patches,
        "n_patches": n_patches,
        "patch_samples": patch_samples,
        "hidden_size": width,
        "num_hidden_layers": count_modules(encoder, _BLOCK),
        "mlp_ratio": len(encoder["encoder_blocks.blocks.0.mlp.fc1.bias"]) / width,
    }


def _rename(name: str) -> str:
    # fc.fc.weight → head.weight; W_P.weight → encoder.W_P.weight
    if name.startswith(_HEAD):
        return f"head.{name.removeprefix(_HEAD)}"
    return f"{_PREFIX}{name.removeprefix(_PREFIX)}"
