"""Names of ECG-LFM's weights in its own checkpoints and here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

from ecg_assets.models.ecg_lfm.config import EcgLfmConfig
from ecg_assets.models.fairseq_weights import (
    HEAD,
    PRETRAINING,
    MappedWeights,
    front_names,
    sort_weights,
    weight_and_bias,
)

_SAME_NORMS = ("self_attn_layer_norm", "conv_module.layer_norm", "final_layer_norm")
_SAME = (
    *(f"self_attn.{name}" for name in ("pos_bias_u", "pos_bias_v", "linear_pos.weight")),
    *(f"conv_module.{name}.weight" for name in ("pointwise_conv1", "pointwise_conv2")),
    "conv_module.depthwise_conv.weight",
    *(f"conv_module.batch_norm.running_{name}" for name in ("mean", "var")),
    "conv_module.batch_norm.num_batches_tracked",
)
_PRETRAINING = re.compile(PRETRAINING.pattern + r"|(?:encoder\.)?mlm_proj\.(?:weight|bias)")
_FEED_FORWARD = (
    ("layer_norm", "_layer_norm"),
    ("w_1", ".intermediate_dense"),
    ("w_2", ".output_dense"),
)
# Its encoder is made with convolutional positions and a last layer norm, and runs without: the
# positions are relative, and the norm is left out wherever a layer is asked for, which is always.
_UNUSED = re.compile(
    r"(?:encoder\.)?(?:conv_pos\.pos_conv|encoder\.pos_conv)\.0\."
    r"(?:bias|parametrizations\.weight\.original[01])|(?:encoder\.)?encoder\.layer_norm\.(?:weight|bias)"
)


def ecg_lfm_names(config: EcgLfmConfig, *, finetuned: bool) -> dict[str, str]:
    """List every weight of an architecture: ECG-LFM's name → this package's.

    Parameters
    ----------
    config
        Numbers of convolutions and layers.
    finetuned
        True for its classifier, False for the encoder as it stands in a pre-training model.
    """
    prefix = "encoder." if finetuned else ""
    pairs = [*front_names(config), *_layers(config.num_hidden_layers)]
    names = {f"{prefix}{theirs}": f"encoder.{ours}" for theirs, ours in pairs}
    return names | HEAD if finetuned else names


def map_ecg_lfm_weights(
    state: Mapping[str, Tensor], config: EcgLfmConfig, *, finetuned: bool, where: str
) -> MappedWeights:
    """Rename the weights of an ECG-LFM; none is passed over in silence.

    Raises
    ------
    CheckpointError
        When weights are missing, or there are others; the message names them.
    """
    return sort_weights(
        state,
        ecg_lfm_names(config, finetuned=finetuned),
        config,
        where=where,
        expected="ECG-LFM as its authors' program writes it",
        dropped=_PRETRAINING,
        unused=_UNUSED,
    )


def _layers(n_layers: int) -> Iterator[tuple[str, str]]:
    for i in range(n_layers):
        layer = f"encoder.layers.{i}."
        for name in _SAME:
            yield layer + name, layer + name
        linear = tuple(f"self_attn.linear_{name}" for name in ("q", "k", "v", "out"))
        for name in (*_SAME_NORMS, *linear, "conv_module.batch_norm"):
            yield from weight_and_bias(layer + name, layer + name)
        for half in ("ffn1", "ffn2"):
            for theirs, ours in _FEED_FORWARD:
                yield from weight_and_bias(f"{layer}{half}.{theirs}", f"{layer}{half}{ours}")
