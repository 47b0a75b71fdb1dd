"""Names of ECG-FM's weights in fairseq-signals and here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ecg_assets.models.ecg_fm.config import EcgFmConfig
from ecg_assets.models.fairseq_weights import (
    HEAD,
    MappedWeights,
    front_names,
    sort_weights,
    weight_and_bias,
)

_LAYER_MODULES = (
    ("self_attn.k_proj", "attention.k_proj"),
    ("self_attn.v_proj", "attention.v_proj"),
    ("self_attn.q_proj", "attention.q_proj"),
    ("self_attn.out_proj", "attention.out_proj"),
    ("self_attn_layer_norm", "layer_norm"),
    ("fc1", "feed_forward.intermediate_dense"),
    ("fc2", "feed_forward.output_dense"),
    ("final_layer_norm", "final_layer_norm"),
)
_POSITIONS = ("conv_pos.pos_conv.0", "encoder.pos_conv_embed.conv")


def fairseq_names(config: EcgFmConfig, *, finetuned: bool) -> dict[str, str]:
    """List every weight of an architecture: fairseq-signals' name → this package's.

    Parameters
    ----------
    config
        Numbers of convolutions and layers, and whether convolutions have a bias.
    finetuned
        True for `ecg_transformer_classifier` with its head, False for the encoder as it
        stands in a pre-training model.
    """
    prefix = "encoder." if finetuned else ""
    names = {f"{prefix}{theirs}": f"encoder.{ours}" for theirs, ours in _encoder(config)}
    return names | HEAD if finetuned else names


def map_weights(
    state: Mapping[str, Tensor], config: EcgFmConfig, *, finetuned: bool, where: str
) -> MappedWeights:
    """Rename the weights of a fairseq-signals model; none is passed over in silence.

    Raises
    ------
    CheckpointError
        When weights are missing, or there are others; the message names them.
    """
    names = fairseq_names(config, finetuned=finetuned)
    expected = "ECG-FM as fairseq-signals writes it"
    return sort_weights(state, names, config, where=where, expected=expected)


def _encoder(config: EcgFmConfig) -> Iterator[tuple[str, str]]:
    yield from front_names(config)
    theirs, ours = _POSITIONS
    for parameter in (
        "bias",
        "parametrizations.weight.original0",
        "parametrizations.weight.original1",
    ):
        yield f"{theirs}.{parameter}", f"{ours}.{parameter}"
    yield from weight_and_bias("encoder.layer_norm", "encoder.layer_norm")
    for i in range(config.num_hidden_layers):
        for theirs, ours in _LAYER_MODULES:
            yield from weight_and_bias(f"encoder.layers.{i}.{theirs}", f"encoder.layers.{i}.{ours}")
