"""HuBERT-ECG: HuBERT with a linear head over its mean-pooled tokens.

The modules are those of transformers' `HubertModel`, whose names the published weights have; with
the same weights the outputs equal those of HuBERT-ECG (https://github.com/Edoar-do/HuBERT-ECG).
The vector that stands for masked tokens in pre-training is not here: nothing else uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn
from transformers import HubertConfig, HubertModel
from transformers.models.hubert.modeling_hubert import HubertPreTrainedModel

from ecg_assets.models.ecg_fm.positions import PositionalConvolution
from ecg_assets.models.hubert_ecg.family import SIZES
from ecg_assets.models.token_config import find_size, token_config
from ecg_assets.models.token_models import (
    LeadConvolutions,
    TokenClassifier,
    TokenEncoder,
    TokenModel,
)

# Sizes and settings as a transformers configuration.


_ARCHITECTURE: dict[str, Any] = {
    "conv_bias": False,
    "feat_extract_norm": "group",
    "do_stable_layer_norm": False,
}
FINE_TUNING: dict[str, Any] = {
    # The published fine-tuning sets each dropout to 0.1.
    "hidden_dropout": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.1,
    "feat_proj_dropout": 0.1,
    "final_dropout": 0.0,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
    # With either above 0 transformers gives the model a vector for masked tokens.
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
}
"""Dropout and masking while fine-tuning."""


class HubertEcgConfig(HubertConfig):  # type: ignore[misc]
    """HuBERT, of one channel as published: the leads are laid end to end.

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

    model_type = "hubert-ecg"
    n_channels: int = 1
    folded_from: int = 0
    positional_convolution: str = "auto"


def hubert_ecg_config(size: str, *, n_channels: int, n_labels: int) -> HubertEcgConfig:
    """Build the configuration of a size.

    Parameters
    ----------
    size
        ``tiny``, ``small``, ``base`` or ``large``.
    n_channels
        What the first convolution reads: 1, of leads laid end to end.
    n_labels
        Outputs of the classification head.

    >>> hubert_ecg_config("large", n_channels=1, n_labels=5).num_attention_heads
    12
    """
    return hubert_ecg_config_of(find_size(SIZES, size), n_channels=n_channels, n_labels=n_labels)


def hubert_ecg_config_of(
    shape: Mapping[str, Any], *, n_channels: int = 1, n_labels: int | None = None
) -> HubertEcgConfig:
    """Build the configuration of any shape.

    Parameters
    ----------
    shape
        The fields of an entry of `SIZES`, and others of `HubertConfig` where they differ.
    n_channels
        What the first convolution reads.
    n_labels
        Outputs of the classification head; None for an encoder without one.
    """
    values = {**_ARCHITECTURE, **FINE_TUNING, **shape}
    return token_config(HubertEcgConfig, values, n_channels=n_channels, n_labels=n_labels)


# The model.


class HubertEcgEncoder(TokenEncoder, HubertModel):  # type: ignore[misc]
    """HuBERT for signals ``[batch, channel, sample]``."""

    config_class = HubertEcgConfig

    def __init__(self, config: HubertEcgConfig) -> None:
        super().__init__(config)
        self.feature_extractor = LeadConvolutions(config)
        if not config.conv_pos_batch_norm:
            positions = self.encoder.pos_conv_embed
            self.encoder.pos_conv_embed = PositionalConvolution(positions, config)
        self.post_init()

    def forward(self, input_values: Tensor, padded: Tensor | None = None) -> Tensor:
        """Encode as `TokenEncoder`; HuBERT's projection gives its output alone."""
        features = self.feature_extractor(input_values).transpose(1, 2)
        return self.contextualize(self.feature_projection(features), padded)

    def contextualize(self, hidden: Tensor, padded: Tensor | None = None) -> Tensor:
        """Run positions and transformer over projected features ``[batch, token, feature]``.

        Padding is zeroed before the positions are added, as in transformers.
        """
        attended = None if padded is None else ~padded
        return cast(Tensor, self.encoder(hidden, attention_mask=attended).last_hidden_state)


class HubertEcg(TokenModel, HubertPreTrainedModel):  # type: ignore[misc]
    """The encoder alone; its weights are those of the classifier without the head."""

    config_class = HubertEcgConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"

    def __init__(self, config: HubertEcgConfig) -> None:
        super().__init__(config)
        self.encoder = HubertEcgEncoder(config)
        self.post_init()


class HubertEcgForClassification(TokenClassifier, HubertPreTrainedModel):  # type: ignore[misc]
    """Encoder, mean over tokens, linear head.

    Parameters
    ----------
    config
        `num_labels` is the width of the head.
    """

    config_class = HubertEcgConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"

    def __init__(self, config: HubertEcgConfig) -> None:
        super().__init__(config)
        self.encoder = HubertEcgEncoder(config)
        self.head = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()
