"""Sizes and settings of ECG-LFM as a transformers configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import Wav2Vec2ConformerConfig

from ecg_assets.models.ecg_lfm.family import SIZES
from ecg_assets.models.token_config import find_size, token_config

_ARCHITECTURE: dict[str, Any] = {
    "conv_bias": True,
    "feat_extract_norm": "group",
    "hidden_act": "swish",
    "position_embeddings_type": "relative",
    # Tokens that relative positions are kept for; longer signals extend them.
    "max_source_positions": 2048,
}
FINE_TUNING: dict[str, Any] = {
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.1,
    "conformer_conv_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
}
"""Dropout and masking while fine-tuning.

ECG-LFM's own fine-tuning sets the dropout of its first six layers to 0 and overlooks that of the
others (``mlm_dropout``, 0.1). Here dropout is inside the feed-forward layers alone, of all layers
alike, as in the other transformer of this package; the recipe says how much.
"""


class EcgLfmConfig(Wav2Vec2ConformerConfig):  # type: ignore[misc]
    """A conformer with several input channels.

    Attributes
    ----------
    n_channels
        Inputs of the first convolution.
    folded_from
        Channels that the first convolution had before it was folded to one; 0 when it
        was not folded.
    """

    model_type = "ecg-lfm"
    n_channels: int = 12
    folded_from: int = 0


def ecg_lfm_config(size: str, *, n_channels: int, n_labels: int) -> EcgLfmConfig:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny`` or ``base``.
    n_channels
        Leads that the first convolution sees.
    n_labels
        Outputs of the classification head.

    >>> ecg_lfm_config("base", n_channels=12, n_labels=1).num_hidden_layers
    24
    """
    return ecg_lfm_config_of(find_size(SIZES, size), n_channels=n_channels, n_labels=n_labels)


def ecg_lfm_config_of(
    shape: Mapping[str, Any], *, n_channels: int, n_labels: int | None = None
) -> EcgLfmConfig:
    """Build the configuration of any shape.

    Parameters
    ----------
    shape
        The fields of an entry of `SIZES`.
    n_channels
        Leads that the first convolution sees.
    n_labels
        Outputs of the classification head; None for an encoder without one.
    """
    values = {**_ARCHITECTURE, **FINE_TUNING, **shape}
    return token_config(EcgLfmConfig, values, n_channels=n_channels, n_labels=n_labels)
