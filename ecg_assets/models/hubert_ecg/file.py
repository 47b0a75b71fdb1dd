"""A checkpoint file of HuBERT-ECG: its weights, the architecture that it states, its model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.models.checkpoint_folder import UNREADABLE_VALUES
from ecg_assets.models.hubert_ecg.family import HUBERT_ECG
from ecg_assets.models.hubert_ecg.model import (
    HubertEcg,
    HubertEcgForClassification,
    hubert_ecg_config_of,
)
from ecg_assets.models.imported import ImportedModel
from ecg_assets.models.renamed_weights import rename_weights
from ecg_assets.models.weights import load_weights

_PREFIX = "hubert_ecg."
"""Of the encoder in a fine-tuned file."""
_HEAD = "classifier."
_FIRST = ("feature_extractor.conv_layers.0.conv.weight", "encoder.layers.0.attention.q_proj.weight")
# The vector of masked tokens, and what compares tokens with the codes that stand for them.
_PRETRAINING = re.compile(
    rf"(?:{_PREFIX})?(?:masked_spec_embed|(?:final_proj|label_embedding)\..+)"
)
_WEIGHT_NORM = {
    "conv.weight_g": "conv.parametrizations.weight.original0",
    "conv.weight_v": "conv.parametrizations.weight.original1",
}
"""As torch before 2.0 stores it: magnitude, direction."""
_SHAPE = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("conv_dim", "conv_kernel", "conv_stride", "conv_bias"),
    *("num_conv_pos_embeddings", "num_conv_pos_embedding_groups"),
)
_DETAILS = (
    *("hidden_act", "layer_norm_eps", "feat_extract_norm", "feat_extract_activation"),
    *("feat_proj_layer_norm", "do_stable_layer_norm", "conv_pos_batch_norm"),
)


def is_hubert_ecg(content: object) -> bool:
    """Tell whether the content of a published file is a HuBERT-ECG."""
    return bool(_find_weights(content))


def build_hubert_ecg(content: Any, path: Path) -> ImportedModel:
    """Build the model of a .pt file of HuBERT-ECG's training, or of model.safetensors.

    Of the configuration that a .pt file holds as an object, the attributes are read. It decides,
    since no weight tells the number of heads; loading the weights then checks every shape.
    """
    weights = _find_weights(content)
    stated = content.get("model_config") or content.get("config")
    lacking = [name for name in _SHAPE if not isinstance(stated, Mapping) or name not in stated]
    if lacking:
        raise CheckpointError(
            f"{path} does not state {', '.join(lacking)} of its HuBERT, and no weight tells the "
            "number of heads. Give the file with its configuration: a .pt file with "
            "'model_config', or model.safetensors beside its config.json."
        )
    shape = {name: stated[name] for name in (*_SHAPE, *_DETAILS) if name in stated}
    try:
        head = weights.get(f"{_HEAD}weight")
        config = hubert_ecg_config_of(shape, n_labels=None if head is None else len(head))
    except UNREADABLE_VALUES as error:
        raise CheckpointError(
            f"{path}: its configuration is that of no HuBERT ({type(error).__name__}: {error}). "
            "Get the original file."
        ) from error
    mapped = rename_weights(weights, _rename, dropped=_PRETRAINING)
    is_finetuned = any(name.startswith(_HEAD) for name in weights)
    model_class = HubertEcgForClassification if is_finetuned else HubertEcg
    return ImportedModel(
        family=HUBERT_ECG,
        path=path,
        model=load_weights(partial(model_class, config), mapped.weights, where=str(path)),
        architecture=f"{config.num_hidden_layers} transformer layers of width "
        f"{config.hidden_size}, {config.num_attention_heads} heads,\n"
        "  {n_parameters:,} parameters",
        report=mapped.report(HUBERT_ECG.title, (), is_finetuned=is_finetuned),
        pretraining=mapped.dropped,
    )


def _find_weights(content: object) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    for place in (content.get("model_state_dict"), content.get("state_dict")):
        if isinstance(place, Mapping) and any(
            all(f"{prefix}{name}" in place for name in _FIRST) for prefix in ("", _PREFIX)
        ):
            is_whole = all(isinstance(value, Tensor) for value in place.values())
            return dict(place) if is_whole else {}
    return {}


def _rename(name: str) -> str:
    # classifier.weight → head.weight; hubert_ecg.encoder.… → encoder.encoder.…
    if name.startswith(_HEAD):
        return f"head.{name.removeprefix(_HEAD)}"
    for old, new in _WEIGHT_NORM.items():
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return f"encoder.{name.removeprefix(_PREFIX)}"
