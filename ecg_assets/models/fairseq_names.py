"""Names of ECG-FM's weights in fairseq-signals and here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.models.ecg_fm_config import EcgFmConfig

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
PROJECTION = (
    "encoder.feature_projection.projection.weight",
    "encoder.feature_projection.projection.bias",
)
_HEAD = {"proj.weight": "head.weight", "proj.bias": "head.bias"}
_POSITIONS = ("conv_pos.pos_conv.0", "encoder.pos_conv_embed.conv")

# Weight norm as torch before 2.0 stores it: g is the magnitude, v the direction.
_OLD_ENDINGS = {
    ".pos_conv.0.weight_g": ".pos_conv.0.parametrizations.weight.original0",
    ".pos_conv.0.weight_v": ".pos_conv.0.parametrizations.weight.original1",
}
# What only pre-training uses: the mask, the code book, and the projections of its losses.
_PRETRAINING = re.compile(
    r"(?:encoder\.)?(?:mask_emb|(?:input_)?quantizer\..+|(?:project_q|project_inp|final_proj)"
    r"\.(?:weight|bias)|target_glu\..+)"
)


@dataclass(frozen=True, eq=False)
class MappedWeights:
    """The weights of a fairseq-signals checkpoint, sorted.

    Attributes
    ----------
    weights
        Those of the encoder and the head, float32, by this package's names.
    names
        For each of them fairseq-signals' name → this package's.
    dropped
        Those that only pre-training uses, by fairseq-signals' name.
    """

    weights: dict[str, Tensor]
    names: dict[str, str]
    dropped: dict[str, Tensor]


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
    pairs = _encoder(len(config.conv_dim), config.num_hidden_layers, conv_bias=config.conv_bias)
    prefix = "encoder." if finetuned else ""
    names = {
        f"{prefix}{theirs}": f"encoder.{ours}"
        for theirs, ours in pairs
        if not (has_no_projection(config) and theirs.startswith("post_extract_proj."))
    }
    return names | _HEAD if finetuned else names


def has_no_projection(config: EcgFmConfig) -> bool:
    """Whether fairseq-signals builds no projection: the convolutions are as wide as the encoder.

    Here there always is one; for such a model it is the identity.
    """
    return bool(config.conv_dim[-1] == config.hidden_size)


def identity_projection(config: EcgFmConfig) -> dict[str, Tensor]:
    """Give the weights of the projection that changes nothing, by this package's names."""
    width = config.hidden_size
    values = (torch.eye(width), torch.zeros(width))
    return dict(zip(PROJECTION, values, strict=True))


def map_weights(
    state: Mapping[str, Tensor], config: EcgFmConfig, *, finetuned: bool, where: str
) -> MappedWeights:
    """Rename the weights of a fairseq-signals model; none is passed over in silence.

    Raises
    ------
    CheckpointError
        When weights are missing, or there are others; the message names them.
    """
    state = modern_names(state)
    names = fairseq_names(config, finetuned=finetuned)
    dropped = {
        name: tensor
        for name, tensor in state.items()
        if name not in names and _PRETRAINING.fullmatch(name)
    }
    missing = [name for name in names if name not in state]
    unexpected = [name for name in state if name not in names and name not in dropped]
    if missing or unexpected:
        raise CheckpointError(
            f"{where} is not ECG-FM as fairseq-signals writes it: missing {_first(missing)}; "
            f"unexpected {_first(unexpected)}. Is it of another architecture, or incomplete?"
        )
    weights = {ours: state[theirs].float() for theirs, ours in names.items()}
    if has_no_projection(config):
        weights |= identity_projection(config)
    return MappedWeights(weights, names, dropped)


def modern_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weight norm's parameters from torch before 2.0 to those of today."""
    return {_modern(name): tensor for name, tensor in state.items()}


def _modern(name: str) -> str:
    for old, new in _OLD_ENDINGS.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _encoder(n_convolutions: int, n_layers: int, *, conv_bias: bool) -> Iterator[tuple[str, str]]:
    for i in range(n_convolutions):
        theirs, ours = f"feature_extractor.conv_layers.{i}", f"feature_extractor.conv_layers.{i}"
        yield f"{theirs}.0.weight", f"{ours}.conv.weight"
        if conv_bias:
            yield f"{theirs}.0.bias", f"{ours}.conv.bias"
    # Only the first convolution is followed by a (group) norm.
    first = "feature_extractor.conv_layers.0"
    yield from _weight_and_bias(f"{first}.2", f"{first}.layer_norm")
    yield from _weight_and_bias("layer_norm", "feature_projection.layer_norm")
    yield from _weight_and_bias("post_extract_proj", "feature_projection.projection")
    theirs, ours = _POSITIONS
    for parameter in (
        "bias",
        "parametrizations.weight.original0",
        "parametrizations.weight.original1",
    ):
        yield f"{theirs}.{parameter}", f"{ours}.{parameter}"
    yield from _weight_and_bias("encoder.layer_norm", "encoder.layer_norm")
    for i in range(n_layers):
        for theirs, ours in _LAYER_MODULES:
            yield from _weight_and_bias(
                f"encoder.layers.{i}.{theirs}", f"encoder.layers.{i}.{ours}"
            )


def _weight_and_bias(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    for parameter in ("weight", "bias"):
        yield f"{theirs}.{parameter}", f"{ours}.{parameter}"


def _first(names: list[str], n_shown: int = 8) -> str:
    if not names:
        return "none"
    rest = len(names) - n_shown
    return ", ".join(names[:n_shown]) + (f" and {rest} more" if rest > 0 else "")
