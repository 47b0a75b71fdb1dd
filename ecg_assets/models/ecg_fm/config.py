"""Sizes and settings of ECG-FM as a transformers configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from transformers import Wav2Vec2Config

from ecg_assets.models.ecg_fm.family import SIZES
from ecg_assets.models.token_config import find_size, token_config

_ARCHITECTURE: dict[str, Any] = {
    "conv_bias": False,
    "feat_extract_norm": "group",
    "do_stable_layer_norm": False,
}
FINE_TUNING: dict[str, Any] = {
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
"""Dropout and masking while fine-tuning."""


class EcgFmConfig(Wav2Vec2Config):  # type: ignore[misc]
    """wav2vec 2.0 with several input channels.

    Attributes
    ----------
    n_channels
        Inputs of the first convolution.
    folded_from
        Channels that the first convolution had before it was folded to one; 0 when it
        was not folded.
    positional_convolution
        ``direct``, ``fft`` or ``auto``: how positions are computed, as `PositionalConvolution`
        says. It is read at each call, and changes outputs by rounding alone.
    """

    model_type = "ecg_fm"
    n_channels: int = 12
    folded_from: int = 0
    positional_convolution: str = "auto"


def ecg_fm_config(size: str, *, n_channels: int, n_labels: int) -> EcgFmConfig:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny``, ``base`` or ``large``.
    n_channels
        Leads that the first convolution sees.
    n_labels
        Outputs of the classification head.

    >>> ecg_fm_config("base", n_channels=12, n_labels=17).hidden_size
    768
    """
    return ecg_fm_config_of(find_size(SIZES, size), n_channels=n_channels, n_labels=n_labels)


def ecg_fm_config_of(
    shape: Mapping[str, Any], *, n_channels: int, n_labels: int | None = None
) -> EcgFmConfig:
    """Build the configuration of any shape.

    Parameters
    ----------
    shape
        The fields of an entry of `SIZES`, and ``conv_bias`` where it is not False.
    n_channels
        Leads that the first convolution sees.
    n_labels
        Outputs of the classification head; None for an encoder without one.
    """
    return config_like_ecg_fm(EcgFmConfig, shape, n_channels=n_channels, n_labels=n_labels)


Config = TypeVar("Config", bound=EcgFmConfig)


def config_like_ecg_fm(
    config_class: type[Config],
    shape: Mapping[str, Any],
    *,
    n_channels: int,
    n_labels: int | None = None,
) -> Config:
    """Build the configuration of a family whose encoder is ECG-FM's, as `ecg_fm_config_of`."""
    values = {**_ARCHITECTURE, **FINE_TUNING, **shape}
    return token_config(config_class, values, n_channels=n_channels, n_labels=n_labels)
