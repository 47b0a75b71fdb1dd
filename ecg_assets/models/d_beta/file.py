"""A checkpoint file of D-BETA: the weights that read signals, their architecture, the model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ecg_assets.models.d_beta.family import D_BETA
from ecg_assets.models.d_beta.model import DBeta, DBetaConfig, d_beta_config_of
from ecg_assets.models.ecg_fm.fairseq_config import find_heads_and_strides, read_shape
from ecg_assets.models.ecg_fm.fairseq_file import fairseq_names
from ecg_assets.models.fairseq_weights import sort_weights, weight_and_bias
from ecg_assets.models.imported import ImportedModel, shapes_of
from ecg_assets.models.published_file import read_config_beside
from ecg_assets.models.weights import load_weights

_ENCODER = "ecg_encoder."
_MARKS = ("class_embedding", f"{_ENCODER}encoder.layers.0.self_attn.q_proj.weight")
# The mask, what reads texts, what joins them with signals, and the heads of pre-training.
_PRETRAINING = re.compile(
    r"ecg_encoder\.mask_emb|language_encoder\..+|modality_type_embeddings\..+|"
    r"multi_modal_(?:language_.+|ecg_layers\..+|ecg_pooler\..+)|unimodal_language_pooler\..+|"
    r"m[li]m_head\..+|itm_head\..+"
)


def is_d_beta(content: object) -> bool:
    """Tell whether the content of a file of torch.save is a D-BETA."""
    weights = content.get("model") if isinstance(content, Mapping) else None
    return isinstance(weights, Mapping) and all(name in weights for name in _MARKS)


def build_d_beta(content: Any, path: Path) -> ImportedModel:
    """Build the encoder of ``sample.pt``; what reads texts is left behind.

    A config.json beside it, as D-BETA's repository has it, tells the number of heads and the
    strides.
    """
    weights = dict(content["model"])
    encoder = {
        name.removeprefix(_ENCODER): value
        for name, value in weights.items()
        if name.startswith(_ENCODER)
    }
    stated = read_config_beside(path).get("model")
    stated = stated if isinstance(stated, dict) and stated.get("_name") == D_BETA.title else {}
    with shapes_of(path, D_BETA.title):
        shape = read_shape(encoder, path, prefix=_ENCODER)
        n_heads, strides, assumed = find_heads_and_strides(
            shape, stated, path, known=D_BETA.sizes.values()
        )
        config = d_beta_config_of(
            shape.as_config(n_heads=n_heads, strides=strides), n_channels=shape.n_channels
        )
    mapped = sort_weights(
        weights,
        d_beta_names(config),
        config,
        where=str(path),
        expected="D-BETA as its authors publish it",
        dropped=_PRETRAINING,
    )
    return ImportedModel(
        family=D_BETA,
        path=path,
        model=load_weights(partial(DBeta, config), mapped.weights, where=str(path)),
        architecture=f"{config.num_hidden_layers} layers of width {config.hidden_size}, "
        f"{config.num_attention_heads} heads, {config.n_channels} input channels,\n"
        "  {n_parameters:,} parameters",
        report=mapped.report(D_BETA.title, assumed, is_finetuned=False),
        warnings=assumed,
    )


def d_beta_names(config: DBetaConfig) -> dict[str, str]:
    """List every weight that reads signals: D-BETA's name → this package's."""
    of_encoder = fairseq_names(config, finetuned=False)
    names = {f"{_ENCODER}{theirs}": ours for theirs, ours in of_encoder.items()}
    names["class_embedding"] = "encoder.class_embedding"
    names |= weight_and_bias("multi_modal_ecg_proj", "encoder.output_projection")
    return names | dict(weight_and_bias("unimodal_ecg_pooler.dense", "encoder.pooler"))
