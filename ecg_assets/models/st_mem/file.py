"""A checkpoint file of ST-MEM: its weights, the architecture that they tell, its model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.models.fairseq_weights import count_modules
from ecg_assets.models.imported import ImportedModel, heads_of_width, shapes_of
from ecg_assets.models.renamed_weights import NEVER, rename_weights
from ecg_assets.models.st_mem.family import ST_MEM
from ecg_assets.models.st_mem.model import StMem, StMemConfig, StMemForClassification
from ecg_assets.models.weights import load_weights

_PREFIX = "encoder."
"""Of the encoder in the file of the whole pre-training model."""
_HEAD = "head."
_DECODER = re.compile(rf"(?!{re.escape(_PREFIX)}).+")
"""All else in that file."""
_BLOCK = "block{}.attn.fn.to_qkv.weight"
_NAMES = ("to_patch_embedding.2.weight", "sep_embedding", _BLOCK.format(0))


def is_st_mem(content: object) -> bool:
    """Tell whether the content of a file of torch.save is an ST-MEM."""
    return bool(_find_weights(content))


def build_st_mem(content: object, path: Path, *, n_heads: int | None = None) -> ImportedModel:
    """Build the model of an encoder, with or without a head, or of the whole pre-training model.

    `n_heads` are heads of attention, which no weight tells; by default those of the published model
    of the same width.
    """
    weights = _find_weights(content)
    has_decoder = f"{_PREFIX}{_NAMES[0]}" in weights
    prefix = _PREFIX if has_decoder else ""
    with shapes_of(path, ST_MEM.title):
        encoder = {name.removeprefix(prefix): one for name, one in weights.items()}
        known, assumed = heads_of_width(len(encoder["sep_embedding"]), n_heads, ST_MEM, path)
        config = StMemConfig(**_read_shape(encoder, known))
    mapped = rename_weights(weights, _rename, dropped=_DECODER if has_decoder else NEVER)
    is_finetuned = f"{_HEAD}weight" in weights
    model_class = StMemForClassification if is_finetuned else StMem
    return ImportedModel(
        family=ST_MEM,
        path=path,
        model=load_weights(partial(model_class, config), mapped.weights, where=str(path)),
        architecture=f"{config.num_hidden_layers} transformer layers of width "
        f"{config.hidden_size}, {config.num_attention_heads} heads, {config.n_channels} leads of "
        f"{config.n_patches} patches,\n  {{n_parameters:,}} parameters",
        report=mapped.report(ST_MEM.title, assumed, is_finetuned=is_finetuned),
        pretraining=mapped.dropped,
    )


def _find_weights(content: object) -> dict[str, Tensor]:
    place = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(place, Mapping) or not any(
        all(f"{prefix}{name}" in place for name in _NAMES) for prefix in ("", _PREFIX)
    ):
        return {}
    return dict(place) if all(isinstance(value, Tensor) for value in place.values()) else {}


def _read_shape(encoder: Mapping[str, Tensor], n_heads: int) -> dict[str, Any]:
    width, patch_samples = encoder["to_patch_embedding.2.weight"].shape
    inner = encoder[_BLOCK.format(0)].shape[0] // 3
    if inner % n_heads:
        raise ValueError(f"{inner} features of queries cannot be those of {n_heads} heads")
    head = encoder.get(f"{_HEAD}weight")
    return {
        "n_channels": count_modules(encoder, "lead_embeddings.{}"),
        "n_patches": encoder["pos_embedding"].shape[1] - 2,
        "patch_samples": patch_samples,
        "hidden_size": width,
        "intermediate_size": len(encoder["block0.ff.fn.net.0.bias"]),
        "num_hidden_layers": count_modules(encoder, _BLOCK),
        "num_attention_heads": n_heads,
        "head_size": inner // n_heads,
        "qkv_bias": _BLOCK.format(0).replace("weight", "bias") in encoder,
        **({} if head is None else {"num_labels": len(head)}),
    }


def _rename(name: str) -> str:
    # block0.… and encoder.block0.… → encoder.block0.…; head.weight stays
    if name.startswith(_HEAD):
        return name
    return f"{_PREFIX}{name.removeprefix(_PREFIX)}"
