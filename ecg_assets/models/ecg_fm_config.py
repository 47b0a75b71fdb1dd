"""Sizes and settings of ECG-FM as a transformers configuration."""

from __future__ import annotations

from typing import Any

from transformers import Wav2Vec2Config

SIZES: dict[str, dict[str, Any]] = {
    # Learns the synthetic cohort on two CPU cores in minutes; the shape of no published model.
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "conv_dim": (32, 32, 32, 32),
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    },
    # The published ECG-FM: 90,373,248 parameters with 12 input channels, without the head.
    "base": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "conv_dim": (256, 256, 256, 256),
        "num_conv_pos_embeddings": 128,
        "num_conv_pos_embedding_groups": 16,
    },
}
"""Architecture of each size by name."""

_SHARED: dict[str, Any] = {
    "conv_kernel": (2, 2, 2, 2),
    "conv_stride": (2, 2, 2, 2),
    "conv_bias": False,
    "feat_extract_norm": "group",
    "do_stable_layer_norm": False,
    # Dropout of ECG-FM's published fine-tuning: model.dropout=0.0,
    # model.attention_dropout=0.0, model.activation_dropout=0.1.
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.1,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
}


class EcgFmConfig(Wav2Vec2Config):  # type: ignore[misc]
    """wav2vec 2.0 with several input channels.

    Attributes
    ----------
    n_channels
        Inputs of the first convolution.
    folded_from
        Channels that the first convolution had before it was folded to one; 0 when it
        was not folded.
    """

    model_type = "ecg_fm"
    n_channels: int = 12
    folded_from: int = 0


def ecg_fm_config(size: str, *, n_channels: int, n_labels: int) -> EcgFmConfig:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny`` or ``base``.
    n_channels
        Leads that the first convolution sees.
    n_labels
        Outputs of the classification head.

    >>> ecg_fm_config("base", n_channels=12, n_labels=17).hidden_size
    768
    """
    if size not in SIZES:
        raise ValueError(f"size is {size!r}; allowed: {tuple(SIZES)}.")
    if n_channels < 1 or n_labels < 1:
        raise ValueError(
            f"n_channels is {n_channels} and n_labels is {n_labels}; both must be 1 or more."
        )
    return EcgFmConfig(n_channels=n_channels, num_labels=n_labels, **SIZES[size], **_SHARED)
