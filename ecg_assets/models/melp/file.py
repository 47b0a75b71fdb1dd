"""A checkpoint file of MELP: the weights that read signals, their architecture, the model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.models.ecg_fm.fairseq_config import find_heads_and_strides, read_shape
from ecg_assets.models.ecg_fm.fairseq_file import fairseq_names
from ecg_assets.models.fairseq_weights import sort_weights, weight_and_bias
from ecg_assets.models.imported import ImportedModel, shapes_of
from ecg_assets.models.melp.family import MELP
from ecg_assets.models.melp.model import (
    Melp,
    MelpConfig,
    melp_config_of,
    transformer_config,
)
from ecg_assets.models.weights import load_weights

_PARTS, _ENCODER = "ecg_encoder.", "ecg_encoder.ecg_encoder."
_POOL = f"{_PARTS}attn_pool_contrast"
_MARKS = (f"{_POOL}.query", f"{_ENCODER}encoder.layers.0.self_attn.q_proj.weight")
_OF_POOL = ("encoder_size", "n_queries", "n_pool_heads")
_N_POOL_HEADS = 8
"""Of all published models."""
# What pre-training of the encoder alone uses, the pooling that captions are written from, the
# projection and the scale that compare with texts, and all that is no part of the encoder.
_PRETRAINING = re.compile(
    r"ecg_encoder\.(?:ecg_encoder\.(?:mask_emb|(?:quantizer|project_q|final_proj)\..+)|"
    r"(?:attn_pool_caption|ln_caption|bn)\..+|proj_contrast|logit_scale)|(?!ecg_encoder\.).+"
)


def is_melp(content: object) -> bool:
    """Tell whether the content of a published file is a MELP."""
    weights = content.get("state_dict") if isinstance(content, Mapping) else None
    return isinstance(weights, Mapping) and all(name in weights for name in _MARKS)


def build_melp(content: Any, path: Path) -> ImportedModel:
    """Build the encoder of a file; what reads and writes texts is left behind.

    It is model.safetensors of MELP's folder on the hub, or a .ckpt file of its training.
    """
    weights = dict(content["state_dict"])
    encoder = {
        name.removeprefix(_ENCODER): value
        for name, value in weights.items()
        if name.startswith(_ENCODER)
    }
    known = [
        {name: value for name, value in size.items() if name not in _OF_POOL}
        | {"hidden_size": size["encoder_size"]}
        for size in MELP.sizes.values()
    ]
    with shapes_of(path, MELP.title):
        shape = read_shape(encoder, path, prefix=_ENCODER)
        n_heads, strides, assumed = find_heads_and_strides(shape, {}, path, known=known)
        values = shape.as_config(n_heads=n_heads, strides=strides)
        pool, of_pool = _read_pool(weights, content)
        config = melp_config_of(
            {**values, "encoder_size": shape.width, **pool}, n_channels=shape.n_channels
        )
    assumed = (*assumed, *of_pool)
    mapped = sort_weights(
        weights,
        melp_names(config),
        transformer_config(config),
        where=str(path),
        expected="MELP as its authors publish it",
        dropped=_PRETRAINING,
    )
    return ImportedModel(
        family=MELP,
        path=path,
        model=load_weights(partial(Melp, config), mapped.weights, where=str(path)),
        architecture=f"{config.num_hidden_layers} layers of width {config.encoder_size}, "
        f"{config.num_attention_heads} heads, {config.n_queries} queries of width "
        f"{config.hidden_size},\n  {config.n_channels} input channels, "
        "{n_parameters:,} parameters",
        report=mapped.report(MELP.title, assumed, is_finetuned=False),
        warnings=assumed,
    )


def _read_pool(
    weights: Mapping[str, Tensor], content: Mapping[str, Any]
) -> tuple[dict[str, int], tuple[str, ...]]:
    n_queries, width = weights[f"{_POOL}.query"].shape
    stated = content.get("config") or {}
    n_heads = stated.get("attn_pooler_heads")
    assumed = () if n_heads else (f"{_N_POOL_HEADS} heads of the pooling, as MELP has",)
    n_heads = int(n_heads or _N_POOL_HEADS)
    if width % n_heads:
        raise ValueError(f"{n_heads} heads do not divide the pooling's width, {width}")
    return {"hidden_size": width, "n_queries": n_queries, "n_pool_heads": n_heads}, assumed


def melp_names(config: MelpConfig) -> dict[str, str]:
    """List every weight that a recording's features need: MELP's name → this package's."""
    of_encoder = fairseq_names(transformer_config(config), finetuned=False)
    names = {f"{_ENCODER}{theirs}": ours for theirs, ours in of_encoder.items()}
    return names | dict(_pool_names(config))


def _pool_names(config: MelpConfig) -> Iterator[tuple[str, str]]:
    # nn.MultiheadAttention keeps one matrix where queries are as wide as tokens, else three.
    is_one = config.hidden_size == config.encoder_size
    of_inputs = ("in_proj",) if is_one else ("q_proj", "k_proj", "v_proj")
    for name in ("query", *(f"attn.{one}_weight" for one in of_inputs), "attn.in_proj_bias"):
        yield f"{_POOL}.{name}", f"encoder.pool.{name}"
    for module in ("attn.out_proj", "ln_q", "ln_k"):
        yield from weight_and_bias(f"{_POOL}.{module}", f"encoder.pool.{module}")
    yield from weight_and_bias(f"{_PARTS}ln_contrast", "encoder.pool_norm")
