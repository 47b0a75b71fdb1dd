"""Parameter names of fairseq-signals' ECG-FM, mapped to `EcgFmForClassification`'s."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ecg_assets.errors import CheckpointError

_RULES: tuple[tuple[str, str], ...] = (
    # encoder.feature_extractor.conv_layers.1.0.weight → ….conv_layers.1.conv.weight
    (
        r"feature_extractor\.conv_layers\.(\d+)\.0\.weight",
        r"feature_extractor.conv_layers.\1.conv.weight",
    ),
    # Only the first convolution is followed by a (group) norm.
    (
        r"feature_extractor\.conv_layers\.0\.2\.(weight|bias)",
        r"feature_extractor.conv_layers.0.layer_norm.\1",
    ),
    (r"layer_norm\.(weight|bias)", r"feature_projection.layer_norm.\1"),
    (r"post_extract_proj\.(weight|bias)", r"feature_projection.projection.\1"),
    (
        r"conv_pos\.pos_conv\.0\.(bias|parametrizations\.weight\.original[01])",
        r"encoder.pos_conv_embed.conv.\1",
    ),
    # Weight norm as older torch stores it: g is the magnitude, v the direction.
    (
        r"conv_pos\.pos_conv\.0\.weight_g",
        r"encoder.pos_conv_embed.conv.parametrizations.weight.original0",
    ),
    (
        r"conv_pos\.pos_conv\.0\.weight_v",
        r"encoder.pos_conv_embed.conv.parametrizations.weight.original1",
    ),
    (r"encoder\.layer_norm\.(weight|bias)", r"encoder.layer_norm.\1"),
    (
        r"encoder\.layers\.(\d+)\.self_attn\.((?:[qkv]|out)_proj)\.(weight|bias)",
        r"encoder.layers.\1.attention.\2.\3",
    ),
    (
        r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.(weight|bias)",
        r"encoder.layers.\1.layer_norm.\2",
    ),
    (
        r"encoder\.layers\.(\d+)\.fc1\.(weight|bias)",
        r"encoder.layers.\1.feed_forward.intermediate_dense.\2",
    ),
    (
        r"encoder\.layers\.(\d+)\.fc2\.(weight|bias)",
        r"encoder.layers.\1.feed_forward.output_dense.\2",
    ),
    (
        r"encoder\.layers\.(\d+)\.final_layer_norm\.(weight|bias)",
        r"encoder.layers.\1.final_layer_norm.\2",
    ),
)


def rename_finetuned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a fine-tuned fairseq-signals model (`ecg_transformer_classifier`).

    Parameters
    ----------
    state
        The checkpoint's ``model`` entry.

    Raises
    ------
    CheckpointError
        When a name is none of this architecture.
    """
    return {_rename(name): tensor for name, tensor in state.items()}


def _rename(name: str) -> str:
    if name in ("proj.weight", "proj.bias"):
        return name.replace("proj", "head")
    inner = name.removeprefix("encoder.")
    for pattern, replacement in _RULES:
        match = re.fullmatch(pattern, inner)
        if match and name != inner:
            return "encoder." + match.expand(replacement)
    raise CheckpointError(
        f"Unexpected parameter {name!r}: a fine-tuned ecg_transformer_classifier of "
        "fairseq-signals has none of this name. Is the checkpoint of another model?"
    )
